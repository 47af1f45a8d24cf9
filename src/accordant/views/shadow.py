"""What would be written against what is there: records that differ, with only the fields that do."""

from collections.abc import Sequence

import msgspec

from accordant.store.engine import Database
from accordant.store.schema import desired_record
from accordant.views.customer import FieldPair, target_records
from accordant.views.keyed import rows_by_key

PAGE_MAX = 50


class ShadowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record that differs. ``target_id`` is None where the target is not known to hold it: it would be created."""

    ref: str
    flow: str
    object: str
    key: str
    account_id: str
    target_id: str | None
    fields: tuple[FieldPair, ...]
    notes: tuple[str, ...]


def shadow_records(database: Database, refs: Sequence[str], *, field: str = "") -> tuple[ShadowRecord, ...]:
    """The records among ``refs`` that differ now, optionally only those that differ in ``field``; sorted by name."""
    with database.read() as connection:
        wanted = rows_by_key(connection, tuple(desired_record.c), desired_record.c.ref, refs)
        lanes = {row.ref: row.lane for row in wanted}
        records = target_records(connection, wanted)
    found = []
    for record in records:
        differing = tuple(pair for pair in record.fields if pair.differs)
        if not differing or (field and all(pair.field != field for pair in differing)):
            continue
        found.append(
            ShadowRecord(
                ref=record.ref,
                flow=record.flow,
                object=record.object,
                key=record.key,
                account_id=lanes[record.ref].partition(":")[2],
                target_id=record.target_id,
                fields=differing,
                notes=record.notes,
            )
        )
    return tuple(found)
