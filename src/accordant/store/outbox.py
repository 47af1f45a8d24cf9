"""The outbox on SQL. A claim is one transaction, a settlement another; the call to the target lies between them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    delete,
    exists,
    func,
    select,
    text,
)

from accordant.canonical.intents import AlreadyApplied, Applied, IntentState, WriteIntent
from accordant.canonical.refs import EntityKind
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.flags import flag_entry
from accordant.ports.outbox import LeasedIntent, LeaseLost, SentRequest, Verdict
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.conflicts import encode_marks, fields_known
from accordant.store.engine import Database
from accordant.store.epochs import mark_on
from accordant.store.flags import flag_refused_keys
from accordant.store.guard import bookkeeping
from accordant.store.handed_jobs import SqlHandedJobs
from accordant.store.link_memory import keep_questions, keep_relinks
from accordant.store.review import confirm_links
from accordant.store.schema import confirmed_record, crosswalk, inbox_event, parked_lane, write_intent, write_receipt
from accordant.store.schema_dispatch import sent_request
from accordant.store.state import SUPERSEDED, record_ref, superseded

# Written out, not bound: a partial index is taken only where the query shows the index's own condition.
_IS_OPEN = "state IN ('pending', 'leased', 'uncertain')"
_DUE = ("id", "record", "revision", "state", "attempts", "shadow", "cause", "lease_token", "body")
_RECEIPT = ("intent_id", "attempt", "outcome", "body", "settled_at")
_CONFIRMED = ("ref", "target", "object", "key", "target_id", "fields", "intent_id", "confirmed_at", "marks")
_SENT = (
    "record", "intent_id", "idempotency_key", "fingerprint", "generation", "first_sent_at", "sent_at", "answered_at",
    "target_id",
)  # fmt: skip
_LEASED = (
    select(write_intent.c.id, write_intent.c.lease_token)
    .where(write_intent.c.id.in_(bindparam("ids", expanding=True)), write_intent.c.state == IntentState.LEASED.value)
    .with_for_update()
)
_NOTHING_KNOWN = FieldsKnown()
_INTENT_DECODER = msgspec.json.Decoder(WriteIntent)
_ENCODER = msgspec.json.Encoder(order="sorted")


#: Says of each batch flow until when its writes have to be planned to be due at a moment.
Batches = Callable[[datetime], Mapping[str, datetime]]


def no_batches(_now: datetime) -> Mapping[str, datetime]:
    """Every flow is real time."""
    return {}


class SqlOutbox:
    """`ports.outbox.Outbox` on a database."""

    def __init__(
        self,
        database: Database,
        *,
        batches: Batches = no_batches,
        reuses_max: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``reuses_max`` is how often a target may know a key from another request before that is a red flag."""
        self._database = database
        self.jobs = SqlHandedJobs(database)
        self._reuses_max = reuses_max
        self._batches = batches
        #: Targets of which the last claim found something: mostly there is more.
        self._found: set[str] = set()

    def claim(
        self,
        *,
        target: str,
        limit: int,
        now: datetime,
        lease_until: datetime,
        paused_flows: frozenset[str],
        lease_now: datetime | None = None,
    ) -> tuple[LeasedIntent, ...]:
        """See the port."""
        micros = to_micros(now)
        waiting = _Waiting(paused_flows, self._batches(now), to_micros(lease_now or now))
        if target not in self._found:
            with self._database.read() as connection:
                # Where the last round found nothing, look before taking the only writer's place.
                if not _due(connection, target, micros, 1, waiting):
                    return ()
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                # Couriers of one target claim in turns: a lane whose lease is not committed yet looks open to the next.
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"outbox/{target}"))))
            rows = _due(connection, target, micros, limit, waiting, locked=True)
            chosen = _newest(rows)
            kept = [(row, chosen[row.record]) for row in rows if row.revision == chosen[row.record].revision]
            replaced = _supersede(connection, rows, [row for row, _ in kept], now)
            if kept:
                leases = [(row.id, one.attempts + 1, (row.lease_token or 0) + 1) for row, one in kept]
                with bookkeeping(connection):
                    _lease(connection, leases, to_micros(lease_until))
                    mark_on(connection, to_micros(lease_until))
            known = fields_known(connection, {row.record: row.revision for row, _ in kept})
            said = _said_at(connection, {row.cause for row, _ in kept if row.cause is not None})
            audit.append(connection, replaced, now=now)
        (self._found.add if kept else self._found.discard)(target)
        return tuple(
            LeasedIntent(
                intent=_INTENT_DECODER.decode(row.body),
                shadow=bool(row.shadow),
                attempt=one.attempts + 1,
                was=one.was,
                token=(row.lease_token or 0) + 1,
                known=known.get(row.record, _NOTHING_KNOWN),
                said_at=said.get(row.cause),
            )
            for row, one in kept
        )

    def renew(self, leased: Sequence[LeasedIntent], *, lease_until: datetime) -> frozenset[str]:
        """See the port."""
        tokens = {one.intent.id: one.token for one in leased}
        rows = [(to_micros(lease_until), token, intent_id) for intent_id, token in tokens.items()]
        with self._database.write() as connection, bookkeeping(connection):
            if _update(connection, "lease_expires_at = {}", ("bigint",), rows, guard="lease_token") == len(rows):
                return frozenset(tokens)
            columns = ("id", "lease_token", "state")
            held = bulk.select_by_keys(connection, write_intent, columns, "id", tokens)
        return frozenset(name for name, token, state in held if (tokens[name], IntentState.LEASED) == (token, state))

    def settle(self, verdicts: Sequence[Verdict], *, now: datetime) -> None:
        """See the port. The lease token is compared in the same statement that changes the state."""
        if not verdicts:
            return
        with self._database.write() as connection:
            tried = [verdict for verdict in verdicts if not _returned(verdict)]
            done = _close(connection, tried, to_micros(now))
            with bookkeeping(connection):
                done += _close(connection, [verdict for verdict in verdicts if _returned(verdict)], to_micros(now))
            if done != len(verdicts):
                problem = "leases were taken over before their answers came."
                raise LeaseLost(f"{len(verdicts) - done} of {len(verdicts)} {problem}")
            keep_outcome(connection, verdicts)
            keep_relinks(connection, [verdict.relink for verdict in verdicts if verdict.relink is not None], now)
            keep_questions(connection, [verdict.case for verdict in verdicts if verdict.case is not None], now)
            for verdict in verdicts:
                _park(connection, verdict, now)
            flags = flag_refused_keys(connection, verdicts, reuses_max=self._reuses_max(), now=now)
            told = [*((*verdict.told, verdict.audit) for verdict in verdicts), tuple(map(flag_entry, flags))]
            audit.append(connection, [entry for lines in told for entry in lines if entry is not None], now=now)

    def sent(self, records: Collection[str]) -> dict[str, SentRequest]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, sent_request, _SENT, "record", records)
        return {row[0]: _request_of(row) for row in rows}

    def note_sent(self, requests: Mapping[str, SentRequest], leased: Sequence[LeasedIntent]) -> frozenset[str]:
        """See the port. The lease is looked at in the transaction that remembers: nobody takes over in between."""
        tokens = {one.intent.id: one.token for one in leased}
        with self._database.write() as connection:
            rows = connection.execute(_LEASED, {"ids": list(tokens)}).all()
            ours = frozenset(row.id for row in rows if row.lease_token == tokens[row.id])
            kept = [_sent_row(one) for name, one in requests.items() if name in ours]
            bulk.upsert(connection, sent_request, _SENT, kept)
        return ours


def keep_outcome(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """What came of writes: their receipts, what is remembered of their requests, what the target holds now."""
    _keep_receipts(connection, verdicts)
    _remember(connection, verdicts)
    _confirm(connection, verdicts)


def _request_of(row: bulk.Row) -> SentRequest:
    record, intent_id, key, content, generation, first_sent_at, sent_at, answered_at, target_id = row
    return SentRequest(
        record=record,
        intent_id=intent_id,
        idempotency_key=key,
        fingerprint=content,
        generation=generation,
        first_sent_at=from_micros(first_sent_at),
        sent_at=from_micros(sent_at),
        answered_at=None if answered_at is None else from_micros(answered_at),
        target_id=target_id,
    )


def _sent_row(one: SentRequest) -> bulk.Row:
    answered_at = None if one.answered_at is None else to_micros(one.answered_at)
    return (
        one.record,
        one.intent_id,
        one.idempotency_key,
        one.fingerprint,
        one.generation,
        to_micros(one.first_sent_at),
        to_micros(one.sent_at),
        answered_at,
        one.target_id,
    )


def _remember(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """What came of requests, with the verdicts on them: never the one without the other."""
    kept = [verdict.remember for verdict in verdicts if verdict.remember is not None]
    bulk.upsert(connection, sent_request, _SENT, [_sent_row(one.request) for one in kept if one.request is not None])
    forgotten = [one.record for one in kept if one.request is None]
    if forgotten:
        connection.execute(delete(sent_request).where(sent_request.c.record.in_(forgotten)))


class _Chosen(msgspec.Struct):
    """The newest revision of a record, with what it inherits from older ones: tries, and doubt about their outcome."""

    revision: int = 0
    attempts: int = 0
    was: IntentState = IntentState.PENDING


def _newest(rows: Sequence[Row[Any]]) -> dict[str, _Chosen]:
    chosen: dict[str, _Chosen] = {}
    for row in rows:
        one = chosen.setdefault(row.record, _Chosen())
        one.revision = max(one.revision, row.revision)
        one.attempts = max(one.attempts, row.attempts)
        if row.state != IntentState.PENDING:
            # An older revision may have reached the target: the newest one inherits the doubt with the record.
            one.was = IntentState(row.state)
    return chosen


class _Waiting(NamedTuple):
    """Flows that wait: whole, or with what was planned after their last tick. And the time by which leases end."""

    paused: frozenset[str]
    batches: Mapping[str, datetime]
    lease_now: int


def _due(
    connection: Connection, target: str, micros: int, limit: int, waiting: _Waiting, *, locked: bool = False
) -> Sequence[Row[Any]]:
    """What is due of a target, the longest due first; ``locked`` keeps it from other transactions."""
    flows = sorted(waiting.batches)
    query = _due_query(len(flows), waits=bool(waiting.paused), locked=locked)
    bound: dict[str, Any] = {"target": target, "now": micros, "lease_now": waiting.lease_now, "most": limit}
    if waiting.paused:
        bound["paused"] = sorted(waiting.paused)
    for index, flow in enumerate(flows):
        bound |= {f"flow_{index}": flow, f"until_{index}": to_micros(waiting.batches[flow])}
    return connection.execute(query, bound).all()


@lru_cache(maxsize=32)
def _due_query(batch_flows: int, *, waits: bool, locked: bool) -> Select[Any]:
    """The question of `_due`, made once: to make it, and its key among the compiled ones, takes longer than to ask."""
    target, now = bindparam("target", type_=Text), bindparam("now", type_=BigInteger)
    waiting = write_intent.alias("waiting")
    blocked = select(waiting.c.lane).where(
        waiting.c.target == target,
        text(f"waiting.{_IS_OPEN}"),
        (waiting.c.due_at > now)
        | ((waiting.c.state == IntentState.LEASED.value) & (waiting.c.lease_expires_at > bindparam("lease_now"))),
    )
    query = (
        select(*(write_intent.c[name] for name in _DUE))
        .where(
            write_intent.c.target == target,
            text(f"write_intent.{_IS_OPEN}"),
            write_intent.c.due_at <= now,
            write_intent.c.lane.not_in(blocked),
            *_in_turn(target),
            write_intent.c.lane.not_in(select(parked_lane.c.lane)),
        )
        .order_by(write_intent.c.due_at, write_intent.c.id)
        .limit(bindparam("most", type_=Integer))
    )
    if waits:
        query = query.where(write_intent.c.flow.not_in(bindparam("paused", expanding=True)))
    for index in range(batch_flows):
        is_planned = write_intent.c.planned_at <= bindparam(f"until_{index}")
        query = query.where((write_intent.c.flow != bindparam(f"flow_{index}")) | is_planned)
    return query.with_for_update(skip_locked=True, of=write_intent) if locked else query


def _in_turn(target: BindParameter[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Nothing of a lower step is before an intent, neither open nor held."""
    # A subscription looks up its account: while a lower step of the lane is open, the higher waits behind it.
    lower = write_intent.alias("lower")
    first_things_first = exists().where(
        lower.c.lane == write_intent.c.lane,
        lower.c.target == target,
        text(f"lower.{_IS_OPEN}"),
        lower.c.step < write_intent.c.step,
    )
    # So it does while the lower is held and the target has never seen it: there would be nothing to look up.
    held = write_intent.alias("held")
    behind_a_hold = exists().where(
        held.c.lane == write_intent.c.lane,
        held.c.state == IntentState.HELD.value,
        held.c.step < write_intent.c.step,
        ~exists().where(confirmed_record.c.ref == held.c.record),
    )
    return ~first_things_first, ~behind_a_hold


def _said_at(connection: Connection, seqs: set[int]) -> dict[int | None, datetime]:
    """When the owners said what is behind these intents, by their own stamps."""
    rows = bulk.select_by_keys(connection, inbox_event, ("seq", "occurred_at"), "seq", seqs)
    return {seq: from_micros(occurred_at) for seq, occurred_at in rows}


def _supersede(
    connection: Connection, rows: Sequence[Row[Any]], newest: Sequence[Row[Any]], now: datetime
) -> list[AuditEntry]:
    """Give up all of ``rows`` but the ``newest`` of each record; the lines of the trail, one a record."""
    older: dict[str, list[str]] = {}
    names = {row.id for row in newest}
    for row in rows:
        if row.id not in names:
            older.setdefault(row.record, []).append(row.id)
    closed = [
        (IntentState.SUPERSEDED.value, SUPERSEDED, to_micros(now), intent_id)
        for ids in older.values()
        for intent_id in ids
    ]
    _update(connection, "state = {}, reason = {}, settled_at = {}", ("text", "text", "bigint"), closed)
    return [
        superseded(row.record, older[row.record], by=row.id, cause=row.cause, now=now)
        for row in newest
        if row.record in older
    ]


def _lease(connection: Connection, leases: list[tuple[str, int, int]], expires_at: int) -> None:
    rows = [(IntentState.LEASED.value, attempts, token, expires_at, intent_id) for intent_id, attempts, token in leases]
    _update(
        connection,
        "state = {}, attempts = {}, lease_token = {}, lease_expires_at = {}",
        ("text", "integer", "bigint", "bigint"),
        rows,
    )


def _returned(verdict: Verdict) -> bool:
    """Nothing was tried and nothing decided: the intent waits as it did before the lease."""
    return verdict.receipt is None and verdict.state in {IntentState.PENDING, IntentState.UNCERTAIN}


def _close(connection: Connection, verdicts: Sequence[Verdict], micros: int) -> int:
    final = {IntentState.PENDING, IntentState.UNCERTAIN}
    rows = [
        (
            verdict.state.value,
            verdict.reason,
            to_micros(verdict.due_at),
            None if verdict.state in final else micros,
            verdict.leased.attempt if verdict.receipt is not None else verdict.leased.attempt - 1,
            verdict.leased.token,
            verdict.leased.intent.id,
        )
        for verdict in verdicts
    ]
    return _update(
        connection,
        "state = {}, reason = {}, due_at = {}, settled_at = {}, attempts = {}",
        ("text", "text", "bigint", "bigint", "integer"),
        rows,
        guard="lease_token",
    )


def _update(
    connection: Connection, assignments: str, types: tuple[str, ...], rows: list[bulk.Row], guard: str | None = None
) -> int:
    """Update intents by id (last value of a row), with ``guard`` only where that column equals the value before it."""
    if not rows:
        return 0
    # A verdict that comes twice (the answer to the first commit was lost) must not leave a second receipt.
    held = f" AND state = '{IntentState.LEASED.value}'"
    if connection.dialect.name == "sqlite":
        where = f"{guard} = ? AND id = ?{held}" if guard else "id = ?"
        marks = ["?"] * len(types)
        sql = f"UPDATE write_intent SET {assignments.format(*marks)} WHERE {where}"  # noqa: S608  our own names
        return connection.exec_driver_sql(sql, rows).rowcount
    names = [f"v.c{index}" for index in range(len(types))]
    every = (*types, *(("bigint",) if guard else ()), "text")
    arrays = ", ".join(f"%s::{name}[]" for name in every)
    columns = ", ".join(f"c{index}" for index in range(len(every)))
    where = f"write_intent.{guard} = v.c{len(types)} AND " if guard else ""
    sql = (
        f"UPDATE write_intent SET {assignments.format(*names)} FROM unnest({arrays}) AS v({columns}) "  # noqa: S608
        f"WHERE {where}write_intent.id = v.c{len(every) - 1}{held if guard else ''}"
    )
    return connection.exec_driver_sql(sql, tuple([row[index] for row in rows] for index in range(len(every)))).rowcount


def _keep_receipts(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    receipts = [verdict.receipt for verdict in verdicts if verdict.receipt is not None]
    rows = [
        (kept.intent_id, kept.attempt, type(kept.outcome).__name__, _ENCODER.encode(kept), to_micros(kept.settled_at))
        for kept in receipts
    ]
    bulk.insert(connection, write_receipt, _RECEIPT, rows)


def _confirm(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """What the target is known to hold now; what it held is in the receipts. A new record gets its crosswalk entry."""
    confirmed, links = [], []
    for verdict in verdicts:
        receipt, intent = verdict.receipt, verdict.leased.intent
        held = None if receipt is None else receipt.after if receipt.after is not None else receipt.before
        if receipt is not None and held is not None and verdict.target_id is not None:
            ref = record_ref(intent.target, intent.object, intent.key)
            settled = to_micros(receipt.settled_at)
            written = intent.id if isinstance(receipt.outcome, Applied | AlreadyApplied) else None
            confirmed.append(
                (
                    ref,
                    intent.target,
                    intent.object,
                    intent.key,
                    verdict.target_id,
                    _ENCODER.encode(held),
                    written,
                    settled,
                    encode_marks(verdict.leased.known.marks if verdict.marks is None else verdict.marks),
                )
            )
        if verdict.link is not None and receipt is not None:
            source, target = verdict.link.source, verdict.link.entity
            since = to_micros(receipt.settled_at)
            links.append(
                (str(source), source.system, source.object_type, source.id, target.kind.value, target.id, since)
            )
    bulk.upsert(connection, confirmed_record, _CONFIRMED, confirmed)
    confirm_links(connection, _written_accounts(verdicts))
    bulk.insert_new(
        connection, crosswalk, ("ref", "system", "object_type", "external_id", "kind", "entity_id", "since"), links
    )


def _written_accounts(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str], str]:
    """The records of accounts that are there now, by (target, object, key)."""
    written = {}
    for verdict in verdicts:
        intent = verdict.leased.intent
        if verdict.link is not None and verdict.target_id is not None and intent.entity.kind is EntityKind.ACCOUNT:
            written[intent.target, intent.object, intent.key] = verdict.target_id
    return written


def _park(connection: Connection, verdict: Verdict, now: datetime) -> None:
    park = verdict.park
    if park is None:
        return
    row = (park.lane, park.direction, park.cause, park.reason, to_micros(now))
    if bulk.insert_new(connection, parked_lane, ("lane", "direction", "cause", "reason", "parked_at"), [row]):
        raise_alert(connection, kind="lane.parked", subject=park.lane, body=park.reason, at=now)
