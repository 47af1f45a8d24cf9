"""The policy mrr/1, row by row, in figures an accountant can check by hand (finance.md 1.2)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.mrr import (
    MRR_1,
    MrrPolicy,
    MrrPosition,
    account_mrr,
    discounts_in_force,
    mrr_position,
    oldest_unpaid_due_at,
    subscription_mrr,
)
from accordant.canonical.entities import Discount, RecurringPrice, Subscription, SubscriptionItem
from accordant.canonical.standing import OpenInvoice, Standing
from accordant.kernel.money import CurrencyUnknown, Money

AS_OF = datetime(2026, 6, 15, 12, tzinfo=UTC)
LATER = datetime(2026, 12, 31, tzinfo=UTC)
EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


def an_item(
    unit: str | None = "100_00",
    every: str = "1 month",
    quantity: int | None = 1,
    *,
    currency: str = "EUR",
    metered: bool = False,
    inclusive: bool = False,
) -> SubscriptionItem:
    count, interval = every.split()
    return SubscriptionItem(
        external_id="si_1",
        price_id="price_1",
        product_id="prod_1",
        plan_name="Pro",
        quantity=quantity,
        recurring=RecurringPrice(
            currency=currency,
            unit_minor=None if unit is None else unit.replace("_", ""),
            interval=interval,
            interval_count=int(count),
            metered=metered,
            tax_inclusive=inclusive,
        ),
    )


def a_subscription(
    *items: SubscriptionItem, status: str = "active", currency: str | None = "EUR", **more: Any
) -> Subscription:
    return Subscription(
        external_id=more.pop("external_id", "sub_1"),
        customer_id="cus_1",
        status=status,
        currency=currency,
        items=items or (an_item(),),
        **more,
    )


def minor(subscription: Subscription, **more: Any) -> int | None:
    amount = subscription_mrr(subscription, as_of=more.pop("as_of", AS_OF), **more)
    return None if amount is None else amount.amount_minor


# -- month factors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "every", "quantity", "expected"),
    [
        ("100_00", "1 month", 1, 100_00),
        ("100_00", "1 month", 7, 700_00),
        ("100_00", "1 month", 0, 0),
        ("300_00", "3 month", 1, 100_00),
        ("100_00", "3 month", 1, 33_33),  # 33.333
        ("200_00", "3 month", 1, 66_67),  # 66.667
        ("600_00", "6 month", 1, 100_00),
        ("1200_00", "1 year", 1, 100_00),
        ("1000_00", "1 year", 1, 83_33),  # 83.333
        ("2400_00", "2 year", 1, 100_00),
        ("84_00", "1 week", 1, 365_00),  # 84 × 365/84
        ("10_00", "1 week", 1, 43_45),  # 10 × 365/84 = 43.452
        ("10_00", "2 week", 1, 21_73),  # 21.726
        ("12_00", "1 day", 1, 365_00),  # 12 × 365/12
        ("1_00", "1 day", 1, 30_42),  # 30.4167
        ("30_00", "30 day", 1, 30_42),
        ("0.5", "1 month", 1, 1),  # half a unit rounds up
        ("0.5", "1 month", 3, 2),  # 1.5
        ("0.4", "1 month", 1, 0),
        ("0.5", "1 month", 1000, 500),
        ("6", "1 year", 1, 1),  # exactly one half
        ("5", "1 year", 1, 0),
        ("-10_00", "1 month", 1, -10_00),
    ],
)
def test_a_term_is_spread_over_its_months(unit: str, every: str, quantity: int, expected: int) -> None:
    assert minor(a_subscription(an_item(unit, every, quantity))) == expected


def test_yen_have_no_smaller_unit() -> None:
    subscription = a_subscription(an_item("12000", "1 year", currency="JPY"), currency="JPY")
    assert subscription_mrr(subscription, as_of=AS_OF) == Money(1000, "JPY")


def test_the_sum_is_rounded_once_not_each_item() -> None:
    thirds = [an_item("100", "3 month") for _ in range(3)]  # 3 × 33.33… is 100, not 99
    assert minor(a_subscription(*thirds)) == 100


def test_items_of_different_terms_add_up() -> None:
    assert minor(
        a_subscription(an_item("10_00", "1 month"), an_item("120_00", "1 year", 2), an_item("84_00", "1 week"))
    ) == (10_00 + 20_00 + 365_00)


def test_usage_is_worth_nothing_even_when_its_price_is_not_stated() -> None:
    assert minor(a_subscription(an_item(), an_item(None, quantity=None, metered=True))) == 100_00
    assert minor(a_subscription(an_item("3_00", metered=True))) == 0


def test_no_items_are_worth_nothing() -> None:
    empty = Subscription(external_id="sub_1", customer_id="cus_1", status="active", currency="EUR")
    assert minor(empty) == 0


def test_a_price_with_tax_inside_counts_as_it_stands() -> None:
    assert minor(a_subscription(an_item("119_00", inclusive=True))) == 119_00


@pytest.mark.parametrize(
    "on", [datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)]
)
def test_a_leap_day_changes_no_figure(on: datetime) -> None:
    assert minor(a_subscription(an_item("12_00", "1 day"), an_item("1200_00", "1 year")), as_of=on) == 465_00


# -- what cannot be known --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subscription",
    [
        a_subscription(an_item(None)),
        a_subscription(an_item(quantity=None)),
        a_subscription(an_item(every="1 decade")),
        a_subscription(an_item(every="0 month")),
        a_subscription(an_item("ten")),
        a_subscription(an_item("1/3")),
        a_subscription(an_item("NaN")),
        a_subscription(an_item(currency="USD")),
        a_subscription(msgspec.structs.replace(an_item(), recurring=None)),
        a_subscription(an_item(), an_item(currency="USD"), currency=None),
        a_subscription(discounts=(Discount(coupon_id="c", duration="forever"),)),
        a_subscription(discounts=(Discount(coupon_id="c", duration="forever", percent="a lot"),)),
        a_subscription(discounts=(Discount(coupon_id="c", duration="forever", amount_off=Money(1, "USD")),)),
    ],
)
def test_what_nobody_stated_is_unknown_and_not_zero(subscription: Subscription) -> None:
    assert subscription_mrr(subscription, as_of=AS_OF) is None


def test_the_currency_may_come_from_the_items() -> None:
    assert subscription_mrr(a_subscription(currency=None), as_of=AS_OF) == Money(100_00, "EUR")


def test_a_currency_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CurrencyUnknown, match="ZZZ"):
        subscription_mrr(a_subscription(an_item(currency="ZZZ"), currency="ZZZ"), as_of=AS_OF)


# -- statuses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("active", 100_00),
        ("past_due", 100_00),
        ("trialing", 0),
        ("incomplete", 0),
        ("incomplete_expired", 0),
        ("unpaid", 0),
        ("paused", 0),
        ("canceled", 0),
    ],
)
def test_which_statuses_count(status: str, expected: int) -> None:
    assert minor(a_subscription(status=status)) == expected


def test_a_subscription_that_ended_is_worth_nothing_from_that_moment() -> None:
    subscription = a_subscription(ended_at=AS_OF)
    assert minor(subscription) == 0
    assert minor(subscription, as_of=AS_OF - timedelta(seconds=1)) == 100_00


def test_a_subscription_that_has_not_started_is_worth_nothing_yet() -> None:
    assert minor(a_subscription(started_at=LATER)) == 0
    assert minor(a_subscription(started_at=AS_OF)) == 100_00


def test_a_paused_collection_is_worth_nothing_unless_the_policy_says_otherwise() -> None:
    paused = a_subscription(collection_paused=True)
    assert minor(paused) == 0
    assert minor(paused, policy=MrrPolicy(paused_counts=True)) == 100_00


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"cancel_at_period_end": True, "period_ends_at": LATER}, 100_00),
        ({"cancel_at_period_end": True, "period_ends_at": AS_OF}, 0),
        ({"cancel_at_period_end": True}, 100_00),
        ({"cancels_at": LATER}, 100_00),
        ({"cancels_at": AS_OF}, 0),
        ({"period_ends_at": EARLIER}, 100_00),  # renewing: its next period is only not announced yet
    ],
)
def test_a_scheduled_cancellation_counts_until_the_paid_period_ends(more: dict[str, Any], expected: int) -> None:
    assert minor(a_subscription(**more)) == expected


@pytest.mark.parametrize(
    ("days_late", "churn_days", "expected"),
    [
        (0, 30, 100_00),
        (30, 30, 100_00),
        (31, 30, 0),
        (31, None, 100_00),
        (400, None, 100_00),
        (1, 1, 100_00),
        (2, 1, 0),
    ],
)
def test_past_due_counts_through_its_last_day(days_late: int, churn_days: int | None, expected: int) -> None:
    due_at = AS_OF - timedelta(days=days_late)
    policy = MrrPolicy(delinquent_churn_days=churn_days)
    assert minor(a_subscription(status="past_due"), oldest_unpaid_due_at=due_at, policy=policy) == expected
    assert minor(a_subscription(status="active"), oldest_unpaid_due_at=due_at, policy=policy) == 100_00


def test_days_late_are_days_of_the_calendar_and_of_the_zone() -> None:
    due_at = datetime(2026, 5, 15, 23, 30, tzinfo=UTC)
    last_second, first_second = datetime(2026, 6, 14, 23, 59, 59, tzinfo=UTC), datetime(2026, 6, 15, tzinfo=UTC)
    late = a_subscription(status="past_due")
    assert minor(late, oldest_unpaid_due_at=due_at, as_of=last_second) == 100_00
    assert minor(late, oldest_unpaid_due_at=due_at, as_of=first_second) == 0
    berlin = timezone(timedelta(hours=2))  # there it was due on the 16th already
    assert minor(late, oldest_unpaid_due_at=due_at, as_of=first_second, zone=berlin) == 100_00


def test_thirty_days_late_across_a_leap_day() -> None:
    due_at = datetime(2028, 2, 1, tzinfo=UTC)
    late = a_subscription(status="past_due")
    assert minor(late, oldest_unpaid_due_at=due_at, as_of=datetime(2028, 3, 2, tzinfo=UTC)) == 100_00
    assert minor(late, oldest_unpaid_due_at=due_at, as_of=datetime(2028, 3, 3, tzinfo=UTC)) == 0


# -- discounts -------------------------------------------------------------------------------------------------------


def percent(value: str, duration: str = "forever", ends_at: datetime | None = None) -> Discount:
    return Discount(coupon_id="c", duration=duration, percent=value, ends_at=ends_at)


def off(amount: int, duration: str = "forever", ends_at: datetime | None = None) -> Discount:
    return Discount(coupon_id="c", duration=duration, amount_off=Money(amount, "EUR"), ends_at=ends_at)


MONTHLY, ANNUAL, QUARTERLY = an_item("100_00"), an_item("1200_00", "1 year"), an_item("300_00", "3 month")


@pytest.mark.parametrize(
    ("item", "discounts", "expected"),
    [
        (MONTHLY, [percent("20")], 80_00),
        (MONTHLY, [percent("12.5")], 87_50),
        (MONTHLY, [percent("100")], 0),
        (MONTHLY, [percent("33.333")], 66_67),
        (MONTHLY, [percent("20", "repeating", LATER)], 80_00),
        (MONTHLY, [percent("20", "repeating", AS_OF)], 100_00),  # the end is exclusive
        (MONTHLY, [percent("20", "repeating", EARLIER)], 100_00),
        (MONTHLY, [percent("20", "once")], 100_00),  # one invoice of many
        (QUARTERLY, [percent("20", "once")], 100_00),
        (an_item("1100_00", "11 month"), [percent("20", "once")], 100_00),
        (an_item("1200_00", "12 month"), [percent("20", "once")], 80_00),
        (ANNUAL, [percent("20", "once")], 80_00),  # 240 off, spread over the twelve months it pays for
        (ANNUAL, [off(120_00, "once")], 90_00),
        (an_item("2400_00", "2 year"), [off(240_00, "once")], 90_00),
        (ANNUAL, [percent("20")], 80_00),
        (MONTHLY, [off(15_00)], 85_00),
        (QUARTERLY, [off(15_00)], 95_00),  # 15 off every third month
        (ANNUAL, [off(120_00)], 90_00),
        (MONTHLY, [off(500_00)], 0),  # a discount never makes the customer earn
        (MONTHLY, [percent("50"), off(10_00)], 40_00),  # in their order
        (MONTHLY, [off(10_00), percent("50")], 45_00),
        (MONTHLY, [off(500_00), percent("50")], 0),
        (MONTHLY, [percent("50", "repeating", EARLIER), percent("10")], 90_00),
    ],
)
def test_discounts(item: SubscriptionItem, discounts: list[Discount], expected: int) -> None:
    assert minor(a_subscription(item, discounts=tuple(discounts))) == expected


def test_a_coupon_for_one_invoice_reduces_only_the_long_terms_of_a_mixed_subscription() -> None:
    assert minor(a_subscription(MONTHLY, ANNUAL, discounts=(percent("50", "once"),))) == 150_00


def test_an_amount_off_is_taken_from_the_invoice_that_comes_most_often() -> None:
    assert minor(a_subscription(MONTHLY, ANNUAL, discounts=(off(20_00),))) == 180_00


@pytest.mark.parametrize(("until", "expected"), [(LATER, 80_00), (AS_OF, 100_00)])
def test_a_coupon_on_an_annual_term_ends_with_that_term(until: datetime, expected: int) -> None:
    discount = percent("20", "once", ends_at=EARLIER)
    assert minor(a_subscription(ANNUAL, discounts=(discount,), period_ends_at=until)) == expected


def test_an_expired_discount_needs_no_size() -> None:
    assert minor(a_subscription(discounts=(Discount(coupon_id="c", duration="repeating", ends_at=EARLIER),))) == 100_00


def test_which_discounts_are_in_force() -> None:
    forever, over, once = percent("1"), percent("2", "repeating", EARLIER), percent("3", "once")
    subscription = a_subscription(discounts=(forever, over, once))
    assert discounts_in_force(subscription, as_of=AS_OF) == (forever, once)


@given(
    units=st.lists(st.integers(0, 10**7), min_size=1, max_size=5),
    quantity=st.integers(0, 50),
    share=st.integers(0, 100),
)
def test_a_discounted_subscription_is_never_worth_more_nor_less_than_nothing(
    units: list[int], quantity: int, share: int
) -> None:
    items = [
        an_item(str(unit), every, quantity)
        for unit, every in zip(units, ["1 month", "1 year", "1 week", "3 month", "1 day"], strict=False)
    ]
    full = minor(a_subscription(*items))
    less = minor(a_subscription(*items, discounts=(percent(str(share)), off(5_00))))
    assert full is not None
    assert less is not None
    assert 0 <= less <= full


# -- accounts --------------------------------------------------------------------------------------------------------


def unpaid(invoice_id: str, days_late: int, subscription_id: str | None) -> OpenInvoice:
    return OpenInvoice(
        invoice_id=invoice_id,
        remaining=Money(100_00, "EUR"),
        due_at=AS_OF - timedelta(days=days_late),
        attempt_count=1,
        subscription_id=subscription_id,
    )


def test_an_account_adds_up_per_currency_and_says_what_is_at_risk() -> None:
    standing = Standing(
        subscriptions=(
            a_subscription(external_id="sub_1"),
            a_subscription(external_id="sub_2", status="past_due"),
            a_subscription(an_item("50_00", currency="USD"), currency="USD", external_id="sub_3"),
            a_subscription(external_id="sub_4", status="trialing"),
            a_subscription(an_item(None), external_id="sub_5"),
            a_subscription(an_item(None), external_id="sub_6", status="canceled"),
        )
    )
    assert mrr_position(standing, as_of=AS_OF) == MrrPosition(
        counted=(Money(200_00, "EUR"), Money(50_00, "USD")), at_risk=(Money(100_00, "EUR"),), unknown=("sub_5",)
    )
    assert account_mrr(standing, currency="EUR", as_of=AS_OF) == (Money(200_00, "EUR"), Money(50_00, "USD"))


def test_an_account_without_subscriptions_has_zero_in_its_currency() -> None:
    assert account_mrr(Standing(), currency="JPY", as_of=AS_OF) == (Money(0, "JPY"),)
    assert account_mrr(Standing(), currency=None, as_of=AS_OF) == ()


def test_only_its_own_unpaid_invoices_end_a_subscription() -> None:
    late = a_subscription(external_id="sub_1", status="past_due", latest_invoice_id="in_9")
    other = Standing(subscriptions=(late,), open_invoices=(unpaid("in_1", 90, "sub_2"), unpaid("in_2", 90, None)))
    assert oldest_unpaid_due_at(other, late) is None
    assert account_mrr(other, currency="EUR", as_of=AS_OF) == (Money(100_00, "EUR"),)
    own = Standing(subscriptions=(late,), open_invoices=(unpaid("in_1", 31, "sub_1"), unpaid("in_2", 3, "sub_1")))
    assert account_mrr(own, currency="EUR", as_of=AS_OF) == (Money(0, "EUR"),)
    latest = Standing(subscriptions=(late,), open_invoices=(unpaid("in_9", 31, None),))
    assert account_mrr(latest, currency="EUR", as_of=AS_OF) == (Money(0, "EUR"),)


def test_the_policy_names_itself() -> None:
    assert MRR_1.id == "mrr/1"
