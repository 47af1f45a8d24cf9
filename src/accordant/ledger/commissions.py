"""What people earn on money that customers have paid: a plan's rates, and what each payment and each return adds.

A line is never changed; at every point a person's lines of one plan come to the commission on what was collected and
kept, to the minor unit. Next: `operations/earn_commissions.py`, which brings the events and posts the lines.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from fractions import Fraction

import msgspec

from accordant.canonical.commissions import OWNER, Deal, OwnedAt, PlanPart
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import fingerprint
from accordant.kernel.money import Money, round_half_up, split_minor
from accordant.ledger.exchange import part_of

#: Costs whose benefit lasts no longer may be expensed at once. Source: ASC 340-40-25-4.
EXPEDIENT_MONTHS = 12


class CommissionRule(StrEnum):
    """The rules of the entries that counting makes; what a person orders of commissions has names of its own."""

    COUNTED = "commission_counted"
    CLAWED_BACK = "commission_clawed_back"
    AMORTISED = "commission_amortised"


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A rate, in percent as decimal text, for what lies above a running total in minor units of the books."""

    above_minor: int
    percent: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a person earns of one payment, fixed when it was first counted: the version of the plan, its rates, the part
    of the payment, and from when and for how many months the benefit lasts; 0 months for what is expensed at once.
    """

    plan: str
    tiers: tuple[Tier, ...]
    weight: int
    benefit_on: date
    benefit_months: int
    deduct_fees: bool = False


def commission_on(base_minor: int, tiers: Sequence[Tier]) -> int:
    """The commission on a running total, each part of it at the rate of its tier, rounded half up once.

    Both in minor units of the books. A total below zero is charged at the first rate.
    """
    if base_minor < 0:
        return -round_half_up(Fraction(-base_minor) * Fraction(tiers[0].percent) / 100)
    ends = [*(tier.above_minor for tier in tiers[1:]), base_minor]
    total = Fraction(0)
    for tier, end in zip(tiers, ends, strict=True):
        within = min(base_minor, end) - tier.above_minor
        total += max(within, 0) * Fraction(tier.percent) / 100
    return round_half_up(total)


# -- what was collected ----------------------------------------------------------------------------------------------


class CashKind(StrEnum):
    """What an event does to money that was collected."""

    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTE_LOST = "dispute_lost"
    FEE = "fee"


class Cash(msgspec.Struct, frozen=True, kw_only=True):
    """What one event did to the money of one payment. ``payment`` is the payment's reference, its own for one.

    ``gross_minor`` is in the currency of the bill, tax included, zero or more; of what was paid ``books_minor`` is the
    same at that day's rate, of a fee it is the fee. What no longer holds of an event is zero.
    """

    event: str
    kind: CashKind
    payment: str
    happened_on: date
    gross_minor: int
    books_minor: int = 0


class TaxOfBill(msgspec.Struct, frozen=True, kw_only=True):
    """A bill's total and the tax in it, in minor units of its currency."""

    total: int
    tax: int


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What stands of one payment, in minor units of the books: without tax, less what was given back in proportion.

    ``fees`` are beside it; a plan that deducts them takes what is left of `net` less them.
    """

    gross: int
    net: int
    back: int
    fees: int

    def counted(self, *, deduct_fees: bool) -> int:
        """What commissions are computed on. Given back whole it is nothing, fees or not."""
        base = self.net - (self.fees if deduct_fees else 0)
        return base - part_of(base, min(self.back, self.gross), self.gross)


def collected(bill: TaxOfBill, cash: Iterable[Cash]) -> dict[str, Collected]:
    """What stands of each payment of one bill, by its reference.

    Tax is the bill's share of each partial payment, rounded on the running total in the order of their days, so that a
    bill that is paid whole has borne its tax to the unit. Whatever order events came in, the same comes out.
    """
    listed = sorted(cash, key=lambda one: (one.happened_on, one.event))
    back: dict[str, int] = {}
    fees: dict[str, int] = {}
    for one in listed:
        if one.kind is CashKind.FEE:
            fees[one.payment] = fees.get(one.payment, 0) + one.books_minor
        elif one.kind is not CashKind.PAID:
            back[one.payment] = back.get(one.payment, 0) + one.gross_minor
    found, paid = {}, 0
    for one in listed:
        if one.kind is CashKind.PAID:
            tax = part_of(bill.tax, paid + one.gross_minor, bill.total) - part_of(bill.tax, paid, bill.total)
            paid += one.gross_minor
            found[one.payment] = Collected(
                gross=one.gross_minor,
                net=part_of(one.books_minor, one.gross_minor - tax, one.gross_minor),
                back=back.get(one.payment, 0),
                fees=fees.get(one.payment, 0),
            )
    return found


# -- lines -----------------------------------------------------------------------------------------------------------


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one event added to one person's commission; below zero it is clawed back. Minor units of the books.

    ``base_minor`` is what it added to what was collected, ``happened_on`` the day of the event.
    """

    event: str
    payment: str
    person: str
    terms: Terms
    base_minor: int
    amount_minor: int
    happened_on: date


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """What a person's lines of one version of a plan come to."""

    base_minor: int = 0
    amount_minor: int = 0


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Who earns of a payment, and on which terms: in the order in which what is left over by rounding is given out."""

    terms: Mapping[str, Terms]

    def shares(self, standing: Collected) -> dict[str, int]:
        """What was collected, divided: nothing is lost and nothing is made."""
        deduct = next(iter(self.terms.values())).deduct_fees
        weights = [one.weight for one in self.terms.values()]
        return dict(zip(self.terms, split_minor(standing.counted(deduct_fees=deduct), weights), strict=True))


class Sums:
    """The running totals by person and version of a plan, while lines are made one after the other."""

    def __init__(self, totals: Mapping[tuple[str, str], Total]) -> None:
        self.totals = dict(totals)

    def add(self, person: str, terms: Terms, base_minor: int) -> int:
        """Add to what was collected; what that adds to the commission.

        Raises InvariantBroken where a version of a plan has other rates than its lines were made with.
        """
        old = self.totals.get((person, terms.plan), Total())
        if old.amount_minor != commission_on(old.base_minor, terms.tiers):
            raise InvariantBroken(f"The lines of {person} in {terms.plan} were made with other rates.")
        base = old.base_minor + base_minor
        new = Total(base_minor=base, amount_minor=commission_on(base, terms.tiers))
        self.totals[person, terms.plan] = new
        return new.amount_minor - old.amount_minor


def credit_of(lines: Iterable[Line]) -> Credit | None:
    """On which terms a payment was counted before; None where it never was."""
    terms: dict[str, Terms] = {}
    for line in lines:
        terms.setdefault(line.person, line.terms)
    return Credit(terms=terms) if terms else None


def lines_of(
    one: Cash, standing: Collected, credit: Credit, before: Sequence[Line], sums: Sums, *, happened_on: date
) -> tuple[Line, ...]:
    """The lines with which a payment's lines come to what stands of it now, told by the event ``one``.

    ``before`` are the payment's lines so far. The first count of a payment has a line for each person, be it of zero:
    it keeps the terms. After that only what changes has one.
    """
    had: dict[str, int] = {}
    for line in before:
        had[line.person] = had.get(line.person, 0) + line.base_minor
    made = []
    for person, share in credit.shares(standing).items():
        added = share - had.get(person, 0)
        if added or person not in had:
            terms = credit.terms[person]
            made.append(
                Line(
                    event=one.event,
                    payment=one.payment,
                    person=person,
                    terms=terms,
                    base_minor=added,
                    amount_minor=sums.add(person, terms, added),
                    happened_on=happened_on,
                )
            )
    return tuple(made)


# -- whose it is, and on which terms ---------------------------------------------------------------------------------


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the deal behind a bill. Owners are the CRM's ids.

    ``reason`` is billing's word for why the bill was made, ``billed_on`` its day, ``began_on`` when the subscription
    began and ``term_months`` how long the contract was signed for, where the CRM says so.
    """

    signed_by: str | None
    owned_by: str | None
    reason: str | None
    billed_on: date
    began_on: date | None
    term_months: int | None


class NotCounted(msgspec.Struct, frozen=True, kw_only=True):
    """Why nobody earns anything of a payment. ``may_change`` says that it is looked at again by itself."""

    reason: str
    may_change: bool


#: Billing's word for a bill of a change in the middle of a period.
_CHANGE = "subscription_update"


def deal_of(sold: Sold, first_term_months: int) -> Deal:
    """What a payment is for."""
    if sold.reason == _CHANGE:
        return Deal.EXPANSION
    if sold.began_on is None:
        return Deal.NEW
    term = sold.term_months or first_term_months
    return Deal.RENEWAL if sold.billed_on >= months_after(sold.began_on, term) else Deal.NEW


def credit_for(
    sold: Sold, plans: Sequence[PlanPart], *, legal_entity: str, currency: str, day: date
) -> Credit | NotCounted:
    """Who earns of a payment of ``day``, by the plans in force then, or why nobody does.

    The owner's plan decides how it is divided and what counts; each person's own plan has their rates.
    """
    held = [one for one in plans if one.legal_entity == legal_entity and one.holds_on(day)]
    found = _owner(sold, held)
    if found is None:
        if sold.signed_by is None and sold.owned_by is None:
            return NotCounted(reason="Nobody is known to own the deal.", may_change=True)
        return _unplanned(sold.owned_by or sold.signed_by or "", legal_entity, day)
    owner, plan = found
    deal = deal_of(sold, plan.first_term_months)
    if deal not in plan.counts:
        return NotCounted(reason=f"The plan {plan.name} does not count what is {deal.value}.", may_change=False)
    months = plan.benefit_months[deal]
    at_once = plan.expense_up_to_a_year and months <= EXPEDIENT_MONTHS
    terms = {}
    for person, weight in _weights(owner, plan).items():
        rates = plan_of(person, held)
        if rates is None:
            return _unplanned(person, legal_entity, day)
        terms[person] = Terms(
            plan=plan_version(rates),
            tiers=tiers_of(rates, currency),
            weight=weight,
            benefit_on=day,
            benefit_months=0 if at_once else months,
            deduct_fees=plan.deduct_fees,
        )
    return Credit(terms=terms)


def _owner(sold: Sold, plans: Sequence[PlanPart]) -> tuple[str, PlanPart] | None:
    """Whose deal it is, with his plan. Who signed comes first where the plans of both would have it."""
    for owned_at, person in ((OwnedAt.SIGNATURE, sold.signed_by), (OwnedAt.PAYMENT, sold.owned_by)):
        plan = None if person is None else plan_of(person, plans)
        if person is not None and plan is not None and plan.owned_at is owned_at:
            return person, plan
    return None


def _weights(owner: str, plan: PlanPart) -> dict[str, int]:
    """The parts of a plan by person: one who is named and owns the deal has both."""
    weights: dict[str, int] = {}
    for who, weight in (plan.shares or {OWNER: 1}).items():
        person = owner if who == OWNER else who
        weights[person] = weights.get(person, 0) + weight
    return weights


def _unplanned(person: str, legal_entity: str, day: date) -> NotCounted:
    return NotCounted(reason=f"No plan of {legal_entity} pays {person} on {day.isoformat()}.", may_change=False)


def plan_of(person: str, plans: Iterable[PlanPart]) -> PlanPart | None:
    """Of the plans in force, a person's: the one that names them, else the one that names nobody."""
    held = sorted(plans, key=lambda one: person not in one.people)
    return next((one for one in held if person in one.people or not one.people), None)


def plan_version(plan: PlanPart) -> str:
    """The name of a version: its plan, its first day, and a fingerprint of its rates. Edited, it is another."""
    rates = fingerprint(msgspec.to_builtins(plan.tiers))[:8]
    return f"{plan.name}/{plan.from_on.isoformat()}/{rates}"


def tiers_of(plan: PlanPart, currency: str) -> tuple[Tier, ...]:
    """The rates of a plan in minor units of the books. Raises AmountInvalid for a limit that is none."""
    return tuple(
        Tier(above_minor=Money.parse(one.above, currency).amount_minor, percent=one.percent) for one in plan.tiers
    )


def months_after(day: date, months: int) -> date:
    """The same day of the month so many months later, or that month's last."""
    year, month = divmod(day.month - 1 + months, 12)
    first = date(day.year + year, month + 1, 1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


# -- what it costs the books, month by month -------------------------------------------------------------------------


def expensed_before(amount_minor: int, terms: Terms, day: date) -> int:
    """How much of a line the books have to have expensed before ``day``: evenly by months, half up on the running
    total. A clawback follows the payment it is of, so that what was expensed of it comes back. Source: ASC 340-40-35-1.
    """
    done = max((day.year - terms.benefit_on.year) * 12 + day.month - terms.benefit_on.month, 0)
    return part_of(amount_minor, min(done, terms.benefit_months), terms.benefit_months)
