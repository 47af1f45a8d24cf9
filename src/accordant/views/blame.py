"""Every field of a target record with its origin beside it: which write set what it should be, and because of what."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.intents import FieldChange, WriteIntent
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import desired_record, entity, inbox_event, write_intent
from accordant.views.changes import REVISIONS_MAX, changes_of
from accordant.views.customer import FieldPair, TargetRecord, target_records
from accordant.views.decision import read_decision
from accordant.views.keyed import AnyRow, rows_by_key
from accordant.views.lookup import resolve_record

_INTENT: msgspec.json.Decoder[WriteIntent] = msgspec.json.Decoder(WriteIntent)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The write that set a field to what it should be. ``seq`` is None for a repair or a new charter."""

    change: FieldChange
    intent_id: str
    revision: int
    flow: str
    charter: str
    rules: tuple[str, ...]
    state: str
    reason: str | None
    planned_at: datetime
    seq: int | None
    event_type: str | None
    connection: str | None


class BlamedField(msgspec.Struct, frozen=True, kw_only=True):
    """One field; ``origin`` is None where no write of the hub among those looked through ever changed it."""

    pair: FieldPair
    origin: Origin | None


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """A record, field by field. ``looked_at`` counts the revisions, ``complete`` says that it was all of them."""

    record: TargetRecord
    root_id: str
    fields: tuple[BlamedField, ...]
    looked_at: int
    complete: bool


def blame(database: Database, ref: str) -> Blame | None:
    """The origins of the fields of ``ref`` (by key or by the target's id); None when no flow keeps such a record."""
    with database.read() as connection:
        name = resolve_record(connection, ref.strip())
        if name is None:
            return None
        row = connection.execute(select(desired_record).where(desired_record.c.ref == name)).one()
        record = target_records(connection, [row])[0]
        root_id = connection.execute(select(entity.c.root_id).where(entity.c.id == row.entity_id)).scalar()
        return _blame(connection, record, root_id or row.entity_id)


def blames(database: Database, records: Sequence[TargetRecord], root_id: str) -> dict[str, Blame]:
    """The same for the records of one account, by name."""
    with database.read() as connection:
        return {record.ref: _blame(connection, record, root_id) for record in records}


def _blame(connection: Connection, record: TargetRecord, root_id: str) -> Blame:
    wanted = {pair.field for pair in record.fields}
    newest: dict[str, int] = {}
    looked_at = 0
    for revision, names in changes_of(connection, record.ref):
        looked_at += 1
        for name in wanted.intersection(names):
            newest.setdefault(name, revision)
        if len(newest) == len(wanted):
            break
    found = _changes(connection, record.ref, newest)
    causes = {row.cause for row, _ in found.values() if row.cause is not None}
    columns = (inbox_event.c.seq, inbox_event.c.event_type, inbox_event.c.connection)
    events = {row.seq: row for row in rows_by_key(connection, columns, inbox_event.c.seq, causes)}
    return Blame(
        record=record,
        root_id=root_id,
        fields=tuple(
            BlamedField(pair=pair, origin=_origin(*found[pair.field], events) if pair.field in found else None)
            for pair in record.fields
        ),
        looked_at=looked_at,
        complete=looked_at < REVISIONS_MAX or len(newest) == len(wanted),
    )


def _changes(connection: Connection, name: str, newest: dict[str, int]) -> dict[str, tuple[AnyRow, FieldChange]]:
    """The write that changed each of these fields at its revision, and what it changed."""
    query = select(write_intent).where(
        write_intent.c.record == name, write_intent.c.revision.in_(sorted(set(newest.values())))
    )
    return {
        change.field: (row, change)
        for row in connection.execute(query)
        for change in _INTENT.decode(row.body).changes
        if newest.get(change.field) == row.revision
    }


def _origin(row: AnyRow, change: FieldChange, events: dict[int, AnyRow]) -> Origin:
    event = events.get(row.cause) if row.cause is not None else None
    return Origin(
        change=change,
        intent_id=row.id,
        revision=row.revision,
        flow=row.flow,
        charter=row.charter,
        rules=tuple(rule.rule for rule in read_decision(row.decision).reasons),
        state=row.state,
        reason=row.reason,
        planned_at=from_micros(row.planned_at),
        seq=row.cause,
        event_type=event.event_type if event is not None else None,
        connection=event.connection if event is not None else None,
    )
