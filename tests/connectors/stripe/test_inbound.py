"""What Stripe's notices mean, rule by rule, counted by hand: one real change is one business event."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.entities import (
    Account,
    BalanceMovement,
    CreditNote,
    Invoice,
    Payment,
    Price,
    Product,
    Refund,
    Subscription,
)
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.observations import Interpretation, Interpreted, Parked, Quarantined, Standpoint
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.stripe.inbound import StripeInbound
from accordant.kernel.money import Money

HERE = Path(__file__).parent
READ_AT = datetime(2026, 3, 14, 12, tzinfo=UTC)
CUSTOMER = ExternalRef("billing", "customer", "cus_QXg1o8vcGmoR32")
CHARGE = ExternalRef("billing", "charge", "ch_1PgafuB7WZ01zgkWXYmPNZs8")


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HERE / "fixtures" / f"{name}.json").read_bytes())
    return loaded


def interpret(body: dict[str, Any], live: bool | None = False) -> Interpretation:
    return StripeInbound(live=live).interpret(system="billing", body=json.dumps(body).encode())


def said(*names: str) -> tuple[BusinessEvent, ...]:
    events: list[BusinessEvent] = []
    for name in names:
        found = interpret(event(name))
        assert isinstance(found, Interpreted), found
        events.extend(found.business_events)
    return tuple(events)


def entity(name: str) -> Any:
    found = interpret(event(name))
    assert isinstance(found, Interpreted), found
    return found.observations[0].entity


@pytest.mark.parametrize("version", ["current", "2024_04_10"])
def test_one_payment_is_one_payment_applied(version: str) -> None:
    notices = [f"{kind}__{version}" for kind in ("charge.succeeded", "invoice.paid", "invoice.payment_succeeded")]
    (applied,) = said(*notices)
    assert (applied.type, applied.amount) == (EventType.PAYMENT_APPLIED, Money(6000, "USD"))
    assert (applied.subject, applied.root) == (CHARGE, CUSTOMER)


@pytest.mark.parametrize("version", ["current", "2024_04_10"])
def test_a_payment_out_of_band_is_applied_once_and_names_the_invoice(version: str) -> None:
    events = said(f"invoice.paid__out_of_band_{version}", f"invoice.payment_succeeded__out_of_band_{version}")
    assert [found.type for found in events] == [EventType.PAYMENT_APPLIED] * 2
    assert len({found.id for found in events}) == 1
    assert events[0].subject.object_type == "invoice"
    assert events[0].amount == Money(6000, "USD")
    assert events[0].occurred_at == datetime(2026, 3, 14, 9, 0, 2, tzinfo=UTC)
    assert events[0] == events[1]


@pytest.mark.parametrize(
    ("starting", "ending", "moved"), [(-2_000, 0, 2_000), (0, -500, -500), (30, 0, -30), (0, 0, None), (0, None, None)]
)
def test_what_the_customers_balance_moved_by_is_told_once(starting: int, ending: int | None, moved: int | None) -> None:
    body = event("invoice.finalized__current")
    body["data"]["object"] |= {"starting_balance": starting, "ending_balance": ending}
    found = interpret(body)
    assert isinstance(found, Interpreted)
    applied = [one.amount for one in found.business_events if one.type is EventType.BALANCE_APPLIED]
    assert applied == ([] if moved is None else [Money(moved, "USD")])


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"customer_balance_transaction": None}, None),
        ({"customer_balance_transaction": "cbtxn_1"}, 1_000),
        ({"customer_balance_transaction": "cbtxn_1", "post_payment_amount": 800}, 800),
        ({"customer_balance_transaction": "cbtxn_1", "post_payment_amount": 800, "out_of_band_amount": 100,
          "refunds": [{"refund": "re_1", "amount_refunded": 300}]}, 400),
    ],
)  # fmt: skip
def test_what_of_a_credit_note_is_kept_for_the_customer(more: dict[str, Any], kept: int | None) -> None:
    body = event("credit_note.created__current")
    body["data"]["object"] |= {"total": 1_000, "post_payment_amount": None, "refunds": []} | more
    found = interpret(body)
    assert isinstance(found, Interpreted)
    note = found.observations[0].entity
    assert isinstance(note, CreditNote)
    assert note.to_balance == (None if kept is None else Money(kept, "USD"))


@pytest.mark.parametrize("version", ["current", "2024_04_10"])
def test_nothing_is_paid_on_an_invoice_over_nothing(version: str) -> None:
    assert said(f"invoice.paid__zero_{version}") == ()
    assert entity(f"invoice.paid__zero_{version}").status == "paid"


def test_money_only_reserved_is_not_paid() -> None:
    assert said("charge.succeeded__reserved_only") == ()
    assert entity("charge.succeeded__reserved_only").status == "pending"
    assert entity("charge.expired__current").status == "failed"


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_a_charge_that_did_not_succeed_pays_nothing_whatever_its_notice_is_called(status: str) -> None:
    body = event("charge.succeeded__current")
    body["data"]["object"]["status"] = status
    found = interpret(body)
    assert isinstance(found, Interpreted)
    assert found.business_events == ()


def test_a_part_captured_is_the_part_that_is_paid() -> None:
    (applied,) = said("charge.captured__part")
    assert applied.amount == Money(4000, "USD")


@pytest.mark.parametrize("version", ["current", "2024_04_10"])
def test_one_failed_attempt_is_one_payment_failed(version: str) -> None:
    (failed,) = said(f"charge.failed__{version}", f"invoice.payment_failed__{version}")
    assert (failed.type, failed.subject, failed.note) == (EventType.PAYMENT_FAILED, CHARGE, "card_declined")


def test_two_failed_attempts_are_two() -> None:
    second = event("charge.failed__current")
    second["data"]["object"]["id"] = "ch_second"
    again = interpret(second)
    assert isinstance(again, Interpreted)
    assert again.business_events[0].id != said("charge.failed__current")[0].id


def test_an_attempt_without_a_charge_is_told_by_the_invoice_once() -> None:
    events = said("invoice.payment_failed__no_charge", "invoice.payment_action_required__2024_04_10")
    assert len(events) == 2
    assert len({found.id for found in events}) == 1
    assert events[0].amount == Money(6000, "USD")


def test_the_next_attempt_without_a_charge_is_another() -> None:
    later = event("invoice.payment_failed__no_charge")
    later["data"]["object"]["attempt_count"] = 2
    found = interpret(later)
    assert isinstance(found, Interpreted)
    assert found.business_events[0].id != said("invoice.payment_failed__no_charge")[0].id


def test_a_refund_is_issued_once_whoever_tells_it() -> None:
    names = ["charge.refunded__2024_04_10", "charge.refund.updated__2024_04_10", "refund.created__2024_04_10"]
    names += ["refund.updated__current", "refund.created__current", "refund.created__pending"]
    events = said(*names)
    assert len(events) == len(names)
    assert len({found.id for found in events}) == 1
    assert {found.occurred_at for found in events} == {datetime(2026, 3, 14, 9, tzinfo=UTC)}
    assert {found.amount for found in events} == {Money(2500, "USD")}


@pytest.mark.parametrize("status", ["failed", "canceled", "requires_action"])
def test_a_refund_that_gives_nothing_back_is_not_issued(status: str) -> None:
    body = event("refund.created__current")
    body["data"]["object"]["status"] = status
    found = interpret(body)
    assert isinstance(found, Interpreted)
    assert found.business_events == ()
    assert found.observations[0].entity.status == status  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "root", "kind"),
    [
        ("refund.created__current", CUSTOMER, EntityKind.ACCOUNT),
        ("refund.created__2024_04_10", CHARGE, EntityKind.PAYMENT),
        ("refund.created__charge_expanded", CUSTOMER, EntityKind.ACCOUNT),
        ("charge.dispute.created__current", CHARGE, EntityKind.PAYMENT),
        ("charge.dispute.closed__won", CUSTOMER, EntityKind.ACCOUNT),
        ("charge.succeeded__without_customer", CHARGE, EntityKind.PAYMENT),
        ("invoice.paid__current", CUSTOMER, EntityKind.ACCOUNT),
        ("payout.paid__current", ExternalRef("billing", "payout", "po_1Pgc79B7WZ01zgkWu1KToYf4"), EntityKind.PAYOUT),
    ],
)
def test_the_root_is_the_customer_else_the_charge_else_itself(name: str, root: ExternalRef, kind: EntityKind) -> None:
    found = interpret(event(name))
    assert isinstance(found, Interpreted)
    assert {(seen.root, seen.root_kind) for seen in found.observations} == {(root, kind)}


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("customer.subscription.created__current", [EventType.SUBSCRIPTION_ACTIVATED]),
        ("customer.subscription.created__trial", [EventType.SUBSCRIPTION_ACTIVATED]),
        ("customer.subscription.created__incomplete", []),
        ("customer.subscription.updated__became_active", [EventType.SUBSCRIPTION_ACTIVATED]),
        ("customer.subscription.updated__trial_ended", []),
        ("customer.subscription.updated__past_due", []),
        ("customer.subscription.updated__cancel_at_period_end", []),
        ("customer.subscription.updated__renewal_current", []),
        ("customer.subscription.updated__renewal_2024_04_10", []),
        ("customer.subscription.updated__current", [EventType.CONTRACT_AMENDED]),
        ("customer.subscription.updated__2024_04_10", [EventType.CONTRACT_AMENDED]),
        ("customer.subscription.updated__plan_only", [EventType.CONTRACT_AMENDED]),
        ("customer.subscription.deleted__current", [EventType.SUBSCRIPTION_CANCELLED]),
        ("customer.subscription.paused__current", []),
        ("customer.subscription.resumed__current", []),
        ("invoice.finalized__current", [EventType.INVOICE_ISSUED]),
        ("invoice.voided__current", [EventType.INVOICE_VOIDED]),
        ("credit_note.created__current", [EventType.CREDIT_APPROVED]),
        ("credit_note.voided__current", []),
        ("charge.dispute.created__current", [EventType.DISPUTE_OPENED]),
        ("charge.dispute.closed__current", [EventType.DISPUTE_CLOSED]),
        ("charge.dispute.funds_withdrawn__current", []),
        ("payout.created__current", [EventType.PAYOUT_CREATED]),
        ("payout.paid__current", [EventType.PAYOUT_PAID]),
        ("payout.failed__current", [EventType.PAYOUT_FAILED]),
        ("customer.created__current", [EventType.CUSTOMER_CREATED]),
        ("customer.updated__current", []),
    ],
)
def test_what_each_notice_makes_happen(name: str, types: list[EventType]) -> None:
    assert [found.type for found in said(name)] == types


def test_two_amendments_in_one_subscription_are_two_and_one_told_twice_is_one() -> None:
    first, second, told_again = (event("customer.subscription.updated__current") for _ in range(3))
    second["created"] += 60
    told_again["id"] = "evt_other"
    ids = [found.business_events[0].id for found in map(interpret, (first, second, told_again))]  # type: ignore[union-attr]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


def test_the_period_stands_on_items_and_subscription_in_both_versions() -> None:
    for version in ("current", "2024_04_10"):
        found: Subscription = entity(f"customer.subscription.created__{version}")
        span = (datetime(2026, 2, 28, 9, tzinfo=UTC), datetime(2026, 3, 31, 9, tzinfo=UTC))
        assert (found.period_starts_at, found.period_ends_at) == span
        assert (found.items[0].period_starts_at, found.items[0].period_ends_at) == span


# NUL is set aside by the decoder, which its own tests prove.
WORDS = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=5)


@given(
    status=st.sampled_from(["trialing", "active", "past_due", "unpaid", "paused", "incomplete", "canceled"]),
    rows=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 10**9), st.sampled_from(["day", "week", "month", "year"])),
        max_size=5,
    ),
    starts=st.integers(0, 2**32),
    lasts=st.integers(1, 10**8),
    rest=st.fixed_dictionaries(
        {
            "currency": st.sampled_from(["usd", "jpy", "kwd", "eur", "mga"]),
            "cancel_at_period_end": st.booleans(),
            "canceled_at": st.none() | st.integers(0, 2**32),
            "trial_end": st.none() | st.integers(0, 2**32),
            "metadata": st.dictionaries(WORDS, WORDS, max_size=3),
        }
    ),
)
def test_any_subscription_is_the_same_entity_in_both_shapes(
    status: str, rows: list[tuple[int, int, str]], starts: int, lasts: int, rest: dict[str, Any]
) -> None:
    found = []
    for version, period_on_items in (("current", True), ("2024_04_10", False)):
        body = event(f"customer.subscription.created__{version}")
        part = body["data"]["object"]
        span = {"current_period_start": starts, "current_period_end": starts + lasts}
        (item,) = part["items"]["data"]
        part["items"]["data"] = [
            {
                **item,
                "id": f"si_{number}",
                "quantity": quantity,
                "price": {
                    **item["price"],
                    "currency": rest["currency"],
                    "unit_amount": amount,
                    "unit_amount_decimal": str(amount),
                    "recurring": {**item["price"]["recurring"], "interval": interval},
                },
                **(span if period_on_items else {}),
            }
            for number, (quantity, amount, interval) in enumerate(rows)
        ]
        part.update(status=status, **rest, **({} if period_on_items and rows else span))
        answer = interpret(body)
        assert isinstance(answer, Interpreted), answer
        found.append(answer.observations[0].entity)
    assert found[0] == found[1]


def test_of_two_rhythms_the_next_end_counts() -> None:
    found: Subscription = entity("customer.subscription.created__two_rhythms")
    assert found.period_ends_at == datetime(2026, 3, 31, 9, tzinfo=UTC)
    assert [item.recurring.interval for item in found.items if item.recurring] == ["month", "year"]


def test_a_discount_says_what_it_takes_off_or_that_it_does_not_say() -> None:
    (told,) = entity("customer.subscription.created__current").discounts
    assert (told.coupon_id, told.percent, told.duration) == ("Z4OV52SU", "25.5", "repeating")
    (untold,) = entity("customer.subscription.created__discount_not_expanded").discounts
    assert (untold.coupon_id, untold.percent, untold.duration) == ("di_1Pgc6rB7WZ01zgkW7Al8Fal9", None, "unstated")


def test_items_left_out_are_not_taken_for_items_not_there() -> None:
    assert isinstance(interpret(event("customer.subscription.created__items_cut")), Parked)


def test_lines_left_out_are_marked() -> None:
    assert entity("invoice.finalized__lines_cut").lines_complete is False
    assert entity("invoice.finalized__current").lines_complete is True


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("invoice.finalized__yen", Money(4500, "JPY")),
        ("invoice.finalized__ariary", Money(450000, "MGA")),  # 4500 of theirs, which have no decimals
        ("invoice.finalized__krona", Money(4500, "ISK")),  # 450000 of theirs, which have two
        ("invoice.finalized__current", Money(7140, "USD")),
    ],
)
def test_amounts_are_minor_units_of_the_standard(name: str, total: Money) -> None:
    found: Invoice = entity(name)
    assert found.total == total
    assert found.lines[0].amount_minor == total.amount_minor - (found.tax.amount_minor if found.tax else 0)


def test_half_a_krona_is_set_aside() -> None:
    body = event("invoice.finalized__krona")
    body["data"]["object"]["total"] = 450050
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where == "data.object.total"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("price.created__current", "2000"),
        ("price.created__half_a_unit", "0.5"),
        ("price.created__tiered", None),
        ("price.created__packages", None),
    ],
)
def test_the_price_of_one_unit_is_told_only_where_it_is_one_number(name: str, unit: str | None) -> None:
    found: Price = entity(name)
    assert found.recurring is not None
    assert found.recurring.unit_minor == unit
    assert found.recurring.tax_inclusive is (name == "price.created__half_a_unit")


def test_a_one_time_price_does_not_recur() -> None:
    assert entity("price.created__one_time").recurring is None


def test_a_card_shows_its_last_digits_and_its_last_day() -> None:
    found: Payment = entity("charge.succeeded__current")
    assert found.method is not None
    assert (found.method.brand, found.method.last4, found.method.expires_on) == ("visa", "4242", date(2028, 2, 29))
    debit: Payment = entity("charge.pending__current")
    assert debit.method is not None
    assert (debit.method.type, debit.method.last4) == ("sepa_debit", "3000")


@pytest.mark.parametrize("name", ["customer.deleted__current", "customer.deleted__id_only"])
def test_a_deleted_customer_is_deleted_however_much_is_told(name: str) -> None:
    found: Account = entity(name)
    assert found.deleted is True
    assert (found.name is not None) is (name == "customer.deleted__current")


def test_deleted_products_prices_and_drafts_are_deleted() -> None:
    for name in ("product.deleted__current", "price.deleted__current", "invoice.deleted__current"):
        assert entity(name).deleted is True


def test_tax_ids_are_taken_where_they_are_sent() -> None:
    assert entity("customer.updated__with_tax_ids").tax_ids == ("DE123456789",)


def test_a_charge_before_2015_and_an_invoice_before_2018_said_only_paid() -> None:
    charge, invoice = event("charge.succeeded__2024_04_10"), event("invoice.paid__2024_04_10")
    del charge["data"]["object"]["status"], invoice["data"]["object"]["status"]
    for body, status in ((charge, "succeeded"), (invoice, "paid")):
        found = interpret(body)
        assert isinstance(found, Interpreted), found
        assert found.observations[0].entity.status == status  # type: ignore[union-attr]


@pytest.mark.parametrize(("live", "comes", "fits"), [(True, True, True), (True, False, False), (False, True, False)])
def test_the_mode_of_the_event_is_the_mode_of_the_connection(live: bool, comes: bool, fits: bool) -> None:
    body = event("customer.created__current")
    body["livemode"] = comes
    found = interpret(body, live)
    assert isinstance(found, Interpreted if fits else Quarantined)
    assert fits or found.where == "livemode"  # type: ignore[union-attr]
    assert isinstance(interpret(body, None), Interpreted)


# -- objects as they are read ----------------------------------------------------------------------------------------


def read(object_type: str, part: dict[str, Any] | None, name: str | None = None) -> Interpretation:
    ref = ExternalRef("billing", object_type, name or (part or {"id": "x_1"})["id"])
    body = b"" if part is None else json.dumps(part).encode()
    return StripeInbound(live=False).interpret_object(ref=ref, body=body, read_at=READ_AT)


@pytest.mark.parametrize(
    "name",
    ["customer.created", "customer.subscription.created", "invoice.paid", "charge.succeeded", "payout.paid"],
)
def test_a_reading_is_the_same_entity_with_another_standpoint_and_makes_nothing_happen(name: str) -> None:
    body = event(f"{name}__current")
    notice = interpret(body)
    part = body["data"]["object"]
    reading = read(part["object"], part)
    assert isinstance(notice, Interpreted)
    assert isinstance(reading, Interpreted)
    (seen,) = reading.observations
    assert seen.entity == notice.observations[0].entity
    assert (seen.ref, seen.root) == (notice.observations[0].ref, notice.observations[0].root)
    assert (seen.standpoint, seen.observed_at) == (Standpoint.READING, READ_AT)
    assert reading.business_events == ()


MOVEMENT = {
    "id": "txn_1", "object": "balance_transaction", "amount": 6000, "available_on": 1773478800, "created": 1773478800,
    "currency": "eur", "fee": 204, "net": 5796, "source": "ch_1", "type": "charge", "reporting_category": "charge",
    "status": "available", "exchange_rate": 0.9, "fee_details": [], "description": None,
}  # fmt: skip


def test_a_balance_movement_is_read() -> None:
    found = read("balance_transaction", MOVEMENT)
    assert isinstance(found, Interpreted)
    movement = found.observations[0].entity
    assert isinstance(movement, BalanceMovement)
    assert (movement.amount, movement.fee, movement.net) == (Money(6000, "EUR"), Money(204, "EUR"), Money(5796, "EUR"))
    assert (movement.source_id, movement.payout_id) == ("ch_1", None)
    paid_out = read("balance_transaction", {**MOVEMENT, "type": "payout", "source": "po_1", "fee": 0, "net": 6000})
    assert isinstance(paid_out, Interpreted)
    assert paid_out.observations[0].entity.payout_id == "po_1"  # type: ignore[union-attr]


def test_a_balance_movement_that_does_not_add_up_is_set_aside() -> None:
    found = read("balance_transaction", {**MOVEMENT, "net": 5797})
    assert isinstance(found, Quarantined)
    assert found.where == "net"


@pytest.mark.parametrize(("kind", "shape"), [("customer", Account), ("product", Product), ("price", Price)])
@pytest.mark.parametrize("body", [None, {"id": "x_1", "deleted": True}])
def test_what_the_owner_no_longer_has_is_deleted(kind: str, shape: type, body: dict[str, Any] | None) -> None:
    found = read(kind, body and {**body, "object": kind}, "x_1")
    assert isinstance(found, Interpreted)
    gone: Any = found.observations[0].entity
    assert (type(gone), gone.deleted) == (shape, True)


@pytest.mark.parametrize("kind", ["invoice", "subscription", "charge", "refund", "payout"])
def test_what_is_gone_without_a_last_state_waits_for_a_person(kind: str) -> None:
    for body in (None, {"id": "x_1", "object": kind, "deleted": True}):
        assert isinstance(read(kind, body, "x_1"), Quarantined)


def test_another_object_than_asked_for_is_set_aside() -> None:
    part = event("customer.created__current")["data"]["object"]
    assert isinstance(read("customer", part, "cus_other"), Quarantined)
    assert isinstance(read("product", part), Quarantined)
    assert isinstance(read("mandate", part), Parked)
    assert isinstance(read("customer", {**part, "livemode": True}), Quarantined)


def test_an_expanded_object_is_the_same_as_its_id() -> None:
    found: Subscription = entity("customer.subscription.created__expanded")
    assert (found.customer_id, found.latest_invoice_id) == (CUSTOMER.id, "in_1Pgc6tB7WZ01zgkWu9fdqL6I")
    assert found.items[0].product_id == "prod_QXg1hqf4jFNsqG"
    assert found.items[0].plan_name == "Pro"
    refund: Refund = entity("refund.created__charge_expanded")
    assert (refund.payment_id, refund.customer_id) == (CHARGE.id, CUSTOMER.id)
