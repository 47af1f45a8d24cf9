"""Metered prices and payments over several bills in the Stripe stand-in: what they bill, what they say and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_state import Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import CURRENT
from accordant.testing.contracts import load_specification
from tests.connectors.stripe.test_simulator import DAY, KEY, Shop, second


def metered(shop: Shop) -> Record:
    """A subscription of a fee and of so much for each unit; the item of the latter is its second."""
    account = shop.account
    product = account.create_product({"name": "Calls"})
    price = account.create_price(
        product, currency="usd", unit_amount=7, interval="month", given={"usage_type": "metered"}
    )
    return account.billing.subscribe(shop.customer, [(shop.small, 1), (price, 1)])


def last_bill(shop: Shop) -> Any:
    return list(shop.book.table("invoice").values())[-1]


def test_what_was_used_is_billed_with_the_next_period_for_its_own() -> None:
    shop = Shop()
    subscription = metered(shop)
    item = subscription["items"]["data"][1]
    assert "quantity" not in item
    assert [line["amount"] for line in last_bill(shop)["lines"]["data"]] == [4_900]
    shop.after(3 * DAY)
    shop.account.billing.usage.record(item, quantity=30)
    shop.account.billing.usage.record(item, quantity=12, timestamp=second(2024, 6, 2))
    shop.after(28 * DAY)
    fee, used = last_bill(shop)["lines"]["data"]
    assert (fee["period"], fee["amount"]) == ({"start": second(2024, 7, 1), "end": second(2024, 8, 1)}, 4_900)
    assert (used["period"], used["amount"], used["quantity"]) == (
        {"start": second(2024, 6, 1), "end": second(2024, 7, 1)}, 42 * 7, 42,
    )  # fmt: skip
    shop.after(31 * DAY)
    assert [line["amount"] for line in last_bill(shop)["lines"]["data"]] == [4_900, 0]


def test_the_last_use_is_billed_when_the_subscription_ends() -> None:
    for at_once in (True, False):
        shop = Shop()
        subscription = metered(shop)
        shop.account.billing.usage.record(subscription["items"]["data"][1], quantity=10)
        shop.after(DAY)
        if at_once:
            shop.account.billing.cancel(subscription, invoice_now=True)
        else:
            shop.account.billing.update(subscription, fields={"cancel_at_period_end": True})
            shop.after(31 * DAY)
        assert (last_bill(shop)["total"], last_bill(shop)["status"]) == (70, "paid")


async def test_use_is_reported_over_http_and_only_of_what_is_metered() -> None:
    async with StripeSimulator() as stripe, aiohttp.ClientSession(stripe.url, headers=KEY) as client:
        made = {}
        for name, usage_type in (("calls", "metered"), ("seats", "licensed")):
            form = {"currency": "usd", "unit_amount": "7", "product_data[name]": name, "recurring[interval]": "month",
                    "recurring[usage_type]": usage_type}  # fmt: skip
            async with client.post("/v1/prices", data=form) as answer:
                made[name] = (await answer.json())["id"]
        customer = stripe.account.create_customer({"name": "A", "email": "a@example.com"}, card=True)
        prices = [stripe.book.get("price", name) for name in made.values()]
        subscription = stripe.account.billing.subscribe(customer, [(price, 1) for price in prices])
        calls, seats = (item["id"] for item in subscription["items"]["data"])
        async with client.post(f"/v1/subscription_items/{calls}/usage_records", data={"quantity": "5"}) as answer:
            told = await answer.json()
            assert (answer.status, told["quantity"]) == (200, 5)
        async with client.post(f"/v1/subscription_items/{seats}/usage_records", data={"quantity": "5"}) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.contracts
def test_a_report_of_use_is_valid_by_stripe_s_document(contracts: Path) -> None:
    specification = load_specification(contracts / "stripe" / "spec3-2024-04-10.json.gz")
    shop = Shop()
    subscription = metered(shop)
    item = subscription["items"]["data"][1]
    told = shop.account.billing.usage.record(item, quantity=3)
    for name, what in (("usage_record", told), ("subscription_item", item), ("price", item["price"])):
        assert specification.check_schema(name, what) == ()


def test_one_payment_pays_several_invoices_and_names_none() -> None:
    shop = Shop(api_version=CURRENT)
    given = {"collection_method": "send_invoice", "days_until_due": 30}
    for price in (shop.small, shop.large):
        shop.subscribe(price, given=given)
    shop.after(7_200)
    bills = list(shop.book.table("invoice").values())
    charge = shop.account.together.pay(bills)
    told = [what["data"]["object"] for kind, what in shop.said if kind == "invoice_payment.paid"]
    assert {(one["invoice"], one["amount_paid"]) for one in told} == {
        (bills[0]["id"], 4_900), (bills[1]["id"], 9_900),
    }  # fmt: skip
    assert {one["payment"]["payment_intent"] for one in told} == {charge["payment_intent"]}
    assert (charge["amount"], charge["invoice"]) == (14_800, None)
    assert [bill["status"] for bill in bills] == ["paid", "paid"]
    with pytest.raises(SimulatedRefusal, match="open invoices of its own customer"):
        shop.account.together.pay(bills)
    with pytest.raises(SimulatedRefusal, match="pays one invoice"):
        SimulatedAccount().together.pay(bills)


def test_credits_pay_metered_lines_until_they_end() -> None:
    shop = Shop(api_version=CURRENT)
    subscription = metered(shop)
    kept = shop.account.invoices.credits
    ends_at = shop.book.now + 45 * DAY
    grant = kept.grant(shop.customer["id"], amount=500, currency="usd", sold_by="in_1", expires_at=ends_at)
    shop.account.billing.usage.record(subscription["items"]["data"][1], quantity=30)
    shop.after(32 * DAY)
    bill = last_bill(shop)
    assert (bill["subtotal"], bill["total"], kept.left(grant)) == (4_900 + 210, 4_900, 290)
    shop.after(20 * DAY)
    told = [what["data"]["object"] for kind, what in shop.said if "credit_balance_transaction" in kind]
    sides = [one["credit"] or one["debit"] for one in told]
    assert [(one["type"], one["amount"]["monetary"]["value"]) for one in sides] == [
        ("credits_granted", 500), ("credits_applied", 210), ("credits_expired", 290),
    ]  # fmt: skip
    shown = [what["data"]["object"] for kind, what in shop.said if kind == "invoice.finalized"][-1]
    (credit,) = shown["total_pretax_credit_amounts"]
    assert credit == {"amount": 210, "credit_balance_transaction": told[1]["id"], "type": "credit_balance_transaction"}
    assert credit in [one for line in shown["lines"]["data"] for one in line["pretax_credit_amounts"]]
    with pytest.raises(SimulatedRefusal, match="has no billing credits"):
        SimulatedAccount().invoices.credits.grant("cus_1", amount=1, currency="usd")


def test_a_void_invoice_gives_credits_back_unless_they_ended() -> None:
    for ended in (False, True):
        shop = Shop(api_version=CURRENT)
        subscription = metered(shop)
        shop.account.billing.update(subscription, fields={"collection_method": "send_invoice", "days_until_due": 30})
        kept = shop.account.invoices.credits
        grant = kept.grant(shop.customer["id"], amount=500, currency="usd")
        shop.account.billing.usage.record(subscription["items"]["data"][1], quantity=30)
        shop.after(32 * DAY)
        if ended:
            kept.void(grant)
        shop.account.invoices.void(last_bill(shop))
        assert kept.left(grant) == (0 if ended else 500)
