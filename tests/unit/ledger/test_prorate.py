"""Changes in mid-term by each rule, to the minor unit, and that rounding takes at most one unit a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import ProrationRule
from accordant.kernel.money import Money
from accordant.ledger.prorate import MidTermChange, PeriodInvalid, explain, prorate


def a_change(**changed: object) -> MidTermChange:
    change = MidTermChange(
        currency="USD",
        old_minor=1_000,
        new_minor=3_000,
        starts_at=datetime(2027, 1, 31, tzinfo=UTC),
        ends_at=datetime(2027, 2, 28, tzinfo=UTC),
        changed_at=datetime(2027, 2, 10, 18, tzinfo=UTC),
        zone=UTC,
    )
    return msgspec.structs.replace(change, **changed)


@pytest.mark.parametrize(
    ("rule", "credit", "charge"),
    [
        (ProrationRule.SECOND, -616, 1_848),  # 17.25 of 28 days
        (ProrationRule.MILLISECOND, -616, 1_848),
        (ProrationRule.MINUTE, -616, 1_848),
        (ProrationRule.DAY, -643, 1_929),  # 18 of 28 days: the day of the change belongs to the new plan
    ],
)
def test_a_change_by_each_rule(rule: ProrationRule, credit: int, charge: int) -> None:
    made = prorate(a_change(), rule)
    assert (made.credit, made.charge) == (Money(credit, "USD"), Money(charge, "USD"))
    assert made.net == Money(credit + charge, "USD")


def test_by_plan_period_the_divisor_stays_when_the_bill_date_was_moved() -> None:
    moved = a_change(ends_at=datetime(2027, 2, 20, tzinfo=UTC), plan_ends_at=datetime(2027, 2, 28, tzinfo=UTC))
    made = prorate(moved, ProrationRule.PLAN_PERIOD)
    assert (made.remaining, made.whole) == (9 * 86_400 + 6 * 3_600, 28 * 86_400)
    assert made.charge == Money(991, "USD")


def test_currencies_without_and_with_three_places() -> None:
    assert prorate(a_change(currency="JPY"), ProrationRule.DAY).charge == Money(1_929, "JPY")
    assert str(prorate(a_change(currency="KWD"), ProrationRule.DAY).charge) == "1.929 KWD"


def test_a_day_is_that_of_the_zone() -> None:
    late = a_change(changed_at=datetime(2027, 2, 11, 3, tzinfo=UTC), zone=ZoneInfo("America/New_York"))
    # It is still the 10th in New York; the period began on the 30th and ends on the 27th there.
    assert (prorate(late, ProrationRule.DAY).remaining, prorate(late, ProrationRule.DAY).whole) == (17, 28)


def test_a_change_outside_the_period_is_refused() -> None:
    for moment in (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)):
        with pytest.raises(PeriodInvalid, match="not inside"):
            prorate(a_change(changed_at=moment), ProrationRule.SECOND)
    with pytest.raises(PeriodInvalid):
        prorate(a_change(ends_at=a_change().starts_at, changed_at=a_change().starts_at), ProrationRule.DAY)


def test_a_difference_is_explained() -> None:
    change = a_change()
    right = prorate(change, ProrationRule.SECOND)
    assert explain(change, ProrationRule.SECOND, credit=right.credit, charge=right.charge).agrees
    by_day = prorate(change, ProrationRule.DAY)
    told = explain(change, ProrationRule.SECOND, credit=by_day.credit, charge=by_day.charge)
    assert (told.credit, told.charge) == (Money(-27, "USD"), Money(81, "USD"))
    assert "when time is counted by day" in told.why
    off = explain(change, ProrationRule.SECOND, credit=right.credit, charge=Money(1_849, "USD"))
    assert "1490400 of 2419200 seconds were left" in off.why
    assert off.charge == Money(1, "USD")


@given(
    old=st.integers(0, 10**9),
    new=st.integers(0, 10**9),
    length=st.integers(1, 400 * 86_400),
    part=st.fractions(0, 1),
    rule=st.sampled_from([ProrationRule.SECOND, ProrationRule.MILLISECOND, ProrationRule.MINUTE]),
)
def test_lines_conserve_the_price_of_the_time(
    old: int, new: int, length: int, part: Fraction, rule: ProrationRule
) -> None:
    starts = datetime(2027, 1, 31, tzinfo=UTC)
    ends = starts + timedelta(seconds=max(length, 60))
    change = a_change(
        old_minor=old,
        new_minor=new,
        starts_at=starts,
        ends_at=ends,
        changed_at=starts + timedelta(seconds=int(max(length, 60) * part)),
    )
    made = prorate(change, rule)
    exact = Fraction(made.remaining, made.whole)
    assert abs(made.charge.amount_minor - new * exact) <= Fraction(1, 2)
    assert abs(made.credit.amount_minor + old * exact) <= Fraction(1, 2)
