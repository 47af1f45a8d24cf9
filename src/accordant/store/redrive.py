"""Dead letters on SQL. Putting back, opening lanes and the audit are one transaction; a lane opens when none is dead.

The state is compared in the same statement that changes it, so that two people who redrive at once do it once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from accordant.canonical.intents import IntentState, WriteIntent
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.inbox import WorkState
from accordant.ports.redrive import DeadIntent, StuckEvent
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work, parked_lane, write_intent

_INTENT = (
    "id", "flow", "target", "record", "lane", "body", "attempts", "reason", "settled_at", "planned_at", "state",
)  # fmt: skip
_WORK = ("seq", "connection", "lane", "state", "attempts", "reason", "settled_at")
_STUCK = (WorkState.DEAD.value, WorkState.QUARANTINED.value, WorkState.PARKED.value)
_DECODER = msgspec.json.Decoder(WriteIntent)


class SqlDeadLetters:
    """`ports.redrive.DeadLetters` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def dead_intents(self, *, limit: int) -> tuple[DeadIntent, ...]:
        """See the port."""
        query = (
            select(*(write_intent.c[name] for name in _INTENT))
            .where(write_intent.c.state == IntentState.DEAD.value)
            .order_by(write_intent.c.settled_at, write_intent.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(_intent(tuple(row)) for row in connection.execute(query))

    def stuck_events(self, *, limit: int) -> tuple[StuckEvent, ...]:
        """See the port."""
        query = (
            select(*(inbox_work.c[name] for name in _WORK))
            .where(inbox_work.c.state.in_(_STUCK))
            .order_by(inbox_work.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            return _events(connection, [tuple(row) for row in connection.execute(query)])

    def find_intents(self, ids: Iterable[str]) -> tuple[DeadIntent, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, write_intent, _INTENT, "id", ids)
        return tuple(_intent(row) for row in sorted(rows) if row[-1] == IntentState.DEAD.value)

    def find_events(self, seqs: Iterable[int]) -> tuple[StuckEvent, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, inbox_work, _WORK, "seq", seqs)
            return _events(connection, [row for row in sorted(rows) if row[3] in _STUCK])

    def replace_intents(
        self, intents: Sequence[DeadIntent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """See the port."""
        with self._database.write() as connection:
            for intent in intents:
                connection.execute(
                    update(write_intent)
                    .where(write_intent.c.record == intent.record, write_intent.c.state == IntentState.DEAD.value)
                    .values(
                        state=IntentState.SUPERSEDED.value,
                        reason="Redriven: today's desired record was planned instead.",
                        settled_at=to_micros(now),
                    )
                )
            lanes = {intent.lane for intent in intents}
            dead = select(write_intent.c.lane).where(
                write_intent.c.lane.in_(lanes), write_intent.c.state == IntentState.DEAD.value
            )
            closed = frozenset(connection.execute(dead).scalars())
            _open(connection, lanes - closed, "outbound")
            audit.append(connection, entries, now=now)
        return closed

    def revive_events(
        self, events: Sequence[StuckEvent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """See the port."""
        with self._database.write() as connection:
            for event in events:
                connection.execute(
                    update(inbox_work)
                    .where(inbox_work.c.seq == event.seq, inbox_work.c.state.in_(_STUCK))
                    .values(
                        state=WorkState.RECEIVED.value, reason=None, attempts=0, due_at=to_micros(now), settled_at=None
                    )
                )
            lanes = {event.lane for event in events}
            dead = select(inbox_work.c.lane).where(
                inbox_work.c.lane.in_(lanes), inbox_work.c.state == WorkState.DEAD.value
            )
            closed = frozenset(connection.execute(dead).scalars())
            _open(connection, lanes - closed, "inbound")
            audit.append(connection, entries, now=now)
        return closed


def _open(connection: Connection, lanes: Iterable[str], direction: str) -> None:
    for lane in sorted(lanes):
        connection.execute(delete(parked_lane).where(parked_lane.c.lane == lane, parked_lane.c.direction == direction))


def _intent(row: bulk.Row) -> DeadIntent:
    intent_id, flow, target, record, lane, body, attempts, reason, settled_at, planned_at, _ = row
    return DeadIntent(
        id=intent_id,
        flow=flow,
        target=target,
        record=record,
        lane=lane,
        account_id=lane.partition(":")[2],
        fields=frozenset(_DECODER.decode(body).fields),
        attempts=attempts,
        reason=reason or "No reason was kept.",
        since_at=from_micros(planned_at if settled_at is None else settled_at),
    )


def _events(connection: Connection, rows: Sequence[bulk.Row]) -> tuple[StuckEvent, ...]:
    columns = ("seq", "event_type", "received_at")
    told = {
        seq: (event_type, received_at)
        for seq, event_type, received_at in bulk.select_by_keys(
            connection, inbox_event, columns, "seq", [row[0] for row in rows]
        )
    }
    return tuple(
        StuckEvent(
            seq=seq,
            connection=name,
            event_type=told[seq][0],
            lane=lane,
            state=state,
            attempts=attempts,
            reason=reason or "No reason was kept.",
            since_at=from_micros(told[seq][1] if settled_at is None else settled_at),
        )
        for seq, name, lane, state, attempts, reason, settled_at in rows
    )
