"""The conflict book on SQL: conflicts and decisions are only ever inserted, a stand is what is in force and may go.

A person's decisions and stands come with the plan that follows them: `store/state.py` keeps them in its commit.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.conflicts import (
    Choice,
    Conflict,
    ConflictDecision,
    FieldMark,
    Stand,
    StandEffect,
    decode_conflict,
    decode_stand,
)
from accordant.canonical.intents import IntentState, WireValue, WriteIntent
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.conflicts import FieldsKnown, Found
from accordant.ports.state import ConcurrentChange
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.flags import keep_flags
from accordant.store.schema import confirmed_record, conflict, conflict_decision, field_stand, write_intent

_CONFLICT = ("id", "record", "field", "flow", "rule", "winner", "body", "found_at")
_DECISION = ("conflict_id", "number", "choice", "actor", "reason", "decided_at")
_STAND = ("record", "field", "effect", "conflict_id", "body", "since_at")
_ENCODER = msgspec.json.Encoder(order="sorted")
_INTENT_DECODER = msgspec.json.Decoder(WriteIntent)
_ANY_REVISION = 1 << 31
#: Records in one question.
_RECORDS_AT_ONCE = 500
_CONFIRMED = (IntentState.APPLIED.value, IntentState.ALREADY_APPLIED.value, IntentState.SHADOWED.value)
_MARKS_DECODER = msgspec.json.Decoder(dict[str, FieldMark])


class SqlConflictBook:
    """`ports.conflicts.ConflictBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, conflict_id: str) -> Conflict | None:
        """See the port."""
        with self._database.read() as connection:
            body = connection.execute(select(conflict.c.body).where(conflict.c.id == conflict_id)).scalar()
        return None if body is None else decode_conflict(body)

    def decisions(self, conflict_id: str) -> tuple[ConflictDecision, ...]:
        """See the port."""
        with self._database.read() as connection:
            return read_decisions(connection, [conflict_id]).get(conflict_id, ())

    def stand(self, record: str, field: str) -> Stand | None:
        """See the port."""
        with self._database.read() as connection:
            return read_stands(connection, [record]).get(record, {}).get(field)

    def known(self, refs: Iterable[str]) -> dict[str, FieldsKnown]:
        """See the port."""
        with self._database.read() as connection:
            return fields_known(connection, dict.fromkeys(refs))

    def note(self, found: Sequence[Found]) -> int:
        """See the port."""
        if not found:
            return 0
        with self._database.write() as connection:
            new = keep_found(connection, found)
            keep_flags(connection, [one.flag for one in new if one.flag is not None])
            entries = [entry for one in new for entry in (one.entry, one.flagged) if entry is not None]
            if entries:
                audit.append(connection, entries, now=entries[-1].at)
        return len(new)


def fields_known(connection: Connection, refs: Mapping[str, int | None]) -> dict[str, FieldsKnown]:
    """Marks, stands and unconfirmed tries of records. ``refs`` holds the revision that is about to be written, if any:
    what was tried between the confirmed one and it may or may not have arrived.
    """
    marks = {
        ref: decode_marks(kept)
        for ref, kept in bulk.select_by_keys(connection, confirmed_record, ("ref", "marks"), "ref", refs)
        if kept is not None
    }
    stands = read_stands(connection, refs)
    confirmed = {ref: max(mark.revision for mark in known.values()) for ref, known in marks.items()}
    # Mostly the next revision is written, and there is nothing in between to look for.
    gaps = {ref: at for ref, at in confirmed.items() if (refs[ref] or _ANY_REVISION) > at + 1}
    tried = _tried(connection, gaps)
    return {
        ref: FieldsKnown(marks=marks.get(ref, {}), stands=stands.get(ref, {}), tried=tuple(tried.get(ref, ())))
        for ref in marks.keys() | stands.keys()
    }


def _tried(connection: Connection, confirmed: Mapping[str, int]) -> dict[str, list[dict[str, WireValue]]]:
    """The fields of writes that came after the confirmed revision and were tried."""
    found: dict[str, list[dict[str, WireValue]]] = {}
    refs = sorted(confirmed)
    for start in range(0, len(refs), _RECORDS_AT_ONCE):
        query = select(write_intent.c.record, write_intent.c.revision, write_intent.c.body).where(
            write_intent.c.record.in_(refs[start : start + _RECORDS_AT_ONCE]),
            write_intent.c.attempts > 0,
            write_intent.c.state.not_in(_CONFIRMED),
        )
        for record, revision, body in connection.execute(query):
            if revision > confirmed[record]:
                found.setdefault(record, []).append(_INTENT_DECODER.decode(body).fields)
    return found


def read_stands(connection: Connection, refs: Iterable[str]) -> dict[str, dict[str, Stand]]:
    """What stands, by record and field."""
    found: dict[str, dict[str, Stand]] = {}
    for record, field, body in bulk.select_by_keys(
        connection, field_stand, ("record", "field", "body"), "record", refs
    ):
        found.setdefault(record, {})[field] = decode_stand(body)
    return found


def read_decisions(connection: Connection, ids: Iterable[str]) -> dict[str, tuple[ConflictDecision, ...]]:
    """Decisions by conflict, oldest first."""
    found: dict[str, tuple[ConflictDecision, ...]] = {}
    rows = bulk.select_by_keys(connection, conflict_decision, _DECISION, "conflict_id", ids)
    for conflict_id, number, choice, actor, reason, at in sorted(rows):
        decision = ConflictDecision(
            conflict_id=conflict_id,
            number=number,
            choice=Choice(choice),
            actor=actor,
            reason=reason,
            at=from_micros(at),
        )
        found[conflict_id] = (*found.get(conflict_id, ()), decision)
    return found


def decode_marks(kept: bytes) -> dict[str, FieldMark]:
    """The marks in the column of that name."""
    return _MARKS_DECODER.decode(kept)


def encode_marks(marks: dict[str, FieldMark]) -> bytes | None:
    """Marks as they are kept; nothing for a record into which we never wrote."""
    return _ENCODER.encode(marks) if marks else None


def keep_found(connection: Connection, found: Sequence[Found]) -> list[Found]:
    """Insert conflicts that are new, with their stands and, where a person is needed, an alert; those that were new.

    The caller appends their lines to the trail, in the same transaction. The newest ruling is the one that stands. One
    that lapsed since, because somebody undid the edit, is met anew where he did it again, without its red flag.
    """
    new = [one for one in found if bulk.insert_new(connection, conflict, _CONFLICT, [_conflict_row(one.conflict)])]
    known = {one.conflict.id for one in found} - {one.conflict.id for one in new}
    again = [one for one in found if one.conflict.id in known and _lapsed(connection, one)]
    new += [msgspec.structs.replace(one, flag=None, flagged=None) for one in again]
    for one in new:
        if one.stand is None:
            continue
        bulk.upsert(connection, field_stand, _STAND, [_stand_row(one.stand)])
        if one.stand.effect is StandEffect.HOLD:
            at, subject = one.conflict.found_at, f"{one.conflict.record}#{one.conflict.contested.field}"
            raise_alert(connection, kind="conflict.opened", subject=subject, body=one.stand.sentence, at=at)
    return new


def _lapsed(connection: Connection, found: Found) -> bool:
    """Whether a conflict that was met before waits for a person, and nothing is in force for its field any more."""
    if found.stand is None or found.stand.effect is not StandEffect.HOLD:
        return False
    in_force = read_stands(connection, [found.conflict.record]).get(found.conflict.record, {})
    return found.conflict.contested.field not in in_force and not read_decisions(connection, [found.conflict.id])


def keep_decisions(connection: Connection, decisions: Sequence[ConflictDecision]) -> None:
    """Insert decisions. Raises ConcurrentChange when somebody else decided meanwhile."""
    rows = [
        (one.conflict_id, one.number, one.choice.value, one.actor, one.reason, to_micros(one.at)) for one in decisions
    ]
    if bulk.insert_new(connection, conflict_decision, _DECISION, rows) != len(rows):
        raise ConcurrentChange("Somebody else decided this conflict meanwhile.")


def change_stands(connection: Connection, lifted: Iterable[tuple[str, str]], stands: Sequence[Stand]) -> None:
    """Take away what no longer stands and put down what does, in this order."""
    for record, field in lifted:
        connection.execute(field_stand.delete().where(field_stand.c.record == record, field_stand.c.field == field))
    bulk.upsert(connection, field_stand, _STAND, [_stand_row(one) for one in stands])


def _conflict_row(one: Conflict) -> bulk.Row:
    ruling = one.contested.ruling
    winner = None if ruling.winner is None else ruling.winner.value
    body, found_at = _ENCODER.encode(one), to_micros(one.found_at)
    return (one.id, one.record, one.contested.field, one.flow, ruling.rule.value, winner, body, found_at)


def _stand_row(one: Stand) -> bulk.Row:
    return (one.record, one.field, one.effect.value, one.conflict_id, _ENCODER.encode(one), to_micros(one.since_at))
