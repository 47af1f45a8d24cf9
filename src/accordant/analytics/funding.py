"""Which transfers a payment was made of that a customer's virtual account paid: the first that came in goes out first.

Pure. A virtual account is money of one customer at the processor, so nothing of it may pay more than what came in: what
no transfer covers dangles, and is a finding (requirement 196: lineage is verified, not assumed).
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from accordant.canonical.bank import CashMovement
from accordant.kernel.money import Money

#: The processor's word for money that a customer's bank sent: https://docs.stripe.com/payments/customer-balance#types
FUNDED, APPLIED, UNAPPLIED = "funded", "applied_to_payment", "unapplied_from_payment"
#: How a payment from it was made, in the processor's word.
VIRTUAL_ACCOUNT = "customer_balance"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class FundedBy(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a payment, and the transfer it came with."""

    movement: CashMovement
    amount: Money


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment took from a virtual account: ``parts`` by transfer, ``dangling`` what none of them covers."""

    parts: tuple[FundedBy, ...]
    dangling: Money

    @property
    def taken(self) -> Money:
        """All that was taken."""
        return sum((part.amount for part in self.parts), start=self.dangling)


class _Pool:
    """What is left of each transfer on one virtual account, the first that came in first."""

    def __init__(self) -> None:
        self._left: list[tuple[CashMovement, int]] = []

    def put(self, movement: CashMovement, minor: int) -> None:
        self._left.append((movement, minor))

    def take(self, minor: int) -> tuple[list[tuple[CashMovement, int]], int]:
        """Parts of transfers that come to ``minor``, and what is missing of it."""
        parts: list[tuple[CashMovement, int]] = []
        while minor > 0 and self._left:
            movement, held = self._left.pop(0)
            part = min(held, minor)
            parts.append((movement, part))
            minor -= part
            if held > part:
                self._left.insert(0, (movement, held - part))
        return parts, minor

    def give_back(self, parts: Iterable[tuple[CashMovement, int]]) -> None:
        """Parts that pay nothing after all are there again, in the order in which they came."""
        self._left = sorted([*parts, *self._left], key=lambda one: _turn(one[0]))


def fundings(movements: Iterable[CashMovement]) -> dict[str, Funding]:
    """What each payment, by its intent, took from the virtual account of its customer, transfer by transfer."""
    pools: dict[tuple[str, str], _Pool] = {}
    taken: dict[str, list[tuple[CashMovement, int]]] = {}
    missing: dict[str, Money] = {}
    for one in sorted(movements, key=_turn):
        pool = pools.setdefault((one.customer_id, one.amount.currency), _Pool())
        minor = one.amount.amount_minor
        if one.type == APPLIED and one.intent_id is not None:
            parts, left = pool.take(-minor)
            taken.setdefault(one.intent_id, []).extend(parts)
            missing[one.intent_id] = missing.get(one.intent_id, Money(0, one.amount.currency)) + Money(
                left, one.amount.currency
            )
        elif one.type == UNAPPLIED and one.intent_id in taken:
            pool.give_back(_split_off(taken[one.intent_id], minor))
        elif minor > 0:
            pool.put(one, minor)
        else:
            pool.take(-minor)
    return {intent: _funding(parts, missing[intent]) for intent, parts in taken.items()}


def _split_off(parts: list[tuple[CashMovement, int]], minor: int) -> list[tuple[CashMovement, int]]:
    """Take ``minor`` off the end of ``parts``, and say what that was."""
    back: list[tuple[CashMovement, int]] = []
    while minor > 0 and parts:
        movement, held = parts.pop()
        part = min(held, minor)
        back.append((movement, part))
        minor -= part
        if held > part:
            parts.append((movement, held - part))
    return back


def _funding(parts: Iterable[tuple[CashMovement, int]], dangling: Money) -> Funding:
    by_transfer: dict[str, tuple[CashMovement, int]] = {}
    for movement, minor in parts:
        before = by_transfer.get(movement.external_id, (movement, 0))[1]
        by_transfer[movement.external_id] = (movement, before + minor)
    return Funding(
        parts=tuple(
            FundedBy(movement=movement, amount=Money(minor, movement.amount.currency))
            for movement, minor in by_transfer.values()
        ),
        dangling=dangling,
    )


def _turn(movement: CashMovement) -> tuple[datetime, int, str]:
    """By time; of one second what came in before what went out, since nothing goes out that is not there."""
    return movement.created_at or _LONG_AGO, 0 if movement.amount.amount_minor > 0 else 1, movement.external_id


def unexplained(payment_id: str, amount: Money, funding: Funding | None) -> str | None:
    """What does not fit of a payment that a virtual account paid, as a sentence."""
    if funding is None:
        return f"{payment_id}: paid from a virtual account, and nobody told of what was taken from it."
    if funding.dangling.amount_minor:
        return f"{payment_id}: {funding.dangling} of it came with no transfer that the hub knows."
    if funding.taken.currency == amount.currency and funding.taken != amount:
        return f"{payment_id} is {amount}, and {funding.taken} was taken from the virtual account for it."
    return None
