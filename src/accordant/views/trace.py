"""Everything that came of one inbox event, room by room, from its arrival to the receipts of its writes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.correlation import correlation_id
from accordant.canonical.events import BusinessEvent
from accordant.canonical.intents import WriteIntent, WriteReceipt
from accordant.canonical.upcasters import read_business_event
from accordant.kernel.clock import from_micros, to_micros
from accordant.store.engine import Database
from accordant.store.schema import (
    audit_entry,
    business_event,
    delivery,
    desired_record,
    entity,
    inbox_event,
    inbox_reading,
    inbox_twin,
    inbox_work,
    observation,
    parked_lane,
    write_intent,
    write_receipt,
)
from accordant.views.about import TrailLine
from accordant.views.decision import Decided, read_decision
from accordant.views.keyed import AnyRow, rows_by_key

NEIGHBOURS = 6
ROWS_MAX = 200
_INTENT: msgspec.json.Decoder[WriteIntent] = msgspec.json.Decoder(WriteIntent)
_RECEIPT: msgspec.json.Decoder[WriteReceipt] = msgspec.json.Decoder(WriteReceipt)


class SeenObject(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one observation of the event."""

    entity_id: str
    kind: str | None
    ref: str | None
    root_id: str | None
    outcome: str
    reason: str | None
    version: int
    observed_at: datetime
    recorded_at: datetime


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One intent of the event, the verdict it stands on, and every attempt at it."""

    intent: WriteIntent
    record: str
    state: str
    reason: str | None
    shadow: bool
    attempts: int
    due_at: datetime
    settled_at: datetime | None
    charter: str
    decision: Decided
    receipts: tuple[WriteReceipt, ...]


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """Another event of the same lane."""

    seq: int
    event_type: str
    received_at: datetime
    state: str


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A record that this event moved through the write of a later event of its batch."""

    record: str
    intent_id: str
    seq: int | None
    state: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One event and all it did. ``state`` is its inbox state; ``deliveries`` counts later arrivals of it.

    ``carried`` are records it moved whose write names another event of the same batch.
    """

    seq: int
    connection: str
    external_id: str
    event_type: str
    lane: str
    occurred_at: datetime
    received_at: datetime
    digest: str
    state: str
    reason: str | None
    attempts: int
    settled_at: datetime | None
    lane_parked: str | None
    deliveries: int
    twins: int
    readings: tuple[tuple[str, datetime], ...]
    observations: tuple[SeenObject, ...]
    business_events: tuple[BusinessEvent, ...]
    writes: tuple[Write, ...]
    carried: tuple[Carried, ...]
    trail: tuple[TrailLine, ...]
    neighbours: tuple[Neighbour, ...]

    @property
    def correlation(self) -> str:
        """The id under which a collector of traces knows this event."""
        return correlation_id(self.connection, self.external_id)


def trace(database: Database, seq: int) -> Trace | None:
    """The trace of inbox event ``seq``, or None when there is no such event."""
    with database.read() as connection:
        row = connection.execute(
            select(
                inbox_event.c.seq,
                inbox_event.c.connection,
                inbox_event.c.external_id,
                inbox_event.c.event_type,
                inbox_event.c.lane,
                inbox_event.c.occurred_at,
                inbox_event.c.received_at,
                inbox_event.c.digest,
            ).where(inbox_event.c.seq == seq)
        ).one_or_none()
        return None if row is None else _trace(connection, row)


def _trace(connection: Connection, event: AnyRow) -> Trace:
    seq = event.seq
    work = connection.execute(select(inbox_work).where(inbox_work.c.seq == seq)).one_or_none()
    parked = connection.execute(select(parked_lane.c.reason).where(parked_lane.c.lane == event.lane)).scalar()
    readings = connection.execute(
        select(inbox_reading.c.ref, inbox_reading.c.read_at)
        .where(inbox_reading.c.seq == seq)
        .order_by(inbox_reading.c.id)
    )
    events = connection.execute(
        select(business_event.c.body).where(business_event.c.seq == seq).order_by(business_event.c.occurred_at)
    ).scalars()
    trail = _trail(connection, seq)
    writes = _writes(connection, seq)
    return Trace(
        seq=seq,
        connection=event.connection,
        external_id=event.external_id,
        event_type=event.event_type,
        lane=event.lane,
        occurred_at=from_micros(event.occurred_at),
        received_at=from_micros(event.received_at),
        digest=bytes(event.digest).hex(),
        state=work.state if work else "received",
        reason=work.reason if work else None,
        attempts=work.attempts if work else 0,
        settled_at=from_micros(work.settled_at) if work and work.settled_at is not None else None,
        lane_parked=parked,
        deliveries=_count(connection, delivery, event),
        twins=_count(connection, inbox_twin, event),
        readings=tuple((ref, from_micros(read_at)) for ref, read_at in readings),
        observations=_observations(connection, seq),
        business_events=tuple(read_business_event(body) for body in events),
        writes=writes,
        carried=_carried(connection, trail, {write.record for write in writes}),
        trail=trail,
        neighbours=_neighbours(connection, event.lane, seq),
    )


def _count(connection: Connection, table: Any, event: AnyRow) -> int:  # noqa: ANN401  two tables of one shape
    same = (table.c.connection == event.connection) & (table.c.external_id == event.external_id)
    return len(connection.execute(select(table.c.id).where(same).limit(ROWS_MAX)).all())


def _observations(connection: Connection, seq: int) -> tuple[SeenObject, ...]:
    rows = connection.execute(
        select(observation).where(observation.c.seq == seq).order_by(observation.c.id).limit(ROWS_MAX)
    ).all()
    columns = (entity.c.id, entity.c.kind, entity.c.ref, entity.c.root_id)
    known = {row.id: row for row in rows_by_key(connection, columns, entity.c.id, [row.entity_id for row in rows])}
    seen = []
    for row in rows:
        held = known.get(row.entity_id)
        seen.append(
            SeenObject(
                entity_id=row.entity_id,
                kind=held.kind if held else None,
                ref=held.ref if held else None,
                root_id=held.root_id if held else None,
                outcome=row.outcome,
                reason=row.reason,
                version=row.version,
                observed_at=from_micros(row.observed_at),
                recorded_at=from_micros(row.recorded_at),
            )
        )
    return tuple(seen)


def _writes(connection: Connection, seq: int) -> tuple[Write, ...]:
    rows = connection.execute(
        select(write_intent)
        .where(write_intent.c.cause == seq)
        .order_by(write_intent.c.step, write_intent.c.record)
        .limit(ROWS_MAX)
    ).all()
    return read_writes(connection, rows)


def read_writes(connection: Connection, rows: Sequence[AnyRow]) -> tuple[Write, ...]:
    """Intents with their receipts, in the order of ``rows``."""
    receipts: dict[str, list[WriteReceipt]] = {}
    columns = (write_receipt.c.id, write_receipt.c.intent_id, write_receipt.c.body)
    for row in sorted(rows_by_key(connection, columns, write_receipt.c.intent_id, [row.id for row in rows])):
        receipts.setdefault(row.intent_id, []).append(_RECEIPT.decode(row.body))
    return tuple(
        Write(
            intent=_INTENT.decode(row.body),
            record=row.record,
            state=row.state,
            reason=row.reason,
            shadow=bool(row.shadow),
            attempts=row.attempts,
            due_at=from_micros(row.due_at),
            settled_at=None if row.settled_at is None else from_micros(row.settled_at),
            charter=row.charter,
            decision=read_decision(row.decision),
            receipts=tuple(receipts.get(row.id, ())),
        )
        for row in rows
    )


def _trail(connection: Connection, seq: int) -> tuple[TrailLine, ...]:
    rows = connection.execute(
        select(audit_entry.c.position, audit_entry.c.kind, audit_entry.c.actor, audit_entry.c.subject, audit_entry.c.at)
        .where(audit_entry.c.cause == seq)
        .order_by(audit_entry.c.position)
        .limit(ROWS_MAX)
    )
    return tuple(
        TrailLine(position=row.position, kind=row.kind, actor=row.actor, subject=row.subject, at=from_micros(row.at))
        for row in rows
    )


def _carried(connection: Connection, trail: Sequence[TrailLine], own: set[str]) -> tuple[Carried, ...]:
    """A batch plans one write a record and names the last event that touched its account; the others are found here.

    The registry's lines and the desk's of one batch bear one instant.
    """
    moved = {line.subject.partition("/")[2]: to_micros(line.at) for line in trail if line.kind.startswith("registry.")}
    if not moved:
        return ()
    columns = (entity.c.id, entity.c.root_id)
    roots: dict[str, int] = {}
    for row in rows_by_key(connection, columns, entity.c.id, moved):
        roots[row.root_id] = max(roots.get(row.root_id, 0), moved[row.id])
    found: list[Carried] = []
    for root_id, at in sorted(roots.items()):
        records = connection.execute(
            select(desired_record.c.ref)
            .join(entity, entity.c.id == desired_record.c.entity_id)
            .where(entity.c.root_id == root_id, desired_record.c.ref.not_in(own))
            .limit(ROWS_MAX)
        ).scalars()
        found.extend(_planned_at(connection, list(records), at))
    return tuple(found)


def _planned_at(connection: Connection, records: Sequence[str], at: int) -> Iterator[Carried]:
    """The writes of ``records`` that were planned at ``at``; a record may have thousands of others."""
    rows = connection.execute(
        select(write_intent.c.record, write_intent.c.id, write_intent.c.cause, write_intent.c.state)
        .where(write_intent.c.record.in_(records), write_intent.c.planned_at == at)
        .order_by(write_intent.c.record, write_intent.c.id)
    )
    for row in rows:
        yield Carried(record=row.record, intent_id=row.id, seq=row.cause, state=row.state)


def _neighbours(connection: Connection, lane: str, seq: int) -> tuple[Neighbour, ...]:
    columns = select(inbox_work.c.seq, inbox_work.c.state).where(inbox_work.c.lane == lane)
    before = columns.where(inbox_work.c.seq < seq).order_by(inbox_work.c.seq.desc()).limit(NEIGHBOURS)
    after = columns.where(inbox_work.c.seq > seq).order_by(inbox_work.c.seq).limit(NEIGHBOURS)
    states = {row.seq: row.state for part in (before, after) for row in connection.execute(part)}
    found = rows_by_key(
        connection, (inbox_event.c.seq, inbox_event.c.event_type, inbox_event.c.received_at), inbox_event.c.seq, states
    )
    return tuple(
        Neighbour(
            seq=row.seq, event_type=row.event_type, received_at=from_micros(row.received_at), state=states[row.seq]
        )
        for row in sorted(found)
    )
