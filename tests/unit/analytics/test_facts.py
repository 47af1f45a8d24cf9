"""What a target is told of an account and of a subscription, and the sentence a person reads."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from accordant.analytics.facts import (
    ACCOUNT_STATUSES,
    PAYMENT_METHOD_STATUSES,
    FactProblem,
    account_facts,
    subscription_facts,
)
from accordant.analytics.movements import MovedRevenue, Movement, MovementKind
from accordant.analytics.standing import rebuild
from accordant.analytics.wording import cycle_text, discount_text, sentence
from accordant.canonical.entities import (
    Account,
    Discount,
    PaymentMethod,
    RecurringPrice,
    Subscription,
    SubscriptionItem,
)
from accordant.canonical.facts import FACTS, MOVEMENT_FACTS, Fact, FactType
from accordant.canonical.refs import EntityKind
from accordant.canonical.standing import MethodMark, OpenInvoice, PaymentMark, ReceivableMark, Standing
from accordant.kernel.money import Money

AS_OF = datetime(2026, 3, 11, 12, tzinfo=UTC)
ACCOUNT = Account(external_id="cus_1", name="Example AG", currency="EUR", created_at=datetime(2025, 1, 1, tzinfo=UTC))
PYTHON_TYPES = {
    FactType.TEXT: str,
    FactType.NUMBER: int,
    FactType.FLAG: bool,
    FactType.MONEY: Money,
    FactType.DAY: date,
    FactType.INSTANT: datetime,
}


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def days_ago(days: int) -> datetime:
    return AS_OF - timedelta(days=days)


def a_subscription(status: str = "active", name: str = "sub_1", **more: Any) -> Subscription:
    every = more.pop("every", "1 month").split()
    metered = more.pop("metered", False)
    price = RecurringPrice(
        currency=more.get("currency", "EUR"),
        unit_minor=more.pop("unit", "10000"),
        interval=every[1],
        interval_count=int(every[0]),
        metered=metered,
    )
    item = SubscriptionItem(
        external_id="si_1",
        price_id="price_1",
        product_id="prod_1",
        plan_name=more.pop("plan", "Pro"),
        quantity=more.pop("quantity", 1),
        recurring=price,
    )
    return Subscription(
        external_id=name,
        customer_id="cus_1",
        status=status,
        currency=more.pop("currency", "EUR"),
        items=more.pop("items", (item,)),
        started_at=more.pop("started_at", days_ago(300)),
        period_ends_at=more.pop("period_ends_at", datetime(2026, 3, 14, tzinfo=UTC)),
        **more,
    )


def paid(days: int, amount: Money | None = None, name: str = "py_1") -> PaymentMark:
    return PaymentMark(payment_id=name, at=days_ago(days), amount=amount or eur(100_00))


def told(*subscriptions: Subscription, account: Account = ACCOUNT, **more: Any) -> dict[str, Fact]:
    return account_facts(account, Standing(subscriptions=subscriptions, **more), as_of=AS_OF).values


# -- the whole vocabulary --------------------------------------------------------------------------------------------


EXAMPLE = Account(
    external_id="cus_1",
    name="Example AG",
    email="pay@example.com",
    country="DE",
    currency="EUR",
    created_at=days_ago(300),
    has_payment_method=True,
)
GROWN = MovedRevenue(
    latest=(
        Movement(at=days_ago(20), kind=MovementKind.EXPANSION, before=eur(900_00), after=eur(960_00)),
        Movement(at=days_ago(290), kind=MovementKind.NEW, before=eur(0), after=eur(900_00)),
    ),
    expanded=(eur(60_00),),
)


def test_a_paying_account_fills_the_vocabulary() -> None:
    standing = Standing(
        subscriptions=(
            a_subscription(
                every="1 year", unit="1440000", discounts=(Discount(coupon_id="c", duration="forever", percent="20"),)
            ),
        ),
        collected=(eur(5000_00),),
        refunded=(eur(200_00),),
        last_payment=paid(3),
        first_payment=paid(290, name="py_0"),
        failed_payment_count=2,
        open_invoices=(OpenInvoice(invoice_id="in_1", remaining=eur(70_00), due_at=days_ago(2), attempt_count=0),),
        receivables=(ReceivableMark(party="17", open=eur(90_00), overdue=eur(70_00), oldest_due_on=date(2026, 3, 9)),),
    )
    facts = account_facts(EXAMPLE, standing, as_of=AS_OF, moved=GROWN)
    assert facts.problems == ()
    assert facts.values == {
        "external_id": "cus_1",
        "name": "Example AG",
        "email": "pay@example.com",
        "country": "DE",
        "currency": "EUR",
        "status": "active",
        "mrr": eur(960_00),
        "at_risk_mrr": eur(0),
        "plan_name": "Pro",
        "billing_cycle": "annual",
        "next_renewal_on": date(2026, 3, 14),
        "subscription_count": 1,
        "last_payment_on": date(2026, 3, 8),
        "last_payment_amount": eur(100_00),
        "payment_method_status": "on_file",
        "failed_payment_count": 2,
        "days_to_first_payment": 10,
        "lifetime_value": eur(4800_00),
        "discount": "20% off forever",
        "past_due_amount": eur(70_00),
        "receivable_open": eur(90_00),
        "receivable_overdue": eur(70_00),
        "receivable_overdue_since": date(2026, 3, 9),
        "receivable_state": "overdue",
        "payment_risk": "watch",
        "customer_since": days_ago(290).date(),
        "last_movement": "expansion",
        "last_movement_on": days_ago(20).date(),
        "last_movement_amount": eur(60_00),
        "movement_history": f"{days_ago(20).date()} expansion +60.00 EUR; {days_ago(290).date()} new +900.00 EUR",
        "expansion_total": eur(60_00),
        "deleted": False,
    }
    # Whose customer stands below another's is no fact of its own: the registry adds it.
    assert facts.values.keys() == FACTS[EntityKind.ACCOUNT].keys() - {"parent"}


def test_how_revenue_moved_is_unknown_until_it_was_counted_and_never_in_another_currency() -> None:
    account = Account(external_id="cus_1", currency="EUR")
    uncounted = account_facts(account, Standing(), as_of=AS_OF)
    assert uncounted.values.keys().isdisjoint(MOVEMENT_FACTS)
    still = account_facts(account, Standing(), as_of=AS_OF, moved=MovedRevenue())
    assert {fact: still.values[fact] for fact in MOVEMENT_FACTS} == {
        **dict.fromkeys(MOVEMENT_FACTS, None),
        "expansion_total": eur(0),
    }
    dollars = Movement(at=AS_OF, kind=MovementKind.CHURN, before=Money(5, "USD"), after=Money(0, "USD"))
    foreign = MovedRevenue(latest=(dollars,), expanded=(Money(5, "USD"),))
    told = account_facts(account, Standing(), as_of=AS_OF, moved=foreign)
    assert [problem.fact for problem in told.problems] == ["last_movement_amount", "expansion_total"]
    assert told.values["movement_history"] == f"{AS_OF.date()} churn -0.05 USD"


@pytest.mark.parametrize(
    "subscriptions",
    [(), (a_subscription(),), (a_subscription("canceled", ended_at=AS_OF), a_subscription("trialing", "sub_2"))],
)
def test_every_fact_has_the_type_of_the_vocabulary(subscriptions: tuple[Subscription, ...]) -> None:
    standing = Standing(subscriptions=subscriptions, last_payment=paid(1), first_payment=paid(1), collected=(eur(1),))
    described = [(EntityKind.ACCOUNT, account_facts(ACCOUNT, standing, as_of=AS_OF).values)]
    described += [
        (EntityKind.SUBSCRIPTION, subscription_facts(item, standing, as_of=AS_OF, product_names={}).values)
        for item in subscriptions
    ]
    for kind, values in described:
        assert values.keys() <= FACTS[kind].keys()
        for name, value in values.items():
            assert value is None or type(value) is PYTHON_TYPES[FACTS[kind][name]], name


def test_what_the_owner_never_said_is_absent_and_what_is_empty_is_none() -> None:
    values = account_facts(Account(external_id="cus_1"), Standing(), as_of=AS_OF).values
    assert values == {
        "external_id": "cus_1",
        "deleted": False,
        "status": "prospect",
        "subscription_count": 0,
        "failed_payment_count": 0,
        "next_renewal_on": None,
        "discount": None,
        "plan_name": None,
        "billing_cycle": None,
        "last_payment_on": None,
        "last_payment_amount": None,
        "customer_since": None,
        "days_to_first_payment": None,
        "payment_risk": "low",
    }


# -- are they paying us? ---------------------------------------------------------------------------------------------

LATER = AS_OF + timedelta(days=30)


@pytest.mark.parametrize(
    ("subscriptions", "first_payment", "status"),
    [
        ([], None, "prospect"),
        ([], paid(10), "one_time"),
        ([a_subscription()], None, "active"),
        ([a_subscription(cancel_at_period_end=True)], None, "cancelling"),
        ([a_subscription(cancels_at=LATER)], None, "cancelling"),
        ([a_subscription(cancel_at_period_end=True), a_subscription(name="sub_2")], None, "active"),
        ([a_subscription("trialing")], None, "trialing"),
        ([a_subscription("trialing"), a_subscription(name="sub_2")], None, "active"),
        ([a_subscription("past_due"), a_subscription(name="sub_2")], None, "past_due"),
        ([a_subscription("past_due"), a_subscription("unpaid", "sub_2")], None, "unpaid"),
        ([a_subscription("paused")], None, "paused"),
        ([a_subscription(collection_paused=True)], None, "paused"),
        ([a_subscription("incomplete")], None, "incomplete"),
        ([a_subscription("canceled", ended_at=days_ago(5))], None, "churned"),
        ([a_subscription("canceled", ended_at=days_ago(5))], paid(60), "churned"),
        ([a_subscription("canceled", ended_at=days_ago(5), trial_ends_at=days_ago(5))], None, "prospect"),
        ([a_subscription("canceled", ended_at=days_ago(5), trial_ends_at=days_ago(9))], None, "churned"),
        ([a_subscription("canceled", ended_at=days_ago(5)), a_subscription(name="sub_2")], paid(60), "active"),
    ],
)
def test_the_status_answers_whether_they_pay(
    subscriptions: list[Subscription], first_payment: PaymentMark | None, status: str
) -> None:
    assert told(*subscriptions, first_payment=first_payment)["status"] == status
    assert status in ACCOUNT_STATUSES


@pytest.mark.parametrize(
    ("subscriptions", "day"),
    [
        ([a_subscription()], date(2026, 3, 14)),
        ([a_subscription(), a_subscription(name="sub_2", period_ends_at=AS_OF)], date(2026, 3, 11)),
        ([a_subscription("past_due")], date(2026, 3, 14)),
        ([a_subscription("trialing")], date(2026, 3, 14)),
        ([a_subscription(cancel_at_period_end=True)], None),
        ([a_subscription(cancels_at=LATER)], None),
        ([a_subscription(collection_paused=True)], None),
        ([a_subscription("unpaid")], None),
        ([a_subscription("canceled", ended_at=AS_OF)], None),
        ([a_subscription(period_ends_at=datetime(2028, 2, 29, tzinfo=UTC))], date(2028, 2, 29)),
    ],
)
def test_the_next_renewal_is_none_when_nothing_will_renew(subscriptions: list[Subscription], day: date | None) -> None:
    assert told(*subscriptions)["next_renewal_on"] == day


@pytest.mark.parametrize(
    ("attempts", "due_at", "late"),
    [
        (0, days_ago(1), True),
        (0, AS_OF - timedelta(hours=1), False),  # today is not over
        (1, AS_OF - timedelta(hours=1), True),  # but the card was tried and failed
        (1, AS_OF + timedelta(hours=1), False),
        (0, AS_OF + timedelta(days=9), False),
    ],
)
def test_when_an_open_invoice_is_past_due(attempts: int, due_at: datetime, late: bool) -> None:
    invoice = OpenInvoice(invoice_id="in_1", remaining=eur(70_00), due_at=due_at, attempt_count=attempts)
    assert told(open_invoices=(invoice,))["past_due_amount"] == eur(70_00 if late else 0)


def card(expires_on: date | None) -> MethodMark:
    return MethodMark(
        payment_id="py_1", at=days_ago(3), succeeded=True, method=PaymentMethod(type="card", expires_on=expires_on)
    )


@pytest.mark.parametrize(
    ("standing", "on_account", "status"),
    [
        ({}, None, "absent"),
        ({}, False, "none"),
        ({}, True, "on_file"),
        ({"method_mark": card(None)}, False, "on_file"),
        ({"method_mark": card(date(2026, 4, 10))}, None, "on_file"),
        ({"method_mark": card(date(2026, 4, 9))}, None, "expiring"),
        ({"method_mark": card(date(2026, 3, 11))}, None, "expiring"),  # good through its last day
        ({"method_mark": card(date(2026, 3, 10))}, None, "expired"),
        ({"last_failure": paid(1)}, True, "failing"),
        ({"last_failure": paid(5), "last_payment": paid(1)}, True, "on_file"),
        ({"last_failure": paid(1), "last_payment": paid(5), "method_mark": card(None)}, True, "failing"),
    ],
)
def test_the_state_of_the_payment_method(standing: dict[str, Any], on_account: bool | None, status: str) -> None:
    account = Account(external_id="cus_1", has_payment_method=on_account)
    assert told(account=account, **standing).get("payment_method_status", "absent") == status
    assert status in (*PAYMENT_METHOD_STATUSES, "absent")


def test_the_first_payment_cannot_come_before_the_account() -> None:
    account = Account(external_id="cus_1", created_at=days_ago(10))
    assert told(account=account, first_payment=paid(20))["days_to_first_payment"] == 0
    assert "days_to_first_payment" not in told(account=Account(external_id="cus_1"), first_payment=paid(20))


def test_days_are_those_of_the_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    standing = Standing(
        subscriptions=(a_subscription(period_ends_at=datetime(2026, 3, 14, 20, tzinfo=UTC)),), first_payment=paid(1)
    )
    assert account_facts(ACCOUNT, standing, as_of=AS_OF, zone=tokyo).values["next_renewal_on"] == date(2026, 3, 15)


# -- several subscriptions, several currencies -----------------------------------------------------------------------


def test_several_plans_are_joined_and_cycles_that_differ_are_mixed() -> None:
    values = told(
        a_subscription(name="sub_1", plan="Support", every="1 year", started_at=days_ago(10)),
        a_subscription(name="sub_2", plan="Pro", started_at=days_ago(20)),
        a_subscription(name="sub_3", plan="Pro", started_at=days_ago(5)),
        a_subscription("incomplete", name="sub_4", plan="Never"),
        a_subscription("canceled", name="sub_5", plan="Old", ended_at=AS_OF),
    )
    assert (values["plan_name"], values["billing_cycle"], values["subscription_count"]) == ("Pro, Support", "mixed", 3)


def test_a_plan_nobody_named_is_named_by_its_product_or_stays_unknown() -> None:
    standing = Standing(subscriptions=(a_subscription(plan=None),))
    named = account_facts(ACCOUNT, standing, as_of=AS_OF, product_names={"prod_1": "Pro"})
    assert named.values["plan_name"] == "Pro"
    assert "plan_name" not in account_facts(ACCOUNT, standing, as_of=AS_OF).values


def test_amounts_of_another_currency_make_a_fact_unknown_with_its_reason() -> None:
    standing = Standing(
        subscriptions=(a_subscription(), a_subscription(name="sub_2", currency="USD")),
        collected=(eur(10_00), Money(5_00, "USD")),
        last_payment=paid(1, Money(5_00, "USD")),
    )
    facts = account_facts(ACCOUNT, standing, as_of=AS_OF)
    reason = "There are amounts in USD, and the account is kept in EUR. Compare the currencies in billing."
    assert facts.problems == tuple(
        FactProblem(fact, reason) for fact in ("mrr", "lifetime_value", "last_payment_amount")
    )
    assert facts.values.keys().isdisjoint({"mrr", "lifetime_value", "last_payment_amount"})
    assert facts.values["past_due_amount"] == eur(0)
    assert facts.values["at_risk_mrr"] == eur(0)


def test_a_price_nobody_stated_makes_mrr_unknown_with_its_reason() -> None:
    facts = account_facts(ACCOUNT, Standing(subscriptions=(a_subscription(unit=None),)), as_of=AS_OF)
    assert [problem.fact for problem in facts.problems] == ["mrr", "at_risk_mrr"]
    assert "sub_1" in facts.problems[0].reason
    assert "mrr" not in facts.values


@pytest.mark.parametrize(
    ("standing", "currency"),
    [
        (Standing(), None),
        (Standing(collected=(Money(1, "USD"),)), "USD"),
        (Standing(subscriptions=(a_subscription(currency="JPY"),)), "JPY"),
        (Standing(collected=(Money(1, "USD"), Money(1, "EUR"))), None),
    ],
)
def test_an_account_without_a_currency_takes_its_only_one(standing: Standing, currency: str | None) -> None:
    values = account_facts(Account(external_id="cus_1"), standing, as_of=AS_OF).values
    assert values.get("currency") == currency
    assert ("mrr" in values) is (currency is not None)


def test_at_risk_is_what_is_past_due_and_still_counts() -> None:
    values = told(a_subscription(), a_subscription("past_due", "sub_2", unit="3000"))
    assert (values["mrr"], values["at_risk_mrr"]) == (eur(130_00), eur(30_00))


# -- subscriptions ---------------------------------------------------------------------------------------------------


def test_a_subscription_fills_the_vocabulary() -> None:
    subscription = a_subscription(
        quantity=3, every="3 month", trial_ends_at=days_ago(290), cancel_at_period_end=True, ended_at=None,
        discounts=(Discount(coupon_id="c", duration="forever", amount_off=eur(10_00)),),
    )  # fmt: skip
    facts = subscription_facts(subscription, Standing(), as_of=AS_OF, product_names={})
    assert facts.problems == ()
    assert facts.values == {
        "external_id": "sub_1",
        "account": "cus_1",
        "name": "Pro every 3 months",
        "status": "active",
        "plan_name": "Pro",
        "mrr": eur(96_67),
        "currency": "EUR",
        "quantity": 3,
        "billing_cycle": "every 3 months",
        "started_on": days_ago(300).date(),
        "trial_ends_on": days_ago(290).date(),
        "next_renewal_on": None,
        "cancel_at_period_end": True,
        "ended_on": None,
        "discount": "10.00 EUR off forever",
    }
    assert facts.values.keys() == FACTS[EntityKind.SUBSCRIPTION].keys()


def test_a_subscription_that_ended_renews_no_more_and_keeps_no_discount() -> None:
    subscription = a_subscription(
        "canceled", ended_at=days_ago(1), discounts=(Discount(coupon_id="c", duration="forever", percent="5"),)
    )
    values = subscription_facts(subscription, Standing(), as_of=AS_OF, product_names={}).values
    assert (values["ended_on"], values["next_renewal_on"], values["discount"]) == (days_ago(1).date(), None, None)
    assert (values["mrr"], values["plan_name"]) == (eur(0), "Pro")


def test_a_subscription_past_due_for_too_long_is_worth_nothing() -> None:
    late = a_subscription("past_due")
    for days, worth in ((30, 100_00), (31, 0)):
        invoice = OpenInvoice(
            invoice_id="in_1", remaining=eur(1), due_at=days_ago(days), attempt_count=1, subscription_id="sub_1"
        )
        values = subscription_facts(late, Standing(open_invoices=(invoice,)), as_of=AS_OF, product_names={}).values
        assert values["mrr"] == eur(worth)


def test_what_a_subscription_does_not_state_stays_unknown() -> None:
    bare = Subscription(external_id="sub_1", customer_id="cus_1", status="active")
    facts = subscription_facts(bare, Standing(), as_of=AS_OF, product_names={})
    assert facts.values.keys() == FACTS[EntityKind.SUBSCRIPTION].keys() - {"mrr", "currency", "started_on"}
    assert facts.values["name"] == "sub_1"
    assert [problem.fact for problem in facts.problems] == ["mrr"]
    unsized = subscription_facts(a_subscription(quantity=None), Standing(), as_of=AS_OF, product_names={})
    assert "quantity" not in unsized.values


def test_usage_has_no_quantity() -> None:
    usage = a_subscription(metered=True, quantity=None)
    values = subscription_facts(usage, Standing(), as_of=AS_OF, product_names={}).values
    assert (values["quantity"], values["mrr"]) == (0, eur(0))


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "count", "text"),
    [
        ("month", 1, "monthly"),
        ("month", 3, "every 3 months"),
        ("month", 12, "annual"),
        ("month", 24, "every 2 years"),
        ("year", 1, "annual"),
        ("week", 1, "weekly"),
        ("week", 2, "every 2 weeks"),
        ("day", 1, "daily"),
        ("fortnight", 1, "every fortnight"),
    ],
)
def test_cycles_in_words(interval: str, count: int, text: str) -> None:
    assert cycle_text(interval, count) == text


@pytest.mark.parametrize(
    ("discounts", "text"),
    [
        ([], ""),
        ([Discount(coupon_id="c", duration="forever", percent="20.0")], "20% off forever"),
        ([Discount(coupon_id="c", duration="forever", percent="12.50")], "12.5% off forever"),
        ([Discount(coupon_id="c", duration="once", percent="20")], "20% off once"),
        ([Discount(coupon_id="c", duration="repeating", percent="20")], "20% off"),
        (
            [Discount(coupon_id="c", duration="repeating", amount_off=eur(1000_00), ends_at=LATER)],
            "1,000.00 EUR off until 2026-04-10",
        ),
        ([Discount(coupon_id="WELCOME", duration="forever")], "coupon WELCOME forever"),
        ([Discount(coupon_id="c", duration="once", percent="5")] * 2, "5% off once"),
    ],
)
def test_discounts_in_words(discounts: list[Discount], text: str) -> None:
    assert discount_text(discounts) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            told(a_subscription(every="1 year", unit="1440000"), last_payment=paid(3)),
            "Pays. Pro annual, 1,200.00 EUR MRR, renews 14 March, last payment 3 days ago.",
        ),
        (
            told(a_subscription(), last_payment=paid(0)),
            "Pays. Pro monthly, 100.00 EUR MRR, renews 14 March, last payment today.",
        ),
        (
            told(a_subscription(period_ends_at=datetime(2027, 1, 2, tzinfo=UTC)), last_payment=paid(1)),
            "Pays. Pro monthly, 100.00 EUR MRR, renews 2 January 2027, last payment yesterday.",
        ),
        (
            told(a_subscription()),
            "Is active, but no payment has been seen yet. Pro monthly, 100.00 EUR MRR, renews 14 March.",
        ),
        (
            told(a_subscription(cancel_at_period_end=True), last_payment=paid(9)),
            "Pays, but has cancelled. Pro monthly, 100.00 EUR MRR, does not renew, last payment 9 days ago.",
        ),
        (told(a_subscription("trialing")), "Does not pay yet: on trial. Pro monthly, first charge 14 March."),
        (
            told(
                a_subscription("past_due"),
                last_payment=paid(40),
                last_failure=paid(2),
                open_invoices=(
                    OpenInvoice(invoice_id="in_1", remaining=eur(100_00), due_at=days_ago(9), attempt_count=2),
                ),
            ),
            (
                "Is behind with paying. 100.00 EUR past due, Pro monthly, 100.00 EUR MRR, renews 14 March, "
                "the latest attempt to collect failed, last payment 40 days ago."
            ),
        ),
        (told(a_subscription("unpaid")), "Does not pay: billing has given up collecting. Pro monthly."),
        (told(a_subscription("paused")), "Does not pay now: paused. Pro monthly."),
        (told(a_subscription("incomplete")), "Has not paid yet: the first payment is open."),
        (
            told(a_subscription("canceled", ended_at=days_ago(5)), last_payment=paid(100), collected=(eur(900_00),)),
            "No longer pays. Last payment on 1 December 2025, 900.00 EUR in all.",
        ),
        (
            told(first_payment=paid(4), last_payment=paid(4), collected=(eur(50_00),)),
            "Has paid, without a subscription. Last payment 4 days ago, 50.00 EUR in all.",
        ),
        (told(), "Has never paid."),
        (told(account=Account(external_id="cus_1", deleted=True)), "Deleted in billing. Has never paid."),
        ({}, "Whether they pay is not known."),
    ],
)
def test_the_sentence_for_a_person(values: dict[str, Fact], text: str) -> None:
    assert sentence(values, as_of=AS_OF) == text


def test_every_status_has_its_sentence() -> None:
    assert all("not known" not in sentence({"status": status}, as_of=AS_OF) for status in ACCOUNT_STATUSES)


def test_the_facts_of_a_folded_account() -> None:
    standing = rebuild([a_subscription(), a_subscription("canceled", "sub_0", ended_at=days_ago(100))])
    assert account_facts(ACCOUNT, standing, as_of=AS_OF).values["mrr"] == eur(100_00)
