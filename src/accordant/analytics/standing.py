"""Folds one entity's transition into its account's standing: exact, idempotent, and in any order across entities.

What is remembered (first, last, ended last) is bounded; a transition that takes it back marks the standing
``rebuild_due``.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from accordant.canonical.entities import Dispute, Entity, Invoice, Payment, Receivable, Subscription
from accordant.canonical.standing import MethodMark, OpenInvoice, PaymentMark, ReceivableMark, Standing
from accordant.kernel.money import Money

#: A subscription in one of these is over. One that never began (incomplete_expired) leaves no trace.
OVER_STATUSES = frozenset({"canceled", "incomplete_expired"})
#: The words that close a dispute; any other word leaves it open.
CLOSED_DISPUTE_STATUSES = frozenset({"won", "lost", "warning_closed", "prevented"})

Remembered = TypeVar("Remembered", PaymentMark, MethodMark, Subscription)

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def advance(standing: Standing, before: Entity | None, after: Entity) -> Standing:
    """The standing after one entity of the account went from ``before`` (None: was not known) to ``after``.

    Kinds that say nothing about the standing leave it as it is, and so does a transition that changes nothing. Money
    given back is taken from the payment's own running total, never from refund objects, which would count it twice.
    """
    if before == after:
        return standing
    match after:
        case Payment():
            return _advance_payment(standing, before if isinstance(before, Payment) else None, after)
        case Subscription():
            return _advance_subscription(standing, after)
        case Invoice():
            return _advance_invoice(standing, after)
        case Dispute():
            return _advance_dispute(standing, after)
        case Receivable():
            return _advance_receivable(standing, after)
        case _:
            return standing


def rebuild(entities: Iterable[Entity]) -> Standing:
    """The standing that these entities, all those of one account, add up to. Any order gives the same."""
    standing = Standing()
    for entity in entities:
        standing = advance(standing, None, entity)
    return standing


def is_over(subscription: Subscription) -> bool:
    """Whether the subscription has ended for good."""
    return subscription.status in OVER_STATUSES or subscription.ended_at is not None


# -- payments --------------------------------------------------------------------------------------------------------


def _advance_payment(standing: Standing, before: Payment | None, after: Payment) -> Standing:
    succeeded, failed = after.status == "succeeded", after.status == "failed"
    had_succeeded = before is not None and before.status == "succeeded"
    had_failed = before is not None and before.status == "failed"
    name, mark = after.external_id, _mark(after)
    proof = mark if succeeded else None
    last, last_lost = _remember(standing.last_payment, proof, name, _by_time)
    first, first_lost = _remember(standing.first_payment, proof, name, _by_time, earliest=True)
    failure, failure_lost = _remember(standing.last_failure, mark if failed else None, name, _by_time)
    method, method_lost = _remember(standing.method_mark, _method_mark(after), name, _by_proof)
    return msgspec.structs.replace(
        standing,
        collected=_moved(
            standing.collected,
            before.amount if before is not None and had_succeeded else None,
            after.amount if succeeded else None,
        ),
        refunded=_moved(
            standing.refunded,
            before.refunded if before is not None and had_succeeded else None,
            after.refunded if succeeded else None,
        ),
        last_payment=last,
        first_payment=first,
        last_failure=failure,
        failed_payment_count=standing.failed_payment_count + failed - had_failed,
        method_mark=method,
        rebuild_due=standing.rebuild_due or last_lost or first_lost or failure_lost or method_lost,
    )


def _mark(payment: Payment) -> PaymentMark | None:
    """A payment that nobody dated counts in the totals, but cannot be the first or the last."""
    if payment.created_at is None:
        return None
    return PaymentMark(
        payment_id=payment.external_id,
        at=payment.created_at,
        amount=payment.amount,
        reason=payment.failure_message or payment.failure_code,
    )


def _method_mark(payment: Payment) -> MethodMark | None:
    if payment.method is None or payment.created_at is None:
        return None
    return MethodMark(
        payment_id=payment.external_id,
        at=payment.created_at,
        succeeded=payment.status == "succeeded",
        method=payment.method,
    )


def _by_time(mark: PaymentMark) -> tuple[datetime, str]:
    return mark.at, mark.payment_id


def _by_proof(mark: MethodMark) -> tuple[bool, datetime, str]:
    return mark.succeeded, mark.at, mark.payment_id


def _remember(
    current: Remembered | None,
    candidate: Remembered | None,
    subject_id: str,
    rank: Callable[[Remembered], tuple[Any, ...]],
    *,
    earliest: bool = False,
) -> tuple[Remembered | None, bool]:
    """The higher-ranking of two, and whether the remembered one was taken back: then another, unknown here, may outrank
    the rest.

    ``candidate`` is what ``subject_id`` now offers, None for nothing; the last part of a rank is the id, so no two are
    equal.
    """
    if current is None:
        return candidate, False
    held = rank(current)
    if candidate is not None:
        offered = rank(candidate)
        if offered <= held if earliest else offered >= held:
            return candidate, False
    return (candidate, True) if held[-1] == subject_id else (current, False)


def _moved(totals: tuple[Money, ...], minus: Money | None, plus: Money | None) -> tuple[Money, ...]:
    """Totals per currency with one amount taken out and one put in; a total of zero is left out, so equal sums are
    equal values.
    """
    if minus == plus:
        return totals
    sums = {total.currency: total.amount_minor for total in totals}
    if minus is not None:
        sums[minus.currency] = sums.get(minus.currency, 0) - minus.amount_minor
    if plus is not None:
        sums[plus.currency] = sums.get(plus.currency, 0) + plus.amount_minor
    return tuple(Money(sums[currency], currency) for currency in sorted(sums) if sums[currency])


# -- subscriptions, invoices, disputes -------------------------------------------------------------------------------


def _advance_subscription(standing: Standing, after: Subscription) -> Standing:
    ended = next((item for item in standing.subscriptions if is_over(item)), None)
    kept = [item for item in standing.subscriptions if item.external_id != after.external_id and item is not ended]
    over = is_over(after)
    if not over:
        kept.append(after)
    candidate = after if over and after.status != "incomplete_expired" else None
    ended, lost = _remember(ended, candidate, after.external_id, ended_rank)
    if ended is not None:
        kept.append(ended)
    return msgspec.structs.replace(
        standing,
        subscriptions=tuple(sorted(kept, key=lambda item: item.external_id)),
        rebuild_due=standing.rebuild_due or lost,
    )


def ended_rank(subscription: Subscription) -> tuple[datetime, str]:
    """By which of two subscriptions that are over the later end is known."""
    return (subscription.ended_at or subscription.canceled_at or _LONG_AGO, subscription.external_id)


def _advance_invoice(standing: Standing, after: Invoice) -> Standing:
    others = tuple(item for item in standing.open_invoices if item.invoice_id != after.external_id)
    wanted = _open(after)
    if wanted is None:
        if len(others) == len(standing.open_invoices):
            return standing
        return msgspec.structs.replace(standing, open_invoices=others)
    ordered = sorted((*others, wanted), key=lambda item: (item.due_at, item.invoice_id))
    return msgspec.structs.replace(standing, open_invoices=tuple(ordered))


def _open(invoice: Invoice) -> OpenInvoice | None:
    """The invoice as something still owed. Without any date it cannot be said since when, so it is not placed."""
    due_at = invoice.due_at or invoice.finalized_at or invoice.created_at
    if invoice.deleted or invoice.status != "open" or invoice.amount_remaining.amount_minor <= 0 or due_at is None:
        return None
    return OpenInvoice(
        invoice_id=invoice.external_id,
        remaining=invoice.amount_remaining,
        due_at=due_at,
        attempt_count=invoice.attempt_count,
        subscription_id=invoice.subscription_id,
    )


def _advance_dispute(standing: Standing, after: Dispute) -> Standing:
    ids = {item for item in standing.open_dispute_ids if item != after.external_id}
    if after.status not in CLOSED_DISPUTE_STATUSES:
        ids.add(after.external_id)
    return msgspec.structs.replace(standing, open_dispute_ids=tuple(sorted(ids)))


def _advance_receivable(standing: Standing, after: Receivable) -> Standing:
    mark = ReceivableMark(
        party=after.external_id,
        open=after.open,
        overdue=after.overdue,
        oldest_due_on=after.oldest_due_on,
        blocked=after.blocked,
    )
    others = [one for one in standing.receivables if one.party != mark.party]
    ordered = sorted((*others, mark), key=lambda one: one.party)
    return msgspec.structs.replace(standing, receivables=tuple(ordered))
