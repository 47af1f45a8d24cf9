"""What billing invoiced for changes in mid-term, held against the rule it follows: right, or off by so much and why.

Pure. What a whole period costs is what its prices say; where a period began, what was billed for it before. Source: the
vendors' rules in finance.md 3.1. Next: `prorate.py` for the rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from fractions import Fraction

import msgspec

from accordant.canonical.books import ProrationRule
from accordant.canonical.entities import Invoice, InvoiceLine, Price
from accordant.kernel.money import Money, round_half_up
from accordant.ledger.prorate import InvoicedDifference, MidTermChange, PeriodInvalid, explain


class CheckedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change that a bill charges for: its lines, and how they differ; or in ``unknown`` why nobody can say."""

    bill: str
    number: str | None
    subscription: str | None
    changed_at: datetime
    credit: Money
    charge: Money
    difference: InvoicedDifference | None = None
    unknown: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether both lines are what the rule gives."""
        return self.difference is not None and self.difference.agrees


def check_changes(
    bill: Invoice, others: Sequence[Invoice], prices: Mapping[str, Price], rule: ProrationRule, *, zone: tzinfo
) -> list[CheckedChange]:
    """Every change that ``bill`` charges for. ``others`` are the bills of its customer, itself among them or not."""
    found: dict[tuple[str | None, datetime, datetime], list[InvoiceLine]] = {}
    for line in bill.lines:
        if line.proration and line.period_starts_at is not None and line.period_ends_at is not None:
            key = (line.subscription_id, line.period_starts_at, line.period_ends_at)
            found.setdefault(key, []).append(line)
    return [
        _check(bill, lines, others, prices, rule, zone=zone)
        for _, lines in sorted(found.items(), key=lambda row: (row[0][1], row[0][0] or ""))
    ]


def _check(
    bill: Invoice,
    lines: Sequence[InvoiceLine],
    others: Sequence[Invoice],
    prices: Mapping[str, Price],
    rule: ProrationRule,
    *,
    zone: tzinfo,
) -> CheckedChange:
    first, currency = lines[0], bill.total.currency
    assert first.period_starts_at is not None  # noqa: S101  the caller has looked; said for the type checker
    assert first.period_ends_at is not None  # noqa: S101  as above
    old, new = ([one for one in lines if (one.amount_minor < 0) is gave] for gave in (True, False))
    told = CheckedChange(
        bill=bill.external_id,
        number=bill.number,
        subscription=first.subscription_id,
        changed_at=first.period_starts_at,
        credit=Money(sum(one.amount_minor for one in old), currency),
        charge=Money(sum(one.amount_minor for one in new), currency),
    )
    if bill.discount is not None and bill.discount.amount_minor:
        return msgspec.structs.replace(
            told, unknown="The bill is discounted, and what of that its lines hold is not said."
        )
    wholes = _whole(old, prices), _whole(new, prices)
    starts = _begin(first, others)
    if wholes[0] is None or wholes[1] is None:
        return msgspec.structs.replace(told, unknown="What a whole period costs is not known: load the prices.")
    if starts is None:
        return msgspec.structs.replace(told, unknown="No bill for the period it falls into is known: load the history.")
    change = MidTermChange(
        currency=currency,
        old_minor=wholes[0],
        new_minor=wholes[1],
        starts_at=starts,
        ends_at=first.period_ends_at,
        changed_at=first.period_starts_at,
        zone=zone,
    )
    try:
        difference = explain(change, rule, credit=told.credit, charge=told.charge)
    except PeriodInvalid as error:
        return msgspec.structs.replace(told, unknown=error.message)
    return msgspec.structs.replace(told, difference=difference)


def _whole(lines: Iterable[InvoiceLine], prices: Mapping[str, Price]) -> int | None:
    """What the lines cost for a whole period; None where a price does not say."""
    total = Fraction(0)
    for line in lines:
        price = prices.get(line.price_id or "")
        if price is None or price.recurring is None or price.recurring.unit_minor is None:
            return None
        total += Fraction(price.recurring.unit_minor) * (1 if line.quantity is None else line.quantity)
    return round_half_up(total)


def _begin(changed: InvoiceLine, bills: Iterable[Invoice]) -> datetime | None:
    """When the period began that the change falls into: it ends when what is left of it ends."""
    starts = (
        line.period_starts_at
        for bill in bills
        for line in bill.lines
        if not line.proration
        and line.subscription_id == changed.subscription_id
        and line.period_ends_at == changed.period_ends_at
        and line.period_starts_at is not None
    )
    return min(starts, default=None)
