"""Fresh Stripe objects around a payment, in the shape of API version 2024-04-10: intents, charges, refunds, payouts.

Shapes only, as in `simulator_shapes.py`; what moves between them is in `simulator_payments.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from accordant.connectors.stripe.simulator_shapes import address, listing

Record = dict[str, Any]


def payment_method(record_id: str, now: int, *, customer_id: str, name: str | None, email: str | None) -> Record:
    return {
        "id": record_id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": address({"country": None}), "email": email, "name": name, "phone": None},
        "card": {
            "brand": "visa",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": "visa",
            "exp_month": 8,
            "exp_year": 2032,
            "fingerprint": record_id[-16:],
            "funding": "credit",
            "generated_from": None,
            "last4": "4242",
            "networks": {"available": ["visa"], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": now,
        "customer": customer_id,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def payment_intent(
    record_id: str,
    now: int,
    *,
    amount: int,
    currency: str,
    customer_id: str,
    invoice_id: str | None,
    method: str | None,
) -> Record:
    return {
        "id": record_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{record_id}_secret_simulated",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": customer_id,
        "description": "Subscription creation" if invoice_id else None,
        "invoice": invoice_id,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": method,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": "off_session",
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def _card_details(amount: int, *, paid: bool) -> Record:
    return {
        "card": {
            "amount_authorized": amount if paid else None,
            "brand": "visa",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "exp_month": 8,
            "exp_year": 2032,
            "extended_authorization": {"status": "disabled"},
            "fingerprint": "AOB934RVNwzk6xtn",
            "funding": "credit",
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": "4242" if paid else "0341",
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": "visa",
            "network_token": {"used": False},
            "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
            "three_d_secure": None,
            "wallet": None,
        },
        "type": "card",
    }


def _outcome(decline_code: str | None) -> Record:
    paid = decline_code is None
    return {
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": decline_code,
        "risk_level": "normal",
        "risk_score": 17,
        "seller_message": "Payment complete." if paid else "The bank did not return any further details.",
        "type": "authorized" if paid else "issuer_declined",
    }


def charge(
    record_id: str,
    now: int,
    *,
    intent: Record,
    customer_record: Record,
    description: str | None,
    decline_code: str | None,
) -> Record:
    paid, amount = decline_code is None, intent["amount"]
    return {
        "id": record_id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": customer_record["address"] or address({"country": None}),
            "email": customer_record["email"],
            "name": customer_record["name"],
            "phone": customer_record["phone"],
        },
        "calculated_statement_descriptor": "SIMULATED ACCOUNT",
        "captured": paid,
        "created": now,
        "currency": intent["currency"],
        "customer": customer_record["id"],
        "description": description,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if paid else "card_declined",
        "failure_message": None if paid else "Your card was declined.",
        "fraud_details": {},
        "invoice": intent["invoice"],
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": _outcome(decline_code),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": _card_details(amount, paid=paid),
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": f"https://pay.stripe.com/receipts/invoices/{record_id}?s=ap" if paid else None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def balance_transaction(
    record_id: str,
    now: int,
    *,
    amount: int,
    fee: int,
    currency: str,
    kind: str,
    source: str,
    description: str | None,
    available_on: int,
) -> Record:
    categories = {"adjustment": "dispute"}
    return {
        "id": record_id,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": now,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": currency,
                "description": "Stripe processing fees" if kind == "charge" else "Dispute fee",
                "type": "stripe_fee",
            }
        ]
        if fee
        else [],
        "net": amount - fee,
        "reporting_category": categories.get(kind, kind),
        "source": source,
        "status": "available" if available_on <= now else "pending",
        "type": kind,
    }


def refund(record_id: str, now: int, *, amount: int, charge_record: Record, given: Mapping[str, Any]) -> Record:
    return {
        "id": record_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge_record["id"],
        "created": now,
        "currency": charge_record["currency"],
        "customer": charge_record["customer"],
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": dict(given.get("metadata") or {}),
        "payment_intent": charge_record["payment_intent"],
        "payment_method": charge_record["payment_method"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def credit_note(
    record_id: str,
    now: int,
    *,
    invoice_record: Record,
    amount: int,
    number: str,
    kind: str,
    lines: Sequence[Record],
    refund_id: str | None,
    out_of_band: int | None,
    given: Mapping[str, Any],
) -> Record:
    return {
        "id": record_id,
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice_record["currency"],
        "customer": invoice_record["customer"],
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": now,
        "invoice": invoice_record["id"],
        "lines": listing(lines, f"/v1/credit_notes/{record_id}/lines"),
        "livemode": False,
        "memo": given.get("memo"),
        "metadata": dict(given.get("metadata") or {}),
        "number": number,
        "out_of_band_amount": out_of_band,
        "pdf": f"https://pay.stripe.com/credit_notes/{record_id}/pdf?s=ap",
        "reason": given.get("reason"),
        "refund": refund_id,
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "tax_amounts": [],
        "total": amount,
        "total_excluding_tax": amount,
        "type": kind,
        "voided_at": None,
    }


def credit_note_line(record_id: str, *, amount: int, description: str, invoice_line_id: str | None) -> Record:
    line: Record = {
        "id": record_id,
        "object": "credit_note_line_item",
        "amount": amount,
        "amount_excluding_tax": amount,
        "description": description,
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "quantity": None if invoice_line_id else 1,
        "tax_amounts": [],
        "tax_rates": [],
        "type": "invoice_line_item" if invoice_line_id else "custom_line_item",
        "unit_amount": None if invoice_line_id else amount,
        "unit_amount_decimal": None if invoice_line_id else str(amount),
        "unit_amount_excluding_tax": None if invoice_line_id else str(amount),
    }
    if invoice_line_id:
        line["invoice_line_item"] = invoice_line_id
    return line


_EVIDENCE = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
]


def dispute(record_id: str, now: int, *, charge_record: Record, reason: str) -> Record:
    evidence: Record = dict.fromkeys(_EVIDENCE)
    evidence["customer_email_address"] = charge_record["billing_details"]["email"]
    evidence["customer_name"] = charge_record["billing_details"]["name"]
    return {
        "id": record_id,
        "object": "dispute",
        "amount": charge_record["amount"] - charge_record["amount_refunded"],
        "balance_transactions": [],
        "charge": charge_record["id"],
        "created": now,
        "currency": charge_record["currency"],
        "evidence": evidence,
        "evidence_details": {
            "due_by": now + 9 * 86_400,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge_record["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def payout(record_id: str, now: int, *, amount: int, currency: str, arrival_date: int, automatic: bool) -> Record:
    return {
        "id": record_id,
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival_date,
        "automatic": automatic,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": "ba_1SimulatedBankAccount",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "in_progress" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "type": "bank_account",
    }


def invoice_payment(record_id: str, now: int, *, invoice_record: Record, intent_id: str) -> Record:
    """The link of invoice and payment that newer versions use instead of `invoice.payment_intent`."""
    return {
        "id": record_id,
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice_record["amount_remaining"],
        "created": now,
        "currency": invoice_record["currency"],
        "invoice": invoice_record["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent_id, "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
