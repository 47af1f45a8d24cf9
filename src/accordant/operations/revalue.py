"""What is owed and held in other currencies, at the closing rate of a month; cancelled on the first day of the next.

So a bill keeps the rate it was booked at until it is paid, and no difference counts twice. Run again, it comes to what
has changed since. Source: ASC 830-20-35-1 and 35-2.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

import msgspec

from accordant.kernel.hashing import fingerprint
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry, reverse
from accordant.ledger.exchange import Rate, converted, recorded, revalued
from accordant.ledger.patterns import Leg
from accordant.ledger.periods import PeriodRefused, posting_day
from accordant.ports.ledger_desk import ForeignBalance

RULE = "revalued"


class MonthsEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Of which books, and when: ``after_on`` is the first day of the next month, ``system`` whose entries they go
    with.
    """

    books: Books
    system: str
    after_on: date
    recorded_at: datetime

    @property
    def last_on(self) -> date:
        """The last day of the month, whose rate counts."""
        return self.after_on - timedelta(days=1)


class Revaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a month's end came to: an entry for each currency that moved, each with its cancellation; or why not.

    What customers owe is an entry for each of them: an ERP takes nothing on receivables that nobody owes.
    ``minor`` is the gain of it all, a loss where negative, in minor units of the books.
    """

    entries: tuple[tuple[JournalEntry, JournalEntry], ...] = ()
    minor: int = 0
    refusals: tuple[Refusal, ...] = ()


def revalue(
    balances: Sequence[ForeignBalance], end: MonthsEnd, rate_of: Callable[[str, str, date], Rate | None]
) -> Revaluation:
    """Every balance at the rate of the month's last day: all of them, or with every reason none. Pure."""
    own = end.books.chart.currency
    made: list[tuple[JournalEntry, JournalEntry]] = []
    refusals: list[Refusal] = []
    gain = 0
    next_on = posting_day(end.books.periods, end.after_on)
    # Thousands of customers owe in a few currencies.
    rates = {currency: rate_of(currency, own, end.last_on) for currency in {one.currency for one in balances}}
    for (currency, party), group in groupby(sorted(balances, key=_whose), key=_whose):
        rate = rates[currency]
        if rate is None:
            refused = _no_rate(currency, own, end.last_on)
            refusals.extend(() if refused in refusals else (refused,))
            continue
        request = _request(list(group), rate, end, party=party or None)
        if request is None:
            continue
        entry = compose(request, end.books, recorded_at=end.recorded_at)
        if not isinstance(entry, JournalEntry):
            refusals.extend(entry)
        elif entry.posted_on != end.last_on:
            refusals.append(_closed(end))
        elif isinstance(next_on, PeriodRefused):
            refusals.append(Refusal(check="open_period", reason=next_on.reason, remedy=next_on.remedy))
        else:
            gain += sum(leg.minor for leg in request.legs[: request.total_legs])
            made.append((entry, _cancelled(entry, next_on, end)))
    if refusals:
        return Revaluation(refusals=tuple(refusals))
    return Revaluation(entries=tuple(made), minor=gain)


class Outstanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a month's end would still come to: how many entries, in which currencies, or why there can be none."""

    count: int = 0
    currencies: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def outstanding(
    balances: Sequence[ForeignBalance], end: MonthsEnd, rate_of: Callable[[str, str, date], Rate | None]
) -> Outstanding:
    """What `revalue` would do, without an entry for each of thousands of customers. Pure.

    Customers who owe in one currency are of one kind to the rules: whether there can be entries is tried with one.
    """
    own = end.books.chart.currency
    rates = {currency: rate_of(currency, own, end.last_on) for currency in {one.currency for one in balances}}
    moving: dict[tuple[str, str], list[ForeignBalance]] = {}
    for whose, group in groupby(sorted(balances, key=_whose), key=_whose):
        rate, some = rates[whose[0]], list(group)
        if rate is None or any(converted(one.original_minor, rate) != one.books_minor for one in some):
            moving[whose] = some
    tried = {(some[0].currency, *(one.role for one in some)): some for some in moving.values()}
    refusals = revalue([one for some in tried.values() for one in some], end, rate_of).refusals
    currencies = tuple(sorted({currency for currency, _ in moving}))
    return Outstanding(count=len(moving), currencies=currencies, refusals=refusals)


def _whose(balance: ForeignBalance) -> tuple[str, str]:
    return balance.currency, balance.party or ""


def _request(balances: Sequence[ForeignBalance], rate: Rate, end: MonthsEnd, *, party: str | None) -> Request | None:
    pairs = [
        revalued(one.role, stands_at=one.books_minor, worth=converted(one.original_minor, rate)) for one in balances
    ]
    moved = [legs for legs in pairs if legs[0].minor]
    if not moved:
        return None
    owed = [msgspec.structs.replace(pair[0], party=party is not None) for pair in moved]
    legs: list[Leg] = owed + [pair[1] for pair in moved]
    # Named after what it is made of: the same balances at the same rate are the same entry.
    of_whom = [] if party is None else [party]
    stands = [[one.role.value, one.original_minor, one.books_minor] for one in balances]
    made_of = fingerprint([*stands, rate.rate, *of_whom])
    month = f"{end.last_on:%Y-%m}"
    return Request(
        legs=tuple(msgspec.structs.replace(leg, dimensions=recorded(rate)) for leg in legs),
        currency=end.books.chart.currency,
        original_currency=rate.of,
        party=party,
        source_minor=abs(sum(leg.minor for leg in legs[: len(moved)])),
        total_legs=len(moved),
        happened_on=end.last_on,
        cause=Cause(
            event=f"revaluation/{month}/{rate.of}/{made_of}", subject=f"{end.system}:revaluation/{month}", rule=RULE
        ),
        text=f"{rate.of} at the rate of {rate.published_on.isoformat()}",
        number=month,
    )


def _cancelled(entry: JournalEntry, next_on: date, end: MonthsEnd) -> JournalEntry:
    text = f"{entry.text} cancelled"
    return reverse(entry, posted_on=next_on, event=entry.cause.event, text=text, recorded_at=end.recorded_at)


def _no_rate(currency: str, own: str, day: date) -> Refusal:
    return Refusal(
        check="exchange_rate",
        reason=f"No rate from {currency} into {own} is known for {day.isoformat()}.",
        remedy="Load the rates of that day with `accordant books rates FILE`; then run it again.",
    )


def _closed(end: MonthsEnd) -> Refusal:
    return Refusal(
        check="open_period",
        reason=f"The month of {end.last_on.isoformat()} is closed.",
        remedy="Open it again with `accordant books reopen`, or revalue the next one.",
    )
