"""The review queue on SQL: a case with its past, and one decision kept with its trail, its links and its lane.

The state of the case is compared in the statement that changes it: of two people who decide at once, one is told so.
Next: `operations/review.py`, which decides.
"""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, and_, delete, func, or_, select, update

from accordant.canonical.entities import Account, decode_entity
from accordant.canonical.intents import IntentState, WriteIntent
from accordant.canonical.matching import Candidate, RecordLink, ReviewState, Subject, review_case_id
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.review import ReviewAction, ReviewDecision
from accordant.identity.subject import subject_of
from accordant.kernel.clock import to_micros
from accordant.ports.directory import FANOUT_MAX
from accordant.ports.matching import Pair
from accordant.ports.review import CaseFile, Place, ReviewAct
from accordant.ports.state import ConcurrentChange
from accordant.store import audit, bulk
from accordant.store.directory import SqlDirectory
from accordant.store.engine import Database
from accordant.store.owed import owe
from accordant.store.review import SqlReviews, drop_link, put_links, put_rejection
from accordant.store.schema import (
    crosswalk,
    desired_record,
    directory_key,
    directory_record,
    entity,
    match_rejection,
    parked_lane,
    record_link,
    review_case,
    review_decision,
    write_intent,
)

_DECISION = ("case_id", "number", "action", "body", "decided_at")
_CASE = ("id", "account_id", "system", "object", "state", "waits", "record_gone", "body", "opened_at")
_CROSSWALK = ("ref", "system", "object_type", "external_id", "kind", "entity_id", "since")
#: Keys looked at in one search for duplicates.
GROUPS_MAX = 100_000
_HELD_HERE = "Its customer's record has to be decided about first."
#: No record's input has this digest, so that the next plan writes it.
_NOT_YET = ""
_ENCODER = msgspec.json.Encoder()
_DECISION_DECODER = msgspec.json.Decoder(ReviewDecision)
_CANDIDATE_DECODER = msgspec.json.Decoder(Candidate)
_LINK_DECODER = msgspec.json.Decoder(RecordLink)
_INTENT_DECODER = msgspec.json.Decoder(WriteIntent)


class SqlReviewDesk:
    """`ports.review.ReviewDesk` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reviews = SqlReviews(database)
        self._directory = SqlDirectory(database)

    def places(self, name: str) -> tuple[Place, ...]:
        """See the port."""
        columns = ("account_id", "system", "object")
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, review_case, columns, "id", [name])
            if rows:
                return tuple(Place(*row) for row in rows)
            found = {name}
            for key in ("ref", "external_id"):
                named = bulk.select_by_keys(connection, crosswalk, ("entity_id", "kind"), key, [name])
                found |= {entity_id for entity_id, kind in named if kind == EntityKind.ACCOUNT.value}
            rows = [
                *bulk.select_by_keys(connection, review_case, columns, "account_id", found),
                *bulk.select_by_keys(connection, record_link, columns, "account_id", found),
            ]
        return tuple(sorted({Place(*row) for row in rows}))

    def file(self, place: Place, chosen: Candidate | str | None) -> CaseFile | None:
        """See the port."""
        decided = self._reviews.case(review_case_id(place.account_id, place.system, place.object))
        with self._database.read() as connection:
            subject = subjects(connection, [place.account_id]).get(place.account_id)
            history = _history(connection, review_case_id(place.account_id, place.system, place.object))
            links = {(one.system, one.object): one for one in _links(connection, "account_id", [place.account_id])}
            written = written_records(connection, place.system, place.object, [place.account_id])
        if subject is None:
            return None
        offered = {} if decided is None else {one.candidate.id: one.candidate for one in decided.case.candidates}
        if isinstance(chosen, str):
            known = self._directory.records(place.system, place.object, [chosen])
            chosen = known.get(chosen) or offered.get(chosen)
        owners = () if chosen is None else self._owners(place, chosen.cross_references)
        return CaseFile(
            place=place,
            subject=subject,
            decided=decided,
            history=history,
            link=links.get((place.system, place.object)),
            written=written.get(place.account_id, ()),
            chosen=chosen,
            owners=owners,
            line=self._line(place, owners),
            leaving=frozenset() if chosen is None else self._leaving(place, chosen),
        )

    def _leaving(self, place: Place, chosen: Candidate) -> frozenset[str]:
        """The keys on a record whose customers were split off it."""
        query = (
            select(crosswalk.c.external_id)
            .join(match_rejection, match_rejection.c.account_id == crosswalk.c.entity_id)
            .where(
                crosswalk.c.external_id.in_(chosen.cross_references),
                crosswalk.c.kind == EntityKind.ACCOUNT.value,
                match_rejection.c.system == place.system,
                match_rejection.c.object == place.object,
                match_rejection.c.target_id == chosen.id,
            )
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def _line(self, place: Place, owners: Collection[RecordLink]) -> frozenset[str]:
        """The keys from some records up to those that stand below no other."""
        line = {owner.key for owner in owners}
        above = {owner.parent for owner in owners if owner.parent is not None}
        with self._database.read() as connection:
            while above - line:
                line |= above
                found = _links(connection, "key", above)
                here = (one for one in found if (one.system, one.object) == (place.system, place.object))
                above = {one.parent for one in here if one.parent is not None}
        return frozenset(line)

    def _owners(self, place: Place, keys: Collection[str]) -> tuple[RecordLink, ...]:
        with self._database.read() as connection:
            named = bulk.select_by_keys(connection, crosswalk, ("entity_id", "kind"), "external_id", keys)
            ids = {name for name, kind in named if kind == EntityKind.ACCOUNT.value} - {place.account_id}
            return tuple(
                one
                for one in _links(connection, "account_id", ids)
                if (one.system, one.object) == (place.system, place.object)
            )

    def linked_to(self, system: str, object_name: str, target_ids: Collection[str]) -> tuple[RecordLink, ...]:
        """See the port."""
        with self._database.read() as connection:
            found = _links(connection, "target_id", target_ids)
        return tuple(one for one in found if (one.system, one.object) == (system, object_name))

    def records_together(self, system: str, object_name: str) -> tuple[tuple[Candidate, ...], ...]:
        """See the port. A key that more records share than can be looked at tells nothing apart."""
        here = and_(
            directory_record.c.id == directory_key.c.record,
            directory_record.c.system == system,
            directory_record.c.object == object_name,
            directory_record.c.is_live.is_(True),
        )
        shared = (
            select(directory_key.c.digest)
            .join(directory_record, here)
            .group_by(directory_key.c.digest)
            .having(func.count().between(2, FANOUT_MAX))
            .order_by(directory_key.c.digest)
            .limit(GROUPS_MAX)
        )
        query = (
            select(directory_key.c.digest, directory_record.c.body)
            .join(directory_record, here)
            .where(directory_key.c.digest.in_(shared))
            .order_by(directory_key.c.digest, directory_record.c.record_id)
        )
        groups: dict[int, list[Candidate]] = {}
        with self._database.read() as connection:
            for digest, body in connection.execute(query):
                groups.setdefault(digest, []).append(_CANDIDATE_DECODER.decode(body))
        # Records with several keys in common are looked at once.
        return tuple({tuple(one.id for one in group): tuple(group) for group in groups.values()}.values())

    def history(self, case_id: str) -> tuple[ReviewDecision, ...]:
        """Every decision on a case, oldest first."""
        with self._database.read() as connection:
            return _history(connection, case_id)

    def apply(self, act: ReviewAct) -> bool:
        """See the port. Raises ConcurrentChange where the state came back and yet another decision was kept."""
        now = act.decision.at
        with self._database.write() as connection:
            if not _move_case(connection, act):
                return False
            row = (act.case.id, act.decision.number, act.decision.action.value, _ENCODER.encode(act.decision), _at(now))
            if bulk.insert_new(connection, review_decision, _DECISION, [row]) == 0:
                raise ConcurrentChange("Somebody else decided this case in the same moment.")
            _relink(connection, act, now)
            _rejections(connection, act, now)
            _lane(connection, act, now)
            _write_anew(connection, act)
            owe(connection, _concerned(connection, act), now=now)
            audit.append(connection, [act.audit], now=now)
        return True


def _concerned(connection: Connection, act: ReviewAct) -> set[str]:
    """The customer, and those with whom it shares a record no longer: what is added up there changes."""
    before = act.decision.link_before
    keys = [] if before is None else [before.key]
    return {act.place.account_id, *(one.account_id for one in _links(connection, "key", keys))}


def subjects(
    connection: Connection, account_ids: Collection[str], *, reference_key: str | None = None
) -> dict[str, Subject]:
    """Customers as the ladder and a person look at them, by account id; those nobody described are absent."""
    rows = bulk.select_by_keys(connection, entity, ("id", "state"), "id", account_ids)
    accounts = ((account_id, decode_entity(state)) for account_id, state in rows)
    return {
        account_id: subject_of(account_id, account, reference_key=reference_key)
        for account_id, account in accounts
        if isinstance(account, Account)
    }


def written_records(
    connection: Connection, system: str, object_name: str, account_ids: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The records of one object that the crosswalk has for accounts, the latest first."""
    columns = ("entity_id", "since", "external_id", "system", "object_type")
    rows = bulk.select_by_keys(connection, crosswalk, columns, "entity_id", account_ids)
    found: dict[str, list[tuple[int, str]]] = {}
    for account_id, since, external_id, *where in rows:
        if where == [system, object_name]:
            found.setdefault(account_id, []).append((since, external_id))
    return {name: tuple(one for _, one in sorted(records, reverse=True)) for name, records in found.items()}


def put_crosswalk(connection: Connection, rows: Collection[tuple[ExternalRef, str]], now: datetime) -> None:
    """Enter records of accounts in the crosswalk as the latest; one that is another account's stays that one's."""
    fresh = [
        (str(ref), ref.system, ref.object_type, ref.id, EntityKind.ACCOUNT.value, account_id, _at(now))
        for ref, account_id in rows
    ]
    bulk.insert_new(connection, crosswalk, _CROSSWALK, fresh)
    for ref, account_id in rows:
        connection.execute(
            update(crosswalk)
            .where(crosswalk.c.ref == str(ref), crosswalk.c.entity_id == account_id)
            .values(since=_at(now))
        )


def _at(now: datetime) -> int:
    return to_micros(now)


def _history(connection: Connection, case_id: str) -> tuple[ReviewDecision, ...]:
    rows = bulk.select_by_keys(connection, review_decision, ("number", "body"), "case_id", [case_id])
    return tuple(_DECISION_DECODER.decode(body) for _, body in sorted(rows))


def _links(connection: Connection, column: str, values: Collection[str]) -> list[RecordLink]:
    rows = bulk.select_by_keys(connection, record_link, ("body", "target_id"), column, values)
    return [msgspec.structs.replace(_LINK_DECODER.decode(body), target_id=target_id) for body, target_id in rows]


def _move_case(connection: Connection, act: ReviewAct) -> bool:
    """Bring the case from the state it was decided on to the one after; False when it is not in that state."""
    case, decision = act.case, act.decision
    is_open = act.state is ReviewState.OPEN
    if act.expected is None:
        row = (case.id, case.account_id, case.system, case.object, act.state.value, case.waits, case.record_gone)
        if bulk.insert_new(connection, review_case, _CASE, [(*row, _ENCODER.encode(case), _at(case.opened_at))]) == 0:
            return False
    values = {
        "state": act.state.value,
        "waits": case.waits,
        "record_gone": case.record_gone,
        "body": _ENCODER.encode(case),
        "decided_at": None if is_open else _at(decision.at),
        "decided_by": None if is_open else decision.actor,
        "reason": None if is_open else decision.reason,
        "chosen_id": act.chosen_id,
    }
    expected = act.state if act.expected is None else act.expected
    moved = connection.execute(
        update(review_case).where(review_case.c.id == case.id, review_case.c.state == expected.value).values(values)
    )
    return moved.rowcount == 1


def _relink(connection: Connection, act: ReviewAct, now: datetime) -> None:
    place = act.place
    if act.link is None:
        drop_link(connection, place.account_id, place.system, place.object)
    else:
        put_links(connection, [act.link])
    gone = [str(ExternalRef(place.system, place.object, one)) for one in act.decision.unlinked]
    if gone:
        connection.execute(
            delete(crosswalk).where(crosswalk.c.ref.in_(gone), crosswalk.c.entity_id == place.account_id)
        )
    fresh = [ExternalRef(place.system, place.object, one) for one in act.decision.linked]
    put_crosswalk(connection, [(ref, place.account_id) for ref in fresh], now)


def _rejections(connection: Connection, act: ReviewAct, now: datetime) -> None:
    place, decision = act.place, act.decision
    for target_id in decision.rejected:
        pair = Pair(place.account_id, place.system, place.object, target_id)
        put_rejection(connection, pair, actor=decision.actor, reason=decision.reason, now=now)
    for target_id in act.allowed:
        connection.execute(
            delete(match_rejection).where(
                match_rejection.c.account_id == place.account_id,
                match_rejection.c.system == place.system,
                match_rejection.c.object == place.object,
                match_rejection.c.target_id == target_id,
            )
        )


def _write_anew(connection: Connection, act: ReviewAct) -> None:
    """What the records of a parted customer should hold is the same as ever, but it is to be written elsewhere: its
    own, and those below it, which still hang on the former one.
    """
    before = act.decision.link_before
    if act.decision.action not in {ReviewAction.SPLIT, ReviewAction.UNDO}:
        return
    place, keys = act.place, {one.key for one in (before, act.link) if one is not None}
    own = and_(desired_record.c.object == place.object, desired_record.c.key.in_(sorted(keys)))
    below = desired_record.c.lane == f"{place.system}:{place.account_id}"
    connection.execute(
        update(desired_record)
        .where(desired_record.c.target == place.system, or_(own, below))
        .values(input_digest=_NOT_YET)
    )


def _lane(connection: Connection, act: ReviewAct, now: datetime) -> None:
    """Let the customer's lane go on, or wait again. What was meant for another record is given up."""
    place = act.place
    lane = f"{place.system}:{place.account_id}"
    if act.waits:
        connection.execute(
            update(write_intent)
            .where(write_intent.c.lane == lane, write_intent.c.state == IntentState.PENDING.value)
            .values(state=IntentState.HELD.value, reason=_HELD_HERE, settled_at=_at(now))
        )
        return
    connection.execute(
        delete(parked_lane).where(parked_lane.c.lane == lane, parked_lane.c.cause == f"review/{act.case.id}")
    )
    held = connection.execute(
        select(write_intent.c.id, write_intent.c.object, write_intent.c.body).where(
            write_intent.c.lane == lane, write_intent.c.state == IntentState.HELD.value
        )
    ).all()
    for intent_id, object_name, body in held:
        key = _INTENT_DECODER.decode(body).key
        is_elsewhere = act.link is not None and object_name == place.object and key != act.link.key
        given_up = {
            "state": IntentState.CANCELLED.value,
            "reason": f"Its customer's facts go to the record of {act.link.key if act.link else 'another'} now.",
            "settled_at": _at(now),
        }
        released = {"state": IntentState.PENDING.value, "reason": None, "settled_at": None, "due_at": _at(now)}
        connection.execute(
            update(write_intent)
            .where(write_intent.c.id == intent_id, write_intent.c.state == IntentState.HELD.value)
            .values(given_up if is_elsewhere else released)
        )
