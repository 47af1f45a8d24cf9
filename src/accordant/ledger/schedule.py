"""When an amount is earned: half-open spans, straight line, rounded on the running total so that nothing is lost.

On every day earned + still to earn = the amount. A change cuts the schedule on its day and never touches what lies
before it. Next: `modify.py` for changes of contract, `patterns.py` for the postings.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from fractions import Fraction

import msgspec

from accordant.canonical.books import Grain
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import round_half_up


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """An amount earned evenly from ``starts_at`` until, not including, ``ends_at``; minor units, may be negative.

    A span without length is earned at once, on its day.
    """

    starts_at: datetime
    ends_at: datetime
    minor: int

    def __post_init__(self) -> None:
        if self.ends_at < self.starts_at:
            raise InvariantBroken(f"A service from {self.starts_at} to {self.ends_at} ends before it starts.")


class RevenueSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """How one billed line is earned: spans one after the other. ``zone`` decides which day an instant falls on.

    ``line`` names the billed line it came from, ``product`` what was sold by it; ``billed_minor`` is what it was billed
    at and ``booked_minor`` what that was in the currency of the books. ``is_usage``: it is earned in the month of its
    use, though it is billed after that.

    ``contract`` names the contract it is a part of, where that is earned otherwise than it is billed (`contracts.py`).
    Earned ``by_progress``, what is still to be earned is ``undated_minor``: it has no day until progress is measured
    again; ``caught_up_on`` are the days on which a change of its price was caught up with.
    """

    line: str
    currency: str
    spans: tuple[Span, ...]
    grain: Grain = Grain.DAY
    zone: tzinfo = UTC
    product: str | None = None
    billed_minor: int = 0
    booked_minor: int = 0
    is_usage: bool = False
    contract: str | None = None
    by_progress: bool = False
    undated_minor: int = 0
    caught_up_on: tuple[date, ...] = ()

    @property
    def minor(self) -> int:
        """All that is earned in the end, in minor units."""
        return sum(span.minor for span in self.spans) + self.undated_minor


class ScheduleLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is earned in one calendar month; ``month_on`` is its first day."""

    month_on: date
    minor: int


def straight_line(
    *,
    line: str,
    currency: str,
    minor: int,
    starts_at: datetime,
    ends_at: datetime,
    grain: Grain = Grain.DAY,
    zone: tzinfo = UTC,
) -> RevenueSchedule:
    """One amount, evenly. Source: ASC 606-10-55-184 and IFRS 15.B18: a stand-ready service is earned by time."""
    span = Span(starts_at=starts_at, ends_at=ends_at, minor=minor)
    return RevenueSchedule(line=line, currency=currency, spans=(span,), grain=grain, zone=zone)


def earned_before(schedule: RevenueSchedule, day: date) -> int:
    """What is earned before ``day`` begins in the schedule's zone, in minor units.

    By day the start day counts whole and the end day not at all. The running total is rounded half up, so the days add
    up to the amount exactly.
    """
    return sum(_span_before(schedule, span, day) for span in schedule.spans)


def earned_within(schedule: RevenueSchedule, first_on: date, after_on: date) -> int:
    """What is earned from ``first_on`` until, not including, ``after_on``."""
    return earned_before(schedule, after_on) - earned_before(schedule, first_on)


def in_books(schedule: RevenueSchedule, earned_minor: int) -> int:
    """What an earned amount comes to in the currency of the books, at the rate it was billed at.

    Deferred revenue is not money: it keeps its rate (ASC 830-10-45-18). Of a running total, so that all of it comes to
    exactly what was deferred.
    """
    if schedule.billed_minor == schedule.booked_minor:
        return earned_minor
    return round_half_up(Fraction(schedule.booked_minor * earned_minor, schedule.billed_minor))


def first_and_last(schedule: RevenueSchedule) -> tuple[date, date] | None:
    """The day on which it begins to be earned and that on which it ends; None where no part of it has a day yet."""
    if not schedule.spans:
        return None
    starts, ends = min(span.starts_at for span in schedule.spans), max(span.ends_at for span in schedule.spans)
    return _day_of(schedule, starts), _day_of(schedule, ends)


def lines(schedule: RevenueSchedule) -> tuple[ScheduleLine, ...]:
    """What each calendar month earns; months that earn nothing are left out."""
    found = []
    for month_on in _months(schedule):
        minor = earned_within(schedule, month_on, next_month(month_on))
        if minor:
            found.append(ScheduleLine(month_on=month_on, minor=minor))
    return tuple(found)


def cut(schedule: RevenueSchedule, day: date, *, remaining_minor: int, at_once: bool = False) -> RevenueSchedule:
    """From ``day`` on only ``remaining_minor`` is earned over the time that is left; what was earned stays.

    A refund, a credit or a lost dispute shrinks the rest in proportion; a prospective change gives it another amount.
    Where no time is left, and ``at_once``, the rest is earned on ``day``: so a voided bill takes back what was earned.
    By progress the rest has no day.
    """
    past: list[Span] = []
    begins: datetime | None = None
    end = datetime.combine(day, time(), schedule.zone)
    for span in schedule.spans:
        earned = _span_before(schedule, span, day)
        if _day_of(schedule, span.ends_at) <= day and earned == span.minor:
            past.append(span)
        else:
            end = max(end, span.ends_at)
            begins = span.starts_at if begins is None else min(begins, span.starts_at)
            if earned:
                stops = max(span.starts_at, datetime.combine(day, time(), schedule.zone))
                past.append(Span(starts_at=span.starts_at, ends_at=stops, minor=earned))
    if schedule.by_progress and not at_once:
        return msgspec.structs.replace(schedule, spans=tuple(past), undated_minor=remaining_minor)
    starts = datetime.combine(day, time(), schedule.zone)
    # What has not begun yet begins when it would have.
    starts = starts if at_once or begins is None else max(starts, begins)
    end = starts if at_once else max(end, starts)
    rest = () if not remaining_minor else (Span(starts_at=starts, ends_at=end, minor=remaining_minor),)
    return msgspec.structs.replace(schedule, spans=(*past, *rest), undated_minor=0)


def respread(
    schedule: RevenueSchedule, day: date, *, remaining_minor: int, starts_at: datetime, ends_at: datetime
) -> RevenueSchedule:
    """From ``day`` on ``remaining_minor`` is earned evenly from ``starts_at``, or ``day`` where that is later, until
    ``ends_at``; what was earned stays.
    """
    past = cut(schedule, day, remaining_minor=0).spans
    starts = max(datetime.combine(day, time(), schedule.zone), starts_at)
    rest = Span(starts_at=starts, ends_at=max(ends_at, starts), minor=remaining_minor)
    return msgspec.structs.replace(schedule, spans=(*past, rest), undated_minor=0)


def measured(schedule: RevenueSchedule, day: date, *, earned_minor: int) -> RevenueSchedule:
    """By the end of ``day`` ``earned_minor`` is earned; what was not before is earned on it, the rest has no day."""
    past = cut(schedule, day, remaining_minor=0).spans
    now = earned_minor - sum(span.minor for span in past)
    at = datetime.combine(day, time(), schedule.zone)
    step = (Span(starts_at=at, ends_at=at, minor=now),) if now else ()
    return msgspec.structs.replace(schedule, spans=(*past, *step), undated_minor=schedule.minor - earned_minor)


def part_out(schedule: RevenueSchedule, minor: int) -> tuple[RevenueSchedule, RevenueSchedule]:
    """So much of a schedule, and what is left of it: both are earned as the whole is, span by span to the minor unit.

    Rounded on the running total. Raises InvariantBroken for more than there is.
    """
    whole = schedule.minor
    if not 0 <= minor <= whole:
        raise InvariantBroken(f"{minor} cannot be taken out of {whole}.")
    taken: list[Span] = []
    left: list[Span] = []
    running = done = 0
    for span in schedule.spans:
        running += span.minor
        # What goes up and down may go beyond the whole in between: by fractions either sign is rounded alike.
        upto = round_half_up(Fraction(minor * running, whole)) if whole else 0
        taken.append(msgspec.structs.replace(span, minor=upto - done))
        left.append(msgspec.structs.replace(span, minor=span.minor - (upto - done)))
        done = upto
    undated = minor - done
    return (
        msgspec.structs.replace(schedule, spans=tuple(taken), undated_minor=undated),
        msgspec.structs.replace(schedule, spans=tuple(left), undated_minor=schedule.undated_minor - undated),
    )


def _span_before(schedule: RevenueSchedule, span: Span, day: date) -> int:
    first, after = _day_of(schedule, span.starts_at), _day_of(schedule, span.ends_at)
    if day <= first:
        return 0
    if day > after or (day == after and schedule.grain in {Grain.DAY, Grain.EVEN_MONTHS}):
        return span.minor
    if first == after:  # begun and ended on one day, which is over
        return span.minor
    match schedule.grain:
        case Grain.DAY:
            return _part(span.minor, (day - first).days, (after - first).days)
        case Grain.MILLISECOND:
            return _part(span.minor, _ms(span.starts_at, _at(schedule, day)), _ms(span.starts_at, span.ends_at))
        case Grain.EVEN_MONTHS:
            months = max(_months_between(first, after), 1)
            return _part(span.minor, min(_months_between(first, day), months), months)
        case Grain.EVEN_MONTHS_ENDS_PRORATED:
            return _ends_prorated(schedule, span, day)


def _ends_prorated(schedule: RevenueSchedule, span: Span, day: date) -> int:
    """First and last month by the time they hold, those between evenly, what is left over in the last of them."""
    head_ends = next_month(_month_of(_day_of(schedule, span.starts_at)))
    tail_starts = _month_of(_day_of(schedule, span.ends_at))
    total = _ms(span.starts_at, span.ends_at)
    between = _months_between(head_ends, tail_starts)
    if between < 1 or day < head_ends:
        return _part(span.minor, _ms(span.starts_at, _at(schedule, day)), total)
    head = _part(span.minor, _ms(span.starts_at, _at(schedule, head_ends)), total)
    tail = _part(span.minor, _ms(_at(schedule, tail_starts), span.ends_at), total)
    if day >= tail_starts:
        whole = _ms(_at(schedule, tail_starts), span.ends_at)
        return (
            span.minor
            - tail
            + (_part(tail, _ms(_at(schedule, tail_starts), _at(schedule, day)), whole) if whole else 0)
        )
    middle = span.minor - head - tail
    done = _months_between(head_ends, day)
    each = int(Fraction(middle, between))
    within = _month_of(day)
    this = middle - each * (between - 1) if done == between - 1 else each
    partly = _part(this, (day - within).days, (next_month(within) - within).days)
    return head + each * done + partly


def _part(minor: int, done: int, whole: int) -> int:
    # As `round_half_up` of the fraction, in whole numbers: a month end does it a million times.
    part = (2 * abs(minor) * done + whole) // (2 * whole)
    return part if minor >= 0 else -part


def _ms(first: datetime, second: datetime) -> int:
    # Both in UTC: a difference of local times would ignore a change of the clocks between them.
    return (second.astimezone(UTC) - first.astimezone(UTC)) // timedelta(milliseconds=1)


def _at(schedule: RevenueSchedule, day: date) -> datetime:
    return datetime.combine(day, time(), schedule.zone)


def _day_of(schedule: RevenueSchedule, instant: datetime) -> date:
    return instant.astimezone(schedule.zone).date()


def _month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month_on: date) -> date:
    """The first day of the month after that of a day."""
    return date(month_on.year + month_on.month // 12, month_on.month % 12 + 1, 1)


def _months_between(first: date, second: date) -> int:
    return (second.year - first.year) * 12 + second.month - first.month


def _months(schedule: RevenueSchedule) -> Iterator[date]:
    if not schedule.spans:
        return
    month_on = _month_of(min(_day_of(schedule, span.starts_at) for span in schedule.spans))
    last = max(_day_of(schedule, span.ends_at) for span in schedule.spans)
    while month_on <= last:
        yield month_on
        month_on = next_month(month_on)
