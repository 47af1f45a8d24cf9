"""Dead letters on SQL. Putting back, opening lanes and the audit are one transaction; a lane opens when none is dead.

The state is compared in the same statement that changes it, so that two people who redrive at once do it once. What
goes back is due before everything else of its lane: a later write must not overtake it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from accordant.canonical.error_patterns import refusal_code
from accordant.canonical.intents import IntentState, WriteIntent
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.inbox import WorkState
from accordant.ports.outbox import LeasedIntent, Verdict
from accordant.ports.redrive import DeadIntent, StuckEvent, WindowWaiver
from accordant.store import audit, bulk
from accordant.store.conflicts import fields_known
from accordant.store.engine import Database
from accordant.store.outbox import keep_outcome
from accordant.store.schema import inbox_event, inbox_work, parked_lane, write_intent, write_receipt
from accordant.store.schema_dispatch import sent_request
from accordant.store.schema_recovery import redrive_waiver

_INTENT = (
    "id", "flow", "target", "object", "record", "lane", "body", "attempts", "reason", "settled_at", "planned_at",
    "cause", "state",
)  # fmt: skip
_WORK = ("seq", "connection", "lane", "state", "attempts", "reason", "settled_at")
_STUCK = (WorkState.DEAD.value, WorkState.QUARANTINED.value, WorkState.PARKED.value)
_OPEN = (IntentState.PENDING.value, IntentState.LEASED.value, IntentState.UNCERTAIN.value)
_WAIVER = ("letter", "granted_by", "reason", "granted_at")
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
            return _intents(connection, [tuple(row) for row in connection.execute(query)])

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
            return _intents(connection, [row for row in sorted(rows) if row[-1] == IntentState.DEAD.value])

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
            _to_the_head(connection, intents, now)
            closed = _open_outbound(connection, {intent.lane for intent in intents})
            audit.append(connection, entries, now=now)
        return closed

    def revive_events(
        self, events: Sequence[StuckEvent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """See the port."""
        with self._database.write() as connection:
            for event in events:
                # Work is claimed in order of arrival, so its old number is its old place. It is due since it arrived:
                # due from now on, a worker whose clock is behind would take the rest of the lane first.
                arrived = select(inbox_event.c.received_at).where(inbox_event.c.seq == event.seq).scalar_subquery()
                connection.execute(
                    update(inbox_work)
                    .where(inbox_work.c.seq == event.seq, inbox_work.c.state.in_(_STUCK))
                    .values(state=WorkState.RECEIVED.value, reason=None, attempts=0, due_at=arrived, settled_at=None)
                )
            lanes = {event.lane for event in events}
            dead = select(inbox_work.c.lane).where(
                inbox_work.c.lane.in_(lanes), inbox_work.c.state == WorkState.DEAD.value
            )
            closed = frozenset(connection.execute(dead).scalars())
            _open(connection, lanes - closed, "inbound")
            audit.append(connection, entries, now=now)
        return closed

    def waivers(self, letters: Iterable[str]) -> dict[str, WindowWaiver]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, redrive_waiver, ("id", *_WAIVER), "letter", letters)
        return {
            letter: WindowWaiver(letter=letter, granted_by=by, reason=reason, granted_at=from_micros(at))
            for _, letter, by, reason, at in sorted(rows)
        }

    def waive(self, waivers: Sequence[WindowWaiver], entries: Sequence[AuditEntry]) -> None:
        """See the port."""
        rows = [(one.letter, one.granted_by, one.reason, to_micros(one.granted_at)) for one in waivers]
        if not rows:
            return
        with self._database.write() as connection:
            bulk.insert(connection, redrive_waiver, _WAIVER, rows)
            audit.append(connection, entries, now=max(one.granted_at for one in waivers))

    def lend(self, letter: str) -> LeasedIntent | None:
        """See the port."""
        with self._database.read() as connection:
            return lend(connection, letter)

    def close(self, verdict: Verdict, *, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            return close(connection, verdict, now)

    def note_absent(self, letter: DeadIntent, entries: Sequence[AuditEntry], *, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            note_absent(connection, letter, now)
            audit.append(connection, entries, now=now)

    def answered(self, records: Iterable[str]) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, sent_request, ("record", "answered_at"), "record", records)
        return frozenset(record for record, answered_at in rows if answered_at is not None)


# -- letters of which a person knows what became of them -------------------------------------------------------------


def lend(connection: Connection, letter: str) -> LeasedIntent | None:
    """A dead write as a courier would hold it; see the port."""
    columns = ("id", "body", "shadow", "attempts", "record", "revision", "lease_token", "state")
    rows = bulk.select_by_keys(connection, write_intent, columns, "id", [letter])
    if not rows or rows[0][-1] != IntentState.DEAD.value:
        return None
    _, body, shadow, attempts, record, revision, token, _ = rows[0]
    known = fields_known(connection, {record: revision}).get(record)
    held = LeasedIntent(
        intent=_DECODER.decode(body),
        shadow=bool(shadow),
        attempt=attempts + 1,
        was=IntentState.UNCERTAIN,
        token=token or 0,
    )
    return held if known is None else msgspec.structs.replace(held, known=known)


def close(connection: Connection, verdict: Verdict, now: datetime) -> bool:
    """See the port. The state is compared in the statement that changes it."""
    leased = verdict.leased
    done = connection.execute(
        update(write_intent)
        .where(write_intent.c.id == leased.intent.id, write_intent.c.state == IntentState.DEAD.value)
        .values(state=verdict.state.value, reason=verdict.reason, attempts=leased.attempt, settled_at=to_micros(now))
    )
    if not done.rowcount:
        return False
    keep_outcome(connection, [verdict])
    _open_outbound(connection, {leased.intent.lane})
    audit.append(connection, [*verdict.told, *([verdict.audit] if verdict.audit is not None else [])], now=now)
    return True


def note_absent(connection: Connection, letter: DeadIntent, now: datetime) -> None:
    """See the port. What is known of the record's own id at the target stays."""
    micros = to_micros(now)
    said = update(sent_request).where(sent_request.c.record == letter.record).values(answered_at=micros)
    if not connection.execute(said).rowcount:
        columns = ("record", "intent_id", "idempotency_key", "fingerprint", "generation", "first_sent_at", "sent_at")
        row = (letter.record, letter.id, f"absent-{letter.id}", "", 0, micros, micros, micros)
        bulk.insert(connection, sent_request, (*columns, "answered_at"), [row])


def _open_outbound(connection: Connection, lanes: set[str]) -> frozenset[str]:
    """Open lanes of writes; those that dead letters keep closed come back."""
    dead = select(write_intent.c.lane).where(
        write_intent.c.lane.in_(lanes), write_intent.c.state == IntentState.DEAD.value
    )
    closed = frozenset(connection.execute(dead).scalars())
    _open(connection, lanes - closed, "outbound")
    return closed


def _open(connection: Connection, lanes: Iterable[str], direction: str) -> None:
    for lane in sorted(lanes):
        connection.execute(delete(parked_lane).where(parked_lane.c.lane == lane, parked_lane.c.direction == direction))


def _to_the_head(connection: Connection, intents: Sequence[DeadIntent], now: datetime) -> None:
    """Let what was planned for these records be due before everything else of their lanes.

    Older revisions of such a record that wait unsent are superseded, and one that may have been sent stays before the
    newest: else a batch that ends between them would write the old values over the new.
    """
    dead = {intent.id for intent in intents}
    by_lane: dict[str, list[str]] = {}
    rows = bulk.select_by_keys(connection, write_intent, ("planned_at", "id", "lane", "record"), "id", dead)
    for _, _, lane, record in sorted(rows):
        records = by_lane.setdefault(lane, [])
        if record not in records:
            records.append(record)
    for lane, records in sorted(by_lane.items()):
        open_rows = connection.execute(
            select(write_intent.c.id, write_intent.c.record, write_intent.c.revision, write_intent.c.due_at)
            .add_columns(write_intent.c.state)
            .where(write_intent.c.lane == lane, write_intent.c.state.in_(_OPEN))
        ).all()
        first = min((row.due_at for row in open_rows), default=to_micros(now))
        for place, record in enumerate(records):
            mine = sorted((row for row in open_rows if row.record == record), key=lambda row: row.revision)
            due_at = first - 2 * (len(records) - place)
            for row in mine[:-1]:
                _step_back(connection, row.id, row.state, due_at - 1, now)
            for row in mine[-1:]:
                connection.execute(update(write_intent).where(write_intent.c.id == row.id).values(due_at=due_at))


def _step_back(connection: Connection, intent_id: str, state: str, due_at: int, now: datetime) -> None:
    older = update(write_intent).where(write_intent.c.id == intent_id, write_intent.c.state == state)
    if state != IntentState.PENDING.value:
        connection.execute(older.values(due_at=due_at))
        return
    reason = "A newer revision of the record carries this change."
    connection.execute(older.values(state=IntentState.SUPERSEDED.value, reason=reason, settled_at=to_micros(now)))


def _intents(connection: Connection, rows: Sequence[bulk.Row]) -> tuple[DeadIntent, ...]:
    causes = {row[11] for row in rows if row[11] is not None}
    said = {
        seq: (name, from_micros(occurred_at))
        for seq, name, occurred_at in bulk.select_by_keys(
            connection, inbox_event, ("seq", "connection", "occurred_at"), "seq", causes
        )
    }
    codes = _refusal_codes(connection, [row[0] for row in rows])
    return tuple(_intent(row, *said.get(row[11], (None, None)), code=codes.get(row[0], "")) for row in rows)


def _refusal_codes(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The word of the last refusal of each intent, where the target gave one."""
    rows = bulk.select_by_keys(connection, write_receipt, ("attempt", "intent_id", "body"), "intent_id", ids)
    return {intent_id: refusal_code(body) for _, intent_id, body in sorted(rows)}


def _intent(row: bulk.Row, said_by: str | None, said_at: datetime | None, *, code: str) -> DeadIntent:
    intent_id, flow, target, object_name, record, lane, body, attempts, reason, settled_at, planned_at, _, _ = row
    return DeadIntent(
        id=intent_id,
        flow=flow,
        target=target,
        object=object_name,
        record=record,
        lane=lane,
        account_id=lane.partition(":")[2],
        fields=frozenset(_DECODER.decode(body).fields),
        attempts=attempts,
        reason=reason or "No reason was kept.",
        since_at=from_micros(planned_at if settled_at is None else settled_at),
        said_by=said_by,
        said_at=said_at,
        code=code,
    )


def _events(connection: Connection, rows: Sequence[bulk.Row]) -> tuple[StuckEvent, ...]:
    columns = ("seq", "event_type", "received_at", "occurred_at")
    told = {
        seq: (event_type, received_at, occurred_at)
        for seq, event_type, received_at, occurred_at in bulk.select_by_keys(
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
            said_at=from_micros(told[seq][2]),
        )
        for seq, name, lane, state, attempts, reason, settled_at in rows
    )
