"""What an event means in debits and credits, by role: one function a pattern, each a table row an accountant can read.

Amounts are minor units of the deal's currency; the legs of a pattern sum to zero, and the first one is its total.
`compose.py` finds the accounts. Source of every pattern: finance.md 3.3, and the standard named beside it.
"""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from accordant.canonical.books import Role
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import round_half_up
from accordant.ledger.chart import Use

#: The dimension of a posting that names whose commission it is, by the CRM's id.
SALESPERSON = "salesperson"


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One amount of a pattern: a debit when positive, a credit when negative; zero legs are left out later.

    ``party`` says whether the amount belongs to the customer's subledger. ``original`` is the amount in the currency of
    the deal, where the leg is stated in that of the books already.
    """

    use: Use
    minor: int
    party: bool = False
    original: int | None = None
    dimensions: dict[str, str] = {}


def _debit(role: Role, minor: int, *, party: bool = False, use: Use | None = None) -> Leg:
    return Leg(use=use or Use(role=role), minor=minor, party=party)


def _credit(role: Role, minor: int, *, party: bool = False, use: Use | None = None) -> Leg:
    return Leg(use=use or Use(role=role), minor=-minor, party=party)


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How an amount that is taken back falls on what was earned already and on what was not.

    Units: minor units, net of tax; ``tax`` is what goes back to the tax account.
    """

    earned: int
    unearned: int
    tax: int = 0

    @property
    def total(self) -> int:
        """All three together."""
        return self.earned + self.unearned + self.tax

    def part(self, gross_minor: int) -> "Share":
        """That much of it, each in proportion, rounded half up."""
        if not self.total:
            return self
        earned = round_half_up(Fraction(self.earned * gross_minor, self.total))
        tax = min(round_half_up(Fraction(self.tax * gross_minor, self.total)), gross_minor - earned)
        return Share(earned=earned, unearned=gross_minor - earned - tax, tax=tax)

    def less(self, other: "Share") -> "Share":
        """What is left of it without another."""
        return Share(
            earned=self.earned - other.earned, unearned=self.unearned - other.unearned, tax=self.tax - other.tax
        )


def share_of(net_minor: int, *, recognised: int, deferred: int, tax_minor: int = 0) -> Share:
    """Split an amount taken back in the proportion in which the line was earned: the earned part rounded half up.

    Source: ASC 606-10-32-43 (changes of the price are allocated as the price was) and finance.md 3.2. Raises
    InvariantBroken for negative amounts, and when more is taken back than was ever billed.
    """
    billed = recognised + deferred
    if min(net_minor, recognised, deferred, tax_minor) < 0 or net_minor > billed:
        raise InvariantBroken(f"{net_minor} cannot be taken back from {recognised} earned and {deferred} deferred.")
    if not billed:
        return Share(earned=0, unearned=0, tax=tax_minor)
    earned = round_half_up(Fraction(net_minor * recognised, billed))
    # Rounding must not take more from either side than it holds.
    earned = min(max(earned, net_minor - deferred), recognised)
    return Share(earned=earned, unearned=net_minor - earned, tax=tax_minor)


# -- billing ---------------------------------------------------------------------------------------------------------


class BilledLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a bill as it is posted: ``net_minor`` without tax, of one product, under one tax code.

    ``tax_minor`` is zero under reverse charge; the code is kept all the same, since the return asks for it.
    ``treatment`` is how a change of contract is accounted for, where the line comes of one.
    """

    product: str | None
    net_minor: int
    tax_code: str | None = None
    tax_minor: int = 0
    treatment: str | None = None


def net_of(gross_minor: int, rate: Fraction) -> tuple[int, int]:
    """Net and tax of an amount that includes tax at ``rate`` (a fifth for 20 %): tax rounded half up, net the rest.

    Source: Council Directive 2006/112/EC, article 78 (the taxable amount excludes the tax itself).
    """
    tax = round_half_up(Fraction(gross_minor) * rate / (1 + rate))
    return gross_minor - tax, tax


def invoice_issued(lines: Sequence[BilledLine]) -> list[Leg]:
    """Receivable against deferred revenue and tax. Revenue is earned by schedule, also where that takes one day."""
    total = sum(line.net_minor + line.tax_minor for line in lines)
    legs = [_debit(Role.RECEIVABLE, total, party=True)]
    for line in lines:
        use = Use(role=Role.DEFERRED_REVENUE, product=line.product, tax_code=line.tax_code)
        treated = {} if line.treatment is None else {"treatment": line.treatment}
        legs.append(Leg(use=use, minor=-line.net_minor, dimensions=treated))
        tax_use = Use(role=Role.SALES_TAX, tax_code=line.tax_code)
        legs.append(_credit(Role.SALES_TAX, line.tax_minor, use=tax_use))
    return legs


def credit_note(
    share: Share,
    *,
    unpaid: int = 0,
    refunded: int = 0,
    to_balance: int = 0,
    owed: int = 0,
    processor: str | None = None,
    product: str | None = None,
    tax_code: str | None = None,
) -> list[Leg]:
    """A credit note takes from what is owed; what was paid already goes three ways: sent back now, kept for the
    customer, or owed to them. The first four legs are its total.

    Raises InvariantBroken when the ways do not add up to the note.
    """
    if unpaid + refunded + to_balance + owed != share.total:
        raise InvariantBroken(
            f"A credit note of {share.total} goes out as {unpaid + refunded} + {to_balance} + {owed}."
        )
    return [
        _credit(Role.RECEIVABLE, unpaid, party=True),
        _credit(Role.CLEARING, refunded, use=Use(role=Role.CLEARING, processor=processor)),
        _credit(Role.CUSTOMER_BALANCE, to_balance, party=True),
        _credit(Role.REFUND_LIABILITY, owed, party=True),
        *_taken_back(share, product, tax_code),
    ]


def written_off(share: Share, *, from_allowance: bool = False) -> list[Leg]:
    """A bill nobody will pay: what was earned is taken from the allowance, or is bad debt; the rest was never earned.

    Source: ASC 326-20-35-8 (a write-off is deducted from the allowance) and finance.md 3.2.
    """
    return [
        _credit(Role.RECEIVABLE, share.total, party=True),
        _debit(lost_role(from_allowance=from_allowance), share.earned),
        _debit(Role.DEFERRED_REVENUE, share.unearned),
        _debit(Role.SALES_TAX, share.tax),
    ]


def lost_role(*, from_allowance: bool) -> Role:
    """What an earned amount that is lost is taken from."""
    return Role.BAD_DEBT_ALLOWANCE if from_allowance else Role.BAD_DEBT


def bad_debt_expected(amount: int) -> list[Leg]:
    """What is expected to stay unpaid of everything that is owed. Source: ASC 326-20-30-1."""
    return [_debit(Role.BAD_DEBT, amount), _credit(Role.BAD_DEBT_ALLOWANCE, amount)]


# -- cash ------------------------------------------------------------------------------------------------------------


def payment_applied(amount: int, *, open_minor: int, processor: str | None = None) -> list[Leg]:
    """Money against what is owed; what is too much stays the customer's. Without a processor it came to the bank."""
    owed = min(amount, open_minor)
    return [
        _received(amount, processor),
        _credit(Role.RECEIVABLE, owed, party=True),
        _credit(Role.CUSTOMER_BALANCE, amount - owed, party=True),
    ]


def fee_charged(fee: int, *, processor: str, of_dispute: bool = False) -> list[Leg]:
    """What the processor keeps, or with a negative ``fee`` gives back. Read from its balance, never computed."""
    role = Role.DISPUTE_FEES if of_dispute else Role.PROCESSING_FEES
    return [
        _debit(role, fee, use=Use(role=role, processor=processor)),
        _credit(Role.CLEARING, fee, use=Use(role=Role.CLEARING, processor=processor)),
    ]


def payout_paid(amount: int, *, processor: str) -> list[Leg]:
    """The processor's money in the bank; with it the clearing account of that payout is at zero again."""
    return [_debit(Role.BANK, amount), _credit(Role.CLEARING, amount, use=Use(role=Role.CLEARING, processor=processor))]


def funds_converted(difference: int, *, processor: str) -> list[Leg]:
    """What the processor's rate brought more, or less, than the books took an amount for. Source: ASC 830-20-35-1."""
    return [
        _debit(Role.CLEARING, difference, use=Use(role=Role.CLEARING, processor=processor)),
        _credit(Role.FX_REALISED, difference),
    ]


def refunded(
    share: Share, *, processor: str | None = None, product: str | None = None, tax_code: str | None = None
) -> list[Leg]:
    """Money given back: the earned part against contra revenue, the rest out of what was not earned yet."""
    sent = _credit(Role.CLEARING, share.total, use=Use(role=Role.CLEARING, processor=processor))
    if processor is None:
        sent = _credit(Role.BANK, share.total)
    return [sent, *_taken_back(share, product, tax_code)]


def owed_sent(legs: list[Leg], owed: int) -> list[Leg]:
    """A refund of which ``owed`` was owed already since a credit note: that part takes nothing back a second time."""
    first = msgspec.structs.replace(legs[0], minor=legs[0].minor - owed)
    return [first, _debit(Role.REFUND_LIABILITY, owed, party=True), *legs[1:]]


def dispute_opened(share: Share, *, fee: int, processor: str, product: str | None = None) -> list[Leg]:
    """The processor takes the amount and its fee at once; what was earned is doubtful, the rest is not earned."""
    clearing = Use(role=Role.CLEARING, processor=processor)
    return [
        _credit(Role.CLEARING, share.total + fee, use=clearing),
        *_taken_back(share, product, None),
        _debit(Role.DISPUTE_FEES, fee, use=Use(role=Role.DISPUTE_FEES, processor=processor)),
    ]


def dispute_won(share: Share, *, caught_up: int, processor: str, product: str | None = None) -> list[Leg]:
    """The money is back: contra revenue as it was, ``caught_up`` was earned meanwhile, the rest is deferred again.

    Raises InvariantBroken when more was earned meanwhile than was deferred.
    """
    money = _debit(Role.CLEARING, share.total, use=Use(role=Role.CLEARING, processor=processor))
    return [money, *_brought_back(share, Role.CONTRA_REVENUE, caught_up=caught_up, product=product)]


def balance_applied(amount: int) -> list[Leg]:
    """What a customer has with us pays a bill; below zero, a bill's own credit becomes theirs. No money moves."""
    return [_credit(Role.RECEIVABLE, amount, party=True), _debit(Role.CUSTOMER_BALANCE, amount, party=True)]


def balance_returned(amount: int, *, processor: str) -> list[Leg]:
    """Money goes back out of what the customer has with us; with a negative ``amount`` it comes again."""
    return [
        _credit(Role.CLEARING, amount, use=Use(role=Role.CLEARING, processor=processor)),
        _debit(Role.CUSTOMER_BALANCE, amount, party=True),
    ]


def payment_allocated(amount: int, *, open_minor: int) -> list[Leg]:
    """Money that was the customer's pays what is owed; what is too much stays theirs. As `payment_applied`, in legs."""
    owed = min(amount, open_minor)
    return [
        _debit(Role.CUSTOMER_BALANCE, amount, party=True),
        _credit(Role.RECEIVABLE, owed, party=True),
        _credit(Role.CUSTOMER_BALANCE, amount - owed, party=True),
    ]


def recovered(paid: list[Leg], share: Share, *, caught_up: int, from_allowance: bool = False) -> list[Leg]:
    """A payment of which ``share`` was written off: that part is no credit of the customer, it undoes the write-off.

    ``paid`` are the legs of `payment_applied` or `payment_allocated`. Source: ASC 326-20-35-8 (recoveries are recorded
    when received).
    """
    money, owed, too_much = paid
    rest = msgspec.structs.replace(too_much, minor=too_much.minor + share.total)
    lost = lost_role(from_allowance=from_allowance)
    return [money, owed, rest, *_brought_back(share, lost, caught_up=caught_up, product=None)]


# -- revenue ---------------------------------------------------------------------------------------------------------


def revenue_recognised(amount: int, *, deferred: int, product: str | None = None) -> list[Leg]:
    """What was earned, out of what was billed for it; what was earned before it is billed is a contract asset.

    A negative ``amount`` takes recognition back. Source: ASC 606-10-45-1 to 45-3.
    """
    billed = amount if amount < 0 else min(amount, max(deferred, 0))
    return [
        _credit(Role.REVENUE, amount, use=Use(role=Role.REVENUE, product=product)),
        _debit(Role.DEFERRED_REVENUE, billed, use=Use(role=Role.DEFERRED_REVENUE, product=product)),
        _debit(Role.CONTRACT_ASSET, amount - billed, use=Use(role=Role.CONTRACT_ASSET, product=product)),
    ]


def revenue_unbilled(amount: int, *, product: str | None = None) -> list[Leg]:
    """What was earned of a bill that was yet to come: a contract asset. Source: ASC 606-10-45-3."""
    asset = Use(role=Role.CONTRACT_ASSET, product=product)
    return [
        _credit(Role.REVENUE, amount, use=Use(role=Role.REVENUE, product=product)),
        _debit(Role.CONTRACT_ASSET, amount, use=asset),
    ]


def unbilled_billed(amount: int, *, product: str | None = None) -> list[Leg]:
    """The bill came: what it deferred was earned before, and is no asset any more."""
    deferred, asset = (Use(role=role, product=product) for role in (Role.DEFERRED_REVENUE, Role.CONTRACT_ASSET))
    return [_credit(Role.CONTRACT_ASSET, amount, use=asset), _debit(Role.DEFERRED_REVENUE, amount, use=deferred)]


# -- parties other than the customer ---------------------------------------------------------------------------------


def agent_sale(gross: int, *, commission: int, fee: int, processor: str) -> list[Leg]:
    """A sale for somebody else: only the commission is ours, the rest is the seller's.

    Source: ASC 606-10-55-36 to 55-40 (principal or agent).
    """
    return [
        _debit(Role.CLEARING, gross - fee, use=Use(role=Role.CLEARING, processor=processor)),
        _debit(Role.PROCESSING_FEES, fee, use=Use(role=Role.PROCESSING_FEES, processor=processor)),
        _credit(Role.SELLERS_PAYABLE, gross - commission, party=True),
        _credit(Role.REVENUE, commission),
    ]


def seller_paid(owed: int, *, withheld: int = 0) -> list[Leg]:
    """A seller gets what is owed, less what the law makes us withhold.

    Source: 26 U.S.C. 3406 (backup withholding; the rate is a dated row of the charter, not a constant here).
    """
    return [
        _debit(Role.SELLERS_PAYABLE, owed, party=True),
        _credit(Role.BANK, owed - withheld),
        _credit(Role.WITHHOLDING_PAYABLE, withheld),
    ]


def commission_earned(amount: int) -> list[Leg]:
    """A commission on cash is an asset first. Source: ASC 340-40-25-1 (costs of obtaining a contract)."""
    return commissions_owed([CommissionPart(person=None, minor=amount, at_once=False)])


class CommissionPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one person earns, or below zero gives back; ``at_once`` where it is expensed and not deferred."""

    person: str | None
    minor: int
    at_once: bool


def commissions_owed(parts: Sequence[CommissionPart]) -> list[Leg]:
    """Commissions on cash: assets first, or expenses where their benefit lasts a year or less; owed by person.

    Below zero they are clawed back. Source: ASC 340-40-25-1 and 25-4.
    """
    deferred = sum(one.minor for one in parts if not one.at_once)
    expensed = sum(one.minor for one in parts if one.at_once)
    owed = [_owed_to(one.person, -one.minor) for one in parts]
    return [_debit(Role.DEFERRED_COMMISSION, deferred), _debit(Role.COMMISSION_EXPENSE, expensed), *owed]


def commission_paid(amount: int, *, person: str) -> list[Leg]:
    """Somebody got what they had earned."""
    return [_owed_to(person, amount), _credit(Role.BANK, amount)]


def _owed_to(person: str | None, minor: int) -> Leg:
    named = {} if person is None else {SALESPERSON: person}
    return Leg(use=Use(role=Role.COMMISSIONS_PAYABLE), minor=minor, dimensions=named)


def commission_expensed(amount: int) -> list[Leg]:
    """The part of a deferred commission that this period bears. Source: ASC 340-40-35-1."""
    return [_debit(Role.COMMISSION_EXPENSE, amount), _credit(Role.DEFERRED_COMMISSION, amount)]


# -- between our own companies, each function for one side ------------------------------------------------------------


def intercompany_bought(amount: int) -> list[Leg]:
    """The company that sold to the customer owes the one that delivered."""
    return [_debit(Role.INTERCOMPANY_COST, amount), _credit(Role.INTERCOMPANY_PAYABLE, amount)]


def intercompany_delivered(amount: int) -> list[Leg]:
    """The company that delivered has earned from its sister; both disappear when the group is added up."""
    return [_debit(Role.INTERCOMPANY_RECEIVABLE, amount), _credit(Role.INTERCOMPANY_REVENUE, amount)]


def collected_for_sister(amount: int, *, processor: str | None = None) -> list[Leg]:
    """Money came to the wrong company: it owes it to its sister."""
    return [_received(amount, processor), _credit(Role.INTERCOMPANY_PAYABLE, amount)]


def collected_by_sister(amount: int) -> list[Leg]:
    """The customer has paid, to our sister: she owes us what the customer does not any more."""
    return [_debit(Role.INTERCOMPANY_RECEIVABLE, amount), _credit(Role.RECEIVABLE, amount, party=True)]


def _received(amount: int, processor: str | None) -> Leg:
    if processor is None:
        return _debit(Role.BANK, amount)
    return _debit(Role.CLEARING, amount, use=Use(role=Role.CLEARING, processor=processor))


def _taken_back(share: Share, product: str | None, tax_code: str | None) -> list[Leg]:
    return [
        _debit(Role.DEFERRED_REVENUE, share.unearned, use=Use(role=Role.DEFERRED_REVENUE, product=product)),
        _debit(Role.CONTRA_REVENUE, share.earned, use=Use(role=Role.CONTRA_REVENUE, product=product)),
        _debit(Role.SALES_TAX, share.tax, use=Use(role=Role.SALES_TAX, tax_code=tax_code)),
    ]


def _brought_back(share: Share, lost: Role, *, caught_up: int, product: str | None) -> list[Leg]:
    if not 0 <= caught_up <= share.unearned:
        raise InvariantBroken(f"{caught_up} cannot have been earned out of {share.unearned}.")
    deferred = Use(role=Role.DEFERRED_REVENUE, product=product)
    return [
        _credit(lost, share.earned, use=Use(role=lost, product=product)),
        _credit(Role.REVENUE, caught_up, use=Use(role=Role.REVENUE, product=product)),
        _credit(Role.DEFERRED_REVENUE, share.unearned - caught_up, use=deferred),
        _credit(Role.SALES_TAX, share.tax),
    ]
