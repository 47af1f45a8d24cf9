"""The inbox on SQL: one commit for a group of deliveries, work claimed in order of arrival.

"Seen" and "done" are two facts: `inbox_event` says that one arrived and never changes, `inbox_work` how far it got.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
from msgspec import structs
from sqlalchemy import Connection, bindparam, func, select, text, update
from sqlalchemy.exc import IntegrityError

from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.ids import partition_of
from accordant.ports.inbox import Arrival, InboxEvent, KeptArrival, Proof, Reading, Reception, WorkState
from accordant.ports.state import ConcurrentChange
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.claims import CLAIMS_MAX, Claimable, Hand, give_up, ready
from accordant.store.engine import Database
from accordant.store.flags import flag_reuse
from accordant.store.leases import Guard, anybody
from accordant.store.schema import delivery, inbox_event, inbox_reading, inbox_twin, inbox_work
from accordant.store.vault import Vault

PARTITIONS = 64
_ACCEPTS_MAX = 5

_EVENT = (
    "connection", "external_id", "event_type", "lane", "occurred_at", "received_at", "digest", "key_id", "body",
)  # fmt: skip
_WORK = ("seq", "connection", "lane", "partition", "state", "attempts", "due_at")
#: Both rows of each event in one statement, and so in one round trip: numbers are drawn in order of arrival, and used
#: twice. What is text or a number comes as one JSON text, the sealed bodies as one value of bytes: an array for every
#: column took the sender twice as long. Two processes that store the same events in the same order wait for each
#: other; in two orders they deadlock.
INSERT_ON_POSTGRES = """
WITH fresh AS (
    SELECT nextval('inbox_event_seq_seq') AS seq, given.*, substring(%b::bytea FROM given.start FOR given.size) AS body
    FROM json_to_recordset(%s::json) AS given(
        connection text, external_id text, event_type text, lane text, occurred_at bigint, received_at bigint,
        digest text, "partition" integer, start integer, size integer
    )
), kept AS (
    INSERT INTO inbox_event (
        seq, connection, external_id, event_type, lane, occurred_at, received_at, digest, key_id, body
    )
    SELECT
        seq, connection, external_id, event_type, lane, occurred_at, received_at, decode(digest, 'hex'), %s, body
    FROM fresh
    ORDER BY connection, external_id
)
INSERT INTO inbox_work (seq, connection, lane, "partition", state, attempts, due_at)
SELECT seq, connection, lane, "partition", 'received', 0, received_at FROM fresh
"""
_DELIVERY = ("connection", "external_id", "outcome", "received_at")
_TWIN = ("connection", "external_id", "digest", "received_at", "key_id", "body")


# Made once: to make a question, and its key among the compiled ones, takes longer than to ask it.
_ASKED = (
    select(inbox_work.c.seq, inbox_work.c.reason)
    .where(
        text("inbox_work.state <> 'processed' AND inbox_work.state = 'awaiting_reread'"),
        inbox_work.c.due_at <= bindparam("now"),
    )
    .order_by(inbox_work.c.seq)
    .limit(bindparam("most"))
)
_READ_AGAIN = (
    update(inbox_work)
    .where(inbox_work.c.seq == bindparam("of"))
    .values(
        state=WorkState.RECEIVED,
        reason=None,
        # That it has to be read again was an answer: who is tried anew is no suspect.
        attempts=0,
        # Due since it arrived: due from now on, a watch that is ahead would put it off.
        due_at=select(inbox_event.c.received_at).where(inbox_event.c.seq == bindparam("of")).scalar_subquery(),
    )
)
_READING = ("seq", "ref", "read_at", "key_id", "body")


class SqlInbox:
    """`ports.inbox.Inbox` on a database."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        guard: Guard = anybody,
        receives_max: Callable[[], int] = lambda: CLAIMS_MAX,
        reuses_max: Callable[[], int | None] = lambda: None,
        hand: Hand | None = None,
    ) -> None:
        """``receives_max`` is how often an event is handed out without an answer, as the charter in force says.

        ``reuses_max`` is how often other content may come under the id of an event before that is a red flag.
        ``hand`` is what this process remembers of what it took.
        """
        self._database = database
        self._vault = vault
        self._guard = guard
        self._receives_max = receives_max
        self.reuses_max = reuses_max
        self._hand = hand or Hand()

    def under(self, guard: Guard) -> "SqlInbox":
        """The same inbox for one round: what it hands out asks ``guard`` first, which may refuse."""
        return SqlInbox(
            self._database,
            self._vault,
            guard=guard,
            receives_max=self._receives_max,
            reuses_max=self.reuses_max,
            hand=self._hand,
        )

    def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        """See the port. Bytes are sealed before the write transaction begins: it holds the only writer's place."""
        if not arrivals:
            return ()
        arrivals = [_storable(arrival) for arrival in arrivals]
        key_id = self._vault.current_key(arrivals[0].received_at)
        sealed = self._seal(arrivals, key_id)
        with suppress(IntegrityError):
            # The usual group is all new: stored without a look. One known event makes it fail whole, and we look.
            with self._database.write() as connection:
                _store_new(connection, arrivals, sealed, key_id)
                _note_fetched(connection, arrivals)
            return (Reception.NEW,) * len(arrivals)
        for _ in range(_ACCEPTS_MAX):
            # Another process may store one of these events between our look and our insert: look again.
            with suppress(IntegrityError):
                return self._accept(arrivals, sealed, key_id)
        raise ConcurrentChange("Other processes keep storing the same deliveries.", retry_after_s=1.0)

    def for_postgres(self, arrivals: Sequence[Arrival]) -> tuple[bytes, str, str] | None:
        """What ``INSERT_ON_POSTGRES`` needs to store a group of deliveries that are all new.

        None where the store would have to be asked first: the key that seals them is not at hand.
        """
        key_id = self._vault.key_at_hand(arrivals[0].received_at)
        if key_id is None:
            return None
        arrivals = [_storable(arrival) for arrival in arrivals]
        return _for_postgres(_event_rows(arrivals, self._seal(arrivals, key_id), key_id), key_id)

    def _seal(self, arrivals: Sequence[Arrival], key_id: str) -> list[bytes]:
        return self._vault.seal_many(key_id, [(_frame(arrival), _context_of(arrival)) for arrival in arrivals])

    def _accept(self, arrivals: Sequence[Arrival], sealed: list[bytes], key_id: str) -> tuple[Reception, ...]:
        with self._database.write() as connection:
            known = _digests(connection, arrivals)
            verdicts: list[Reception] = []
            fresh: list[int] = []
            for index, arrival in enumerate(arrivals):
                name = (arrival.connection, arrival.envelope.external_id)
                held = known.get(name)
                if held is None:
                    known[name] = arrival.digest
                    fresh.append(index)
                    verdicts.append(Reception.NEW)
                else:
                    is_same = held == arrival.digest or _is_respelled(connection, arrival)
                    verdicts.append(Reception.REPEAT if is_same else Reception.CONFLICT)
            new = [arrivals[index] for index in fresh]
            _store_new(connection, new, [sealed[index] for index in fresh], key_id)
            _note_fetched(connection, new)
            _record_others(connection, arrivals, sealed, verdicts, key_id, reuses_max=self.reuses_max())
        return tuple(verdicts)

    def claim(self, *, limit: int, now: datetime, partitions: frozenset[int] | None = None) -> tuple[InboxEvent, ...]:
        """See the port. The try is committed before the events are handed out, so that a crash counts.

        A crash of the machine need not: nothing leaves the rooms before their own commit, which waits for the disk.
        """
        most = self._receives_max()
        with self._database.write(survives_power_loss=False) as connection:
            self._guard(connection)
            work = ready(connection, limit, now, partitions)
            is_worn = any(one.attempts >= most for one in work)
            taken = [] if is_worn else self._hand.take(connection, work, limit)
        if is_worn:
            taken = self._give_up_and_take(limit, now, partitions, most)
        self._hand.took(taken)
        return self._load([one.seq for one in taken], {one.seq: one for one in taken})

    def give_back(self, seqs: Sequence[int]) -> None:
        """See the port. Remembered by this process, and so also while the store can be told nothing."""
        self._hand.give_back(seqs)

    def _give_up_and_take(
        self, limit: int, now: datetime, partitions: frozenset[int] | None, most: int
    ) -> list[Claimable]:
        """Stop the lanes of events that were claimed too often, and hand out those of the others."""
        with self._database.write() as connection:
            self._guard(connection)
            work = ready(connection, limit, now, partitions)
            stopped = {one.lane: one for one in reversed(work) if one.attempts >= most}
            told = [give_up(connection, one, now) for one in stopped.values()]
            taken = self._hand.take(connection, [one for one in work if one.lane not in stopped], limit)
            audit.append(connection, told, now=now)
        return taken

    def find(self, connection: str, external_id: str) -> KeptArrival | None:
        """See `ports.inbox.WordBox`."""
        query = (
            select(inbox_event.c.seq, inbox_event.c.digest, inbox_work.c.state, inbox_work.c.reason)
            .join(inbox_work, inbox_work.c.seq == inbox_event.c.seq)
            .where(inbox_event.c.connection == connection, inbox_event.c.external_id == _storable_text(external_id))
        )
        with self._database.read() as opened:
            row = opened.execute(query).one_or_none()
        if row is None:
            return None
        return KeptArrival(seq=row.seq, digest=bytes(row.digest), state=WorkState(row.state), reason=row.reason)

    def load(self, seqs: Sequence[int]) -> tuple[InboxEvent, ...]:
        """Stored events by number, opened, in order, with their readings."""
        with self._database.read() as connection:
            tried = bulk.select_by_keys(connection, inbox_work, Claimable._fields, "seq", seqs)
        return self._load(seqs, {one.seq: one for one in map(Claimable._make, tried)})

    def _load(self, seqs: Sequence[int], work: Mapping[int, Claimable]) -> tuple[InboxEvent, ...]:
        columns = (
            "seq",
            "connection",
            "external_id",
            "event_type",
            "lane",
            "occurred_at",
            "received_at",
            "key_id",
            "body",
        )
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, inbox_event, columns, "seq", seqs)
            # Nothing is read again for an event before the rooms have answered once.
            again = [seq for seq in seqs if seq in work and work[seq].settled_at is not None]
            readings = bulk.select_by_keys(connection, inbox_reading, _READING, "seq", again)
        by_seq: dict[int, list[Reading]] = {}
        for seq, ref, read_at, key_id, body in readings:
            opened = self._vault.open(key_id, body, f"reading/{seq}/{ref}")
            by_seq.setdefault(seq, []).append(Reading(ref=ref, read_at=from_micros(read_at), body=opened))
        rows.sort()
        return tuple(
            InboxEvent(
                seq=seq,
                connection=name,
                external_id=external_id,
                event_type=event_type,
                lane=lane,
                occurred_at=from_micros(occurred_at),
                received_at=from_micros(received_at),
                headers=opened[0],
                body=opened[1],
                readings=tuple(by_seq.get(seq, ())),
                attempts=work[seq].attempts if seq in work else 1,
            )
            for seq, name, external_id, event_type, lane, occurred_at, received_at, key_id, body in rows
            for opened in (_unframe(self._vault.open(key_id, body, _context(name, external_id))),)
        )

    def keep_reading(self, seq: int, reading: Reading, *, now: datetime) -> None:
        """See the port."""
        key_id = self._vault.current_key(now)
        sealed = self._vault.seal(key_id, reading.body, f"reading/{seq}/{reading.ref}")
        with self._database.write() as connection:
            row = (seq, reading.ref, to_micros(reading.read_at), key_id, sealed)
            bulk.insert(connection, inbox_reading, _READING, [row])
            connection.execute(_READ_AGAIN, {"of": seq})

    def awaiting_reread(self, *, now: datetime, limit: int) -> tuple[tuple[int, str], ...]:
        """Events that wait for an object to be read again: (seq, the reference named in the reason)."""
        with self._database.read() as connection:
            rows = connection.execute(_ASKED, {"now": to_micros(now), "most": limit})
            return tuple((row.seq, str(row.reason)) for row in rows)

    def postpone(self, seqs: Sequence[int], *, until: datetime) -> None:
        """Leave events where they are and look at them again at ``until``."""
        with self._database.write() as connection:
            connection.execute(update(inbox_work).where(inbox_work.c.seq.in_(seqs)).values(due_at=to_micros(until)))


def _storable(arrival: Arrival) -> Arrival:
    """The arrival with names every database can hold: one odd name must not fail the group. Bytes stay as they are."""
    envelope = arrival.envelope
    whole = envelope.external_id + envelope.event_type + envelope.lane
    if whole.isascii() and "\x00" not in whole:
        return arrival
    names = {
        "external_id": _storable_text(envelope.external_id),
        "event_type": _storable_text(envelope.event_type),
        "lane": _storable_text(envelope.lane),
    }
    return structs.replace(arrival, envelope=structs.replace(envelope, **names))


def _storable_text(text: str) -> str:
    """``text`` without NUL and lone surrogates, which PostgreSQL cannot hold as text: each becomes U+FFFD."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")


def _context(connection: str, external_id: str) -> str:
    return f"{connection}/{external_id}"


def _context_of(arrival: Arrival) -> str:
    return _context(arrival.connection, arrival.envelope.external_id)


def _frame(arrival: Arrival) -> bytes:
    """Headers and body as they are sealed: together, the length of the headers in front."""
    return len(arrival.headers).to_bytes(4, "big") + arrival.headers + arrival.body


def _unframe(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length], data[4 + length :]


def _digests(connection: Connection, arrivals: Sequence[Arrival]) -> dict[tuple[str, str], bytes]:
    """Digests of the events among ``arrivals`` that are stored already."""
    found: dict[tuple[str, str], bytes] = {}
    for name in {arrival.connection for arrival in arrivals}:
        ids = {arrival.envelope.external_id for arrival in arrivals if arrival.connection == name}
        rows = bulk.select_by_keys(
            connection, inbox_event, ("external_id", "digest"), "external_id", ids, where=("connection", name)
        )
        found.update({(name, external_id): bytes(stored) for external_id, stored in rows})
    return found


def _store_new(connection: Connection, fresh: Sequence[Arrival], sealed: Sequence[bytes], key_id: str) -> None:
    """Insert new events with their work rows. Raises IntegrityError when one of them is stored already."""
    if not fresh:
        return
    events = _event_rows(fresh, sealed, key_id)
    if connection.dialect.name == "sqlite":
        first = bulk.insert_numbered(connection, inbox_event, _EVENT, events)
        work = [_work_row(first + index, event) for index, event in enumerate(events)]
        bulk.insert(connection, inbox_work, _WORK, work)
        return
    connection.exec_driver_sql(INSERT_ON_POSTGRES, _for_postgres(events, key_id))


def _event_rows(arrivals: Sequence[Arrival], sealed: Sequence[bytes], key_id: str) -> list[bulk.Row]:
    return [
        (
            arrival.connection,
            envelope.external_id,
            envelope.event_type,
            f"{arrival.connection}:{envelope.lane}",
            to_micros(envelope.occurred_at),
            to_micros(arrival.received_at),
            arrival.digest,
            key_id,
            body,
        )
        for arrival, body in zip(arrivals, sealed, strict=True)
        for envelope in (arrival.envelope,)
    ]


def _work_row(seq: int, event: bulk.Row) -> bulk.Row:
    connection, _, _, lane, _, received_at, *_ = event
    return (seq, connection, lane, partition_of(lane, PARTITIONS), WorkState.RECEIVED.value, 0, received_at)


def _for_postgres(events: Sequence[bulk.Row], key_id: str) -> tuple[bytes, str, str]:
    given, start = [], 1  # SQL counts bytes from one
    for connection, external_id, event_type, lane, occurred_at, received_at, digest, _, body in events:
        given.append(
            {
                "connection": connection,
                "external_id": external_id,
                "event_type": event_type,
                "lane": lane,
                "occurred_at": occurred_at,
                "received_at": received_at,
                "digest": digest.hex(),
                "partition": partition_of(lane, PARTITIONS),
                "start": start,
                "size": len(body),
            }
        )
        start += len(body)
    return b"".join([event[-1] for event in events]), msgspec.json.encode(given).decode(), key_id


def _note_fetched(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    """An event that had to be fetched leaves a line of its own: nobody delivered it."""
    lines = [
        (one.connection, one.envelope.external_id, Proof.FETCHED.value, to_micros(one.received_at))
        for one in arrivals
        if one.proof is Proof.FETCHED
    ]
    bulk.insert(connection, delivery, _DELIVERY, lines)


def _is_respelled(connection: Connection, arrival: Arrival) -> bool:
    """Whether the stored event of this id and this one are one, of which one was fetched and the other delivered."""
    name, external_id = arrival.connection, arrival.envelope.external_id
    lines = bulk.select_by_keys(
        connection, delivery, ("outcome",), "external_id", [external_id], where=("connection", name)
    )
    if arrival.proof is not Proof.FETCHED and (Proof.FETCHED.value,) not in lines:
        return False
    rows = bulk.select_by_keys(
        connection,
        inbox_event,
        ("event_type", "occurred_at"),
        "external_id",
        [external_id],
        where=("connection", name),
    )
    return (arrival.envelope.event_type, to_micros(arrival.envelope.occurred_at)) in rows


def _record_others(
    connection: Connection,
    arrivals: Sequence[Arrival],
    sealed: list[bytes],
    verdicts: list[Reception],
    key_id: str,
    *,
    reuses_max: int | None,
) -> None:
    """A repeat leaves a line; the same id with other bytes is kept whole beside the first, and flagged."""
    lines, twins = [], []
    for arrival, body, verdict in zip(arrivals, sealed, verdicts, strict=True):
        if verdict is Reception.NEW:
            continue
        received = to_micros(arrival.received_at)
        name = (arrival.connection, arrival.envelope.external_id)
        lines.append((*name, verdict.value, received))
        if verdict is Reception.CONFLICT:
            twins.append((*name, arrival.digest, received, key_id, body))
    bulk.insert(connection, delivery, _DELIVERY, lines)
    for twin in twins:
        if bulk.insert_new(connection, inbox_twin, _TWIN, [twin]):
            flag_reuse(connection, twin[0], twin[1], reuses_max=reuses_max, now=from_micros(twin[3]))
            raise_alert(
                connection,
                kind="inbox.twin",
                subject=f"{twin[0]}/{twin[1]}",
                body=f"The event {twin[1]} of {twin[0]} arrived again with other content. "
                "The first stays in force; both are kept.",
                at=from_micros(twin[3]),
            )


def count_open(connection: Connection) -> dict[str, int]:
    """Inbox events that are not processed, by state."""
    rows = connection.execute(
        select(inbox_work.c.state, func.count())
        .where(text("inbox_work.state <> 'processed'"))
        .group_by(inbox_work.c.state)
    )
    return {str(state): int(count) for state, count in rows}
