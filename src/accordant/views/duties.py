"""What the hub does by the clock: when each duty ran last and what it came to, and when it runs next."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import Charter
from accordant.kernel.clock import from_micros
from accordant.kernel.ticks import last_tick, next_tick
from accordant.store.engine import Database
from accordant.store.schema import scheduled_job


class DutyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One duty. ``outcome`` is done or failed, None before the first run and while one is under way.

    ``next_at`` is the next tick; one that is over and was not run for yet is told by ``is_due``.
    """

    name: str
    schedule: str
    next_at: datetime
    is_due: bool
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    told: str | None


def duty_lines(
    database: Database, charter: Charter, schedules: tuple[tuple[str, str], ...], *, now: datetime
) -> tuple[DutyLine, ...]:
    """Each duty by its name and schedule, in the order given."""
    zone = ZoneInfo(charter.timezone)
    with database.read() as connection:
        states = {row.name: row for row in connection.execute(select(scheduled_job))}
    lines = []
    for name, schedule in schedules:
        state = states.get(name)
        lines.append(
            DutyLine(
                name=name,
                schedule=schedule,
                next_at=next_tick(schedule, after=now, zone=zone),
                is_due=state is not None and last_tick(schedule, at=now, zone=zone) > from_micros(state.ticked_at),
                started_at=_instant(state.started_at) if state is not None else None,
                finished_at=_instant(state.finished_at) if state is not None else None,
                outcome=state.outcome if state is not None else None,
                told=state.told if state is not None else None,
            )
        )
    return tuple(lines)


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
