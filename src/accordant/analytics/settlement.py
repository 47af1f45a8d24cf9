"""A payout followed to what it consists of: each movement with the payment, refund or dispute it comes of.

Pure. A unit that belongs to no movement dangles, one that movements allocate beyond the payout is too much: both are
findings (requirement 97: every payout unit traces to its collections).
"""

from collections.abc import Mapping, Sequence

import msgspec

from accordant.analytics.bank import Arrival
from accordant.analytics.funding import VIRTUAL_ACCOUNT, FundedBy, Funding, unexplained
from accordant.canonical.entities import BalanceMovement, Dispute, Entity, Payment, Payout, Refund
from accordant.kernel.money import Money

Source = Payment | Refund | Dispute
#: Movements that come of something a customer paid, got back or contests.
_OF_CUSTOMERS = frozenset({"charge", "payment", "refund", "payment_refund", "payment_failure_refund"})


class TracedMovement(msgspec.Struct, frozen=True, kw_only=True):
    """One movement with what it comes of, as far as the hub knows it. ``gap`` says what does not fit.

    ``merchant`` is who answers for the sale towards the customer, None where that is the company itself. ``funded_by``
    are the transfers behind it, where the customer paid from a virtual account.
    """

    movement: BalanceMovement
    source: Source | None = None
    payment_id: str | None = None
    invoice_id: str | None = None
    customer_id: str | None = None
    merchant: str | None = None
    funded_by: tuple[FundedBy, ...] = ()
    gap: str | None = None


class PayoutTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One payout. ``net`` is what its movements come to, ``difference`` what of it they do not explain.

    ``is_listed`` says whether its owner has told of any movement, ``arrival`` what the bank says of it.
    """

    payout: Payout
    lines: tuple[TracedMovement, ...]
    net: Money
    is_listed: bool
    arrival: Arrival = Arrival()

    @property
    def difference(self) -> Money:
        """What was paid out less what its movements come to."""
        return self.payout.amount - self.net

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with it, in sentences; empty where every unit is explained."""
        at_bank = () if self.arrival.finding is None else (self.arrival.finding,)
        if not self.is_listed:
            if self.payout.automatic is False:
                by_hand = "It was made by hand: its owner never says what is in it, so allocate it by hand."
                return (by_hand, *at_bank)
            return ("Nothing is known of what it settled.", *at_bank)
        found = [one.gap for one in self.lines if one.gap is not None]
        if self.difference.amount_minor > 0:
            found.append(f"{self.difference} of it dangle: no movement explains them.")
        elif self.difference.amount_minor < 0:
            found.append(f"Its movements come to {-self.difference} more than was paid out.")
        return (*found, *at_bank)


def trace_payout(
    payout: Payout,
    movements: Sequence[BalanceMovement],
    known: Mapping[str, Entity],
    *,
    funded: Mapping[str, Funding] | None = None,
    arrival: Arrival | None = None,
) -> PayoutTrace:
    """Follow ``payout`` to its collections. ``known`` are objects by their owner's id, ``funded`` what payments took
    from virtual accounts, by their intent.

    Raises CurrencyMixed where a movement is in another currency than the payout: processors settle in one.
    """
    parts = [one for one in movements if one.source_id != payout.external_id]
    net = sum((one.net for one in parts), start=Money(0, payout.amount.currency))
    lines = tuple(_traced(one, known, funded or {}) for one in parts)
    return PayoutTrace(payout=payout, lines=lines, net=net, is_listed=bool(movements), arrival=arrival or Arrival())


def _traced(movement: BalanceMovement, known: Mapping[str, Entity], funded: Mapping[str, Funding]) -> TracedMovement:
    source = known.get(movement.source_id or "")
    if not isinstance(source, Payment | Refund | Dispute):
        gap = None
        if movement.type in _OF_CUSTOMERS:
            gap = f"{movement.external_id}: nobody told the hub of {movement.source_id or 'what it comes of'}."
        return TracedMovement(movement=movement, gap=gap)
    payment = source if isinstance(source, Payment) else known.get(source.payment_id or "")
    collected = payment if isinstance(payment, Payment) else None
    funding = None if collected is None else funded.get(collected.intent_id or "")
    return TracedMovement(
        movement=movement,
        source=source,
        payment_id=None if collected is None else collected.external_id,
        invoice_id=None if collected is None else collected.invoice_id,
        customer_id=source.customer_id if collected is None else collected.customer_id,
        merchant=None if collected is None else collected.merchant,
        funded_by=() if funding is None else funding.parts,
        gap=_gap(movement, source) or _unfunded(source, funding),
    )


def _unfunded(source: Source, funding: Funding | None) -> str | None:
    """What no transfer covers of a payment from a virtual account."""
    if not isinstance(source, Payment) or source.method is None or source.method.type != VIRTUAL_ACCOUNT:
        return None
    return unexplained(source.external_id, source.amount, funding)


def _gap(movement: BalanceMovement, source: Source) -> str | None:
    """Amounts are compared where no conversion lies between them."""
    expected = source.amount if isinstance(source, Payment) else -source.amount
    if isinstance(source, Dispute) or expected.currency != movement.amount.currency or expected == movement.amount:
        return None
    return f"{movement.external_id} moves {movement.amount}, and {source.external_id} is {expected}."
