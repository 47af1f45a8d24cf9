"""Fills the vocabulary of ``canonical.facts`` for an invoice, a payment and a refund: what stands below an account.

Owned by billing as a whole; nothing here depends on the day it is asked. Next room: ``mapping.translate``.
"""

from collections.abc import Iterator
from datetime import date, datetime, tzinfo

from accordant.analytics.facts import Facts
from accordant.canonical.entities import Entity, Invoice, InvoiceLine, Payment, PaymentMethod, Refund
from accordant.canonical.facts import Fact
from accordant.kernel.money import Money

#: An invoice that is not finalized is no bill yet: its owner may still change or delete it.
DRAFT = "draft"


def is_told(entity: Entity) -> bool:
    """Whether a target is told of this: of invoices only those that were issued."""
    return not (isinstance(entity, Invoice) and (entity.status == DRAFT or entity.deleted))


def bill_facts(entity: Invoice | Payment | Refund, *, account: str, zone: tzinfo) -> Facts:
    """The facts of one invoice, payment or refund; ``account`` is the owner's id of its customer. Days end in ``zone``.

    ================ ==================================================================================================
    lines            one a line: "Pro (2026-01-01 to 2026-02-01): 98.00 EUR", with a last one where there are more
    line_count       unknown where the owner sent the first page only
    issued_on        the day it was finalized, or else made
    method           what was paid with, as far as it may be shown: "visa ending in 4242"
    summary          one sentence of what happened: "Payment of 98.00 EUR failed (card_declined)"
    collected_on     the day of the attempt
    ================ ==================================================================================================
    """
    stated: dict[str, Fact] = {"external_id": entity.external_id, "account": account, "status": entity.status}
    match entity:
        case Invoice():
            stated |= _of_invoice(entity, zone)
        case Payment():
            stated |= _of_payment(entity, zone)
        case Refund():
            stated |= _of_refund(entity, zone)
    return Facts(stated)


def _of_invoice(invoice: Invoice, zone: tzinfo) -> dict[str, Fact]:
    currency = invoice.total.currency
    told: dict[str, Fact] = {
        "total": invoice.total,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "currency": currency,
        "number": invoice.number,
        "subscription": invoice.subscription_id,
        "attempt_count": invoice.attempt_count,
        "due_on": _day(invoice.due_at, zone),
        "paid_on": _day(invoice.paid_at, zone),
        "next_attempt_on": _day(invoice.next_attempt_at, zone),
        "lines": "\n".join(_lines(invoice, zone)) or None,
    }
    known: dict[str, Fact] = {
        "tax": invoice.tax,
        "discount": invoice.discount,
        "issued_on": _day(invoice.finalized_at or invoice.created_at, zone),
        "line_count": len(invoice.lines) if invoice.lines_complete else None,
    }
    return told | {name: value for name, value in known.items() if value is not None}


def _lines(invoice: Invoice, zone: tzinfo) -> Iterator[str]:
    for line in invoice.lines:
        yield f"{_named(line)}{_period(line, zone)}: {Money(line.amount_minor, invoice.total.currency)}"
    if not invoice.lines_complete:
        yield "There are more lines in billing."


def _named(line: InvoiceLine) -> str:
    if line.description:
        return " ".join(line.description.split())
    return f"{line.quantity or 1} × {line.price_id or line.external_id}"


def _period(line: InvoiceLine, zone: tzinfo) -> str:
    start, end = _day(line.period_starts_at, zone), _day(line.period_ends_at, zone)
    return f" ({start} to {end})" if start is not None and end is not None and start != end else ""


def _of_payment(payment: Payment, zone: tzinfo) -> dict[str, Fact]:
    told: dict[str, Fact] = {
        "amount": payment.amount,
        "refunded": payment.refunded,
        "currency": payment.amount.currency,
        "failure_code": payment.failure_code,
        "failure_message": payment.failure_message,
        "disputed": payment.disputed,
        "summary": _summary_of(payment),
    }
    # Newer versions of billing no longer name the invoice with the payment: that is no word that there is none.
    known: dict[str, Fact] = {
        "invoice": payment.invoice_id,
        "method": _method(payment.method),
        "collected_on": _day(payment.created_at, zone),
    }
    return told | {name: value for name, value in known.items() if value is not None}


def _summary_of(payment: Payment) -> str:
    said = f"Payment of {payment.amount}"
    match payment.status:
        case "failed":
            return f"{said} failed ({payment.failure_code})" if payment.failure_code else f"{said} failed"
        case "pending":
            return f"{said} is on its way"
        case _:
            return said


def _method(method: PaymentMethod | None) -> str | None:
    if method is None:
        return None
    return f"{method.brand or method.type} ending in {method.last4}" if method.last4 else method.brand or method.type


def _of_refund(refund: Refund, zone: tzinfo) -> dict[str, Fact]:
    told: dict[str, Fact] = {
        "payment": refund.payment_id,
        "amount": refund.amount,
        "currency": refund.amount.currency,
        "reason": refund.reason,
        "summary": _summary_of_refund(refund),
    }
    day = _day(refund.created_at, zone)
    return told if day is None else {**told, "refunded_on": day}


def _summary_of_refund(refund: Refund) -> str:
    said = f"Refund of {refund.amount}"
    match refund.status:
        case "succeeded":
            return said
        case "failed":
            return f"{said} failed"
        case "canceled":
            return f"{said} was cancelled"
        case _:
            return f"{said} is on its way"


def _day(instant: datetime | None, zone: tzinfo) -> date | None:
    return None if instant is None else instant.astimezone(zone).date()
