"""Amounts in another currency: what a change of the rate gains or loses when a bill is paid, or at the end of a month.

Source: ASC 830-20-35-1 to 35-2 (gains and losses on transactions in another currency go to income). Deferred revenue
is not money and is never revalued (ASC 830-10-45-18).
"""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

import msgspec

from accordant.canonical.books import Role
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import exponent_of, round_half_up
from accordant.ledger.chart import Use
from accordant.ledger.patterns import Leg


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of ``of`` costs in ``in_``: a decimal string as published, with its source and its day."""

    of: str
    in_: str
    rate: str
    source: str
    published_on: date


def recorded(rate: Rate) -> dict[str, str]:
    """What a posting keeps of the rate it was made with, so that no amount changes its currency unexplained."""
    return {"rate": rate.rate, "rate_source": rate.source, "rate_on": rate.published_on.isoformat()}


def revalued(role: Role, *, stands_at: int, worth: int) -> list[Leg]:
    """A balance in another currency at the month's closing rate: the difference is unrealised.

    Raises InvariantBroken for a role that is not money owed or held.
    """
    if role not in MONETARY:
        raise InvariantBroken(f"{role.value} is not money in another currency and is not revalued.")
    change = worth - stands_at
    return [
        # Nothing of it was agreed: the balance in its own currency stays what it is.
        Leg(use=Use(role=role), minor=change, original=0),
        Leg(use=Use(role=Role.FX_UNREALISED), minor=-change),
    ]


#: What is money in another currency, owed or held: what is revalued at the end of a month.
MONETARY = frozenset(
    {
        Role.RECEIVABLE,
        Role.CLEARING,
        Role.BANK,
        Role.CUSTOMER_BALANCE,
        Role.REFUND_LIABILITY,
        Role.SELLERS_PAYABLE,
        Role.COMMISSIONS_PAYABLE,
        Role.WITHHOLDING_PAYABLE,
    }
)


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an open bill, in the deal's currency and in that of the books."""

    original_minor: int
    books_minor: int


def booked_for(movements: Sequence[Movement], paid_original_minor: int) -> int:
    """What a payment of so much takes from the receivable, in the currency of the books: its part of what is open.

    The last payment takes the rest, so that no minor unit stays behind. Raises InvariantBroken when more is paid than
    is open; what is too much belongs to the customer's balance.
    """
    open_original = sum(one.original_minor for one in movements)
    open_books = sum(one.books_minor for one in movements)
    if not 0 < paid_original_minor <= open_original:
        raise InvariantBroken(f"{paid_original_minor} is paid on {open_original} that is open.")
    if paid_original_minor == open_original:
        return open_books
    return part_of(open_books, paid_original_minor, open_original)


def part_of(books_minor: int, original_minor: int, whole_original_minor: int) -> int:
    """What a part of an amount comes to where the whole is known in both currencies; rounded half up, either sign.

    Of running totals, so that all parts together are the whole. Nothing where there is no whole.
    """
    if not whole_original_minor:
        return 0
    return round_half_up(Fraction(books_minor * original_minor, whole_original_minor))


def converted(original_minor: int, rate: Rate) -> int:
    """An amount in the other currency, rounded half up to a minor unit of the books."""
    factor = Fraction(rate.rate) * Fraction(10) ** (exponent_of(rate.in_) - exponent_of(rate.of))
    return round_half_up(original_minor * factor)
