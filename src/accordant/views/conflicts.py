"""Conflicts as people read them: both values side by side with where each comes from, the rule, and what was decided.

Open ones come first: they wait for a person. Next: `operations/restore.py` carries out what that person says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection, func, select, text

from accordant.canonical.conflicts import (
    Choice,
    Conflict,
    ConflictDecision,
    ConflictState,
    Stand,
    StandEffect,
    decode_conflict,
    decode_stand,
    state_of,
)
from accordant.kernel.clock import from_micros, to_micros
from accordant.store.engine import Database
from accordant.store.schema import conflict as conflict_table
from accordant.store.schema import conflict_decision, field_stand
from accordant.views.keyed import rows_by_key
from accordant.views.worth import Party, parties

#: Conflicts of one page.
PAGE_MAX = 50
_IS_OPEN = text(f"field_stand.effect = '{StandEffect.HOLD.value}'")


class ConflictLine(msgspec.Struct, frozen=True, kw_only=True):
    """One conflict with how it stands now. ``stand`` is what is in force for its field, by this conflict or another."""

    conflict: Conflict
    state: ConflictState
    stand: Stand | None
    decisions: tuple[ConflictDecision, ...]
    party: Party | None


class ConflictList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conflicts, newest first. ``before`` leads on to older ones; None on the last page."""

    lines: tuple[ConflictLine, ...]
    open: int
    total: int
    before: datetime | None


def conflicts(
    database: Database,
    *,
    now: datetime,
    only_open: bool = False,
    record: str = "",
    before: datetime | None = None,
    zone: tzinfo = UTC,
) -> ConflictList:
    """A page of conflicts: all, the open ones, or those of one record (``target:object/key``)."""
    query = (
        select(conflict_table.c.body)
        .order_by(conflict_table.c.found_at.desc(), conflict_table.c.id)
        .limit(PAGE_MAX + 1)
    )
    if only_open:
        query = query.where(conflict_table.c.id.in_(select(field_stand.c.conflict_id).where(_IS_OPEN)))
    if record:
        query = query.where(conflict_table.c.record == record)
    if before is not None:
        query = query.where(conflict_table.c.found_at < to_micros(before))
    with database.read() as connection:
        found = [decode_conflict(body) for body in connection.execute(query).scalars()]
        shown = found[:PAGE_MAX]
        return ConflictList(
            lines=_lines(connection, shown, now, zone),
            open=open_conflicts(connection),
            total=connection.execute(select(func.count()).select_from(conflict_table)).scalar_one(),
            before=shown[-1].found_at if len(found) > PAGE_MAX else None,
        )


def conflict_line(database: Database, conflict_id: str, *, now: datetime, zone: tzinfo = UTC) -> ConflictLine | None:
    """One conflict whole; None where there is none of this id."""
    query = select(conflict_table.c.body).where(conflict_table.c.id == conflict_id)
    with database.read() as connection:
        body = connection.execute(query).scalar()
        return None if body is None else _lines(connection, [decode_conflict(body)], now, zone)[0]


def open_conflicts(connection: Connection) -> int:
    """How many fields wait for a person."""
    query = select(func.count()).select_from(field_stand).where(_IS_OPEN)
    return int(connection.execute(query).scalar_one())


class WaitingField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that waits for a person, as the trouble list shows it."""

    conflict_id: str
    record: str
    field: str
    lane: str
    reason: str
    since_at: datetime


def waiting_fields(connection: Connection, *, limit: int) -> tuple[WaitingField, ...]:
    """Open conflicts, oldest first."""
    query = (
        select(field_stand.c.since_at, conflict_table.c.body)
        .select_from(field_stand.join(conflict_table, conflict_table.c.id == field_stand.c.conflict_id))
        .where(_IS_OPEN)
        .order_by(field_stand.c.since_at, field_stand.c.conflict_id)
        .limit(limit)
    )
    found = []
    for since_at, body in connection.execute(query):
        one = decode_conflict(body)
        found.append(
            WaitingField(
                conflict_id=one.id,
                record=one.record,
                field=one.contested.field,
                lane=f"{one.contested.target.system}:{one.account_id}",
                reason=one.contested.ruling.sentence,
                since_at=from_micros(since_at),
            )
        )
    return tuple(found)


def _lines(connection: Connection, found: Sequence[Conflict], now: datetime, zone: tzinfo) -> tuple[ConflictLine, ...]:
    stands = _stands(connection, {one.record for one in found})
    decisions = _decisions(connection, {one.id for one in found})
    owners = parties(connection, {one.account_id for one in found}, as_of=now, zone=zone)
    lines = []
    for one in found:
        stand = stands.get((one.record, one.contested.field))
        decided = decisions.get(one.id, ())
        lines.append(
            ConflictLine(
                conflict=one,
                state=state_of(one, stand, decided),
                stand=stand,
                decisions=decided,
                party=owners.get(one.account_id),
            )
        )
    return tuple(lines)


def _stands(connection: Connection, records: set[str]) -> dict[tuple[str, str], Stand]:
    columns = (field_stand.c.record, field_stand.c.field, field_stand.c.body)
    rows = rows_by_key(connection, columns, field_stand.c.record, records)
    return {(row.record, row.field): decode_stand(row.body) for row in rows}


def _decisions(connection: Connection, ids: set[str]) -> dict[str, tuple[ConflictDecision, ...]]:
    """What persons decided, by conflict, oldest first."""
    found: dict[str, tuple[ConflictDecision, ...]] = {}
    rows = rows_by_key(connection, tuple(conflict_decision.c), conflict_decision.c.conflict_id, ids)
    for row in sorted(rows, key=lambda row: (row.conflict_id, row.number)):
        decision = ConflictDecision(
            conflict_id=row.conflict_id,
            number=row.number,
            choice=Choice(row.choice),
            actor=row.actor,
            reason=row.reason,
            at=from_micros(row.decided_at),
        )
        found[row.conflict_id] = (*found.get(row.conflict_id, ()), decision)
    return found
