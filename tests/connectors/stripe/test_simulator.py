"""The Stripe stand-in: its billing to the second and to the last unit, its calendar and its bulk history.

Its door and its deliveries are in test_simulator_http.py; the official SDK judges it in test_simulator_sdk.py.
"""

import ast
import json
import sys
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.connectors.stripe import simulator
from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_calendar import add_intervals, next_boundary
from accordant.connectors.stripe.simulator_history import history
from accordant.connectors.stripe.simulator_params import unfold
from accordant.connectors.stripe.simulator_state import Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import CURRENT
from accordant.connectors.stripe.simulator_world import API_KEY

DAY = 86_400
KEY = {"Authorization": f"Bearer {API_KEY}"}


def second(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


class Shop:
    """One account with a product in three sizes, and everything it said."""

    def __init__(self, *, now: int = second(2024, 6, 1), currency: str = "usd", **more: Any) -> None:
        self.account = SimulatedAccount(now=now, **more)
        self.book = self.account.book
        self.said: list[tuple[str, Record]] = []
        self.book.listeners.append(lambda event: self.said.append((event.type, json.loads(event.body()))))
        product = self.account.create_product({"name": "Pro"})
        self.small, self.large = (
            self.account.create_price(product, currency=currency, unit_amount=amount, interval="month")
            for amount in (4_900, 9_900)
        )
        self.yearly = self.account.create_price(product, currency=currency, unit_amount=98_000, interval="year")
        self.customer = self.account.create_customer({"name": "Ünal", "email": "u@example.com"}, card=True)
        self.said.clear()

    def subscribe(self, price: Record | None = None, quantity: int = 1, **more: Any) -> Record:
        return self.account.billing.subscribe(self.customer, [(price or self.small, quantity)], **more)

    def upgrade(self, subscription: Record, price: Record, how: str = "create_prorations", **more: Any) -> Record:
        item = subscription["items"]["data"][0]["id"]
        change = [{"id": item, "price": price["id"]}]
        return self.account.billing.update(subscription, items=change, proration_behavior=how, **more)

    def after(self, seconds: int) -> None:
        self.book.advance_to(self.book.now + seconds)

    def types(self) -> list[str]:
        return [name for name, _ in self.said]

    def last(self, event_type: str) -> Record:
        return [event for name, event in self.said if name == event_type][-1]

    def latest_invoice(self, subscription: Record) -> Record:
        return self.book.get("invoice", subscription["latest_invoice"])


def test_a_new_subscription_says_what_stripe_says_in_one_second() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    assert shop.types() == [
        "customer.subscription.created",
        "customer.updated",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "invoice.updated",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]
    assert {event["created"] for _, event in shop.said} == {second(2024, 6, 1)}
    assert shop.said[0][1]["data"]["object"]["status"] == "incomplete"
    assert shop.last("customer.subscription.updated")["data"]["previous_attributes"] == {"status": "incomplete"}
    assert subscription["status"] == "active"
    assert subscription["current_period_end"] == second(2024, 7, 1)


@pytest.mark.parametrize(
    ("inclusive", "exempt", "total", "tax", "before_tax"),
    [
        (False, "none", 5_831, 931, 4_900),  # 19 % on 49.00
        (True, "none", 4_900, 782, 4_118),  # 49.00 / 1.19 = 41.176...
        (False, "reverse", 4_900, 0, 4_900),
        (False, "exempt", 4_900, 0, 4_900),
    ],
)
def test_tax_is_inside_the_price_or_on_top_or_nobodys(
    inclusive: bool, exempt: str, total: int, tax: int, before_tax: int
) -> None:
    shop = Shop()
    rate = shop.account.create_tax_rate({"display_name": "VAT", "percentage": "19", "inclusive": inclusive})
    shop.customer["tax_exempt"] = exempt
    subscription = shop.subscribe(given={"default_tax_rates": [rate]})
    invoice = shop.latest_invoice(subscription)
    assert (invoice["total"], invoice["tax"], invoice["total_excluding_tax"]) == (total, tax, before_tax)
    assert (invoice["subtotal"], invoice["subtotal_excluding_tax"]) == (4_900, before_tax)
    (line,) = invoice["lines"]["data"]
    assert line["amount_excluding_tax"] == before_tax
    assert line["tax_amounts"] == invoice["total_tax_amounts"]
    told = {"reverse": "reverse_charge", "exempt": "customer_exempt"}.get(exempt, "standard_rated")
    assert [one["taxability_reason"] for one in line["tax_amounts"]] == [told]


def test_a_discount_is_not_taxed() -> None:
    shop = Shop()
    rate = shop.account.create_tax_rate({"display_name": "VAT", "percentage": "19", "inclusive": False})
    half = shop.account.create_coupon({"percent_off": 50, "duration": "forever"})
    subscription = shop.subscribe(coupon=half, given={"default_tax_rates": [rate]})
    invoice = shop.latest_invoice(subscription)
    assert (invoice["total_excluding_tax"], invoice["tax"], invoice["total"]) == (2_450, 466, 2_916)  # 465.5


def test_an_event_is_a_snapshot_that_later_changes_do_not_touch() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    created = shop.book.say("customer.subscription.updated", subscription)
    shop.account.billing.cancel(subscription)
    assert json.loads(created.body())["data"]["object"]["status"] == "active"


@pytest.mark.parametrize(
    ("elapsed", "credit", "charge"),
    [
        (10 * DAY, -3_267, 6_600),  # 20 of 30 days left: 4900 × 2/3 = 3266.67, 9900 × 2/3
        (1_000_001, -3_010, 6_081),  # 1,591,999 of 2,592,000 seconds left: 3009.57 and 6080.55
        (2_591_999, 0, 0),  # one second left is worth less than half a unit
    ],
)
def test_proration_counts_seconds(elapsed: int, credit: int, charge: int) -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.after(elapsed)
    shop.upgrade(subscription, shop.large)
    items = [event["data"]["object"] for name, event in shop.said if name == "invoiceitem.created"]
    assert [item["amount"] for item in items] == [credit, charge]
    assert all(item["proration"] and item["period"]["end"] == second(2024, 7, 1) for item in items)
    previous = shop.last("customer.subscription.updated")["data"]["previous_attributes"]
    assert previous["items"]["data"][0]["price"]["id"] == shop.small["id"]
    shop.book.advance_to(second(2024, 7, 1))
    invoice = shop.latest_invoice(subscription)
    assert [line["amount"] for line in invoice["lines"]["data"]] == [credit, charge, 9_900]
    assert invoice["total"] == credit + charge + 9_900


def test_always_invoice_bills_only_the_difference_and_credits_the_old_line() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    first_line = shop.latest_invoice(subscription)["lines"]["data"][0]["id"]
    shop.after(10 * DAY)
    shop.upgrade(subscription, shop.large, "always_invoice")
    invoice = shop.latest_invoice(subscription)
    assert (invoice["billing_reason"], invoice["status"], invoice["total"]) == ("subscription_update", "paid", 3_333)
    credited = invoice["lines"]["data"][0]["proration_details"]["credited_items"]
    assert credited["invoice_line_items"] == [first_line]


def test_no_proration_when_told_so() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.after(10 * DAY)
    shop.upgrade(subscription, shop.large, "none")
    assert "invoiceitem.created" not in shop.types()


def test_another_interval_starts_a_new_cycle_and_bills_it_now() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.after(10 * DAY)
    shop.upgrade(subscription, shop.yearly)
    assert subscription["billing_cycle_anchor"] == shop.book.now
    assert subscription["current_period_end"] == second(2025, 6, 11)
    assert shop.latest_invoice(subscription)["total"] == 98_000 - 3_267
    before = len(shop.said)
    shop.book.advance_to(second(2024, 7, 2))  # the old cycle's end no longer means anything
    assert len(shop.said) == before


def test_a_downgrade_leaves_credit_that_the_next_invoice_uses() -> None:
    shop = Shop()
    subscription = shop.subscribe(shop.large)
    shop.after(10 * DAY)
    shop.upgrade(subscription, shop.small, "always_invoice")
    assert shop.customer["balance"] == -3_333
    assert shop.latest_invoice(subscription)["amount_due"] == 0
    shop.book.advance_to(second(2024, 7, 1) + 3_600)
    invoice = shop.latest_invoice(subscription)
    assert (invoice["starting_balance"], invoice["amount_due"], invoice["ending_balance"]) == (-3_333, 1_567, 0)
    assert (invoice["status"], shop.customer["balance"]) == ("paid", 0)


def test_the_31st_becomes_the_last_day_and_comes_back() -> None:
    anchor = second(2024, 1, 31, 9)
    assert [next_boundary(anchor, "month", 1, anchor + days * DAY) for days in (0, 29, 60)] == [
        second(2024, 2, 29, 9),
        second(2024, 3, 31, 9),
        second(2024, 4, 30, 9),
    ]


@given(st.integers(1_500_000_000, 1_900_000_000), st.sampled_from(["day", "week", "month", "year"]), st.integers(1, 12))
def test_boundaries_are_the_first_of_their_cycle_after_the_instant(anchor: int, interval: str, count: int) -> None:
    after = anchor + 40_000_000
    found = next_boundary(anchor, interval, count, after)
    cycle = [add_intervals(anchor, interval, step * count) for step in range(600)]
    assert found == next(boundary for boundary in cycle if boundary > after)


def test_a_failed_renewal_is_retried_and_recovers() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.account.payments.decline_next(shop.customer["id"], 2)
    shop.book.advance_to(second(2024, 7, 1) + 3_600)
    assert (subscription["status"], shop.customer["delinquent"]) == ("past_due", True)
    failed = shop.last("invoice.payment_failed")["data"]["object"]
    assert failed["next_payment_attempt"] == shop.book.now + 3 * DAY
    shop.after(3 * DAY)
    assert shop.latest_invoice(subscription)["attempt_count"] == 2
    shop.after(5 * DAY)
    assert (subscription["status"], shop.customer["delinquent"]) == ("active", False)
    assert shop.latest_invoice(subscription)["attempt_count"] == 3


@pytest.mark.parametrize("outcome", ["canceled", "unpaid", "past_due"])
def test_dunning_ends_as_the_account_chose(outcome: str) -> None:
    shop = Shop(dunning_outcome=outcome)
    subscription = shop.subscribe()
    shop.account.payments.set_card(shop.customer["id"], failing=True)
    shop.book.advance_to(second(2024, 7, 17))
    assert subscription["status"] == outcome
    assert shop.types().count("invoice.payment_failed") == 4
    assert ("customer.subscription.deleted" in shop.types()) == (outcome == "canceled")


def test_an_unpaid_start_stays_incomplete_and_expires() -> None:
    shop = Shop()
    shop.account.payments.set_card(shop.customer["id"], failing=True)
    subscription = shop.subscribe()
    assert subscription["status"] == "incomplete"
    shop.after(23 * 3_600)
    assert (subscription["status"], shop.latest_invoice(subscription)["status"]) == ("incomplete_expired", "void")
    with pytest.raises(SimulatedRefusal) as refused:
        shop.subscribe(payment_behavior="error_if_incomplete")
    assert refused.value.status == 402


def test_a_trial_warns_and_then_bills() -> None:
    shop = Shop()
    subscription = shop.subscribe(trial_end=second(2024, 6, 15))
    assert (subscription["status"], shop.latest_invoice(subscription)["total"]) == ("trialing", 0)
    shop.book.advance_to(second(2024, 6, 12))
    assert shop.types()[-1] == "customer.subscription.trial_will_end"
    shop.book.advance_to(second(2024, 6, 15) + 3_600)
    assert (subscription["status"], shop.latest_invoice(subscription)["amount_paid"]) == ("active", 4_900)
    assert subscription["current_period_end"] == second(2024, 7, 15)


def test_cancel_at_period_end_ends_there_and_can_be_taken_back() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.account.billing.update(subscription, fields={"cancel_at_period_end": True})
    assert subscription["cancel_at"] == second(2024, 7, 1)
    shop.account.billing.update(subscription, fields={"cancel_at_period_end": False})
    assert subscription["cancel_at"] is None
    shop.account.billing.update(subscription, fields={"cancel_at_period_end": True})
    shop.book.advance_to(second(2024, 7, 2))
    assert (subscription["status"], subscription["ended_at"]) == ("canceled", second(2024, 7, 1))
    assert shop.types()[-1] == "customer.subscription.deleted"
    assert shop.types().count("invoice.created") == 1


def test_cancel_now_gives_back_the_unused_time_when_asked() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.after(15 * DAY)
    shop.account.billing.cancel(subscription, prorate=True, invoice_now=True)
    assert shop.customer["balance"] == -2_450


def test_yen_have_no_decimals() -> None:
    shop = Shop(currency="jpy")
    subscription = shop.subscribe()
    line = shop.latest_invoice(subscription)["lines"]["data"][0]
    assert line["description"] == "1 × Pro (at ¥4,900 / month)"
    assert shop.last("charge.succeeded")["data"]["object"]["amount"] == 4_900


def test_a_percentage_is_spread_over_the_lines_to_the_last_unit() -> None:
    shop = Shop()
    coupon = shop.account.create_coupon({"percent_off": 33.3, "duration": "forever"})
    subscription = shop.account.billing.subscribe(
        shop.customer, [(shop.small, 1), (shop.large, 1), (shop.small, 3)], coupon=coupon
    )
    invoice = shop.latest_invoice(subscription)
    off = sum(line["discount_amounts"][0]["amount"] for line in invoice["lines"]["data"])
    assert (off, invoice["subtotal"], invoice["total"]) == (9_824, 29_500, 19_676)  # 33.3 % of 29500 is 9823.5
    assert invoice["total_discount_amounts"] == [{"amount": 9_824, "discount": subscription["discount"]["id"]}]


def test_a_coupon_for_once_discounts_one_invoice_and_a_repeating_one_ends() -> None:
    shop = Shop()
    once = shop.account.create_coupon({"percent_off": 50, "duration": "once"})
    subscription = shop.subscribe(coupon=once)
    shop.book.advance_to(second(2024, 7, 2))
    assert shop.latest_invoice(subscription)["total"] == 4_900
    thrice = shop.account.create_coupon({"percent_off": 50, "duration": "repeating", "duration_in_months": 2})
    other = shop.subscribe(coupon=thrice)
    totals = []
    for month in (8, 9, 10):
        totals.append(shop.latest_invoice(other)["total"])
        shop.book.advance_to(second(2024, month, 3))
    assert totals == [2_450, 2_450, 4_900]
    assert "customer.discount.deleted" in shop.types()


def test_every_unit_of_a_payout_has_its_transaction() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    charge = shop.book.get("charge", shop.latest_invoice(subscription)["charge"])
    shop.account.payments.refund(charge, amount=1_000, given={})
    assert shop.account.payments.create_payout("usd") is None  # nothing is available on the first day
    shop.after(2 * DAY)
    payout = shop.account.payments.create_payout("usd")
    assert payout is not None
    fee = 172  # 2.9 % of 4900 is 142.1, and 30
    assert payout["amount"] == 4_900 - fee - 1_000
    parts = [shop.book.get("balance_transaction", one) for one in shop.account.payments.transactions_of(payout["id"])]
    assert sum(part["net"] for part in parts) == 0  # what came in, less what left
    assert {part["type"] for part in parts} == {"charge", "refund", "payout"}
    shop.after(2 * DAY)
    assert shop.types()[-4:] == [
        "payout.updated", "payout.paid", "payout.updated", "payout.reconciliation_completed",
    ]  # fmt: skip


def test_a_failed_payout_returns_to_the_balance() -> None:
    shop = Shop()
    shop.subscribe()
    shop.after(2 * DAY)
    payout = shop.account.payments.create_payout("usd")
    assert payout is not None
    shop.account.payments.fail_payout(payout)
    assert shop.account.payments.balance_of("usd") == (payout["amount"], 0)
    shop.after(3 * DAY)
    assert payout["status"] == "failed"


def test_refunds_stop_at_what_was_paid() -> None:
    shop = Shop()
    charge = shop.book.get("charge", shop.latest_invoice(shop.subscribe())["charge"])
    pay = shop.account.payments
    pay.refund(charge, amount=4_000, given={})
    previous = shop.last("charge.refunded")["data"]["previous_attributes"]
    assert previous == {"amount_refunded": 0}
    with pytest.raises(SimulatedRefusal, match="greater than unrefunded"):
        pay.refund(charge, amount=901, given={})
    pay.refund(charge, amount=None, given={})
    assert charge["refunded"]
    with pytest.raises(SimulatedRefusal) as refused:
        pay.refund(charge, amount=None, given={})
    assert refused.value.body["code"] == "charge_already_refunded"


@pytest.mark.parametrize(("won", "net"), [(True, -1_500), (False, -4_900 - 1_500)])
def test_a_dispute_takes_the_money_and_perhaps_gives_it_back(won: bool, net: int) -> None:
    shop = Shop()
    charge = shop.book.get("charge", shop.latest_invoice(shop.subscribe())["charge"])
    dispute = shop.account.payments.open_dispute(charge)
    with pytest.raises(SimulatedRefusal, match="charged back"):
        shop.account.payments.refund(charge, amount=None, given={})
    shop.account.payments.close_dispute(dispute, won=won)
    assert sum(part["net"] for part in dispute["balance_transactions"]) == net
    assert ("charge.dispute.funds_reinstated" in shop.types()) == won
    with pytest.raises(SimulatedRefusal, match="already closed"):
        shop.account.payments.close_dispute(dispute, won=won)


def test_a_waiting_invoice_item_can_be_taken_back() -> None:
    shop = Shop()
    subscription = shop.subscribe()
    shop.after(10 * DAY)
    shop.upgrade(subscription, shop.large)
    credit, charge = shop.book.table("invoiceitem").values()
    shop.account.invoices.delete_item(credit)
    shop.book.advance_to(second(2024, 7, 1))
    assert shop.latest_invoice(subscription)["total"] == 6_600 + 9_900
    with pytest.raises(SimulatedRefusal, match="already on invoice"):
        shop.account.invoices.delete_item(charge)


def open_invoice(shop: Shop) -> Record:
    subscription = shop.subscribe(given={"collection_method": "send_invoice", "days_until_due": 30})
    assert subscription["status"] == "active"
    return shop.latest_invoice(subscription)


def test_a_sent_invoice_waits_for_its_customer() -> None:
    shop = Shop()
    invoice = open_invoice(shop)
    assert (invoice["status"], invoice["due_date"]) == ("open", second(2024, 7, 1))
    assert "invoice.sent" in shop.types()
    shop.account.invoices.pay(invoice, out_of_band=True)
    assert (invoice["status"], invoice["paid_out_of_band"]) == ("paid", True)
    with pytest.raises(SimulatedRefusal, match="already paid"):
        shop.account.invoices.pay(invoice)


def test_void_and_uncollectible() -> None:
    shop = Shop()
    first, other = open_invoice(shop), open_invoice(shop)
    shop.account.invoices.void(first)
    assert (first["status"], first["amount_remaining"]) == ("void", 0)
    shop.account.invoices.mark_uncollectible(other)
    assert (other["status"], other["amount_remaining"]) == ("uncollectible", 4_900)
    assert shop.types()[-1] == "invoice.marked_uncollectible"
    with pytest.raises(SimulatedRefusal):
        shop.account.invoices.void(first)


def test_a_credit_note_lowers_an_open_invoice_until_nothing_is_due() -> None:
    shop = Shop()
    invoice = open_invoice(shop)
    note = shop.account.invoices.credit(invoice, amount=900)
    assert (note["type"], invoice["amount_remaining"]) == ("pre_payment", 4_000)
    shop.account.invoices.void_credit(note)
    assert invoice["amount_remaining"] == 4_900
    with pytest.raises(SimulatedRefusal, match="above what is left"):
        shop.account.invoices.credit(invoice, amount=4_901)
    shop.account.invoices.credit(invoice, amount=4_900)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 0)


def test_a_credit_note_on_a_paid_invoice_says_where_the_money_goes() -> None:
    shop = Shop()
    invoice = shop.latest_invoice(shop.subscribe())
    with pytest.raises(SimulatedRefusal, match="must equal"):
        shop.account.invoices.credit(invoice, amount=500)
    note = shop.account.invoices.credit(invoice, amount=500, refund_amount=300, credit_amount=200)
    assert note["type"] == "post_payment"
    assert shop.book.get("refund", note["refund"])["amount"] == 300
    assert shop.customer["balance"] == -200


def test_the_clock_never_goes_back() -> None:
    shop = Shop()
    with pytest.raises(SimulatedRefusal, match="cannot go back"):
        shop.book.advance_to(shop.book.now - 1)


def test_one_seed_one_past() -> None:
    def past(seed: int) -> list[bytes]:
        return [event.body for event in islice(history(accounts=20, months=3, seed=seed), 600)]

    assert past(5) == past(5)
    assert past(5)[40] != past(6)[40]


def test_history_is_in_order_varied_and_of_real_size() -> None:
    events = list(history(accounts=60, months=6, seed=1))
    assert all(one.created <= other.created for one, other in pairwise(events))
    assert len({event.id for event in events}) == len(events)
    assert 3_000 <= sum(len(event.body) for event in events) / len(events) <= 5_000
    types = {event.type for event in events}
    assert {"invoice.payment_failed", "charge.refunded", "payout.paid", "credit_note.created"} <= types
    assert len({json.loads(event.body)["data"]["object"].get("currency") for event in events} - {None}) >= 3
    assert any("ü" in event.body.decode() or "株" in event.body.decode() for event in events)
    assert events[0].signature(17, "whsec_x").startswith("t=17,v1=")


def test_a_long_history_forgets_nothing_it_still_needs() -> None:
    events = list(history(accounts=120, months=20, seed=3))
    ended = events[0].created + 20 * 30 * DAY
    assert events[-1].created > ended - 5 * DAY
    yearly = [event for event in events if event.type == "invoiceitem.created" and b'"interval": "year"' in event.body]
    assert yearly


def test_the_current_version_moves_the_period_and_the_parent() -> None:
    shop = Shop(api_version=CURRENT)
    shop.subscribe()
    subscription = shop.last("customer.subscription.updated")["data"]["object"]
    assert "current_period_end" not in subscription
    assert subscription["items"]["data"][0]["current_period_end"] == second(2024, 7, 1)
    invoice = shop.last("invoice.paid")["data"]["object"]
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    assert not {"subscription", "charge", "paid", "payment_intent"} & set(invoice)
    line = invoice["lines"]["data"][0]
    assert line["pricing"]["price_details"]["price"] == shop.small["id"]
    assert "invoice" not in shop.last("charge.succeeded")["data"]["object"]
    shop.book.advance_to(second(2024, 7, 1))
    previous = shop.last("customer.subscription.updated")["data"]["previous_attributes"]
    assert previous["items"]["data"][0]["current_period_start"] == second(2024, 6, 1)


def test_nested_forms_unfold() -> None:
    tree = unfold(
        [("items[0][price]", "p"), ("items[1][price]", "q"), ("expand[]", "a"), ("expand[]", "b"), ("m[k]", "")]
    )
    assert tree == {"items": [{"price": "p"}, {"price": "q"}], "expand": ["a", "b"], "m": {"k": ""}}
    with pytest.raises(SimulatedRefusal):
        unfold([("a" + "[b]" * 20, "1")])


def test_the_stand_in_shares_no_code_with_what_it_tests() -> None:
    folder = Path(simulator.__file__).parent
    for file in folder.glob("simulator*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name == "accordant.connectors.stripe":
                    assert isinstance(node, ast.ImportFrom)
                    assert all(alias.name.startswith("simulator") for alias in node.names), file.name
                elif name.startswith("accordant"):
                    assert name.startswith("accordant.connectors.stripe.simulator"), f"{file.name} imports {name}"
                else:
                    assert name.split(".")[0] in {*sys.stdlib_module_names, "aiohttp"}, f"{file.name} imports {name}"


def test_a_refund_names_its_customer_only_in_the_version_that_does() -> None:
    for version, named in (("2024-04-10", False), (CURRENT, True)):
        shop = Shop(api_version=version)
        charge = shop.book.get("charge", shop.latest_invoice(shop.subscribe())["charge"])
        shop.account.payments.refund(charge, amount=1, given={})
        shown = shop.last("refund.created")["data"]["object"]
        assert (shown.get("customer") == shop.customer["id"]) == named
        assert ("payment_method" in shown) == named
