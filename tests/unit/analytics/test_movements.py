"""How recurring revenue moved: each kind by what it was before and after; the sum of all movements is what is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.movements import READ_AGAIN, Movement, MovementKind, StatedSubscription, expanded, movements
from accordant.canonical.entities import Discount, RecurringPrice, Subscription, SubscriptionItem
from accordant.kernel.money import Money

START = datetime(2026, 1, 1, tzinfo=UTC)
NEW, MORE, LESS, GONE, BACK = (
    MovementKind.NEW,
    MovementKind.EXPANSION,
    MovementKind.CONTRACTION,
    MovementKind.CHURN,
    MovementKind.REACTIVATION,
)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def stated(at: int, unit: int, *, name: str = "sub_1", currency: str = "EUR", **more: object) -> StatedSubscription:
    price = RecurringPrice(currency=currency, unit_minor=str(unit), interval="month", interval_count=1)
    item = SubscriptionItem(
        external_id="si_1", price_id="p", product_id="prod", plan_name="Pro", quantity=1, recurring=price
    )
    given_now = {"status": "active", "started_at": START, **more}
    subscription = Subscription(external_id=name, customer_id="cus_1", currency=currency, items=(item,), **given_now)  # type: ignore[arg-type]
    return StatedSubscription(at=day(at), rank=1, subscription=subscription)


def told(*states: StatedSubscription, until: int = 400) -> list[tuple[int, MovementKind, int, int]]:
    moved = movements(states, as_of=day(until))
    return [((one.at - START).days, one.kind, one.before.amount_minor, one.after.amount_minor) for one in moved]


def test_every_kind_by_what_it_was_before_and_after() -> None:
    life = (
        stated(0, 1_000),
        stated(30, 2_500),
        stated(60, 2_500),
        stated(90, 900),
        stated(120, 900, status="canceled", ended_at=day(120)),
        stated(200, 700, name="sub_2"),
    )
    assert told(*life) == [
        (0, NEW, 0, 1_000),
        (30, MORE, 1_000, 2_500),
        (90, LESS, 2_500, 900),
        (120, GONE, 900, 0),
        (200, BACK, 0, 700),
    ]
    assert expanded(movements(life, as_of=day(400))) == (Money(1_500, "EUR"),)


def test_the_end_of_one_of_two_subscriptions_is_a_contraction() -> None:
    both = (stated(0, 1_000), stated(10, 500, name="sub_2"))
    ended = stated(20, 500, name="sub_2", status="canceled", ended_at=day(20))
    assert told(*both, ended) == [(0, NEW, 0, 1_000), (10, MORE, 1_000, 1_500), (20, LESS, 1_500, 1_000)]


def test_the_calendar_alone_moves_it() -> None:
    half = Discount(coupon_id="half", duration="repeating", percent="50", ends_at=day(90))
    assert told(stated(0, 1_000, discounts=(half,))) == [(0, NEW, 0, 500), (90, MORE, 500, 1_000)]
    leaving = stated(10, 1_000, cancel_at_period_end=True, period_ends_at=day(31))
    assert told(stated(0, 1_000), leaving) == [(0, NEW, 0, 1_000), (31, GONE, 1_000, 0)]
    assert told(stated(0, 1_000), leaving, until=30) == [(0, NEW, 0, 1_000)]
    assert told(stated(0, 1_000), leaving, stated(20, 1_000)) == [(0, NEW, 0, 1_000)], "it was taken back in time"


def test_a_trial_is_new_when_it_is_paid_for() -> None:
    assert told(stated(0, 1_000, status="trialing"), stated(14, 1_000)) == [(14, NEW, 0, 1_000)]


def test_currencies_are_never_added_up() -> None:
    moved = movements([stated(0, 1_000), stated(5, 800, name="sub_2", currency="USD")], as_of=day(9))
    assert [(one.kind, str(one.after)) for one in moved] == [(NEW, "10.00 EUR"), (NEW, "8.00 USD")]


@pytest.mark.parametrize("second", [0, 1])
def test_a_creation_comes_first_within_a_second(second: int) -> None:
    born = StatedSubscription(at=day(0), rank=0, subscription=stated(0, 100).subscription)
    changed = stated(0, 300)
    pair = (born, changed) if second else (changed, born)
    assert told(*pair) == [(0, NEW, 0, 300)]


@pytest.mark.parametrize("first", [300, 700])
def test_what_was_read_tells_which_of_one_second_came_last(first: int) -> None:
    """The change is of the second in which it was told of, and the reading is no movement of its own."""
    pair = [stated(5, 300), stated(5, 700)]
    pair.sort(key=lambda one: one.subscription.items[0].recurring.unit_minor != str(first))  # type: ignore[union-attr]
    read = StatedSubscription(at=day(6), rank=READ_AGAIN, subscription=stated(5, first).subscription)
    assert told(stated(0, 100), *pair, read) == [(0, NEW, 0, 100), (5, MORE, 100, first)]
    # One that says something else again is a change between the two, of which no notice has come yet.
    other = StatedSubscription(at=day(6), rank=READ_AGAIN, subscription=stated(6, 900).subscription)
    assert told(stated(0, 100), *pair, other)[-1] == (6, MORE, told(stated(0, 100), *pair)[-1][-1], 900)
    # And one that was asked for before tells nothing of it.
    early = StatedSubscription(at=day(4), rank=READ_AGAIN, subscription=stated(5, first).subscription)
    assert told(stated(0, 100), early, *pair)[1] == (4, MORE, 100, first)


def test_an_end_comes_last_within_its_second_whatever_came_first() -> None:
    ended = stated(5, 100, status="canceled", ended_at=day(5))
    for pair in ([stated(5, 300), ended], [ended, stated(5, 300)]):
        assert told(stated(0, 100), *pair) == [(0, NEW, 0, 100), (5, GONE, 100, 0)]


_states = st.builds(
    lambda at, unit, name, status: stated(
        at, unit, name=name, status=status, ended_at=day(at) if status == "canceled" else None
    ),
    st.integers(0, 300),
    st.integers(1, 5_000),
    st.sampled_from(["sub_1", "sub_2", "sub_3"]),
    st.sampled_from(["active", "active", "trialing", "past_due", "canceled"]),
)


@given(st.lists(_states, max_size=12), st.randoms())
def test_no_order_of_arrival_counts_and_the_sum_is_what_is_left(states: list[StatedSubscription], dice: object) -> None:
    moved = movements(states, as_of=day(400))
    mixed = list(states)
    dice.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis types its dice loosely
    assert movements(mixed, as_of=day(400)) == moved
    _chains(moved)
    assert all((one.kind is NEW) == (place == 0) for place, one in enumerate(moved))


def _chains(moved: tuple[Movement, ...]) -> None:
    """Opening and all movements give the closing: each begins where the one before it ended."""
    level = 0
    for one in moved:
        assert one.before.amount_minor == level
        assert one.difference.amount_minor == one.after.amount_minor - level
        assert one.difference.amount_minor != 0
        level = one.after.amount_minor
