"""The standing is a fold: in any order, and however often, it says what the entities say."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.standing import advance, rebuild
from accordant.canonical.entities import (
    Account,
    CreditNote,
    Dispute,
    Entity,
    Invoice,
    Payment,
    PaymentMethod,
    Refund,
    Subscription,
)
from accordant.canonical.standing import (
    MethodMark,
    OpenInvoice,
    PaymentMark,
    Standing,
    decode_standing,
    encode_standing,
)
from accordant.kernel.money import Money

T0 = datetime(2026, 1, 1, tzinfo=UTC)
VISA = PaymentMethod(type="card", brand="visa", last4="4242", expires_on=date(2027, 5, 31))
SEPA = PaymentMethod(type="sepa_debit", last4="3000")


def day(number: int) -> datetime:
    return T0 + timedelta(days=number)


def a_payment(
    name: str = "py_1",
    status: str = "succeeded",
    at: int | None = 0,
    amount: int = 10_00,
    refunded: int = 0,
    currency: str = "EUR",
    method: PaymentMethod | None = None,
) -> Payment:
    return Payment(
        external_id=name,
        customer_id="cus_1",
        status=status,
        amount=Money(amount, currency),
        refunded=Money(refunded, currency),
        failure_code="card_declined" if status == "failed" else None,
        method=method,
        created_at=None if at is None else day(at),
    )


def an_invoice(
    name: str = "in_1", status: str = "open", remaining: int = 5_00, due: int | None = 3, attempts: int = 0
) -> Invoice:
    return Invoice(
        external_id=name,
        customer_id="cus_1",
        status=status,
        total=Money(5_00, "EUR"),
        amount_due=Money(5_00, "EUR"),
        amount_paid=Money(5_00 - remaining, "EUR"),
        amount_remaining=Money(remaining, "EUR"),
        attempt_count=attempts,
        due_at=None if due is None else day(due),
        finalized_at=day(1),
        subscription_id="sub_1",
    )


def a_subscription(name: str = "sub_1", status: str = "active", ended: int | None = None) -> Subscription:
    return Subscription(
        external_id=name, customer_id="cus_1", status=status, ended_at=None if ended is None else day(ended)
    )


def a_dispute(name: str = "dp_1", status: str = "needs_response") -> Dispute:
    return Dispute(external_id=name, status=status, amount=Money(10_00, "EUR"))


# -- examples --------------------------------------------------------------------------------------------------------


def test_a_first_payment_is_first_last_and_collected() -> None:
    mark = PaymentMark(payment_id="py_1", at=day(0), amount=Money(10_00, "EUR"))
    assert advance(Standing(), None, a_payment()) == Standing(
        collected=(Money(10_00, "EUR"),), last_payment=mark, first_payment=mark
    )


def test_a_pending_payment_is_not_money_yet() -> None:
    assert advance(Standing(), None, a_payment(status="pending")) == Standing()


def test_a_refund_is_counted_once_from_the_payment() -> None:
    paid = a_payment()
    standing = advance(Standing(), None, paid)
    given_back = a_payment(refunded=4_00)
    standing = advance(standing, paid, given_back)
    standing = advance(standing, None, Refund(external_id="re_1", status="succeeded", amount=Money(4_00, "EUR")))
    assert (standing.collected, standing.refunded) == ((Money(10_00, "EUR"),), (Money(4_00, "EUR"),))


def test_each_currency_has_its_own_total_sorted() -> None:
    standing = rebuild(
        [a_payment("py_2", currency="USD", amount=7_00), a_payment("py_1"), a_payment("py_3", amount=1_00)]
    )
    assert standing.collected == (Money(11_00, "EUR"), Money(7_00, "USD"))


def test_a_failure_is_counted_remembered_and_says_why() -> None:
    standing = rebuild([a_payment("py_1", "failed", at=1), a_payment("py_2", "failed", at=2), a_payment("py_3", at=3)])
    assert standing.failed_payment_count == 2
    assert standing.last_failure is not None
    assert (standing.last_failure.payment_id, standing.last_failure.reason) == ("py_2", "card_declined")


def test_a_payment_without_a_date_counts_but_is_neither_first_nor_last() -> None:
    standing = rebuild([a_payment(at=None, method=VISA)])
    assert standing == Standing(collected=(Money(10_00, "EUR"),))


@pytest.mark.parametrize(
    ("payments", "method"),
    [
        ([], None),
        ([a_payment("py_1", "failed", 1, method=SEPA)], SEPA),
        ([a_payment("py_1", "failed", 1, method=SEPA), a_payment("py_2", "pending", 2, method=VISA)], VISA),
        ([a_payment("py_1", "succeeded", 1, method=VISA), a_payment("py_2", "failed", 2, method=SEPA)], VISA),
        ([a_payment("py_1", "succeeded", 1, method=VISA), a_payment("py_2", "succeeded", 2, method=SEPA)], SEPA),
        ([a_payment("py_1", "succeeded", 1, method=VISA), a_payment("py_2", "succeeded", 2)], VISA),
    ],
)
def test_the_method_is_that_of_the_latest_payment_that_worked(
    payments: list[Payment], method: PaymentMethod | None
) -> None:
    assert rebuild(payments).method == method


@pytest.mark.parametrize(
    ("invoice", "is_open"),
    [
        (an_invoice(), True),
        (an_invoice(status="draft"), False),
        (an_invoice(status="paid", remaining=0), False),
        (an_invoice(status="void"), False),
        (an_invoice(status="uncollectible"), False),
        (an_invoice(remaining=0), False),
        (msgspec.structs.replace(an_invoice(), deleted=True), False),
    ],
)
def test_which_invoices_are_open(invoice: Invoice, is_open: bool) -> None:
    assert bool(rebuild([invoice]).open_invoices) is is_open


def test_an_open_invoice_is_due_on_its_due_date_else_when_it_was_finalized() -> None:
    standing = rebuild([an_invoice("in_1", due=9, attempts=2), an_invoice("in_2", due=None)])
    five = Money(5_00, "EUR")
    assert standing.open_invoices == (
        OpenInvoice(invoice_id="in_2", remaining=five, due_at=day(1), attempt_count=0, subscription_id="sub_1"),
        OpenInvoice(invoice_id="in_1", remaining=five, due_at=day(9), attempt_count=2, subscription_id="sub_1"),
    )


def test_a_paid_invoice_leaves_the_list() -> None:
    standing = rebuild([an_invoice("in_1"), an_invoice("in_2", due=4)])
    standing = advance(standing, an_invoice("in_1"), an_invoice("in_1", status="paid", remaining=0))
    assert [invoice.invoice_id for invoice in standing.open_invoices] == ["in_2"]


def test_only_the_subscription_that_ended_last_is_remembered() -> None:
    standing = rebuild(
        [
            a_subscription("sub_b", "canceled", ended=5),
            a_subscription("sub_a", "active"),
            a_subscription("sub_c", "canceled", ended=9),
            a_subscription("sub_d", "canceled", ended=7),
            a_subscription("sub_e", "incomplete_expired", ended=20),
        ]
    )
    assert [subscription.external_id for subscription in standing.subscriptions] == ["sub_a", "sub_c"]


def test_a_dispute_is_open_until_a_closing_word() -> None:
    standing = rebuild([a_dispute("dp_2"), a_dispute("dp_1", "under_review"), a_dispute("dp_3", "won")])
    assert standing.open_dispute_ids == ("dp_1", "dp_2")
    assert advance(standing, a_dispute("dp_2"), a_dispute("dp_2", "lost")).open_dispute_ids == ("dp_1",)


def test_a_payment_taken_back_asks_for_a_rebuild() -> None:
    older, newer = a_payment("py_1", at=1), a_payment("py_2", at=2)
    returned = a_payment("py_2", "failed", at=2)
    standing = advance(rebuild([older, newer]), newer, returned)
    assert standing.rebuild_due
    assert standing.collected == (Money(10_00, "EUR"),)
    assert rebuild([older, returned]).last_payment == PaymentMark(
        payment_id="py_1", at=day(1), amount=Money(10_00, "EUR")
    )


def test_an_end_that_was_none_asks_for_a_rebuild() -> None:
    ended = a_subscription("sub_1", "canceled", ended=5)
    standing = advance(rebuild([ended]), ended, a_subscription("sub_1"))
    assert standing.rebuild_due
    assert standing.subscriptions == (a_subscription("sub_1"),)


@pytest.mark.parametrize(
    "entity",
    [
        Account(external_id="cus_1"),
        CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id=None, status="issued", total=Money(1, "EUR")),
    ],
)
def test_other_kinds_leave_the_standing_alone(entity: Entity) -> None:
    standing = rebuild([a_payment()])
    assert advance(standing, None, entity) is standing


def test_a_standing_survives_storage() -> None:
    standing = rebuild(
        [a_payment(method=VISA), a_payment("py_2", "failed", 4), an_invoice(), a_subscription(), a_dispute()]
    )
    assert decode_standing(encode_standing(standing)) == standing


# -- properties ------------------------------------------------------------------------------------------------------

minor = st.integers(0, 3).map(lambda number: number * 100)
days = st.integers(0, 4)
methods = st.sampled_from([None, VISA, SEPA])


@st.composite
def payment_life(draw: st.DrawFn, name: str) -> list[Entity]:
    """A payment as processors run it: pending, then one final word, then perhaps refunds."""
    at, amount, currency, method = draw(days), draw(minor), draw(st.sampled_from(["EUR", "JPY"])), draw(methods)
    life: list[Entity] = [a_payment(name, "pending", at, amount, 0, currency, method)]
    final = draw(st.sampled_from(["pending", "succeeded", "failed"]))
    if final != "pending":
        life.append(a_payment(name, final, at, amount, 0, currency, method))
    if final == "succeeded":
        life += [
            a_payment(name, final, at, amount, given, currency, method)
            for given in sorted(draw(st.lists(minor, max_size=2)))
        ]
    return life[draw(st.integers(0, len(life) - 1)) :]


@st.composite
def subscription_life(draw: st.DrawFn, name: str) -> list[Entity]:
    states = draw(
        st.lists(st.sampled_from(["incomplete", "trialing", "active", "past_due", "unpaid"]), min_size=1, max_size=3)
    )
    life: list[Entity] = [a_subscription(name, state) for state in states]
    end = draw(st.sampled_from([None, "canceled", "incomplete_expired"]))
    return life if end is None else [*life, a_subscription(name, end, ended=draw(days))]


@st.composite
def invoice_life(draw: st.DrawFn, name: str) -> list[Entity]:
    due = draw(days)
    states = draw(st.lists(st.sampled_from(["draft", "open", "paid", "void", "uncollectible"]), min_size=1, max_size=4))
    return [an_invoice(name, state, draw(minor), due, attempts) for attempts, state in enumerate(states)]


@st.composite
def dispute_life(draw: st.DrawFn, name: str) -> list[Entity]:
    words = draw(st.lists(st.sampled_from(["needs_response", "under_review", "won", "lost"]), min_size=1, max_size=3))
    return [a_dispute(name, word) for word in words]


def name_of(entity: Entity) -> str:
    return f"{type(entity).__name__}/{entity.external_id}"


@st.composite
def histories(draw: st.DrawFn) -> list[Entity]:
    """Lives of many entities, shuffled together; each entity's own states keep their order."""
    strategies = [
        *(payment_life(f"py_{number}") for number in range(draw(st.integers(0, 4)))),
        *(subscription_life(f"sub_{number}") for number in range(draw(st.integers(0, 3)))),
        *(invoice_life(f"in_{number}") for number in range(draw(st.integers(0, 2)))),
        *(dispute_life(f"dp_{number}") for number in range(draw(st.integers(0, 2)))),
    ]
    lives = [draw(strategy) for strategy in strategies]
    turns = draw(st.permutations([index for index, life in enumerate(lives) for _ in life]))
    queues = [iter(life) for life in lives]
    return [next(queues[index]) for index in turns]


def fold(history: Sequence[Entity], *, repeated: bool = False) -> tuple[Standing, dict[str, Entity]]:
    standing = Standing()
    states: dict[str, Entity] = {}
    for entity in history:
        standing = advance(standing, states.get(name_of(entity)), entity)
        states[name_of(entity)] = entity
        if repeated:
            assert advance(standing, entity, entity) is standing
    return standing, states


def dated(item: Payment) -> datetime:
    assert item.created_at is not None
    return item.created_at


def mark_of(item: Payment) -> PaymentMark:
    return PaymentMark(payment_id=item.external_id, at=dated(item), amount=item.amount, reason=item.failure_code)


def method_of(payments: Sequence[Payment]) -> MethodMark | None:
    shown = [
        MethodMark(
            payment_id=item.external_id, at=dated(item), succeeded=item.status == "succeeded", method=item.method
        )
        for item in payments
        if item.method is not None
    ]
    return max(shown, key=lambda mark: (mark.succeeded, mark.at, mark.payment_id), default=None)


def totals_of(amounts: Sequence[Money]) -> tuple[Money, ...]:
    sums = {code: sum(amount.amount_minor for amount in amounts if amount.currency == code) for code in ("EUR", "JPY")}
    return tuple(Money(total, code) for code, total in sums.items() if total)


def owed_of(entities: Sequence[Entity]) -> tuple[OpenInvoice, ...]:
    owed = [item for item in entities if isinstance(item, Invoice) and item.status == "open"]
    return tuple(
        OpenInvoice(
            invoice_id=item.external_id,
            remaining=item.amount_remaining,
            due_at=item.due_at or T0,
            attempt_count=item.attempt_count,
            subscription_id=item.subscription_id,
        )
        for item in sorted(owed, key=lambda item: (item.due_at or T0, item.external_id))
        if item.amount_remaining.amount_minor
    )


def by_definition(entities: Sequence[Entity]) -> Standing:
    """What each field means, said once more without any folding."""
    payments = sorted(
        (item for item in entities if isinstance(item, Payment)), key=lambda item: (dated(item), item.external_id)
    )
    paid = [item for item in payments if item.status == "succeeded"]
    failed = [item for item in payments if item.status == "failed"]
    subscriptions = [item for item in entities if isinstance(item, Subscription)]
    ended = sorted(
        (item for item in subscriptions if item.status == "canceled"),
        key=lambda item: (item.ended_at or T0, item.external_id),
    )
    live = [item for item in subscriptions if item.status not in {"canceled", "incomplete_expired"}]
    disputes = [item for item in entities if isinstance(item, Dispute) and item.status not in {"won", "lost"}]
    return Standing(
        subscriptions=tuple(sorted([*live, *ended[-1:]], key=lambda item: item.external_id)),
        collected=totals_of([item.amount for item in paid]),
        refunded=totals_of([item.refunded for item in paid]),
        open_invoices=owed_of(entities),
        last_payment=mark_of(paid[-1]) if paid else None,
        first_payment=mark_of(paid[0]) if paid else None,
        last_failure=mark_of(failed[-1]) if failed else None,
        failed_payment_count=len(failed),
        open_dispute_ids=tuple(sorted(item.external_id for item in disputes)),
        method_mark=method_of(payments),
    )


@given(histories())
def test_any_order_of_lawful_lives_ends_in_what_the_final_states_mean(history: list[Entity]) -> None:
    standing, states = fold(history)
    assert standing == by_definition(list(states.values()))
    assert standing == rebuild(states.values())


@given(histories())
def test_folding_twice_is_folding_once(history: list[Entity]) -> None:
    assert fold(history, repeated=True) == fold(history)


@given(histories(), st.randoms(use_true_random=False))
def test_rebuilding_does_not_depend_on_the_order(history: list[Entity], chance: Random) -> None:
    _, states = fold(history)
    shuffled = list(states.values())
    chance.shuffle(shuffled)
    assert rebuild(shuffled) == rebuild(states.values())


@given(st.data())
def test_even_lawless_lives_end_right_or_say_that_they_need_a_rebuild(data: st.DataObject) -> None:
    names = st.sampled_from(["a", "b", "c"])
    words = st.sampled_from(["pending", "succeeded", "failed"])
    payments = st.builds(a_payment, names, words, days, minor, minor, st.sampled_from(["EUR", "JPY"]), methods)
    states = st.sampled_from(["active", "canceled", "incomplete_expired"])
    subscriptions = st.builds(
        lambda name, state, end: a_subscription(name, state, None if state == "active" else end), names, states, days
    )
    history: list[Entity] = data.draw(st.lists(st.one_of(payments, subscriptions), max_size=12))
    standing, final = fold(history)
    truth = by_definition(list(final.values()))
    assert standing == truth or standing.rebuild_due
    assert (standing.collected, standing.refunded) == (truth.collected, truth.refunded)
    assert standing.failed_payment_count == truth.failed_payment_count
