"""Set B7 whole: 200 times and changes in mid-term, each with what becomes of it, earned whole and to the minor unit.

What is posted is earned and deferred to exactly what was billed on every day (MO7); what is no moment is kept out with
its reason. Source: reliability.md chapter 5.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest

from accordant.canonical.books import ProrationRule
from accordant.canonical.entities import InvoiceLine
from accordant.kernel.money import round_half_up
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.prorate import MidTermChange, PeriodInvalid, prorate
from accordant.ledger.schedule import RevenueSchedule, earned_before
from tests.unit.ledger.test_bad_money_and_time import AFTER, a_notice, booked, receivable, setting, spanning
from tests.unit.ledger.test_draft import Story, a_bill, usd

CASES = 200
BILLED = 9_001
#: Zones with and without daylight saving, the ends of the day line, half an hour, and one that skipped a day.
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12",
         "Africa/Casablanca", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Kathmandu")  # fmt: skip
#: (a span of service, from, to): days that are missing or there twice, and dates at the ends of what computers count.
SPANS = (
    ("from a leap day for a year", datetime(2028, 2, 29), datetime(2029, 2, 28)),
    ("over the gap of spring", datetime(2027, 3, 14, 1, 59, 59), datetime(2027, 3, 28, 3)),
    ("over the hour that is there twice", datetime(2027, 10, 31, 0, 30), datetime(2027, 11, 7, 6, 30)),
    ("over the day Samoa skipped", datetime(2011, 12, 29), datetime(2012, 1, 1)),
    ("past 2038", datetime(2038, 1, 19, 3, 14, 7), datetime(2038, 2, 19)),
    ("from 1970", datetime(1970, 1, 1), datetime(1970, 2, 1)),
    ("over the end of a year by a second", datetime(2027, 12, 31, 23, 59, 59), datetime(2028, 1, 1, 0, 0, 1)),
)  # fmt: skip
#: Before everything, each fortnight of the years in which most of it is earned, and after everything.
DAYS = (date(1969, 1, 1), *(date(2027, 1, 1) + timedelta(days=days) for days in range(0, 1_100, 13)), date(2200, 1, 1))
Verdict = int | str


class Case(NamedTuple):
    """One case: what is told, and what becomes of it: what is earned of it in all, or why nothing is."""

    name: str
    run: Callable[[], Draft | str]
    verdict: Verdict


def of_zones() -> Iterator[Case]:
    """The same span in every zone."""
    for zone in ZONES:
        for name, starts, ends in SPANS:
            yield Case(f"{name} in {zone}", _span(starts, ends, zone), BILLED)


def _span(starts: datetime, ends: datetime, zone: str = "UTC") -> Callable[[], Draft]:
    return lambda: spanning(starts.replace(tzinfo=UTC), ends.replace(tzinfo=UTC), ZoneInfo(zone))


def clamped(first: date, months: int) -> date:
    """So many months later, on the day the subscription began, or the last of a month that has no such day."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, min(first.day, monthrange(year, month + 1)[1]))


def of_cadences() -> Iterator[Case]:
    """A year of bills of one subscription: the day is clamped in a short month and comes back to where it began."""
    for starts in (date(2027, 1, 29), date(2027, 1, 30), date(2027, 1, 31), date(2028, 2, 29), date(2027, 12, 31)):
        for name, step in (("monthly", 1), ("every quarter", 3), ("every half year", 6), ("yearly", 12)):
            days = [clamped(starts, at) for at in range(0, 25, step)]
            assert days[12 // step].day == min(starts.day, monthrange(days[12 // step].year, starts.month)[1])
            yield Case(f"{name} from {starts}", _bills(days), BILLED * (len(days) - 1))


def _bills(days: list[date]) -> Callable[[], Draft]:
    """A bill whose lines are the periods, one after the other: no day is between two of them, none in both."""
    at = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    lines = tuple(
        InvoiceLine(external_id=f"il_{number}", amount_minor=BILLED, period_starts_at=one, period_ends_at=after)
        for number, (one, after) in enumerate(pairwise(at))
    )
    return lambda: _read(lines)


def _read(lines: tuple[InvoiceLine, ...], zone: Any = UTC) -> Draft:
    money = usd(sum(line.amount_minor for line in lines))
    bill = msgspec.structs.replace(a_bill(), lines=lines, total=money, amount_due=money, amount_remaining=money)
    story = Story().bill(bill)
    return draft(History(events=tuple(story.events), objects=story.objects), setting(zone), before_on=AFTER)


NO_MOMENTS: tuple[Any, ...] = (10**12, 10**15, 10**18, -1, -(10**12), 2**63, 2**64, "2027-01-01T00:00:00", "2027-02-29",
                               "23:59:60", "yesterday", "", 1.5, True, [], {})  # fmt: skip


def of_moments() -> Iterator[Case]:
    """Milliseconds for seconds, text, a leap second, nothing at all: at the beginning and at the end of a service."""
    for value in NO_MOMENTS:
        for which in ("start", "end"):
            body = a_notice(1_000)
            body["data"]["object"]["lines"]["data"][0]["period"][which] = value
            is_number = type(value) is int
            wanted = (
                "64 bits" if is_number and value >= 2**63 else "Unix time" if is_number else "a whole number or null"
            )
            yield Case(f"{which} {value!r}", _kept(body), wanted)
    for which in ("start", "end"):
        body = a_notice(1_000)
        body["data"]["object"]["lines"]["data"][0]["period"][which] = None
        yield Case(f"no {which}", _kept(body), 1_000)


def _kept(body: dict[str, Any]) -> Callable[[], Draft | str]:
    return lambda: booked(body)


def of_lengths() -> Iterator[Case]:
    """No length, less than none, one second, and longer than anybody means."""
    day = datetime(2027, 5, 31)
    ends = {
        "no length": day,
        "one second": day + timedelta(seconds=1),
        "a day less a second": day + timedelta(seconds=86_399),
        "one day": day + timedelta(days=1),
        "an end before its start": day - timedelta(days=1),
        "an end a year before its start": day - timedelta(days=365),
        "an inclusive end": datetime(2027, 6, 30, 23, 59, 59),
        "an exclusive end": datetime(2027, 7, 1),
        "half a second": day + timedelta(microseconds=500_000),
        "ninety-nine years": datetime(2126, 5, 31),
    }
    for name, end in ends.items():
        yield Case(name, _span(day, end), BILLED)
    for year in (2128, 2500, 9999):
        yield Case(f"until {year}", _span(day, datetime(year, 12, 31)), "a hundred years is a mistake")
    yield Case("a service of three years ago", _span(datetime(2024, 1, 1), datetime(2024, 2, 1)), BILLED)
    yield Case("a service of which half is over", _span(datetime(2026, 7, 1), datetime(2027, 7, 1)), BILLED)
    yield Case("a service that begins later", _span(datetime(2027, 9, 1), datetime(2028, 9, 1)), BILLED)


def _line(name: str, minor: int, starts: datetime, ends: datetime) -> InvoiceLine:
    return InvoiceLine(
        external_id=name, amount_minor=minor, proration=True, subscription_id="sub_1",
        period_starts_at=starts.replace(tzinfo=UTC), period_ends_at=ends.replace(tzinfo=UTC),
    )  # fmt: skip


def of_changes() -> Iterator[Case]:
    """Changed in mid-term, back again in the same second, cancelled and begun anew on one day, in four zones."""
    first, middle, last = datetime(2027, 3, 1), datetime(2027, 3, 14, 7), datetime(2027, 4, 1)
    stories = {
        "an upgrade": [(-5_000, middle), (9_000, middle)],
        "a downgrade": [(-9_000, middle), (9_500, middle)],
        "an upgrade and a downgrade in one second": [
            (-5_000, middle),
            (9_000, middle),
            (-9_000, middle),
            (5_001, middle),
        ],
        "cancelled and begun anew on one day": [(-5_000, middle), (5_500, middle + timedelta(hours=9))],
        "a trial that ends now": [(0, first), (9_000, last - timedelta(seconds=1))],
    }
    for zone in ("UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"):
        for name, told in stories.items():
            lines = tuple(_line(f"il_{at}", minor, starts, last) for at, (minor, starts) in enumerate(told))
            yield Case(f"{name} in {zone}", _changed(lines, zone), sum(minor for minor, _ in told))


def _changed(lines: tuple[InvoiceLine, ...], zone: str) -> Callable[[], Draft]:
    return lambda: _read(lines, ZoneInfo(zone))


def all_cases() -> list[Case]:
    parts = (of_zones, of_cadences, of_moments, of_lengths, of_changes)
    return [case for part in parts for case in part()]


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: ascii(case.name))
def test_it_is_earned_whole_or_kept_out_with_its_reason(case: Case) -> None:
    made = case.run()
    if isinstance(case.verdict, str):
        if isinstance(made, str):
            assert case.verdict in made
            return
        assert made.entries == ()
        assert any(case.verdict in one.reason + one.remedy and one.remedy for one in made.unposted[0].refusals)
        return
    assert isinstance(made, Draft), made
    assert made.unposted == ()
    assert receivable(made) == case.verdict
    assert sum(one.minor for _, one in made.schedules) == case.verdict
    for _, one in made.schedules:
        _is_earned_once(one)


def _is_earned_once(one: RevenueSchedule) -> None:
    """Of each line what is earned grows by day, never beyond what was billed, and comes to all of it."""
    earned = [earned_before(one, day) for day in DAYS]
    assert (earned[0], earned[-1]) == (0, one.minor)
    assert sorted(earned, reverse=one.minor < 0) == earned


# -- the vendors' rules at the edges of a period -----------------------------------------------------------------------

RULES = tuple(ProrationRule)
CHANGES = (
    ("at its first second", timedelta()),
    ("in the hour that spring skips", timedelta(days=13, hours=7)),
    ("on its last day", timedelta(days=30, hours=12)),
    ("in its last second", timedelta(days=31) - timedelta(seconds=1)),
    ("a millisecond before its end", timedelta(days=31) - timedelta(milliseconds=1)),
    ("at its end", timedelta(days=31)),
)
OUTSIDE = (("a second before it", -timedelta(seconds=1)), ("a second after it", timedelta(days=31, seconds=1)))


def _change(after: timedelta) -> MidTermChange:
    starts = datetime(2027, 3, 1, tzinfo=UTC)
    return MidTermChange(
        currency="USD", old_minor=BILLED, new_minor=20_003, starts_at=starts, ends_at=starts + timedelta(days=31),
        changed_at=starts + after, zone=ZoneInfo("America/New_York"),
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("name", "after"), CHANGES)
def test_a_change_at_the_edge_gives_back_and_charges_the_part_that_is_left(
    rule: ProrationRule, name: str, after: timedelta
) -> None:
    made = prorate(_change(after), rule)
    assert 0 <= made.remaining <= made.whole, name
    left = Fraction(made.remaining, made.whole)
    assert made.credit.amount_minor == -round_half_up(BILLED * left)
    assert made.charge.amount_minor == round_half_up(20_003 * left)
    assert abs(left - (1 - after / timedelta(days=31))) <= Fraction(1, 31)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("name", "after"), OUTSIDE)
def test_a_change_outside_of_its_period_is_none(rule: ProrationRule, name: str, after: timedelta) -> None:
    with pytest.raises(PeriodInvalid, match="is not inside the period"):
        prorate(_change(after), rule)
    assert name


def test_the_set_is_whole_and_each_case_is_another() -> None:
    cases = all_cases()
    names = {case.name for case in cases}
    assert len(cases) == len(names)
    assert len(names) + len(RULES) * (len(CHANGES) + len(OUTSIDE)) == CASES
