"""Legs about a bill in another currency, stated in that of the books, so that each of its accounts ends at zero.

What the bill put into the books leaves them at what it was carried at: the receivable, what is deferred, tax, what is
owed back. Money moves at its own day's rate; the difference is realised. Source: ASC 830-20-35-1, 830-10-45-18.
"""

from collections.abc import Sequence

import msgspec

from accordant.canonical.books import Role
from accordant.ledger.bills import Bill
from accordant.ledger.chart import Use
from accordant.ledger.exchange import Rate, booked_for, converted, part_of, recorded
from accordant.ledger.meanings.asking import Ask
from accordant.ledger.patterns import Leg
from accordant.ledger.schedule import RevenueSchedule, in_books

#: Money itself, and what is a customer's without any bill: worth what the day says.
_MONEY = frozenset({Role.CLEARING, Role.BANK, Role.CUSTOMER_BALANCE, Role.INTERCOMPANY_RECEIVABLE})


def carried(ask: Ask, bill: Bill, rate: Rate | None, *, leaves: Sequence[RevenueSchedule] | None = None) -> Ask:
    """The ask in the currency of the books; ``rate`` is that of the day, ``leaves`` the schedules as they become.

    In the currency of the books, or where nobody published the rate, it stays as it is: the gate says what is missing.
    """
    if rate is None or bill.currency == bill.books.chart.currency:
        return ask
    turn = _Turn(bill, rate, bill.schedules if leaves is None else leaves)
    legs = [turn.leg(leg) for leg in ask.legs if leg.minor]
    off = -sum(leg.minor for leg in legs)
    if off:
        legs.append(Leg(use=Use(role=Role.FX_REALISED), minor=off, dimensions=recorded(rate)))
    return msgspec.structs.replace(
        ask,
        legs=legs,
        currency=bill.books.chart.currency,
        original_currency=bill.currency,
        total_legs=sum(1 for leg in ask.legs[: ask.total_legs] if leg.minor),
    )


class _Turn:
    """One ask turned over, leg by leg."""

    def __init__(self, bill: Bill, rate: Rate, leaves: Sequence[RevenueSchedule]) -> None:
        self._bill = bill
        self._rate = rate
        self._leaves = leaves
        self._of_bill = {
            name: value
            for name, value in bill.issued.postings[0].dimensions.items()
            if name in {"rate", "rate_source", "rate_on"}
        }

    def leg(self, leg: Leg) -> Leg:
        """The same leg with what it comes to in the books; of what it was agreed in, it keeps the amount."""
        is_money = leg.use.role in _MONEY
        minor = converted(leg.minor, self._rate) if is_money else self._books(leg)
        dimensions = leg.dimensions | (recorded(self._rate) if is_money else self._of_bill)
        return msgspec.structs.replace(leg, minor=minor, original=leg.minor, dimensions=dimensions)

    def _books(self, leg: Leg) -> int:
        bill = self._bill
        match leg.use.role:
            case Role.RECEIVABLE if leg.minor < 0:
                return -booked_for(bill.movements, -leg.minor)
            case Role.DEFERRED_REVENUE:
                return self._deferred(leg.use.product)
            case Role.SALES_TAX:
                back = bill.tax_back
                return part_of(bill.booked_tax, back + leg.minor, bill.tax) - part_of(bill.booked_tax, back, bill.tax)
            case Role.REFUND_LIABILITY if leg.minor > 0:
                return part_of(bill.owed_back_books, leg.minor, bill.owed_back)
            case Role.BAD_DEBT | Role.BAD_DEBT_ALLOWANCE if bill.written_off is not None:
                return part_of(bill.written_off.lost_books, leg.minor, bill.written_off.share.earned)
            case _:
                return part_of(bill.issued.postings[0].amount.amount_minor, leg.minor, bill.total)

    def _deferred(self, product: str | None) -> int:
        """What leaves what is deferred of a product: of running totals, so that all parts come to the whole."""
        pairs = zip(self._bill.schedules, self._leaves, strict=True)
        return sum(
            in_books(old, old.minor) - in_books(new, new.minor)
            for old, new in pairs
            if product is None or old.product == product
        )
