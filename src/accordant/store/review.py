"""Links between customers and records, and the questions that only a person answers, on SQL.

A case is decided once: who comes second is told so. Next: `operations` for the acts of a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, exists, select, update

from accordant.canonical.matching import PENDING_PREFIX, Candidate, MatchKey, RecordLink, ReviewCase, ReviewState
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.directory import Found
from accordant.ports.matching import DecidedCase, MatchChanges, MatchState, Pair
from accordant.ports.state import ConcurrentChange
from accordant.store import bulk
from accordant.store.directory import SqlDirectory, confirm_pending, forget, put_entries, scanned_objects
from accordant.store.engine import Database
from accordant.store.owed import owe
from accordant.store.schema import crosswalk, entity, match_rejection, record_link, review_case, standing

_LINK = ("account_id", "system", "object", "key", "target_id", "parent", "rung", "body", "linked_at")
_CASE = ("id", "account_id", "system", "object", "state", "waits", "record_gone", "body", "opened_at")
_DECIDED = ("body", "state", "decided_at", "decided_by", "reason", "chosen_id")
_REJECTION = ("account_id", "system", "object", "target_id", "actor", "reason", "rejected_at")

_ENCODER = msgspec.json.Encoder()
_LINK_DECODER = msgspec.json.Decoder(RecordLink)
_CASE_DECODER = msgspec.json.Decoder(ReviewCase)


class SqlReviews:
    """`ports.matching.MatchBook` on a database, and the cases as a person works on them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._directory = SqlDirectory(database)

    def of_accounts(self, account_ids: Iterable[str]) -> MatchState:
        """See the port."""
        ids = set(account_ids)
        with self._database.read() as connection:
            links = {
                (link.account_id, link.system, link.object): link for link in _links(connection, "account_id", ids)
            }
            names = {(link.system, link.object, link.key) for link in links.values()}
            for link in _links(connection, "key", {key for _, _, key in names}):
                if (link.system, link.object, link.key) in names:
                    links[link.account_id, link.system, link.object] = link
            rejected = bulk.select_by_keys(
                connection, match_rejection, ("account_id", "system", "object", "target_id"), "account_id", ids
            )
            columns = ("account_id", "state", "body")
            cases = bulk.select_by_keys(connection, review_case, columns, "account_id", ids)
            written = _written(connection, ids)
            scanned = scanned_objects(connection)
        opened = [_CASE_DECODER.decode(body) for _, state, body in cases if state == ReviewState.OPEN.value]
        return MatchState(
            links=tuple(links[name] for name in sorted(links)),
            written=written,
            rejected=frozenset(Pair(*row) for row in rejected),
            cases={case.id: case for case in opened},
            scanned=scanned,
        )

    def holders(self, system: str, object_name: str, record_id: str) -> tuple[RecordLink, ...]:
        """See the port."""
        is_pending = record_id.startswith(PENDING_PREFIX)
        column, value = ("key", record_id.removeprefix(PENDING_PREFIX)) if is_pending else ("target_id", record_id)
        with self._database.read() as connection:
            found = _links(connection, column, [value])
        return tuple(link for link in found if (link.system, link.object) == (system, object_name))

    def lookup_many(self, system: str, object_name: str, questions: Sequence[frozenset[MatchKey]]) -> list[Found]:
        """See the port."""
        return self._directory.lookup_many(system, object_name, questions)

    def records(self, system: str, object_name: str, ids: Iterable[str]) -> dict[str, Candidate]:
        """See the port."""
        return self._directory.records(system, object_name, ids)

    def unsettled(self, system: str, object_name: str) -> tuple[str, ...]:
        """The accounts that are not linked to a record of this object that is there, oldest first."""
        is_linked = exists().where(
            record_link.c.account_id == entity.c.id,
            record_link.c.system == system,
            record_link.c.object == object_name,
            record_link.c.target_id.is_not(None),
        )
        query = (
            select(entity.c.id)
            .where(entity.c.kind == EntityKind.ACCOUNT.value, ~is_linked)
            .order_by(entity.c.updated_at, entity.c.id)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def case(self, case_id: str) -> DecidedCase | None:
        """One case with where it stands; None when there is none."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, review_case, _DECIDED, "id", [case_id])
        return read_case(rows[0]) if rows else None

    def open_cases(self, *, limit: int) -> tuple[DecidedCase, ...]:
        """The cases that wait for a person, oldest first."""
        query = (
            select(*(review_case.c[name] for name in _DECIDED))
            .where(review_case.c.state == ReviewState.OPEN.value)
            .order_by(review_case.c.opened_at, review_case.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(read_case(tuple(row)) for row in connection.execute(query))


def read_case(row: bulk.Row) -> DecidedCase:
    """The case in a row of the columns ``body`` to ``chosen_id``."""
    body, state, decided_at, decided_by, reason, chosen_id = row
    return DecidedCase(
        case=_CASE_DECODER.decode(body),
        state=ReviewState(state),
        decided_at=None if decided_at is None else from_micros(decided_at),
        decided_by=decided_by,
        reason=reason,
        chosen_id=chosen_id,
    )


def put_links(connection: Connection, links: Sequence[RecordLink]) -> None:
    """Keep which record each of these accounts' facts go to, replacing what was kept of it."""
    rows = [
        (
            link.account_id,
            link.system,
            link.object,
            link.key,
            link.target_id,
            link.parent,
            None if link.rung is None else link.rung.value,
            _ENCODER.encode(link),
            to_micros(link.linked_at),
        )
        for link in links
    ]
    bulk.upsert(connection, record_link, _LINK, rows)


def drop_link(connection: Connection, account_id: str, system: str, object_name: str) -> bool:
    """Forget a link; whether there was one. What it was stays in the trail."""
    gone = connection.execute(
        record_link.delete().where(
            record_link.c.account_id == account_id,
            record_link.c.system == system,
            record_link.c.object == object_name,
        )
    )
    return gone.rowcount > 0


def put_cases(connection: Connection, cases: Sequence[ReviewCase]) -> None:
    """Open questions, or renew what is said in them: one that was decided is asked anew."""
    rows = [
        (
            case.id,
            case.account_id,
            case.system,
            case.object,
            ReviewState.OPEN.value,
            case.waits,
            case.record_gone,
            _ENCODER.encode(case),
            to_micros(case.opened_at),
        )
        for case in cases
    ]
    bulk.upsert(connection, review_case, _CASE, rows)
    for case in cases:
        cleared = {"decided_at": None, "decided_by": None, "reason": None, "chosen_id": None}
        connection.execute(update(review_case).where(review_case.c.id == case.id).values(cleared))


def lapse_cases(connection: Connection, reasons: dict[str, str], *, now: datetime) -> None:
    """Close questions that have answered themselves; ``reasons`` by the id of the case."""
    for case_id, reason in reasons.items():
        close_case(connection, case_id, ReviewState.LAPSED, actor="accordant", reason=reason, now=now)


def close_case(
    connection: Connection,
    case_id: str,
    state: ReviewState,
    *,
    actor: str,
    reason: str,
    now: datetime,
    chosen_id: str | None = None,
) -> bool:
    """Decide an open case; False when it was decided before, and then nothing changes."""
    done = connection.execute(
        update(review_case)
        .where(review_case.c.id == case_id, review_case.c.state == ReviewState.OPEN.value)
        .values(state=state.value, decided_at=to_micros(now), decided_by=actor, reason=reason, chosen_id=chosen_id)
    )
    return done.rowcount == 1


def put_rejection(connection: Connection, pair: Pair, *, actor: str, reason: str, now: datetime) -> None:
    """Never offer this pair again, until somebody takes that back."""
    row = (pair.account_id, pair.system, pair.object, pair.target_id, actor, reason, to_micros(now))
    bulk.upsert(connection, match_rejection, _REJECTION, [row])


def _links(connection: Connection, column: str, values: Iterable[str]) -> list[RecordLink]:
    rows = bulk.select_by_keys(connection, record_link, ("body", "target_id"), column, values)
    return [msgspec.structs.replace(_LINK_DECODER.decode(body), target_id=target_id) for body, target_id in rows]


def _written(connection: Connection, account_ids: set[str]) -> dict[str, tuple[ExternalRef, ...]]:
    """The latest first: a record that was merged into another stays in the crosswalk behind it."""
    rows = bulk.select_by_keys(connection, crosswalk, ("entity_id", "since", "ref"), "entity_id", account_ids)
    written: dict[str, list[ExternalRef]] = {}
    for account_id, _, ref in sorted((tuple(row) for row in rows), key=lambda row: (row[0], -row[1], row[2])):
        written.setdefault(account_id, []).append(ExternalRef.parse(ref))
    return {account_id: tuple(refs) for account_id, refs in written.items()}


def guard_matches(connection: Connection, changes: MatchChanges) -> None:
    """Before anything is stored: is what several accounts add up to still what was read?

    Whoever touches a shared record waits for the others here. Raises: ConcurrentChange.
    """
    if not changes.groups:
        return
    if connection.dialect.name != "sqlite":
        query = select(record_link.c.account_id).where(record_link.c.key.in_(sorted(changes.groups)))
        connection.execute(query.order_by(record_link.c.account_id).with_for_update()).all()
    rows = bulk.select_by_keys(connection, standing, ("account_id", "version"), "account_id", changes.witnessed)
    now: dict[str, int] = dict(rows)
    changed = [name for name, version in changes.witnessed.items() if now.get(name, 0) != version]
    if changed:
        raise ConcurrentChange(f"{changed[0]}, which shares a record, changed meanwhile.")


def commit_matches(connection: Connection, changes: MatchChanges, *, now: datetime) -> None:
    """Store what a batch decided of matching."""
    put_links(connection, changes.links)
    put_cases(connection, changes.cases)
    lapse_cases(connection, changes.lapsed, now=now)
    for system, object_name, record_id in sorted(changes.astray):
        forget(connection, system, object_name, [record_id])
    put_entries(connection, changes.directory, now=now)
    owe(connection, sorted(changes.left_behind), now=now)


def confirm_links(connection: Connection, written: Mapping[tuple[str, str, str], str]) -> None:
    """Records that were to be created are there: their ids by (system, object, key)."""
    columns = ("account_id", "system", "object", "key", "target_id")
    rows = bulk.select_by_keys(connection, record_link, columns, "key", {key for _, _, key in written})
    for account_id, system, object_name, key, target_id in rows:
        record_id = written.get((system, object_name, key))
        if record_id is None or target_id is not None:
            continue
        connection.execute(
            update(record_link)
            .where(
                record_link.c.account_id == account_id,
                record_link.c.system == system,
                record_link.c.object == object_name,
            )
            .values(target_id=record_id)
        )
        confirm_pending(connection, system, object_name, f"{PENDING_PREFIX}{key}", record_id)
