"""What Stripe says that only the books need: tax inside a price, who owes it, what is lost, what was converted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from accordant.canonical.entities import Invoice
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.observations import Interpreted
from accordant.connectors.stripe.settlement import settlement_body
from accordant.kernel.money import Money
from accordant.ledger.bills import net_lines
from tests.connectors.stripe.test_inbound import MOVEMENT, event, interpret


def understood(body: dict[str, Any]) -> Interpreted:
    found = interpret(body)
    assert isinstance(found, Interpreted), found
    return found


def a_bill(**changes: Any) -> dict[str, Any]:
    body = copy.deepcopy(event("invoice.finalized__current"))
    body["data"]["object"] |= changes
    return body


def bill_of(body: dict[str, Any]) -> Invoice:
    bill = understood(body).observations[0].entity
    assert isinstance(bill, Invoice)
    return bill


@pytest.mark.parametrize(
    "stated",
    [
        {"taxes": [{"amount": 2_000, "tax_behavior": "inclusive"}], "tax_amounts": None},
        {"tax_amounts": [{"amount": 2_000, "inclusive": True}], "taxes": None},
    ],
    ids=["as of 2025-03-31", "before"],
)
def test_tax_that_the_price_includes_is_nobodys_revenue(stated: dict[str, Any]) -> None:
    body = a_bill()
    line = body["data"]["object"]["lines"]["data"][0]
    line |= stated
    bill = bill_of(body)
    assert bill.lines[0].included_tax_minor == 2_000
    assert net_lines(bill)[0] == line["amount"] - 2_000


def test_tax_on_top_of_the_price_is_not_taken_out_of_it() -> None:
    body = a_bill()
    body["data"]["object"]["lines"]["data"][0]["taxes"] = [{"amount": 2_000, "tax_behavior": "exclusive"}]
    assert bill_of(body).lines[0].included_tax_minor == 0


@pytest.mark.parametrize(
    ("stated", "owed_by_customer"),
    [
        ({"total_taxes": [{"amount": 0, "taxability_reason": "reverse_charge"}]}, True),
        ({"total_taxes": [], "total_tax_amounts": [{"amount": 0, "taxability_reason": "reverse_charge"}]}, True),
        ({"total_taxes": [], "customer_tax_exempt": "reverse"}, True),
        ({"total_taxes": [], "customer_tax_exempt": "none"}, False),
        ({"total_taxes": [{"amount": 0, "taxability_reason": "customer_exempt"}], "customer_tax_exempt": "reverse"},
         False),
    ],
)  # fmt: skip
def test_who_owes_the_tax_is_what_stripe_says_of_the_bill(stated: dict[str, Any], owed_by_customer: bool) -> None:
    assert bill_of(a_bill(tax=None, **stated)).reverse_charge is owed_by_customer


def test_a_bill_marked_as_uncollectible_is_written_off_with_what_is_left_of_it() -> None:
    body = a_bill(status="uncollectible", amount_remaining=700)
    body["type"] = "invoice.marked_uncollectible"
    (told,) = understood(body).business_events
    assert (told.type, told.amount) == (EventType.INVOICE_WRITTEN_OFF, Money(700, "USD"))


def settled(*movements: dict[str, Any]) -> tuple[BusinessEvent, ...]:
    return understood(
        json.loads(settlement_body("po_1", 0, [json.dumps(one).encode() for one in movements]))
    ).business_events


def test_a_movement_that_was_converted_says_what_it_came_to() -> None:
    fee, converted = settled(MOVEMENT)
    assert (fee.type, converted.type) == (EventType.FEE_CHARGED, EventType.FUNDS_CONVERTED)
    assert converted.amount == Money(6_000, "EUR")
    assert converted.subject == fee.subject
    assert [one.type for one in settled({**MOVEMENT, "exchange_rate": None})] == [EventType.FEE_CHARGED]


def test_a_bill_on_which_credits_were_applied_is_booked_without_what_they_pay() -> None:
    """The credits were billed before; the line still says what it comes to without them."""
    body = event("invoice.finalized__credits_applied")
    bill = bill_of(body)
    (line,) = bill.lines
    assert (line.amount_minor, line.credits_minor) == (6_000, 2_000)
    assert net_lines(bill) == [4_000]
    assert bill.tax is not None
    assert sum(net_lines(bill)) + bill.tax.amount_minor == bill.total.amount_minor
    # A discount stands in the same list, and is taken off the bill as every discount is.
    body["data"]["object"]["lines"]["data"][0]["pretax_credit_amounts"][0]["type"] = "discount"
    assert bill_of(body).lines[0].credits_minor == 0
