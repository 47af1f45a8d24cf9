"""One bill on its way through the books: what is open, what is earned, and what a correction takes from either.

Minor units of the bill's currency. Changed only by `draft.py`, one event after the other.
"""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Invoice
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import round_half_up, split_minor
from accordant.ledger.compose import Books
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Movement
from accordant.ledger.patterns import Leg, Share, share_of
from accordant.ledger.schedule import RevenueSchedule, cut, earned_before


class Disputed(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute that is open: since when, what was taken, and how the bill would have been earned without it."""

    opened_on: date
    share: Share
    schedules: tuple[RevenueSchedule, ...]


class Bill(msgspec.Struct, kw_only=True):
    """What is known of one posted bill.

    ``booked_on`` is the day it happened, whatever period took it. ``owed_back`` is what a credit note left us owing to
    the customer; ``movements`` is what its receivable did, in both currencies.
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
    disputed: dict[str, Disputed] = {}
    movements: list[Movement] = []
    is_void: bool = False

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

    def share(self, gross_minor: int, day: date) -> Share | None:
        """How ``gross_minor`` that is taken back falls on tax, on what is earned and on what is not.

        None where more is taken back than the bill still holds.
        """
        if not 0 <= gross_minor <= self.total:
            return None
        tax = round_half_up(Fraction(self.tax * gross_minor, self.total)) if self.total else 0
        earned = self.earned(day)
        deferred = sum(one.minor for one in self.schedules) - earned
        net = gross_minor - tax
        if min(earned, deferred) < 0 or net > earned + deferred:
            return None
        return share_of(net, recognised=earned, deferred=deferred, tax_minor=tax)

    def by_product(self, legs: list[Leg], day: date) -> list[Leg]:
        """Legs that take revenue back, each split over what was sold: what is deferred as it is left on ``day``, what
        was earned as it was earned until then.
        """
        earned = [earned_before(one, day) for one in self.schedules]
        left = [one.minor - done for one, done in zip(self.schedules, earned, strict=True)]
        weights = {Role.DEFERRED_REVENUE: left, Role.CONTRA_REVENUE: earned, Role.REVENUE: left}
        found: list[Leg] = []
        for leg in legs:
            found.extend(self._split(leg, [max(one, 0) for one in weights.get(leg.use.role, ())]))
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

    def shrink(self, unearned_minor: int, day: date) -> None:
        """Earn that much less from ``day`` on, each line in proportion to what it has left."""
        left = [one.minor - earned_before(one, day) for one in self.schedules]
        if unearned_minor and sum(left) > 0:
            parts = split_minor(unearned_minor, [max(one, 0) for one in left])
            self._leave(day, [rest - part for rest, part in zip(left, parts, strict=True)])

    def grow(self, unearned_minor: int, day: date) -> None:
        """Earn that much more from ``day`` on: a dispute was won."""
        if unearned_minor and self.schedules:
            left = [one.minor - earned_before(one, day) for one in self.schedules]
            left[0] += unearned_minor
            self._leave(day, left)

    def stop(self, day: date) -> None:
        """Take back what was earned and earn nothing more: the bill is void."""
        self.open_minor = 0
        self.is_void = True
        self.schedules = [
            cut(one, day, remaining_minor=-earned_before(one, day), at_once=True) for one in self.schedules
        ]

    def _leave(self, day: date, left: list[int]) -> None:
        self.schedules = [cut(one, day, remaining_minor=rest) for one, rest in zip(self.schedules, left, strict=True)]


def net_lines(bill: Invoice) -> list[int]:
    """What each line comes to after the bill's discount, in minor units: the discount by the largest remainder.

    A line that gives something back bears none of it. Source: ASC 606-10-32-36 (a discount is allocated in proportion).
    """
    amounts = [line.amount_minor for line in bill.lines]
    off = 0 if bill.discount is None else bill.discount.amount_minor
    bearing = [max(amount, 0) for amount in amounts]
    if off <= 0 or not sum(bearing):
        return amounts
    return [amount - part for amount, part in zip(amounts, split_minor(off, bearing), strict=True)]
