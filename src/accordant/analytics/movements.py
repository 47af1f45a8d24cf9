"""How an account's recurring revenue moved: new, expanded, contracted, churned, come back. Pure.

From what its owner said of its subscriptions, in the order of the owner's stamps, so that the order of arrival never
counts. Source: finance.md 1.4. Next: ``mrr``, which prices one state.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from itertools import groupby

import msgspec

from accordant.analytics.mrr import MRR_1, MrrPolicy, period_end, subscription_mrr
from accordant.canonical.entities import Subscription
from accordant.identity.lifecycle import is_later
from accordant.kernel.money import Money

#: Movements that are kept beside an account; all of them are in its stored events.
LATEST_MAX = 6
#: The rank of a state that its owner gave when asked. What its notices said has lower ones.
READ_AGAIN = 2
_ENCODER = msgspec.json.Encoder(order="deterministic")


class MovementKind(StrEnum):
    """What a change of recurring revenue is: by what it was before and what it is after."""

    NEW = "new"
    EXPANSION = "expansion"
    CONTRACTION = "contraction"
    CHURN = "churn"
    REACTIVATION = "reactivation"


class StatedSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as its owner stated it. ``rank`` orders what one second holds: a creation comes first, what was
    read again (``READ_AGAIN``) last.
    """

    at: datetime
    rank: int
    subscription: Subscription


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an account's recurring revenue in one currency; ``before`` and ``after`` are a month's."""

    at: datetime
    kind: MovementKind
    before: Money
    after: Money

    @property
    def difference(self) -> Money:
        """How much it moved: below zero for what was lost."""
        return Money(self.after.amount_minor - self.before.amount_minor, self.after.currency)


class MovedRevenue(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of an account's movements: the latest, newest first, and what expansions added, per currency.

    ``next_at`` is when the calendar alone may move it again, as far as its owner has said.
    """

    latest: tuple[Movement, ...] = ()
    expanded: tuple[Money, ...] = ()
    next_at: datetime | None = None


def sum_up(states: Iterable[StatedSubscription], *, as_of: datetime, zone: tzinfo = UTC) -> MovedRevenue:
    """What is kept of the movements up to ``as_of``."""
    told = list(states)
    moved = movements(told, as_of=as_of, zone=zone)
    later = (moment for one in told for moment in _moments(one) if moment > as_of)
    return MovedRevenue(
        latest=moved[: -LATEST_MAX - 1 : -1], expanded=expanded(moved), next_at=min(later, default=None)
    )


def together(parts: Iterable[MovedRevenue]) -> MovedRevenue:
    """What several customers of one record moved, each by itself: the latest of all, and all expansions."""
    known = list(parts)
    moved = sorted((one for part in known for one in part.latest), key=lambda one: (one.at, one.kind, one.after))
    nexts = [one.next_at for one in known if one.next_at is not None]
    return MovedRevenue(
        latest=tuple(moved[: -LATEST_MAX - 1 : -1]),
        expanded=_added(money for one in known for money in one.expanded),
        next_at=min(nexts, default=None),
    )


def movements(
    states: Iterable[StatedSubscription], *, as_of: datetime, policy: MrrPolicy = MRR_1, zone: tzinfo = UTC
) -> tuple[Movement, ...]:
    """Every change up to ``as_of``, oldest first. Subscriptions that cannot be priced are left out while they cannot.

    Between two statements a price moves by the calendar alone: a discount ends, a cancellation takes effect. Invoices
    are not looked at, so a subscription that is past due counts until its owner ends it.
    """
    told = _in_order(states)
    moments = sorted({moment for one in told for moment in _moments(one) if moment <= as_of})
    latest: dict[str, Subscription] = {}
    held: dict[str, int] = {}
    had: set[str] = set()
    found: list[Movement] = []
    place = 0
    for moment in moments:
        while place < len(told) and told[place].at <= moment:
            latest[told[place].subscription.external_id] = told[place].subscription
            place += 1
        now = _total(latest.values(), moment, policy, zone)
        for currency in sorted(held.keys() | now.keys()):
            before, after = held.get(currency, 0), now.get(currency, 0)
            if before != after:
                kind = _kind(before, after, has_history=currency in had)
                found.append(
                    Movement(at=moment, kind=kind, before=Money(before, currency), after=Money(after, currency))
                )
                had.add(currency)
        held = now
    return tuple(found)


def _in_order(states: Iterable[StatedSubscription]) -> list[StatedSubscription]:
    """By stamp, then by rank. Which of two notices of one second came last, a reading after them tells.

    It was asked for because of them, so the change is theirs and of their second, not of the moment of asking. Without
    one, what a life cannot take back comes last, and what nothing tells apart has one order whatever came first.
    """
    told = sorted(states, key=lambda one: (one.at, one.rank, _ENCODER.encode(one.subscription)))
    answers: dict[str, Subscription] = {}
    ordered: list[StatedSubscription] = []
    for _, group in groupby(reversed(told), key=lambda one: (one.at, one.rank)):
        of_each: dict[str, list[StatedSubscription]] = {}
        for one in group:
            of_each.setdefault(one.subscription.external_id, []).append(one)
        for name, rivals in sorted(of_each.items()):
            ordered += _newest_first(rivals, answers.pop(name, None))
            if rivals[0].rank == READ_AGAIN:
                answers[name] = rivals[0].subscription
    return ordered[::-1]


def _newest_first(rivals: list[StatedSubscription], answer: Subscription | None) -> list[StatedSubscription]:
    if len(rivals) == 1:
        return rivals
    last = next((one for one in rivals if one.subscription == answer), None)
    if last is None:
        last = rivals[0]
        for one in rivals[1:]:
            if is_later(one.subscription, last.subscription):
                last = one
    return [last, *(one for one in rivals if one is not last)]


def expanded(moved: Iterable[Movement]) -> tuple[Money, ...]:
    """What expansions added in all, one amount per currency."""
    return _added(one.difference for one in moved if one.kind is MovementKind.EXPANSION)


def _added(amounts: Iterable[Money]) -> tuple[Money, ...]:
    sums: dict[str, int] = {}
    for money in amounts:
        sums[money.currency] = sums.get(money.currency, 0) + money.amount_minor
    return tuple(Money(sums[currency], currency) for currency in sorted(sums))


def _moments(one: StatedSubscription) -> Iterable[datetime]:
    """When the price of a state may move: when it was stated, and by the calendar afterwards."""
    yield one.at
    subscription = one.subscription
    ends = [subscription.cancels_at, subscription.ended_at, subscription.started_at]
    ends += [discount.ends_at for discount in subscription.discounts]
    if subscription.cancel_at_period_end or any(discount.duration == "once" for discount in subscription.discounts):
        ends.append(period_end(subscription))
    yield from (end for end in ends if end is not None and end > one.at)


def _total(states: Iterable[Subscription], moment: datetime, policy: MrrPolicy, zone: tzinfo) -> dict[str, int]:
    sums: dict[str, int] = {}
    for subscription in states:
        amount = subscription_mrr(subscription, as_of=moment, policy=policy, zone=zone)
        if amount is not None and amount.amount_minor:
            sums[amount.currency] = sums.get(amount.currency, 0) + amount.amount_minor
    return sums


def _kind(before: int, after: int, *, has_history: bool) -> MovementKind:
    if before == 0:
        return MovementKind.REACTIVATION if has_history else MovementKind.NEW
    if after == 0:
        return MovementKind.CHURN
    return MovementKind.EXPANSION if after > before else MovementKind.CONTRACTION
