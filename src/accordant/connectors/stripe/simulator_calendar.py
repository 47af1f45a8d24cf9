"""Billing periods of the Stripe stand-in: the n-th interval from an anchor, clamped to short months, to the second."""

from datetime import UTC, datetime, timedelta

_DAYS = {"day": 1, "week": 7}
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_in(year: int, month: int) -> int:
    leap = month == 2 and (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    return 29 if leap else _MONTH_DAYS[month - 1]


def add_intervals(anchor: int, interval: str, count: int) -> int:
    """The instant `count` intervals after the anchor; the 31st becomes the last day of a shorter month."""
    begin = datetime.fromtimestamp(anchor, UTC)
    if interval in _DAYS:
        return int((begin + timedelta(days=_DAYS[interval] * count)).timestamp())
    months = begin.month - 1 + count * (12 if interval == "year" else 1)
    year, month = begin.year + months // 12, months % 12 + 1
    return int(begin.replace(year=year, month=month, day=min(begin.day, days_in(year, month))).timestamp())


def next_boundary(anchor: int, interval: str, interval_count: int, after: int) -> int:
    """The first boundary of the anchored cycle that lies after an instant."""
    lengths = {"day": 86_400, "week": 604_800, "month": 31 * 86_400, "year": 366 * 86_400}
    steps = max((after - anchor) // (lengths[interval] * interval_count), 0)
    boundary = add_intervals(anchor, interval, steps * interval_count)
    while boundary <= after:
        steps += 1
        boundary = add_intervals(anchor, interval, steps * interval_count)
    return boundary


def day_words(instant: int) -> str:
    """`15 Jan 2024`, as Stripe writes days into proration lines."""
    return datetime.fromtimestamp(instant, UTC).strftime("%-d %b %Y")
