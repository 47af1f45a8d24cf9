"""Monthly recurring revenue by the policy ``mrr/1``: exact fractions, rounded once per subscription.

Usage, one-time charges, credits and refunds are never part of it. Next room: ``facts``, which shows the figures.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from functools import lru_cache

import msgspec

from accordant.canonical.entities import Discount, RecurringPrice, Subscription
from accordant.canonical.standing import Standing
from accordant.kernel.money import Money, round_half_up


class MrrPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The company's choices. ``id`` is printed beside every figure made with it.

    A past-due subscription counts through its ``delinquent_churn_days``-th day after the oldest unpaid due date (None:
    until the owner ends it). A coupon for one invoice counts only on terms of ``once_spread_months`` or more.
    ``paused_counts`` keeps a subscription whose collection is paused.
    """

    id: str = "mrr/1"
    delinquent_churn_days: int | None = 30
    once_spread_months: int = 12
    paused_counts: bool = False


MRR_1 = MrrPolicy()

#: Statuses whose subscriptions are paid for; every other one is worth nothing.
COUNTING_STATUSES = frozenset({"active", "past_due"})

# Parts of a month that one interval is: 365 / 12 days make a month, 7 days a week. Consistent with each other, unlike 4
# or 30.
_MONTHS_IN: dict[str, Fraction] = {
    "month": Fraction(1),
    "year": Fraction(12),
    "week": Fraction(84, 365),
    "day": Fraction(12, 365),
}
_PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_ZERO = Fraction(0)


class MrrPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The recurring revenue of one account, sorted by currency; ``at_risk`` is the part of ``counted`` that is past
    due.

    ``unknown`` names the subscriptions whose price, quantity, interval, discount or currency nobody stated.
    """

    counted: tuple[Money, ...] = ()
    at_risk: tuple[Money, ...] = ()
    unknown: tuple[str, ...] = ()


def subscription_mrr(
    subscription: Subscription,
    *,
    as_of: datetime,
    oldest_unpaid_due_at: datetime | None = None,
    policy: MrrPolicy = MRR_1,
    zone: tzinfo = UTC,
) -> Money | None:
    """What the subscription brings in a month, at one moment; zero when it does not count, None when it cannot be
    known.

    Source: finance.md 1.2. Every item is unit price times quantity, divided by the months of its interval; discounts in
    force are taken off in their order; the exact sum is rounded half up once. A cancellation that is only scheduled
    changes nothing until the paid period ends. A price that includes tax counts as it stands, since a subscription does
    not carry the rate. ``zone`` decides where the days of a late payment end. Raises: CurrencyUnknown for a currency
    that is none of ISO 4217.
    """
    currency = _currency(subscription)
    if currency is None:
        return None
    if not _counts(subscription, as_of, oldest_unpaid_due_at, policy, zone):
        return Money(0, currency)
    amounts: list[Fraction] = []
    months: list[Fraction] = []
    for item in subscription.items:
        recurring = item.recurring
        if recurring is not None and recurring.metered:
            continue
        if recurring is None or item.quantity is None or recurring.currency != currency:
            return None
        normal = _normal(recurring)
        if normal is None:
            return None
        amounts.append(normal[0] * item.quantity)
        months.append(normal[1])
    if subscription.discounts and amounts:
        known = _discounted(subscription, amounts, months, as_of, policy)
        if known is None:
            return None
        amounts = known
    return Money(round_half_up(sum(amounts[1:], amounts[0])) if amounts else 0, currency)


def account_mrr(
    standing: Standing, *, currency: str | None, as_of: datetime, policy: MrrPolicy = MRR_1
) -> tuple[Money, ...]:
    """The account's recurring revenue, one amount per currency, sorted; zero of ``currency`` when there is none at all.

    Subscriptions that cannot be priced are left out; ``mrr_position`` names them.
    """
    counted = mrr_position(standing, as_of=as_of, policy=policy).counted
    return counted if counted or currency is None else (Money(0, currency),)


def mrr_position(standing: Standing, *, as_of: datetime, policy: MrrPolicy = MRR_1, zone: tzinfo = UTC) -> MrrPosition:
    """Every subscription of the account priced at one moment, summed per currency."""
    counted: dict[str, int] = {}
    at_risk: dict[str, int] = {}
    unknown: list[str] = []
    for subscription in standing.subscriptions:
        if subscription.status not in COUNTING_STATUSES:
            continue  # worth nothing, and its price need not be known to say so
        late = subscription.status == "past_due"
        due_at = oldest_unpaid_due_at(standing, subscription) if late else None
        amount = subscription_mrr(subscription, as_of=as_of, oldest_unpaid_due_at=due_at, policy=policy, zone=zone)
        if amount is None:
            unknown.append(subscription.external_id)
        elif amount.amount_minor:
            counted[amount.currency] = counted.get(amount.currency, 0) + amount.amount_minor
            if late:
                at_risk[amount.currency] = at_risk.get(amount.currency, 0) + amount.amount_minor
    return MrrPosition(counted=_sorted(counted), at_risk=_sorted(at_risk), unknown=tuple(unknown))


def oldest_unpaid_due_at(standing: Standing, subscription: Subscription) -> datetime | None:
    """When the oldest open invoice of this subscription was to be paid; None when no such invoice is known."""
    return min(
        (
            invoice.due_at
            for invoice in standing.open_invoices
            if invoice.subscription_id == subscription.external_id
            or invoice.invoice_id == subscription.latest_invoice_id
        ),
        default=None,
    )


def discounts_in_force(
    subscription: Subscription, *, as_of: datetime, months: Fraction | None = None, policy: MrrPolicy = MRR_1
) -> tuple[Discount, ...]:
    """The discounts that reduce the subscription at one moment. With ``months`` given, those that count on terms of
    that length.
    """
    return tuple(
        discount
        for discount in subscription.discounts
        if _in_force(subscription, discount, as_of)
        and (months is None or discount.duration != "once" or months >= policy.once_spread_months)
    )


def _sorted(totals: dict[str, int]) -> tuple[Money, ...]:
    return tuple(Money(totals[currency], currency) for currency in sorted(totals))


def _currency(subscription: Subscription) -> str | None:
    if subscription.currency is not None:
        return subscription.currency
    stated = {item.recurring.currency for item in subscription.items if item.recurring is not None}
    return stated.pop() if len(stated) == 1 else None


def _counts(
    subscription: Subscription, as_of: datetime, due_at: datetime | None, policy: MrrPolicy, zone: tzinfo
) -> bool:
    if subscription.status not in COUNTING_STATUSES or (subscription.collection_paused and not policy.paused_counts):
        return False
    if subscription.started_at is not None and as_of < subscription.started_at:
        return False
    if any(end is not None and end <= as_of for end in (subscription.ended_at, subscription.cancels_at)):
        return False
    if subscription.cancel_at_period_end:
        paid_until = period_end(subscription)
        if paid_until is not None and paid_until <= as_of:
            return False
    if subscription.status != "past_due" or due_at is None or policy.delinquent_churn_days is None:
        return True
    days_late = (as_of.astimezone(zone).date() - due_at.astimezone(zone).date()).days
    return days_late <= policy.delinquent_churn_days


def period_end(subscription: Subscription) -> datetime | None:
    """When the period that is paid for ends: the subscription's own statement, else the earliest of its items."""
    if subscription.period_ends_at is not None:
        return subscription.period_ends_at
    return min((item.period_ends_at for item in subscription.items if item.period_ends_at is not None), default=None)


@lru_cache(maxsize=8192)
def _normal(recurring: RecurringPrice) -> tuple[Fraction, Fraction] | None:
    """The monthly price of one unit in minor units, and the months of its term; None when either was not stated."""
    months = months_of(recurring)
    if months is None or recurring.unit_minor is None or not _PLAIN_DECIMAL.fullmatch(recurring.unit_minor):
        return None
    return Fraction(recurring.unit_minor) / months, months


def months_of(recurring: RecurringPrice) -> Fraction | None:
    """The length of one term in months, exact: a week is 84/365 of a month. None for an interval nobody knows."""
    unit = _MONTHS_IN.get(recurring.interval)
    return None if unit is None or recurring.interval_count < 1 else unit * recurring.interval_count


def _in_force(subscription: Subscription, discount: Discount, as_of: datetime) -> bool:
    if discount.duration != "once":
        return discount.ends_at is None or as_of < discount.ends_at
    # A coupon for one invoice belongs to the term that invoice pays for, however early the owner takes it off.
    term_ends_at = period_end(subscription) or discount.ends_at
    return term_ends_at is None or as_of < term_ends_at


def _discounted(
    subscription: Subscription, amounts: list[Fraction], months: list[Fraction], as_of: datetime, policy: MrrPolicy
) -> list[Fraction] | None:
    """The items' monthly amounts after every discount that counts for them, in the owner's order; None when one is not
    stated.
    """
    for discount in subscription.discounts:
        if not _in_force(subscription, discount, as_of):
            continue
        eligible = [
            index
            for index, term in enumerate(months)
            if discount.duration != "once" or term >= policy.once_spread_months
        ]
        if not eligible:
            continue
        kept = _kept_share(discount, (amounts[index] for index in eligible), min(months[index] for index in eligible))
        if kept is None or (
            discount.amount_off is not None and discount.amount_off.currency != _currency(subscription)
        ):
            return None
        for index in eligible:
            amounts[index] *= kept
    return amounts


def _kept_share(discount: Discount, amounts: Iterable[Fraction], months: Fraction) -> Fraction | None:
    """What is left of one unit of money, between 0 and 1; an amount off is per invoice, and an invoice comes every
    ``months``.
    """
    if discount.percent is not None:
        if not _PLAIN_DECIMAL.fullmatch(discount.percent):
            return None
        return max(_ZERO, 1 - Fraction(discount.percent) / 100)
    if discount.amount_off is None:
        return None
    total = sum(amounts, _ZERO)
    if total <= 0:
        return Fraction(1)
    return max(_ZERO, 1 - discount.amount_off.amount_minor / months / total)
