"""The two renderings of the Stripe stand-in: 2024-04-10, in which it thinks, and the current one.

It keeps its objects in the older shape, so that version costs nothing; the newer one is made on the way out.
Which fields moved is read from Stripe's own fixtures and the official SDK's types.
"""

from collections.abc import Callable
from typing import Any

from accordant.connectors.stripe.simulator_taxes import render as render_taxes

Record = dict[str, Any]

PINNED = "2024-04-10"
CURRENT = "2026-10-28.endive"
VERSIONS = (PINNED, CURRENT)

_GONE: dict[str, frozenset[str]] = {
    "invoice": frozenset(
        [
            "application_fee_amount",
            "charge",
            "discount",
            "paid",
            "paid_out_of_band",
            "payment_intent",
            "quote",
            "subscription",
            "subscription_details",
            "subscription_proration_date",
            "tax",
            "total_tax_amounts",
            "transfer_data",
        ]
    ),
    "subscription": frozenset(("current_period_end", "current_period_start", "discount", "plan", "quantity")),
    "line_item": frozenset(
        [
            "amount_excluding_tax",
            "invoice_item",
            "plan",
            "price",
            "proration",
            "proration_details",
            "subscription_item",
            "tax_amounts",
            "tax_rates",
            "type",
            "unit_amount_excluding_tax",
        ]
    ),
    "invoiceitem": frozenset(
        ("plan", "price", "subscription", "subscription_item", "unit_amount", "unit_amount_decimal")
    ),
    "charge": frozenset(("invoice",)),
    "payment_intent": frozenset(("invoice",)),
    "discount": frozenset(("coupon",)),
    "credit_note": frozenset(("refund", "tax_amounts")),
    "credit_note_line_item": frozenset(("amount_excluding_tax", "tax_amounts", "unit_amount_excluding_tax")),
}

_ADDED: dict[str, Record] = {
    "charge": {"source": None},
    "customer": {"customer_account": None},
    "dispute": {"enhanced_eligibility_types": []},
    "payment_intent": {"customer_account": None, "excluded_payment_method_types": None, "source": None},
    "payment_method": {"customer_account": None},
    "refund": {"customer_account": None},
    "payout": {"payout_method": None, "trace_id": None},
    "tax_rate": {"flat_amount": None, "rate_type": "percentage"},
}

_REFUND_LATER = frozenset(("customer", "payment_method"))  # known from the charge, shown since later versions


def render(record: Record, version: str) -> Record:
    """The object as this API version shows it. The answer may share parts with the record: only read it."""
    kind = record.get("object", "")
    if version == PINNED:
        return record if kind != "refund" else {n: value for n, value in record.items() if n not in _REFUND_LATER}
    renderer = _RENDERERS.get(kind)
    gone = _GONE.get(kind)
    shown = {name: value for name, value in record.items() if name not in gone} if gone else dict(record)
    shown.update(_ADDED.get(kind, {}))
    if kind == "list":
        shown["data"] = [render(item, version) for item in record["data"]]
    if renderer is not None:
        renderer(record, shown, version)
    return shown


def render_previous(record: Record, previous: Record, version: str) -> Record:
    """`previous_attributes` of this version: a field that moved is named where it now lives."""
    if version == PINNED:
        return previous
    kind = record["object"]
    gone = _GONE.get(kind, frozenset())
    shown = {name: value for name, value in previous.items() if name not in gone}
    if kind == "subscription" and ("current_period_start" in previous or "items" in previous):
        earlier = {**record, **previous}
        items: Record = {}
        _render_subscription(earlier, items, version)
        shown["items"] = items["items"]
    if "discount" in shown and isinstance(shown["discount"], dict):
        shown["discount"] = render(shown["discount"], version)
    return shown


def _render_subscription(record: Record, shown: Record, version: str) -> None:
    span = {name: record[name] for name in ("current_period_start", "current_period_end")}
    items = record["items"]
    shown["items"] = {**items, "data": [{**item, **span} for item in items["data"]]}
    shown["default_tax_rates"] = [render(rate, version) for rate in record["default_tax_rates"]]
    shown["billing_mode"] = {"type": "classic"}
    shown["billing_schedules"] = []
    shown["customer_account"] = None


def _render_invoice(record: Record, shown: Record, version: str) -> None:
    lines = record["lines"]
    shown["lines"] = {**lines, "data": [render(line, version) for line in lines["data"]]}
    subscription = record["subscription"]
    shown["parent"] = (
        None
        if subscription is None
        else {
            "quote_details": None,
            "subscription_details": {
                "metadata": (record.get("subscription_details") or {}).get("metadata") or {},
                "subscription": subscription,
            },
            "type": "subscription_details",
        }
    )
    shown["amount_overpaid"] = 0
    shown["amount_paid_off_stripe"] = record["amount_paid"] if record["paid_out_of_band"] else 0
    draft = record["status"] == "draft" and record["auto_advance"]
    shown["automatically_finalizes_at"] = record["created"] + 3600 if draft else None
    shown["customer_account"] = None
    shown["default_tax_rates"] = [render(rate, version) for rate in record["default_tax_rates"]]
    shown["total_pretax_credit_amounts"] = record.get("total_pretax_credit_amounts", [])
    shown["total_taxes"] = render_taxes(record["total_tax_amounts"])


def _render_line(record: Record, shown: Record, version: str) -> None:
    details = {
        "invoice_item": record.get("invoice_item"),
        "proration": record["proration"],
        "proration_details": record["proration_details"],
        "subscription": record["subscription"],
    }
    if record["type"] == "subscription":
        details["subscription_item"] = record.get("subscription_item")
    own = "subscription_item_details" if record["type"] == "subscription" else "invoice_item_details"
    other = "invoice_item_details" if record["type"] == "subscription" else "subscription_item_details"
    shown["parent"] = {own: details, other: None, "type": own}
    shown["pricing"] = _pricing(record)
    shown["pretax_credit_amounts"] = record.get("pretax_credit_amounts", [])
    shown["quantity_decimal"] = None if record["quantity"] is None else str(record["quantity"])
    shown["subtotal"] = record["amount"]
    shown["taxes"] = render_taxes(record["tax_amounts"])


def _render_invoiceitem(record: Record, shown: Record, version: str) -> None:
    subscription = record["subscription"]
    shown["parent"] = (
        None
        if subscription is None
        else {
            "subscription_details": {
                "subscription": subscription,
                "subscription_item": record.get("subscription_item"),
            },
            "type": "subscription_details",
        }
    )
    shown["pricing"] = _pricing(record)
    shown["net_amount"] = record["amount"]
    shown["customer_account"] = None
    shown["quantity_decimal"] = str(record["quantity"])


def _pricing(record: Record) -> Record | None:
    price = record["price"]
    if price is None:
        return None
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _render_discount(record: Record, shown: Record, version: str) -> None:
    shown["source"] = {"coupon": record["coupon"]["id"], "type": "coupon"}
    shown["customer_account"] = None


def _render_customer(record: Record, shown: Record, version: str) -> None:
    if record.get("discount"):
        shown["discount"] = render(record["discount"], version)


def _render_credit_note(record: Record, shown: Record, version: str) -> None:
    lines = record["lines"]
    shown["lines"] = {
        **lines,
        "data": [{**render(line, version), "pretax_credit_amounts": [], "taxes": []} for line in lines["data"]],
    }
    refund = record["refund"]
    amount = record["amount"]
    after = record["type"] == "post_payment"
    shown["refunds"] = [] if refund is None else [{"amount_refunded": amount, "refund": refund, "type": "refund"}]
    shown["post_payment_amount"] = amount if after else 0
    shown["pre_payment_amount"] = 0 if after else amount
    shown["pretax_credit_amounts"] = []
    shown["total_taxes"] = []
    shown["customer_account"] = None


_RENDERERS: dict[str, Callable[[Record, Record, str], None]] = {
    "subscription": _render_subscription,
    "invoice": _render_invoice,
    "line_item": _render_line,
    "invoiceitem": _render_invoiceitem,
    "discount": _render_discount,
    "customer": _render_customer,
    "credit_note": _render_credit_note,
}
