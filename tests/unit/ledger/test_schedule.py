"""Revenue by time: the published examples, and that no day and no change loses or makes a minor unit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accordant.canonical.books import Grain
from accordant.kernel.errors import InvariantBroken
from accordant.ledger.modify import Modification, Treatment, allocate, catch_up, decide, prospective
from accordant.ledger.schedule import RevenueSchedule, cut, earned_before, earned_within, lines, straight_line


def from_june_to_october(grain: Grain) -> RevenueSchedule:
    return straight_line(
        line="il_1",
        currency="USD",
        minor=12_000,
        starts_at=datetime(2026, 6, 15, 12, tzinfo=UTC),
        ends_at=datetime(2026, 10, 13, 12, tzinfo=UTC),
        grain=grain,
    )


@pytest.mark.parametrize(
    ("grain", "months"),
    [
        (Grain.MILLISECOND, [1_550, 3_100, 3_100, 3_000, 1_250]),
        (Grain.DAY, [1_600, 3_100, 3_100, 3_000, 1_200]),
        (Grain.EVEN_MONTHS, [3_000, 3_000, 3_000, 3_000]),
        (Grain.EVEN_MONTHS_ENDS_PRORATED, [1_550, 3_066, 3_066, 3_068, 1_250]),
    ],
)
def test_the_published_example_of_each_grain(grain: Grain, months: list[int]) -> None:
    assert [line.minor for line in lines(from_june_to_october(grain))] == months


def test_a_year_by_day_across_a_leap_day_and_a_change_of_clocks() -> None:
    zone = ZoneInfo("America/New_York")
    schedule = straight_line(
        line="il_1",
        currency="USD",
        minor=120_000,
        starts_at=datetime(2027, 3, 1, tzinfo=zone),
        ends_at=datetime(2028, 3, 1, tzinfo=zone),
        zone=zone,
    )
    assert earned_within(schedule, date(2028, 2, 1), date(2028, 3, 1)) == 9_508  # 29 of 366 days
    assert sum(line.minor for line in lines(schedule)) == 120_000


def test_what_begins_and_ends_on_one_day_is_earned_that_day() -> None:
    moment = datetime(2026, 6, 15, 12, tzinfo=UTC)
    for grain in Grain:
        schedule = straight_line(line="x", currency="USD", minor=500, starts_at=moment, ends_at=moment, grain=grain)
        assert earned_before(schedule, date(2026, 6, 15)) == 0
        assert earned_before(schedule, date(2026, 6, 16)) == 500


def test_a_refund_shrinks_the_rest_and_leaves_the_past_alone() -> None:
    whole = from_june_to_october(Grain.DAY)
    before = earned_before(whole, date(2026, 8, 1))
    shrunk = cut(whole, date(2026, 8, 1), remaining_minor=3_650)
    assert earned_before(shrunk, date(2026, 8, 1)) == before == 4_700
    assert [line.minor for line in lines(shrunk)] == [1_600, 3_100, 1_550, 1_500, 600]
    stopped = cut(whole, date(2026, 8, 1), remaining_minor=0)
    assert stopped.minor == before
    late = cut(whole, date(2026, 11, 1), remaining_minor=70)
    assert (late.minor, earned_within(late, date(2026, 11, 1), date(2026, 11, 2))) == (12_070, 70)


def test_a_service_does_not_end_before_it_starts() -> None:
    with pytest.raises(InvariantBroken, match="ends before it starts"):
        straight_line(
            line="x",
            currency="USD",
            minor=1,
            starts_at=datetime(2026, 2, 1, tzinfo=UTC),
            ends_at=datetime(2026, 1, 1, tzinfo=UTC),
        )


_ZONES = st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"])


@given(
    minor=st.integers(-(10**9), 10**9),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1)),
    length=st.timedeltas(timedelta(0), timedelta(days=800)),
    grain=st.sampled_from(list(Grain)),
    name=_ZONES,
    days=st.lists(st.integers(0, 900), max_size=4),
    rests=st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=4),
)
@example(120_000, datetime(2028, 2, 29), timedelta(days=366), Grain.DAY, "UTC", [0, 1], [1, 2, 3, 4])
def test_earned_and_to_earn_are_the_amount_on_every_day(
    minor: int, start: datetime, length: timedelta, grain: Grain, name: str, days: list[int], rests: list[int]
) -> None:
    zone = ZoneInfo(name)
    starts = start.replace(tzinfo=UTC)
    schedule = straight_line(
        line="x", currency="USD", minor=minor, starts_at=starts, ends_at=starts + length, grain=grain, zone=zone
    )
    first = starts.astimezone(zone).date()
    for offset, rest in zip(sorted(days), rests, strict=False):
        day = first + timedelta(days=offset)
        past = earned_before(schedule, day)
        schedule = cut(schedule, day, remaining_minor=rest)
        assert earned_before(schedule, day) == past
        assert schedule.minor == past + rest
    assert earned_before(schedule, first) == 0
    assert earned_before(schedule, first + timedelta(days=2_000)) == schedule.minor
    assert sum(line.minor for line in lines(schedule)) == schedule.minor


@given(minor=st.integers(0, 10**9), offset=st.integers(0, 500), grain=st.sampled_from(list(Grain)))
def test_what_is_earned_never_shrinks_with_time(minor: int, offset: int, grain: Grain) -> None:
    starts = datetime(2027, 11, 17, 7, 13, tzinfo=UTC)
    schedule = straight_line(
        line="x", currency="USD", minor=minor, starts_at=starts, ends_at=starts + timedelta(days=400), grain=grain
    )
    day = starts.date() + timedelta(days=offset)
    assert earned_before(schedule, day) <= earned_before(schedule, day + timedelta(days=1))


@pytest.mark.parametrize(
    ("adds", "alone", "remaining", "treatment"),
    [
        (True, True, (True,), Treatment.SEPARATE),
        (True, True, (False,), Treatment.SEPARATE),
        (True, False, (True,), Treatment.PROSPECTIVE),
        (False, False, (True, True), Treatment.PROSPECTIVE),
        (False, False, (False,), Treatment.CATCH_UP),
        (True, False, (True, False), Treatment.BY_OBLIGATION),
    ],
)
def test_the_decision_order_of_the_standard(
    adds: bool, alone: bool, remaining: tuple[bool, ...], treatment: Treatment
) -> None:
    decision = decide(Modification(adds_distinct=adds, at_standalone_price=alone, remaining_distinct=remaining))
    assert decision.treatment is treatment
    assert "606-10-25-1" in decision.because


def test_the_examples_of_the_standard() -> None:
    # Three years at 100,000; after two the third costs 80,000 and three more 200,000: 70,000 a year.
    rest = prospective(unearned_minor=8_000_000, change_minor=20_000_000)
    assert rest // 4 == 7_000_000
    assert catch_up(progress=Fraction(512, 1000), price_minor=135_000_000, recognised_minor=60_000_000) == 9_120_000
    assert catch_up(progress=Fraction(420, 820), price_minor=135_000_000, recognised_minor=60_000_000) == 9_146_341
    assert allocate(10_000, [5_000, 2_500, 7_500]) == (3_333, 1_667, 5_000)
    with pytest.raises(InvariantBroken, match="not between"):
        catch_up(progress=Fraction(3, 2), price_minor=1, recognised_minor=0)


def test_an_upgrade_is_prospective_and_catches_nothing_up() -> None:
    """From 1,000 to 1,250 a month in the middle of a year: the months before stay, those after earn the new price."""
    year = straight_line(
        line="x",
        currency="USD",
        minor=1_200_000,
        starts_at=datetime(2027, 1, 1, tzinfo=UTC),
        ends_at=datetime(2028, 1, 1, tzinfo=UTC),
        grain=Grain.EVEN_MONTHS,
    )
    past = earned_before(year, date(2027, 7, 1))
    upgraded = cut(year, date(2027, 7, 1), remaining_minor=prospective(unearned_minor=600_000, change_minor=150_000))
    assert [line.minor for line in lines(upgraded)] == [100_000] * 6 + [125_000] * 6
    assert earned_before(upgraded, date(2027, 7, 1)) == past
