"""Stripe's money nouns as canonical entities, in every shape they had: charge, refund, dispute, payout and movement
on the balance. Amounts are whole minor units; a charge that only reserves money has collected none.
Next: inbound.py, which says which event means what.
"""

from __future__ import annotations

from accordant.canonical.bank import CashMovement
from accordant.canonical.entities import BalanceMovement, Dispute, Payment, PaymentMethod, Payout, Refund
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.shapes import Unfit

CHARGE_STATUSES = frozenset(("pending", "succeeded", "failed"))
REFUND_STATUSES = frozenset(("pending", "requires_action", "succeeded", "failed", "canceled"))
PAYOUT_STATUSES = frozenset(("pending", "in_transit", "paid", "failed", "canceled"))


def payment(part: JsonObject) -> Payment:
    """A charge. Since 2025-03-31 it no longer names its invoice."""
    code = shapes.currency(part)
    return Payment(
        external_id=shapes.identifier(part),
        customer_id=shapes.reference(part, "customer"),
        status=_charge_status(part),
        amount=shapes.money(part, "amount", code),
        refunded=shapes.money(part, "amount_refunded", code),
        invoice_id=shapes.reference(part, "invoice"),
        failure_code=shapes.text_or_none(part, "failure_code"),
        failure_message=shapes.text_or_none(part, "failure_message"),
        method=_method(part),
        balance_movement_id=shapes.reference(part, "balance_transaction"),
        intent_id=shapes.reference(part, "payment_intent"),
        disputed=shapes.flag(part, "disputed") or bool(part.get("dispute")),
        merchant=shapes.reference(part, "on_behalf_of"),
        created_at=shapes.instant(part, "created"),
    )


def _charge_status(part: JsonObject) -> str:
    """The canonical status: money that is only reserved is pending, and failed once the reservation is given up."""
    # Charges of versions before 2015 said only whether they were paid.
    status = (
        "succeeded"
        if "status" not in part and part.get("paid") is True
        else shapes.word(part, "status", CHARGE_STATUSES)
    )
    if status == "succeeded" and not is_captured(part):
        return "failed" if part.get("refunded") is True else "pending"
    return status


def is_captured(part: JsonObject) -> bool:
    """Whether a charge has taken its money; charges that do not say have."""
    return shapes.flag_or_none(part, "captured") is not False


def _method(part: JsonObject) -> PaymentMethod | None:
    details = shapes.inner(part, "payment_method_details")
    kind = shapes.text_or_none(details, "type")
    card = shapes.inner(details, kind) if kind else shapes.inner(part, "source")
    if kind is None:
        kind = shapes.text_or_none(card, "object")
    if kind is None:
        return None
    brand = shapes.text_or_none(card, "brand")
    try:
        return PaymentMethod(
            type=kind,
            brand=brand.lower() if brand else None,
            last4=shapes.text_or_none(card, "last4"),
            expires_on=shapes.last_day_of_month(card, "exp_year", "exp_month"),
        )
    except Unfit as error:
        raise error.below(f"payment_method_details.{kind}") from None


def refund(part: JsonObject) -> Refund:
    """A refund. It names its charge, and its customer only in the newest version or where the charge is expanded."""
    return Refund(
        external_id=shapes.identifier(part),
        status=shapes.word(part, "status", REFUND_STATUSES),
        amount=shapes.money(part, "amount", shapes.currency(part)),
        payment_id=shapes.reference(part, "charge"),
        customer_id=customer_of_charged(part),
        reason=shapes.text_or_none(part, "reason"),
        balance_movement_id=shapes.reference(part, "balance_transaction"),
        created_at=shapes.instant(part, "created"),
    )


def dispute(part: JsonObject) -> Dispute:
    """A dispute. ``status`` is kept in Stripe's word, of which there are more with every version."""
    return Dispute(
        external_id=shapes.identifier(part),
        status=shapes.text(part, "status"),
        amount=shapes.money(part, "amount", shapes.currency(part)),
        payment_id=shapes.required_reference(part, "charge"),
        customer_id=customer_of_charged(part),
        reason=shapes.text_or_none(part, "reason"),
        evidence_due_at=shapes.instant_or_none(shapes.inner(part, "evidence_details"), "due_by"),
        created_at=shapes.instant(part, "created"),
    )


def customer_of_charged(part: JsonObject) -> str | None:
    """The customer of something that belongs to a charge, where the object says it."""
    named = shapes.reference(part, "customer")
    charge = part.get("charge")
    if named is None and type(charge) is dict:
        named = shapes.reference(charge, "customer")
    return named


def payout(part: JsonObject) -> Payout:
    """A payout."""
    return Payout(
        external_id=shapes.identifier(part),
        status=shapes.word(part, "status", PAYOUT_STATUSES),
        amount=shapes.money(part, "amount", shapes.currency(part)),
        arrives_on=shapes.day_or_none(part, "arrival_date"),
        automatic=shapes.flag_or_none(part, "automatic"),
        failure_code=shapes.text_or_none(part, "failure_code"),
        balance_movement_id=shapes.reference(part, "balance_transaction"),
        bank_reference=shapes.text_or_none(shapes.inner(part, "trace_id"), "value"),
        created_at=shapes.instant(part, "created"),
    )


def cash_movement(part: JsonObject) -> CashMovement:
    """A movement on a customer's cash balance, which has a bank account of its own.

    Source: https://docs.stripe.com/payments/customer-balance.
    """
    if part.get("object") != "customer_cash_balance_transaction":
        raise Unfit("The object is no movement of a customer's cash.", where="object")
    transfer = shapes.inner(shapes.inner(part, "funded"), "bank_transfer")
    kind = shapes.text_or_none(transfer, "type")
    applied = shapes.inner(part, "applied_to_payment") or shapes.inner(part, "unapplied_from_payment")
    return CashMovement(
        external_id=shapes.identifier(part),
        customer_id=shapes.required_reference(part, "customer"),
        type=shapes.text(part, "type"),
        amount=shapes.money(part, "net_amount", shapes.currency(part)),
        intent_id=shapes.reference(applied, "payment_intent"),
        reference=shapes.text_or_none(transfer, "reference"),
        sender=shapes.text_or_none(shapes.inner(transfer, kind), "sender_name") if kind else None,
        created_at=shapes.instant(part, "created"),
    )


def balance_movement(part: JsonObject) -> BalanceMovement:
    """A movement on the balance: ``net`` must be ``amount`` less ``fee``, or somebody's arithmetic is wrong."""
    code = shapes.currency(part)
    amount, fee, net = (shapes.money(part, key, code) for key in ("amount", "fee", "net"))
    if amount - fee != net:
        raise Unfit("The net amount is not the amount less the fee.", where="net")
    kind = shapes.text(part, "type")
    source = shapes.reference(part, "source")
    return BalanceMovement(
        external_id=shapes.identifier(part),
        type=kind,
        amount=amount,
        fee=fee,
        net=net,
        source_id=source,
        payout_id=source if kind == "payout" else None,
        available_at=shapes.instant_or_none(part, "available_on"),
        created_at=shapes.instant(part, "created"),
    )
