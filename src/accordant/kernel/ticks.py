"""When something recurs: five fields of cron in a zone, and the moments they name. Pure; the time is an argument.

Fields and steps are those of crontab(5): minute, hour, day of the month, month, day of the week. A moment that a change
of the clocks skips comes when the clocks have moved; one that happens twice counts as the second.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

from croniter import CroniterError, croniter

from accordant.kernel.errors import RejectedError

_FIELDS = 5
#: Moments looked at for the longest gap: a week of hours.
_LOOKED_AT = 170
#: Numbers, names, lists, ranges and steps: not the seconds, hashes and draws of lots that other crons know.
_FIELD = re.compile(r"[0-9A-Za-z*/,-]+")
_NAMES = re.compile(r"[A-Za-z]+")
_KNOWN_NAMES = frozenset(
    [
        "jan",
        "feb",
        "mar",
        "apr",
        "may",
        "jun",
        "jul",
        "aug",
        "sep",
        "oct",
        "nov",
        "dec",
        "sun",
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
    ]
)


class ScheduleInvalid(RejectedError):
    """The text is no schedule, or names no moment that ever comes."""


def check_schedule(text: str) -> None:
    """Raises ScheduleInvalid when ``text`` is not five fields that name some moment."""
    fields = text.split()
    names = {name.lower() for name in _NAMES.findall(text)}
    if len(fields) != _FIELDS or not all(map(_FIELD.fullmatch, fields)) or not names <= _KNOWN_NAMES:
        raise _invalid(text)
    next_tick(text, after=datetime(2024, 1, 1, tzinfo=UTC), zone=UTC)


def last_tick(text: str, *, at: datetime, zone: tzinfo) -> datetime:
    """The latest moment of the schedule at or before ``at``, in UTC. Raises ScheduleInvalid."""
    return _tick(text, at, zone, forwards=False)


def next_tick(text: str, *, after: datetime, zone: tzinfo) -> datetime:
    """The first moment of the schedule after ``after``, in UTC. Raises ScheduleInvalid."""
    return _tick(text, after, zone, forwards=True)


def longest_gap(text: str, *, after: datetime, zone: tzinfo) -> timedelta:
    """The longest time between two of the next moments: a night, or the weekend a schedule leaves out.

    Raises ScheduleInvalid.
    """
    ticks = [after]
    for _ in range(_LOOKED_AT):
        ticks.append(next_tick(text, after=ticks[-1], zone=zone))
    return max(late - early for early, late in pairwise(ticks[1:]))


def _tick(text: str, at: datetime, zone: tzinfo, *, forwards: bool) -> datetime:
    # The library looks strictly before: from a moment later it finds the tick that is now.
    start = at.astimezone(zone) if forwards else (at + timedelta(microseconds=1)).astimezone(zone)
    try:
        walk = croniter(text, start)
        tick: datetime = walk.get_next(datetime) if forwards else walk.get_prev(datetime)
    except (CroniterError, ValueError) as error:
        raise _invalid(text) from error
    return tick.astimezone(UTC)


def _invalid(text: str) -> ScheduleInvalid:
    return ScheduleInvalid(
        f"{text[:60]!r} is no schedule.",
        remedy="Write five fields as in crontab: minute, hour, day, month, weekday. 0 3 * * * is three in the morning.",
    )
