"""Desired against confirmed, record by record: how much agrees, which fields differ, and the first records that do.

This is the one view that walks every record; the console counts it beside its pages and says when it did.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from accordant.canonical.intents import WireValue
from accordant.store.engine import Database
from accordant.store.schema import confirmed_record, desired_record

#: Records of a flow that are remembered by name; the counts cover all of them.
SAMPLE_MAX = 1_000
_ROWS_AT_ONCE = 2_000
_FIELDS: msgspec.json.Decoder[dict[str, WireValue]] = msgspec.json.Decoder(dict[str, WireValue])


class FieldCount(msgspec.Struct, frozen=True):
    """How many records differ in one field."""

    field: str
    records: int


class FlowAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """One flow's records. ``missing`` are not known to be in the target, ``differing`` are there with other values."""

    flow: str
    target: str
    object: str
    records: int
    missing: int
    differing: int
    fields: tuple[FieldCount, ...]
    sample: tuple[str, ...]

    @property
    def agreeing(self) -> int:
        """Records whose target holds every desired value."""
        return self.records - self.missing - self.differing


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison, and when it was made."""

    counted_at: datetime
    flows: tuple[FlowAgreement, ...]

    @property
    def records(self) -> int:
        """Every desired record."""
        return sum(flow.records for flow in self.flows)

    @property
    def agreeing(self) -> int:
        """Those whose target holds every desired value."""
        return sum(flow.agreeing for flow in self.flows)


class _Tally:
    """What one flow comes to, while its rows go by."""

    def __init__(self) -> None:
        self.missing = 0
        self.differing = 0
        self.fields: dict[str, int] = {}
        self.sample: list[str] = []


def compare_records(database: Database, *, now: datetime) -> Agreement:
    """Compare every desired record with what its target was last seen to hold.

    Rows whose stored bytes are equal never leave the database; the others are compared field by field, since a target
    may be known to hold more fields than are desired.
    """
    with database.snapshot() as connection:
        tallies = _tally(connection)
        counts = connection.execute(
            select(desired_record.c.flow, desired_record.c.target, desired_record.c.object, func.count())
            .group_by(desired_record.c.flow, desired_record.c.target, desired_record.c.object)
            .order_by(desired_record.c.flow, desired_record.c.object)
        ).all()
    flows = []
    for flow, target, object_name, records in counts:
        tally = tallies.get((flow, target, object_name), _Tally())
        flows.append(
            FlowAgreement(
                flow=flow,
                target=target,
                object=object_name,
                records=records,
                missing=tally.missing,
                differing=tally.differing,
                fields=tuple(
                    FieldCount(name, count)
                    for name, count in sorted(tally.fields.items(), key=lambda one: (-one[1], one[0]))
                ),
                sample=tuple(tally.sample),
            )
        )
    return Agreement(counted_at=now, flows=tuple(flows))


def _tally(connection: Connection) -> dict[tuple[str, str, str], _Tally]:
    held = confirmed_record.c.fields
    unequal = (
        select(
            desired_record.c.ref,
            desired_record.c.flow,
            desired_record.c.target,
            desired_record.c.object,
            desired_record.c.fields,
            held.label("held"),
        )
        .select_from(desired_record.outerjoin(confirmed_record, confirmed_record.c.ref == desired_record.c.ref))
        .where(held.is_(None) | (held != desired_record.c.fields))
    )
    tallies: dict[tuple[str, str, str], _Tally] = {}
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(unequal):
        differing = () if row.held is None else differing_fields(decode_fields(row.fields), decode_fields(row.held))
        if row.held is not None and not differing:
            continue
        tally = tallies.setdefault((row.flow, row.target, row.object), _Tally())
        tally.missing += row.held is None
        tally.differing += row.held is not None
        for name in differing:
            tally.fields[name] = tally.fields.get(name, 0) + 1
        if len(tally.sample) < SAMPLE_MAX:
            tally.sample.append(row.ref)
    return tallies


def decode_fields(stored: bytes) -> dict[str, WireValue]:
    """The fields of a desired or confirmed record as they are stored."""
    return _FIELDS.decode(stored)


def differing_fields(desired: dict[str, WireValue], held: dict[str, WireValue]) -> tuple[str, ...]:
    """Names of the desired fields whose held value is another one, sorted; a field nobody read is held as empty."""
    return tuple(sorted(name for name, value in desired.items() if held.get(name) != value))
