"""What happened in business, from one Stripe notice and the entity it carries: rules that yield happenings.
One real change is one happening however many notices Stripe sends of it, because each is named by the change itself:
a payment by its charge, a failed attempt by its charge, a refund by its refund. Next: the table in inbound.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from accordant.canonical.entities import CreditNote, Dispute, Invoice, Payment, Payout, Refund, Subscription
from accordant.canonical.events import EventType
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.inbound_money import is_captured
from accordant.kernel.money import Money

IN_SERVICE = frozenset(("active", "trialing"))


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One Stripe event, opened: the object it carries, what that object was before, and Stripe's stamp."""

    system: str
    type: str
    occurred_at: datetime
    part: JsonObject
    previous: JsonObject


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to the object of a notice. ``change`` tells several of one kind on one object apart."""

    type: EventType
    occurred_at: datetime
    change: str = ""
    amount: Money | None = None
    note: str | None = None


#: The second argument is the entity of the notice's object; the table pairs rules with the right kind.
Rule = Callable[[Notice, Any], Iterator[Happening]]


def customer_created(notice: Notice, _entity: object) -> Iterator[Happening]:
    """A customer appeared."""
    yield Happening(type=EventType.CUSTOMER_CREATED, occurred_at=notice.occurred_at)


def subscription_activated(notice: Notice, entity: Subscription) -> Iterator[Happening]:
    """Service began: at once, or when the first payment went through. Ending a trial is no second beginning."""
    was = notice.previous.get("status", "incomplete")
    began = notice.type == "customer.subscription.created" or ("status" in notice.previous and was == "incomplete")
    if began and entity.status in IN_SERVICE:
        note = "trial" if entity.status == "trialing" else None
        yield Happening(type=EventType.SUBSCRIPTION_ACTIVATED, occurred_at=notice.occurred_at, note=note)


def subscription_cancelled(notice: Notice, entity: Subscription) -> Iterator[Happening]:
    """The subscription ended. One that never began only expired."""
    if entity.status == "canceled":
        yield Happening(
            type=EventType.SUBSCRIPTION_CANCELLED,
            occurred_at=entity.ended_at or notice.occurred_at,
            note=entity.cancellation_reason,
        )


def contract_amended(notice: Notice, entity: Subscription) -> Iterator[Happening]:
    """What is sold changed: items, prices or quantities. A renewal moves the items' periods and amends nothing."""
    before = _terms_before(notice)
    after = sorted((item.external_id, item.price_id, item.quantity) for item in entity.items)
    if before is None or before == after:
        return
    spelled = f"{int(notice.occurred_at.timestamp())}:{before!r}:{after!r}"
    change = hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    yield Happening(type=EventType.CONTRACT_AMENDED, occurred_at=notice.occurred_at, change=change)


_Terms = list[tuple[Any, Any, Any]]


def _terms_before(notice: Notice) -> _Terms | None:
    """(item, price, quantity) of the subscription before, None where the notice says that none of them changed."""
    previous = notice.previous
    if previous.get("items") is not None:
        return sorted((_terms(item) for item in shapes.objects(previous, "items")), key=repr)
    if "plan" not in previous and "quantity" not in previous:
        return None
    # Older versions repeat a single item's plan and quantity on the subscription itself.
    now = [_terms(item) for item in shapes.objects(notice.part, "items")]
    if len(now) != 1:
        return None
    name, price, quantity = now[0]
    plan = previous.get("plan")
    if type(plan) is dict:
        price = plan.get("id")
    return [(name, price, previous.get("quantity", quantity))]


def _terms(item: JsonObject) -> tuple[Any, Any, Any]:
    what = shapes.inner(item, "price") or shapes.inner(item, "plan")
    return item.get("id"), what.get("id"), item.get("quantity")


def invoice_issued(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """The invoice became a demand."""
    at = entity.finalized_at or notice.occurred_at
    yield Happening(type=EventType.INVOICE_ISSUED, occurred_at=at, amount=entity.total)


def balance_applied(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """What the customer had with us paid some of the invoice, or an invoice below zero became theirs.

    The amount is what the balance moved by: above zero less is left to pay, below zero more, such as a remainder that
    was too small to be collected before.
    """
    code = entity.total.currency
    before, after = (shapes.minor_or_none(notice.part, f"{when}_balance", code) for when in ("starting", "ending"))
    if before is None or after is None or before == after:
        return
    at = entity.finalized_at or notice.occurred_at
    yield Happening(type=EventType.BALANCE_APPLIED, occurred_at=at, amount=Money(after - before, code))


def invoice_voided(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """The demand was taken back."""
    yield Happening(type=EventType.INVOICE_VOIDED, occurred_at=notice.occurred_at, amount=entity.total)


def invoice_written_off(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """Nobody is expected to pay what is left of the demand."""
    yield Happening(type=EventType.INVOICE_WRITTEN_OFF, occurred_at=notice.occurred_at, amount=entity.amount_remaining)


def invoice_paid_elsewhere(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """Money that never was a charge settled the invoice. Charges speak for themselves, and nothing was paid on zero."""
    off_minor = shapes.minor_or_none(notice.part, "amount_paid_off_stripe", entity.total.currency) or 0
    if shapes.flag(notice.part, "paid_out_of_band"):
        off_minor = entity.amount_paid.amount_minor
    if off_minor > 0:
        yield Happening(
            type=EventType.PAYMENT_APPLIED,
            occurred_at=entity.paid_at or notice.occurred_at,
            change="out_of_band",
            amount=Money(off_minor, entity.total.currency),
            note="out of band",
        )


def attempt_without_charge(notice: Notice, entity: Invoice) -> Iterator[Happening]:
    """An attempt failed before a charge was made: no way to pay, or the customer must confirm. A failed charge says so
    itself. Since 2025-03-31 invoices no longer name their charge: then only the need to confirm is certain.
    """
    named = "charge" in notice.part
    if (named and notice.part["charge"] is None) or (not named and notice.type == "invoice.payment_action_required"):
        yield Happening(
            type=EventType.PAYMENT_FAILED,
            occurred_at=notice.occurred_at,
            change=f"attempt {entity.attempt_count}",
            amount=entity.amount_remaining,
            note="no charge was made",
        )


def payment_applied(notice: Notice, entity: Payment) -> Iterator[Happening]:
    """The charge took its money; a reservation has not."""
    if entity.status != "succeeded" or not is_captured(notice.part):
        return
    taken = entity.amount
    if notice.part.get("amount_captured") is not None:
        taken = shapes.money(notice.part, "amount_captured", entity.amount.currency)
    yield Happening(type=EventType.PAYMENT_APPLIED, occurred_at=notice.occurred_at, amount=taken)


def payment_failed(notice: Notice, entity: Payment) -> Iterator[Happening]:
    """One attempt, one charge, one failure."""
    if entity.status == "failed":
        yield Happening(
            type=EventType.PAYMENT_FAILED,
            occurred_at=notice.occurred_at,
            amount=entity.amount,
            note=entity.failure_code,
        )


def refund_issued(notice: Notice, entity: Refund) -> Iterator[Happening]:
    """Money goes back. Stamped by the refund itself, since several notices tell of it."""
    if entity.status in {"pending", "succeeded"}:
        yield Happening(
            type=EventType.REFUND_ISSUED,
            occurred_at=entity.created_at or notice.occurred_at,
            amount=entity.amount,
            note=entity.reason,
        )


def credit_approved(notice: Notice, entity: CreditNote) -> Iterator[Happening]:
    """A credit note was issued."""
    yield Happening(
        type=EventType.CREDIT_APPROVED, occurred_at=notice.occurred_at, amount=entity.total, note=entity.reason
    )


def dispute_opened(notice: Notice, entity: Dispute) -> Iterator[Happening]:
    """A payment is contested."""
    yield Happening(
        type=EventType.DISPUTE_OPENED, occurred_at=notice.occurred_at, amount=entity.amount, note=entity.reason
    )


def dispute_closed(notice: Notice, entity: Dispute) -> Iterator[Happening]:
    """The contest is over; the note says how."""
    yield Happening(
        type=EventType.DISPUTE_CLOSED, occurred_at=notice.occurred_at, amount=entity.amount, note=entity.status
    )


def payout_created(notice: Notice, entity: Payout) -> Iterator[Happening]:
    """Money is on its way to the bank."""
    yield Happening(type=EventType.PAYOUT_CREATED, occurred_at=notice.occurred_at, amount=entity.amount)


def payout_paid(notice: Notice, entity: Payout) -> Iterator[Happening]:
    """The bank should have it."""
    yield Happening(type=EventType.PAYOUT_PAID, occurred_at=notice.occurred_at, amount=entity.amount)


def payout_failed(notice: Notice, entity: Payout) -> Iterator[Happening]:
    """The bank did not take it."""
    yield Happening(
        type=EventType.PAYOUT_FAILED, occurred_at=notice.occurred_at, amount=entity.amount, note=entity.failure_code
    )
