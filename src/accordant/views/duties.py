"""What the hub does by the clock: when each duty ran last and what it came to, and when it runs next."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from accordant.canonical.charter import Charter
from accordant.kernel.ticks import last_tick, next_tick
from accordant.store.engine import Database
from accordant.store.jobs import SqlJobBook


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
    states, zone = SqlJobBook(database).states(), ZoneInfo(charter.timezone)
    lines = []
    for name, schedule in schedules:
        state = states.get(name)
        lines.append(
            DutyLine(
                name=name,
                schedule=schedule,
                next_at=next_tick(schedule, after=now, zone=zone),
                is_due=state is not None and last_tick(schedule, at=now, zone=zone) > state.ticked_at,
                started_at=state.started_at if state is not None else None,
                finished_at=state.finished_at if state is not None else None,
                outcome=state.outcome if state is not None else None,
                told=state.told if state is not None else None,
            )
        )
    return tuple(lines)
