"""Fresh Stripe objects in the shape of API version 2024-04-10: what a new customer, price, invoice or charge holds.

Shapes only: no rule of billing is decided here. Checked against Stripe's specification in the tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_ADDRESS_PARTS = ("city", "country", "line1", "line2", "postal_code", "state")


def money_words(amount: int, currency: str) -> str:
    """`$49.00`, `JPY 4900`: as Stripe writes amounts into line descriptions."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 100)
    digits = f"{abs(amount):,}" if currency in ZERO_DECIMAL else f"{whole:,}.{part:02d}"
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, f"{currency.upper()} ")
    return f"{sign}{symbol}{digits}"


def listing(data: Sequence[Record], url: str) -> Record:
    return {"object": "list", "data": list(data), "has_more": False, "total_count": len(data), "url": url}


def address(given: Mapping[str, Any] | None) -> Record | None:
    if not given:
        return None
    return {part: given.get(part) for part in _ADDRESS_PARTS}


def customer(record_id: str, now: int, given: Mapping[str, Any], *, invoice_prefix: str) -> Record:
    return {
        "id": record_id,
        "object": "customer",
        "address": address(given.get("address")),
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": given.get("description"),
        "discount": None,
        "email": given.get("email"),
        "invoice_prefix": invoice_prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": dict(given.get("metadata") or {}),
        "name": given.get("name"),
        "next_invoice_sequence": 1,
        "phone": given.get("phone"),
        "preferred_locales": list(given.get("preferred_locales") or ()),
        "shipping": given.get("shipping"),
        "tax_exempt": given.get("tax_exempt") or "none",
        "test_clock": None,
    }


def product(record_id: str, now: int, given: Mapping[str, Any]) -> Record:
    return {
        "id": record_id,
        "object": "product",
        "active": given.get("active", True),
        "created": now,
        "default_price": None,
        "description": given.get("description"),
        "images": list(given.get("images") or ()),
        "livemode": False,
        "marketing_features": [],
        "metadata": dict(given.get("metadata") or {}),
        "name": given["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": given.get("statement_descriptor"),
        "tax_code": given.get("tax_code"),
        "type": "service",
        "unit_label": given.get("unit_label"),
        "updated": now,
        "url": given.get("url"),
    }


def price(
    record_id: str,
    now: int,
    *,
    product_id: str,
    currency: str,
    unit_amount: int,
    interval: str | None,
    interval_count: int = 1,
    given: Mapping[str, Any] | None = None,
) -> Record:
    given = given or {}
    usage_type = given.get("usage_type") or "licensed"
    recurring = interval and {
        "aggregate_usage": "sum" if usage_type == "metered" else None,
        "interval": interval,
        "interval_count": interval_count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": usage_type,
    }
    return {
        "id": record_id,
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": given.get("lookup_key"),
        "metadata": dict(given.get("metadata") or {}),
        "nickname": given.get("nickname"),
        "product": product_id,
        "recurring": recurring or None,
        "tax_behavior": given.get("tax_behavior") or "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def plan_of(price_record: Record) -> Record | None:
    """The legacy plan that Stripe still shows beside every recurring price."""
    recurring = price_record["recurring"]
    if recurring is None:
        return None
    return {
        "id": price_record["id"],
        "object": "plan",
        "active": price_record["active"],
        "aggregate_usage": recurring["aggregate_usage"],
        "amount": price_record["unit_amount"],
        "amount_decimal": price_record["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price_record["created"],
        "currency": price_record["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price_record["metadata"],
        "meter": None,
        "nickname": price_record["nickname"],
        "product": price_record["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def subscription_item(record_id: str, now: int, *, subscription: str, price_record: Record, quantity: int) -> Record:
    counted = {} if price_record["recurring"]["usage_type"] == "metered" else {"quantity": quantity}
    return {
        "id": record_id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price_record),
        "price": price_record,
        **counted,
        "subscription": subscription,
        "tax_rates": [],
    }


def subscription(
    record_id: str, now: int, *, customer_id: str, currency: str, items: Sequence[Record], given: Mapping[str, Any]
) -> Record:
    items_url = f"/v1/subscription_items?subscription={record_id}"
    return {
        "id": record_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_cycle_anchor": now,
        "billing_cycle_anchor_config": None,
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": bool(given.get("cancel_at_period_end")),
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": given.get("collection_method") or "charge_automatically",
        "created": now,
        "currency": currency,
        "current_period_end": now,
        "current_period_start": now,
        "customer": customer_id,
        "days_until_due": given.get("days_until_due"),
        "default_payment_method": given.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": list(given.get("default_tax_rates") or ()),
        "description": given.get("description"),
        "discount": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listing(items, items_url),
        "latest_invoice": None,
        "livemode": False,
        "metadata": dict(given.get("metadata") or {}),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "plan": items[0]["plan"],
        "quantity": items[0].get("quantity"),
        "schedule": None,
        "start_date": given.get("backdate_start_date") or now,
        "status": "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
    }


def line_item(
    record_id: str,
    *,
    amount: int,
    currency: str,
    description: str,
    start: int,
    end: int,
    price_record: Record | None,
    quantity: int | None,
    subscription_id: str | None = None,
    subscription_item_id: str | None = None,
    invoice_item_id: str | None = None,
    proration: bool = False,
    credited: Record | None = None,
    discountable: bool = True,
) -> Record:
    line: Record = {
        "id": record_id,
        "object": "line_item",
        "amount": amount,
        "amount_excluding_tax": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": discountable,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "period": {"end": end, "start": start},
        "plan": plan_of(price_record) if price_record else None,
        "price": price_record,
        "proration": proration,
        "proration_details": {"credited_items": credited},
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_amounts": [],
        "tax_rates": [],
        "type": "invoiceitem" if invoice_item_id else "subscription",
        "unit_amount_excluding_tax": str(price_record["unit_amount"]) if price_record else str(amount),
    }
    if subscription_item_id:
        line["subscription_item"] = subscription_item_id
    if invoice_item_id:
        line["invoice_item"] = invoice_item_id
    return line


def invoice_item(record_id: str, now: int, *, customer_id: str, line: Record) -> Record:
    """The pending form of a line that waits for its invoice."""
    item: Record = {
        "id": record_id,
        "object": "invoiceitem",
        "amount": line["amount"],
        "currency": line["currency"],
        "customer": customer_id,
        "date": now,
        "description": line["description"],
        "discountable": line["discountable"],
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "period": line["period"],
        "plan": line["plan"],
        "price": line["price"],
        "proration": line["proration"],
        "quantity": line["quantity"] or 1,
        "subscription": line["subscription"],
        "tax_rates": [],
        "test_clock": None,
        "unit_amount": line["price"]["unit_amount"] if line["price"] else line["amount"],
        "unit_amount_decimal": line["price"]["unit_amount_decimal"] if line["price"] else str(line["amount"]),
    }
    if "subscription_item" in line:
        item["subscription_item"] = line["subscription_item"]
    return item


# What a fresh invoice has not been told yet. Only values that cannot be changed in place may stand here.
_INVOICE_BLANK: Record = {
    "account_tax_ids": None,
    "amount_due": 0,
    "amount_paid": 0,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "application": None,
    "application_fee_amount": None,
    "attempt_count": 0,
    "attempted": False,
    "charge": None,
    "custom_fields": None,
    "customer_shipping": None,
    "default_payment_method": None,
    "default_source": None,
    "description": None,
    "discount": None,
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "last_finalization_error": None,
    "latest_revision": None,
    "livemode": False,
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "paid": False,
    "paid_out_of_band": False,
    "payment_intent": None,
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "quote": None,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "subtotal": 0,
    "subtotal_excluding_tax": 0,
    "tax": None,
    "test_clock": None,
    "total": 0,
    "total_excluding_tax": 0,
    "transfer_data": None,
    "webhooks_delivered_at": None,
}


def invoice(
    record_id: str,
    now: int,
    *,
    customer_record: Record,
    currency: str,
    lines: Sequence[Record],
    billing_reason: str,
    collection_method: str,
    subscription_record: Record | None,
    period: tuple[int, int],
) -> Record:
    """A draft; the amounts are set by `simulator_invoices.total_up`."""
    return {
        "id": record_id,
        "object": "invoice",
        **_INVOICE_BLANK,
        "account_country": "US",
        "account_name": "Simulated account",
        "auto_advance": True,
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "billing_reason": billing_reason,
        "collection_method": collection_method,
        "created": now,
        "currency": currency,
        "customer": customer_record["id"],
        "customer_address": customer_record["address"],
        "customer_email": customer_record["email"],
        "customer_name": customer_record["name"],
        "customer_phone": customer_record["phone"],
        "customer_tax_exempt": customer_record["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": subscription_record["default_tax_rates"] if subscription_record else [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": listing(lines, f"/v1/invoices/{record_id}/lines"),
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": period[1],
        "period_start": period[0],
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subscription": subscription_record["id"] if subscription_record else None,
        "subscription_details": {"metadata": subscription_record["metadata"] if subscription_record else None},
        "total_discount_amounts": [],
        "total_tax_amounts": [],
    }


def coupon(record_id: str, now: int, given: Mapping[str, Any]) -> Record:
    return {
        "id": record_id,
        "object": "coupon",
        "amount_off": given.get("amount_off"),
        "created": now,
        "currency": given.get("currency"),
        "duration": given.get("duration") or "once",
        "duration_in_months": given.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": dict(given.get("metadata") or {}),
        "name": given.get("name"),
        "percent_off": given.get("percent_off"),
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }


def discount(
    record_id: str, now: int, *, coupon_record: Record, customer_id: str, subscription_id: str | None, end: int | None
) -> Record:
    return {
        "id": record_id,
        "object": "discount",
        "checkout_session": None,
        "coupon": dict(coupon_record),
        "customer": customer_id,
        "end": end,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "start": now,
        "subscription": subscription_id,
        "subscription_item": None,
    }


def webhook_endpoint(
    record_id: str, now: int, *, url: str, enabled_events: Sequence[str], api_version: str | None
) -> Record:
    return {
        "id": record_id,
        "object": "webhook_endpoint",
        "api_version": api_version,
        "application": None,
        "created": now,
        "description": None,
        "enabled_events": list(enabled_events),
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }
