"""Fills the vocabulary of ``canonical.facts`` for an account and for a subscription: what a target may show of them.

What the owner never said is absent; what is known to be empty is None. Next room: ``mapping.translate``.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from types import MappingProxyType

import msgspec

from accordant.analytics.movements import MovedRevenue
from accordant.analytics.mrr import (
    MRR_1,
    MrrPolicy,
    discounts_in_force,
    mrr_position,
    oldest_unpaid_due_at,
    period_end,
    subscription_mrr,
)
from accordant.analytics.receivables import payment_risk, receivable_facts
from accordant.analytics.standing import is_over
from accordant.analytics.wording import cycle_text, discount_text, movement_text
from accordant.canonical.entities import Account, Subscription
from accordant.canonical.facts import Fact
from accordant.canonical.standing import OpenInvoice, Standing
from accordant.kernel.money import Money

#: Every word the account fact ``status`` may be, the most urgent state of its subscriptions first:
#: unpaid (collection was given up), past_due, active (pays), cancelling (pays until the period ends), trialing, paused,
#: : incomplete (the first payment is open); without a live subscription churned, one_time (paid, never subscribed),
# prospect.
ACCOUNT_STATUSES = (
    "unpaid",
    "past_due",
    "active",
    "cancelling",
    "trialing",
    "paused",
    "incomplete",
    "churned",
    "one_time",
    "prospect",
)
#: Every word the account fact ``payment_method_status`` may be. Failing: the latest final payment failed.
PAYMENT_METHOD_STATUSES = ("none", "on_file", "expiring", "expired", "failing")

EXPIRING_DAYS = 30  # one ordinary billing cycle's notice
_RENEWING = frozenset({"active", "past_due", "trialing"})
_LAST = datetime.max.replace(tzinfo=UTC)  # a subscription that nobody dated is named after the others
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class FactProblem(msgspec.Struct, frozen=True):
    """A fact that had to stay unknown although something is known of it, and why."""

    fact: str
    reason: str


class Facts(msgspec.Struct, frozen=True):
    """The facts of one entity. A fact absent from ``values`` is unknown; None is known to be empty."""

    values: dict[str, Fact]
    problems: tuple[FactProblem, ...] = ()


def account_facts(
    account: Account,
    standing: Standing,
    *,
    as_of: datetime,
    product_names: Mapping[str, str] = _NO_NAMES,
    policy: MrrPolicy = MRR_1,
    zone: tzinfo = UTC,
    moved: MovedRevenue | None = None,
) -> Facts:
    """The facts of an account at one moment; the standing is taken to be complete. Days end in ``zone``.

    ==================== ==============================================================================================
    status               one of ``ACCOUNT_STATUSES``
    mrr, at_risk_mrr     by the policy; zero when nothing recurs; unknown when a price is, or when currencies are mixed
    plan_name            the plans of the live subscriptions, joined by commas; None without one
    billing_cycle        monthly, annual, every 3 months ..., or mixed; None without a live subscription
    next_renewal_on      the earliest period end that will renew; None when nothing will
    subscription_count   live ones: neither over nor waiting for a first payment
    last_payment_*       the latest payment that succeeded; None before the first
    failed_payment_count attempts that failed, ever
    days_to_first_...    from the account's creation to the first payment; None before it, 0 when it came earlier
    payment_method_...   one of ``PAYMENT_METHOD_STATUSES``; expiring within thirty days
    lifetime_value       collected less refunded
    discount             those in force, such as "20% off forever"; None without one
    past_due_amount      open invoices whose due day is over, or whose collection failed since they were due
    receivable_*         what the ERP says is owed, what of it is late, and since when; unknown without its word
    payment_risk         low, watch or high (`analytics/receivables.py`)
    customer_since       the day of the first payment; None before it
    last_movement...     how MRR moved last, when, and by how much (below zero: lost); None before it ever did
    movement_history     the latest movements, newest first, as in "2026-02-03 expansion +200.00 EUR"
    expansion_total      what all expansions of a month's revenue added
    ==================== ==============================================================================================

    Money facts are in the account's currency: its own, else the only one it has. Raises: CurrencyUnknown.
    """
    values: dict[str, Fact] = {"external_id": account.external_id, "deleted": account.deleted}
    stated: dict[str, Fact] = {"name": account.name, "email": account.email, "country": account.country}
    values.update({name: value for name, value in stated.items() if value is not None})
    live = sorted(
        (item for item in standing.subscriptions if not is_over(item)),
        key=lambda item: (item.started_at or _LAST, item.external_id),
    )
    counting = [item for item in live if item.status != "incomplete"]
    values["status"] = _status(standing, live)
    values["subscription_count"] = len(counting)
    values["failed_payment_count"] = standing.failed_payment_count
    values["next_renewal_on"] = _next_renewal(live, zone)
    values["discount"] = discount_text(item for one in live for item in discounts_in_force(one, as_of=as_of)) or None
    _describe(values, counting, product_names)
    _tell_payments(values, account, standing, zone)
    _tell_risk(values, account, standing, as_of, zone)
    currency = account.currency or _only_currency(standing)
    if currency is None:
        return Facts(values)
    values["currency"] = currency
    problems = _tell_money(values, standing, currency, as_of=as_of, policy=policy, zone=zone)
    return Facts(values, (*problems, *_tell_moved(values, moved, currency, zone)))


def subscription_facts(
    subscription: Subscription,
    standing: Standing,
    *,
    as_of: datetime,
    product_names: Mapping[str, str],
    policy: MrrPolicy = MRR_1,
    zone: tzinfo = UTC,
) -> Facts:
    """The facts of a subscription at one moment; ``standing`` is its account's, for what is unpaid. Days end in
    ``zone``.

    ``status`` is the owner's word, ``account`` the owner's customer id, ``name`` plan and cycle ("Pro annual") or the
    id, ``quantity`` the sum over items that are not metered. Raises: CurrencyUnknown.
    """
    problems: tuple[FactProblem, ...] = ()
    over = is_over(subscription)
    values: dict[str, Fact] = {
        "external_id": subscription.external_id,
        "account": subscription.customer_id,
        "status": subscription.status,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "trial_ends_on": _day(subscription.trial_ends_at, zone),
        "ended_on": _day(subscription.ended_at, zone),
        "next_renewal_on": None if over else _next_renewal((subscription,), zone),
        "discount": None if over else discount_text(discounts_in_force(subscription, as_of=as_of)) or None,
    }
    if subscription.started_at is not None:
        values["started_on"] = _day(subscription.started_at, zone)
    _describe(values, (subscription,), product_names)
    plan, cycle = values.get("plan_name"), values.get("billing_cycle")
    values["name"] = f"{plan} {cycle}" if plan and cycle and cycle != "mixed" else plan or subscription.external_id
    counted = [item.quantity for item in subscription.items if item.recurring is None or not item.recurring.metered]
    if None not in counted:
        values["quantity"] = sum(quantity for quantity in counted if quantity is not None)
    due_at = oldest_unpaid_due_at(standing, subscription) if subscription.status == "past_due" else None
    mrr = subscription_mrr(subscription, as_of=as_of, oldest_unpaid_due_at=due_at, policy=policy, zone=zone)
    if mrr is None:
        problems = (FactProblem("mrr", _unpriced((subscription.external_id,))),)
    else:
        values["mrr"] = mrr
    currency = subscription.currency or (None if mrr is None else mrr.currency)
    if currency is not None:
        values["currency"] = currency
    return Facts(values, problems)


# -- words -----------------------------------------------------------------------------------------------------------


def _status(standing: Standing, live: Iterable[Subscription]) -> str:
    words = {_word(subscription) for subscription in live}
    for status in ACCOUNT_STATUSES:
        if status in words:
            return status
    if any(_was_customer(item, standing) for item in standing.subscriptions if is_over(item)):
        return "churned"
    return "prospect" if standing.first_payment is None else "one_time"


def _word(subscription: Subscription) -> str:
    if subscription.status != "active":
        return subscription.status
    if subscription.collection_paused:
        return "paused"
    return "cancelling" if subscription.cancel_at_period_end or subscription.cancels_at is not None else "active"


def _was_customer(ended: Subscription, standing: Standing) -> bool:
    """A trial that ended without a payment was never a customer."""
    if standing.first_payment is not None or ended.trial_ends_at is None or ended.ended_at is None:
        return True
    return ended.ended_at > ended.trial_ends_at


def _method_status(account: Account, standing: Standing, today: date) -> str | None:
    failure, success = standing.last_failure, standing.last_payment
    if failure is not None and (success is None or failure.at > success.at):
        return "failing"
    method = standing.method
    if method is not None:
        if method.expires_on is None or method.expires_on >= today + timedelta(days=EXPIRING_DAYS):
            return "on_file"
        return "expired" if method.expires_on < today else "expiring"
    if account.has_payment_method is None:
        return None
    return "on_file" if account.has_payment_method else "none"


def _tell_risk(values: dict[str, Fact], account: Account, standing: Standing, as_of: datetime, zone: tzinfo) -> None:
    """What it pays with, what the ERP says it owes, and what both say of the next payment."""
    today = as_of.astimezone(zone).date()
    method_status = _method_status(account, standing, today)
    if method_status is not None:
        values["payment_method_status"] = method_status
    values |= receivable_facts(standing)
    values["payment_risk"] = payment_risk(
        standing,
        status=str(values["status"]),
        method_status=method_status,
        is_late=any(map(_past_due_at(as_of, zone), standing.open_invoices)),
        today=today,
    )


def _describe(values: dict[str, Fact], subscriptions: Iterable[Subscription], product_names: Mapping[str, str]) -> None:
    """Plan and cycle of these subscriptions; both stay unknown when there are items and none of them says."""
    items = [item for subscription in subscriptions for item in subscription.items]
    if not items:
        values["plan_name"] = values["billing_cycle"] = None
        return
    names = dict.fromkeys(item.plan_name or product_names.get(item.product_id or "") for item in items)
    stated = [name for name in names if name]
    if stated:
        values["plan_name"] = ", ".join(stated)
    cycles = {
        cycle_text(item.recurring.interval, item.recurring.interval_count)
        for item in items
        if item.recurring is not None
    }
    if cycles:
        values["billing_cycle"] = cycles.pop() if len(cycles) == 1 else "mixed"


# -- days ------------------------------------------------------------------------------------------------------------


def _day(instant: datetime | None, zone: tzinfo) -> date | None:
    return None if instant is None else instant.astimezone(zone).date()


def _next_renewal(subscriptions: Iterable[Subscription], zone: tzinfo) -> date | None:
    ends = [period_end(item) for item in subscriptions if _renews(item)]
    return _day(min((end for end in ends if end is not None), default=None), zone)


def _renews(subscription: Subscription) -> bool:
    return (
        subscription.status in _RENEWING
        and not subscription.cancel_at_period_end
        and subscription.cancels_at is None
        and not subscription.collection_paused
    )


def _tell_payments(values: dict[str, Fact], account: Account, standing: Standing, zone: tzinfo) -> None:
    last, first = standing.last_payment, standing.first_payment
    first_on = None if first is None else _day(first.at, zone)
    values["last_payment_on"] = None if last is None else _day(last.at, zone)
    if last is None:
        values["last_payment_amount"] = None
    values["customer_since"] = first_on
    created_on = _day(account.created_at, zone)
    if first_on is None:
        values["days_to_first_payment"] = None
    elif created_on is not None:
        values["days_to_first_payment"] = max(0, (first_on - created_on).days)


# -- money -----------------------------------------------------------------------------------------------------------


def _only_currency(standing: Standing) -> str | None:
    """The currency of everything that has one, when that is a single one."""
    seen = {amount.currency for amount in standing.collected}
    seen.update(invoice.remaining.currency for invoice in standing.open_invoices)
    for subscription in standing.subscriptions:
        if subscription.currency is not None:
            seen.add(subscription.currency)
        seen.update(item.recurring.currency for item in subscription.items if item.recurring is not None)
    return seen.pop() if len(seen) == 1 else None


def _tell_money(
    values: dict[str, Fact], standing: Standing, currency: str, *, as_of: datetime, policy: MrrPolicy, zone: tzinfo
) -> tuple[FactProblem, ...]:
    problems: list[FactProblem] = []

    def tell(fact: str, plus: Iterable[Money], minus: Iterable[Money] = ()) -> None:
        total = 0
        for amounts, sign in ((plus, 1), (minus, -1)):
            for amount in amounts:
                if amount.currency != currency:
                    problems.append(FactProblem(fact, _foreign(amount.currency, currency)))
                    return
                total += sign * amount.amount_minor
        values[fact] = Money(total, currency)

    position = mrr_position(standing, as_of=as_of, policy=policy, zone=zone)
    if position.unknown:
        problems.extend(FactProblem(fact, _unpriced(position.unknown)) for fact in ("mrr", "at_risk_mrr"))
    else:
        tell("mrr", position.counted)
        tell("at_risk_mrr", position.at_risk)
    tell("lifetime_value", standing.collected, standing.refunded)
    is_past_due = _past_due_at(as_of, zone)
    tell("past_due_amount", (invoice.remaining for invoice in standing.open_invoices if is_past_due(invoice)))
    if standing.receivables:
        tell("receivable_open", (one.open for one in standing.receivables))
        tell("receivable_overdue", (one.overdue for one in standing.receivables))
    if standing.last_payment is not None:
        tell("last_payment_amount", (standing.last_payment.amount,))
    return tuple(problems)


def _tell_moved(
    values: dict[str, Fact], moved: MovedRevenue | None, currency: str, zone: tzinfo
) -> tuple[FactProblem, ...]:
    """How recurring revenue moved; unknown until its history was counted (`operations/count_movements.py`)."""
    if moved is None:
        return ()
    last = moved.latest[0] if moved.latest else None
    values["movement_history"] = movement_text(moved.latest, zone) or None
    values["last_movement"] = None if last is None else last.kind.value
    values["last_movement_on"] = None if last is None else _day(last.at, zone)
    problems = []
    if last is None:
        values["last_movement_amount"] = None
    elif last.after.currency == currency:
        values["last_movement_amount"] = last.difference
    else:
        problems.append(FactProblem("last_movement_amount", _foreign(last.after.currency, currency)))
    foreign = next((one.currency for one in moved.expanded if one.currency != currency), None)
    if foreign is None:
        values["expansion_total"] = sum(moved.expanded, start=Money.zero(currency))
    else:
        problems.append(FactProblem("expansion_total", _foreign(foreign, currency)))
    return tuple(problems)


def _past_due_at(as_of: datetime, zone: tzinfo) -> Callable[[OpenInvoice], bool]:
    """An invoice is late once its due day is over; one that was due and whose collection failed is late at once."""
    today = as_of.astimezone(zone).date()

    def is_past_due(invoice: OpenInvoice) -> bool:
        if invoice.attempt_count > 0:
            return invoice.due_at <= as_of
        return invoice.due_at.astimezone(zone).date() < today

    return is_past_due


def _foreign(other: str, currency: str) -> str:
    return f"There are amounts in {other}, and the account is kept in {currency}. Compare the currencies in billing."


def _unpriced(subscriptions: tuple[str, ...]) -> str:
    named = ", ".join(subscriptions)
    return f"A price, quantity, interval, discount or currency of {named} is not stated. Look at it in billing."
