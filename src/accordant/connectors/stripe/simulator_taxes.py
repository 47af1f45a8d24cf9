"""Taxes in the Stripe stand-in: rates that an account keeps, put on the lines of an invoice and added up.

Each line is rounded by itself, as is Stripe's default. Next room: `simulator_invoices.py`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from accordant.connectors.stripe.simulator_rounding import half_up

Record = dict[str, Any]
#: Why a customer pays none, by how it is kept: exempt, or owing the tax itself.
_REASONS = {"exempt": "customer_exempt", "reverse": "reverse_charge"}


def tax_rate(record_id: str, now: int, given: Mapping[str, Any]) -> Record:
    """A rate as Stripe shows it. ``percentage`` is a number of per cent; ``inclusive``: prices have the tax inside."""
    return {
        "id": record_id,
        "object": "tax_rate",
        "active": True,
        "country": given.get("country"),
        "created": now,
        "description": given.get("description"),
        "display_name": given["display_name"],
        "effective_percentage": None,
        "inclusive": bool(given.get("inclusive")),
        "jurisdiction": given.get("jurisdiction"),
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": dict(given.get("metadata") or {}),
        "percentage": float(given["percentage"]),
        "state": given.get("state"),
        "tax_type": given.get("tax_type"),
    }


def tax_lines(invoice: Record) -> tuple[int, int]:
    """Write the taxes of an invoice's rates into it and its lines; what comes on top of the prices, and all of it.

    Discounts are in the lines already: what they take off is not taxed.
    """
    rates: Sequence[Record] = invoice["default_tax_rates"]
    invoice["total_tax_amounts"] = []
    if not rates:
        return 0, 0
    reason = _REASONS.get(invoice["customer_tax_exempt"])
    sums: dict[str, Record] = {}
    for line in invoice["lines"]["data"]:
        taxable = line["amount"] - sum(off["amount"] for off in line["discount_amounts"])
        line["tax_rates"] = list(rates)
        line["tax_amounts"] = [_tax(rate, taxable, reason) for rate in rates]
        line["amount_excluding_tax"] = line["amount"] - _included(line["tax_amounts"])
        for one in line["tax_amounts"]:
            held = sums.setdefault(one["tax_rate"], {**one, "amount": 0, "taxable_amount": 0})
            held["amount"] += one["amount"]
            held["taxable_amount"] += one["taxable_amount"]
    listed = list(sums.values())
    invoice["total_tax_amounts"] = listed
    whole = sum(one["amount"] for one in listed)
    return whole - _included(listed), whole


def _tax(rate: Record, amount: int, reason: str | None) -> Record:
    share = Fraction(Decimal(str(rate["percentage"]))) / 100
    base: Fraction = Fraction(amount) / (1 + share) if rate["inclusive"] else Fraction(amount)
    tax = 0 if reason else half_up(base * share)
    return {
        "amount": tax,
        "inclusive": rate["inclusive"],
        "tax_rate": rate["id"],
        "taxability_reason": reason or "standard_rated",
        "taxable_amount": 0 if reason == "customer_exempt" else amount - (tax if rate["inclusive"] else 0),
    }


def _included(amounts: Sequence[Record]) -> int:
    return sum(one["amount"] for one in amounts if one["inclusive"])


def render(amounts: Sequence[Record]) -> list[Record]:
    """Taxes as the current version shows them."""
    return [
        {
            "amount": one["amount"],
            "tax_behavior": "inclusive" if one["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": one["tax_rate"]},
            "taxability_reason": one["taxability_reason"],
            "taxable_amount": one["taxable_amount"],
            "type": "tax_rate_details",
        }
        for one in amounts
    ]
