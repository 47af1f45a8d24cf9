"""What a change in mid-term costs, by the rules billing systems follow; used to check what billing has invoiced.

Half-open periods; each line is rounded half up by itself; the net is the sum of the rounded lines. Which rule a
system follows stands in its manifest.
"""

from datetime import date, datetime, timedelta, tzinfo
from fractions import Fraction

import msgspec

from accordant.canonical.books import ProrationRule
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money, round_half_up


class PeriodInvalid(RejectedError):
    """A change can be prorated only inside a period that has a length."""


class MidTermChange(msgspec.Struct, frozen=True, kw_only=True):
    """From one price to another inside a paid period. Prices are per whole period, in minor units.

    ``plan_ends_at`` is where the period of the plan would end if its bill date had not been moved; only the rule by
    plan period reads it. ``zone`` decides which day an instant falls on.
    """

    currency: str
    old_minor: int
    new_minor: int
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    zone: tzinfo
    plan_ends_at: datetime | None = None


class Proration(msgspec.Struct, frozen=True, kw_only=True):
    """The two lines of a change: ``credit`` for the old price (zero or negative), ``charge`` for the new one.

    ``remaining`` over ``whole`` is the part of the period that is left, in the units of the rule.
    """

    rule: ProrationRule
    credit: Money
    charge: Money
    remaining: int
    whole: int

    @property
    def net(self) -> Money:
        """What the change costs in all; negative is a credit for the customer."""
        return self.credit + self.charge


def prorate(change: MidTermChange, rule: ProrationRule) -> Proration:
    """Both lines of a change. Raises PeriodInvalid when it lies outside the period or the period has no length.

    By day the day of the change belongs to the new plan.
    """
    remaining, whole = _time_left(change, rule)
    if whole <= 0 or remaining < 0:
        raise PeriodInvalid(
            f"A change at {change.changed_at.isoformat()} is not inside the period from {change.starts_at.isoformat()} "
            f"to {change.ends_at.isoformat()}."
        )
    left = Fraction(remaining, whole)
    return Proration(
        rule=rule,
        credit=Money(-round_half_up(change.old_minor * left), change.currency),
        charge=Money(round_half_up(change.new_minor * left), change.currency),
        remaining=remaining,
        whole=whole,
    )


_UNITS = {
    ProrationRule.SECOND: timedelta(seconds=1),
    ProrationRule.MILLISECOND: timedelta(milliseconds=1),
    ProrationRule.MINUTE: timedelta(minutes=1),
}


def _time_left(change: MidTermChange, rule: ProrationRule) -> tuple[int, int]:
    if not change.starts_at <= change.changed_at <= change.ends_at:
        return -1, 0
    match rule:
        case ProrationRule.DAY:
            starts, changed, ends = (
                _day(instant, change.zone) for instant in (change.starts_at, change.changed_at, change.ends_at)
            )
            return (ends - changed).days, (ends - starts).days
        case ProrationRule.PLAN_PERIOD:
            plan_ends = change.plan_ends_at or change.ends_at
            second = timedelta(seconds=1)
            return (change.ends_at - change.changed_at) // second, (plan_ends - change.starts_at) // second
        case ProrationRule.SECOND | ProrationRule.MILLISECOND | ProrationRule.MINUTE:
            unit = _UNITS[rule]
            return (change.ends_at - change.changed_at) // unit, (change.ends_at - change.starts_at) // unit


def _day(instant: datetime, zone: tzinfo) -> date:
    return instant.astimezone(zone).date()


class InvoicedDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How what billing invoiced for a change differs from what its rule gives; both zero where it agrees."""

    credit: Money
    charge: Money
    why: str

    @property
    def agrees(self) -> bool:
        """Whether both lines are what the rule gives."""
        return not self.credit.amount_minor and not self.charge.amount_minor


def explain(change: MidTermChange, rule: ProrationRule, *, credit: Money, charge: Money) -> InvoicedDifference:
    """Compare invoiced lines with the rule, and say to the minor unit where a difference comes from.

    A difference that another rule, or the change a moment earlier or later, would explain is told as that.
    """
    right = prorate(change, rule)
    off_credit, off_charge = credit - right.credit, charge - right.charge
    if not off_credit.amount_minor and not off_charge.amount_minor:
        return InvoicedDifference(credit=off_credit, charge=off_charge, why="Both lines are what the rule gives.")
    for other in ProrationRule:
        if other is rule:
            continue
        told = prorate(change, other)
        if (told.credit, told.charge) == (credit, charge):
            why = f"The lines are right to the minor unit when time is counted by {other.value.replace('_', ' ')}."
            return InvoicedDifference(credit=off_credit, charge=off_charge, why=why)
    why = (
        f"By the rule {right.remaining} of {right.whole} {rule.value.replace('_', ' ')}s were left: "
        f"{right.credit} and {right.charge}, not {credit} and {charge}."
    )
    return InvoicedDifference(credit=off_credit, charge=off_charge, why=why)
