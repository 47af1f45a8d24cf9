"""One bill on its way through the books: what is open, what is earned, and what a correction takes from either.

Minor units of the bill's currency. Changed only by `meanings`, one event after the other.
"""

from collections.abc import Iterator
from datetime import date

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Invoice, InvoiceLine
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import split_minor
from accordant.ledger.compose import Books
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Movement, part_of
from accordant.ledger.patterns import Leg, Share, share_of
from accordant.ledger.schedule import RevenueSchedule, cut, earned_before

#: What stands in a tax return by the code of the bill: the tax, and the base it is computed on.
_TAXED = frozenset(
    {
        Role.SALES_TAX,
        Role.DEFERRED_REVENUE,
        Role.CONTRA_REVENUE,
        Role.REVENUE,
        Role.BAD_DEBT,
        Role.BAD_DEBT_ALLOWANCE,
    }
)


class TakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """What may come back, of a dispute or a write-off: since when it is gone, what was taken, and how the bill would
    have been earned without it. ``lost_books`` is what of a write-off was earned, in the currency of the books,
    and ``from_allowance`` whether that was taken from the allowance.
    """

    since_on: date
    share: Share
    schedules: tuple[RevenueSchedule, ...]
    lost_books: int = 0
    from_allowance: bool = False


class Bill(msgspec.Struct, kw_only=True):
    """What is known of one posted bill.

    ``booked_on`` is the day it happened, whatever period took it. ``owed_back`` is what a credit note left us owing to
    the customer, ``owed_back_books`` the same in the currency of the books; ``movements`` is what its receivable did,
    in both currencies. ``back`` is what was taken back of it so far, ``tax_back`` the tax in that; ``later`` are the
    entries that followed that of its issue. ``kept_minor`` is what was paid of a bill that is void: the customer's now.
    ``collected_minor`` is what a company of the group got for it.

    Schedule by schedule, ``lines`` are what was billed, ``agreed`` what of it a contract had agreed before, and
    ``contra`` what was taken back of what it had earned.
    """

    ref: ExternalRef
    books: Books
    currency: str
    total: int
    tax: int
    open_minor: int
    issued: JournalEntry
    booked_on: date
    due_on: date
    schedules: list[RevenueSchedule]
    owed_back: int = 0
    owed_back_books: int = 0
    back: int = 0
    tax_back: int = 0
    disputed: dict[str, TakenBack] = {}
    written_off: TakenBack | None = None
    movements: list[Movement] = []
    is_void: bool = False
    later: list[JournalEntry] = []
    kept_minor: int = 0
    collected_minor: int = 0
    lines: list[InvoiceLine] = []
    agreed: list[int] = []
    contra: list[int] = []

    @property
    def open_books_minor(self) -> int:
        """What is open, in the currency of the books."""
        return 0 if self.is_void else sum(one.books_minor for one in self.movements)

    def settle(self, original_minor: int, books_minor: int) -> None:
        """So much less is owed: in the bill's currency, and in that of the books."""
        self.open_minor -= original_minor
        self.movements.append(Movement(original_minor=-original_minor, books_minor=-books_minor))

    def earned(self, day: date) -> int:
        """What is earned before ``day``."""
        return sum(earned_before(one, day) for one in self.schedules)

    @property
    def tax_code(self) -> str | None:
        """The code its tax was billed under, or that of a customer who owes the tax; None for a bill without either."""
        codes = {
            one.role: one.dimensions.get("tax_code") for one in self.issued.postings if "tax_code" in one.dimensions
        }
        return codes.get(Role.SALES_TAX) or codes.get(Role.DEFERRED_REVENUE)

    @property
    def booked_tax(self) -> int:
        """The tax on it, in the currency of the books."""
        return -booked(self.issued, Role.SALES_TAX)

    def share(self, gross_minor: int, day: date) -> Share | None:
        """How ``gross_minor`` that is taken back falls on tax, on what is earned and on what is not.

        Tax is rounded on the running total, so that all of it comes back with all of the bill. None where more is
        taken back than the bill still holds; a void one holds nothing.
        """
        if self.is_void or not 0 <= gross_minor <= self.total - self.back:
            return None
        tax = part_of(self.tax, self.back + gross_minor, self.total) - self.tax_back
        tax = min(max(tax, 0), gross_minor)
        earned = self.earned(day)
        deferred = sum(one.minor for one in self.schedules) - earned
        net = gross_minor - tax
        if min(earned, deferred) < 0 or net > earned + deferred:
            return None
        return share_of(net, recognised=earned, deferred=deferred, tax_minor=tax)

    def take_back(self, share: Share, day: date) -> None:
        """So much was given back or lost: less is earned from ``day`` on."""
        self.back += share.total
        self.tax_back += share.tax
        self._move_contra(share.earned, [max(earned_before(one, day), 0) for one in self.schedules])
        self.schedules = self.shrunk(share.unearned, day)

    def bring_back(self, share: Share, gone: TakenBack, day: date, *, caught_up: int) -> None:
        """So much of what was gone is there again: what was not caught up with is earned from ``day`` on."""
        self.back -= share.total
        self.tax_back -= share.tax
        self._move_contra(-share.earned, [max(one, 0) for one in self.contra])
        self.schedules = self.grown(share.unearned - caught_up, gone, day)

    def caught_up(self, share: Share, gone: TakenBack, day: date) -> int:
        """What would have been earned meanwhile of ``share``, had it not been gone."""
        would_be = sum(earned_before(one, day) for one in gone.schedules)
        return min(max(would_be - self.earned(day), 0), share.unearned)

    def by_product(self, legs: list[Leg], day: date, *, gone: TakenBack | None = None) -> list[Leg]:
        """Legs that take revenue back, each split over what was sold: what is deferred as it is left on ``day``, what
        was earned as it was earned until then. What comes back is split as it was when it was ``gone``.

        Each has the tax code of the bill: what is given back lowers the return it stood in, its base as its tax.
        Source: Council Directive 2006/112/EC, article 90.
        """
        schedules = self.schedules if gone is None else gone.schedules
        day = day if gone is None else gone.since_on
        earned = [earned_before(one, day) for one in schedules]
        left = [one.minor - done for one, done in zip(schedules, earned, strict=True)]
        weights = {Role.DEFERRED_REVENUE: left, Role.CONTRA_REVENUE: earned, Role.REVENUE: left}
        found: list[Leg] = []
        code = self.tax_code
        for leg in legs:
            use = msgspec.structs.replace(leg.use, tax_code=code) if leg.use.role in _TAXED else leg.use
            parts = [max(one, 0) for one in weights.get(leg.use.role, ())]
            found.extend(self._split(msgspec.structs.replace(leg, use=use), parts))
        return found

    def _split(self, leg: Leg, weights: list[int]) -> Iterator[Leg]:
        products = list(dict.fromkeys(one.product for one in self.schedules))
        if not leg.minor or not sum(weights) or products == [None]:
            yield leg
            return
        sums = dict.fromkeys(products, 0)
        for one, part in zip(self.schedules, split_minor(leg.minor, weights), strict=True):
            sums[one.product] += part
        for product, minor in sums.items():
            yield msgspec.structs.replace(leg, minor=minor, use=msgspec.structs.replace(leg.use, product=product))

    def shrunk(self, unearned_minor: int, day: date) -> list[RevenueSchedule]:
        """The schedules with that much less from ``day`` on, each line in proportion to what it has left."""
        left = [one.minor - earned_before(one, day) for one in self.schedules]
        if not unearned_minor or sum(left) <= 0:
            return self.schedules
        parts = split_minor(unearned_minor, [max(one, 0) for one in left])
        return self._left(day, [rest - part for rest, part in zip(left, parts, strict=True)])

    def grown(self, unearned_minor: int, gone: TakenBack, day: date) -> list[RevenueSchedule]:
        """The schedules with that much more from ``day`` on, each line in proportion to what it had left then."""
        had = [max(one.minor - earned_before(one, gone.since_on), 0) for one in gone.schedules]
        if not unearned_minor or not sum(had):
            return self.schedules
        left = [one.minor - earned_before(one, day) for one in self.schedules]
        parts = split_minor(unearned_minor, had)
        return self._left(day, [rest + part for rest, part in zip(left, parts, strict=True)])

    def stop(self, day: date) -> None:
        """Take back what was earned and earn nothing more: the bill is void."""
        self.open_minor = self.owed_back = self.owed_back_books = 0
        self.written_off = None
        self.is_void = True
        self.schedules = [
            cut(one, day, remaining_minor=-earned_before(one, day), at_once=True) for one in self.schedules
        ]

    def _move_contra(self, earned_minor: int, weights: list[int]) -> None:
        if earned_minor and sum(weights):
            parts = split_minor(earned_minor, weights)
            self.contra = [was + part for was, part in zip(self.contra, parts, strict=True)]

    def _left(self, day: date, left: list[int]) -> list[RevenueSchedule]:
        return [cut(one, day, remaining_minor=rest) for one, rest in zip(self.schedules, left, strict=True)]


def booked(entry: JournalEntry, role: Role) -> int:
    """What an entry moved on the accounts of a role: debits less credits, in the currency of the books."""
    return sum(one.amount.amount_minor for one in entry.postings if one.role is role)


def net_lines(bill: Invoice) -> list[int]:
    """What each line comes to after the bill's discount and without tax, in minor units: the discount by the largest
    remainder, the tax as the source states it.

    A line that gives something back bears none of it. What credits of before pay of a line is no revenue of this bill:
    it was billed with them, and is earned of that bill when they are drawn. Source: ASC 606-10-32-36 (a discount is
    allocated in proportion), 606-10-55-46 (what was prepaid is a liability until it is used).
    """
    off = 0 if bill.discount is None else bill.discount.amount_minor
    bearing = [max(line.amount_minor, 0) for line in bill.lines]
    parts = split_minor(off, bearing) if off > 0 and any(bearing) else (0,) * len(bearing)
    return [
        line.amount_minor - part - line.included_tax_minor - line.credits_minor
        for line, part in zip(bill.lines, parts, strict=True)
    ]
