"""One standing of several: the billing customers that one record stands for, added up. Any order gives the same."""

from collections import Counter
from collections.abc import Iterable, Sequence

from accordant.analytics.standing import ended_rank, is_over
from accordant.canonical.standing import MethodMark, PaymentMark, Standing
from accordant.kernel.money import Money


def combine(standings: Iterable[Standing]) -> Standing:
    """The standing of all these customers together, as if one customer had done everything.

    Of the subscriptions that are over only the last to end is kept, as in the standing of one.
    """
    parts = list(standings)
    if len(parts) == 1:
        return parts[0]
    subscriptions = [one for part in parts for one in part.subscriptions]
    over = sorted((one for one in subscriptions if is_over(one)), key=ended_rank)
    kept = [one for one in subscriptions if not is_over(one)] + over[-1:]
    invoices = [one for part in parts for one in part.open_invoices]
    return Standing(
        subscriptions=tuple(sorted(kept, key=lambda one: one.external_id)),
        collected=_added([money for part in parts for money in part.collected]),
        refunded=_added([money for part in parts for money in part.refunded]),
        open_invoices=tuple(sorted(invoices, key=lambda one: (one.due_at, one.invoice_id))),
        last_payment=_latest([part.last_payment for part in parts]),
        first_payment=_earliest([part.first_payment for part in parts]),
        last_failure=_latest([part.last_failure for part in parts]),
        failed_payment_count=sum(part.failed_payment_count for part in parts),
        open_dispute_ids=tuple(sorted({one for part in parts for one in part.open_dispute_ids})),
        method_mark=_best([part.method_mark for part in parts]),
        receivables=tuple(sorted((one for part in parts for one in part.receivables), key=lambda one: one.party)),
        rebuild_due=any(part.rebuild_due for part in parts),
    )


def _added(amounts: Sequence[Money]) -> tuple[Money, ...]:
    """Totals per currency; one of zero is left out, as in the standing of one customer."""
    sums: Counter[str] = Counter()
    for money in amounts:
        sums[money.currency] += money.amount_minor
    return tuple(Money(sums[currency], currency) for currency in sorted(sums) if sums[currency])


def _latest(marks: Sequence[PaymentMark | None]) -> PaymentMark | None:
    return max((one for one in marks if one is not None), key=lambda one: (one.at, one.payment_id), default=None)


def _earliest(marks: Sequence[PaymentMark | None]) -> PaymentMark | None:
    return min((one for one in marks if one is not None), key=lambda one: (one.at, one.payment_id), default=None)


def _best(marks: Sequence[MethodMark | None]) -> MethodMark | None:
    known = (one for one in marks if one is not None)
    return max(known, key=lambda one: (one.succeeded, one.at, one.payment_id), default=None)
