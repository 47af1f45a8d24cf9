"""From a pattern to an entry, or to every reason why not: the gate that each posting passes before the books take it.

Nothing is posted that lacks a row, a period, a tax attribute or a cent; all reasons are told at once, each with the
row that is missing (requirements 214 to 219). Next: the store keeps entries, the ERP's connector sends them on.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec

from accordant.kernel.money import Money, split_minor
from accordant.ledger.chart import Chart, LedgerAccount, RowMissing
from accordant.ledger.entries import Cause, JournalEntry, Papers, Posting, entry
from accordant.ledger.exchange import Rate, converted, recorded
from accordant.ledger.patterns import Leg
from accordant.ledger.periods import Period, PeriodRefused, posting_day

#: More minor units than this no column holds, in neither database and in no ERP.
AMOUNT_MAX = 2**63 - 1


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why something is not posted. ``check`` names the step of the gate, ``remedy`` what to do.

    ``waits_for`` is the object (``system:type/id``) with whose arrival it is looked at again by itself.
    """

    check: str
    reason: str
    remedy: str
    waits_for: str | None = None

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".rstrip()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be posted: a pattern's legs in the currency of the deal, and what the source says they come to.

    ``source_minor`` is the total the source system states; the first ``total_legs`` of the pattern have to come to it.
    ``rate`` is needed where ``currency`` is not that of the books; ``original_currency`` is that of legs' originals.
    ``number``, ``due_on`` and ``settles`` are kept with the entry (`entries.JournalEntry`).
    """

    legs: tuple[Leg, ...]
    currency: str
    source_minor: int
    happened_on: date
    cause: Cause
    text: str
    party: str | None = None
    rate: Rate | None = None
    total_legs: int = 1
    original_currency: str | None = None
    number: str | None = None
    due_on: date | None = None
    settles: str | None = None


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate knows of a legal entity: its chart, its periods, the tax codes of its country, and whether what
    nobody will pay is taken from an allowance.
    """

    chart: Chart
    periods: tuple[Period, ...]
    tax_codes: frozenset[str] = frozenset()
    write_off_from_allowance: bool = False


def compose(request: Request, books: Books, *, recorded_at: datetime) -> JournalEntry | tuple[Refusal, ...]:
    """The entry, or every reason against it. The same request gives the same entry, to the id."""
    legs = tuple(leg for leg in request.legs if leg.minor)
    day = posting_day(books.periods, request.happened_on)
    accounts = {leg.use: books.chart.account_for(leg.use, request.happened_on) for leg in legs}
    refusals = [
        *_totals(request, legs),
        *_rows(accounts.values()),
        *_tax(legs, books),
        *_period(day),
        *_rate(request, books.chart.currency),
    ]
    if refusals or isinstance(day, PeriodRefused):
        return tuple(refusals)
    found = {use: account for use, account in accounts.items() if isinstance(account, LedgerAccount)}
    amounts = _in_books(legs, request, books.chart.currency)
    if sum(map(abs, amounts)) > AMOUNT_MAX:
        return (_too_much(request.cause.subject),)
    if not any(amounts):
        return (_nothing(f"{request.cause.subject} is less than one minor unit of {books.chart.currency}."),)
    return entry(
        legal_entity=books.chart.legal_entity,
        posted_on=day,
        effective_on=request.happened_on,
        cause=request.cause,
        text=request.text,
        recorded_at=recorded_at,
        postings=[
            Posting(
                account=found[leg.use].code,
                amount=Money(minor, books.chart.currency),
                role=leg.use.role,
                original=_original(leg, request),
                party=request.party if leg.party else None,
                dimensions=_dimensions(leg) | ({} if request.rate is None else recorded(request.rate)),
            )
            for leg, minor in zip(legs, amounts, strict=True)
            if minor
        ],
        papers=Papers(number=request.number, due_on=request.due_on, party=request.party, settles=request.settles),
    )


def _totals(request: Request, legs: Sequence[Leg]) -> list[Refusal]:
    off = sum(leg.minor for leg in legs)
    if off:
        return [
            Refusal(
                check="balance",
                reason=f"Debits and credits of {request.cause.subject} differ by {abs(off)} minor units.",
                remedy="Compare the lines with the total in the system it came from.",
            )
        ]
    total = abs(sum(leg.minor for leg in request.legs[: request.total_legs]))
    if total != request.source_minor:
        return [
            Refusal(
                check="source_total",
                reason=f"{request.cause.subject} says {Money(request.source_minor, request.currency)}, its lines come "
                f"to {Money(total, request.currency)}.",
                remedy="Have the source read again; it is posted once both agree.",
            )
        ]
    return [] if legs else [_nothing(f"{request.cause.subject} moves no money.")]


def _too_much(subject: str) -> Refusal:
    return Refusal(
        check="amount",
        reason=f"{subject} moves more minor units than a ledger can hold.",
        remedy="Compare it with its source: an amount of this size is a mistake there.",
    )


def _nothing(reason: str) -> Refusal:
    return Refusal(check="balance", reason=reason, remedy="There is nothing to post.")


def _rows(accounts: Iterable[LedgerAccount | RowMissing]) -> list[Refusal]:
    missing = [str(one) for one in accounts if isinstance(one, RowMissing)]
    return [
        Refusal(check="ledger_mapping", reason=one, remedy="The charter's ledger part has the rows.")
        for one in dict.fromkeys(missing)
    ]


def _tax(legs: Sequence[Leg], books: Books) -> list[Refusal]:
    unknown = sorted({leg.use.tax_code for leg in legs if leg.use.tax_code} - books.tax_codes)
    return [
        Refusal(
            check="tax_attribute",
            reason=f"The tax code {code} is not one of {books.chart.legal_entity}.",
            remedy="Add it under ledger.tax_codes, or correct it at the source.",
        )
        for code in unknown
    ]


def _period(day: date | PeriodRefused) -> list[Refusal]:
    return [] if isinstance(day, date) else [Refusal(check="open_period", reason=day.reason, remedy=day.remedy)]


def _rate(request: Request, currency: str) -> list[Refusal]:
    if request.currency == currency:
        return []
    rate = request.rate
    if rate is not None and (rate.of, rate.in_) == (request.currency, currency):
        return []
    return [
        Refusal(
            check="exchange_rate",
            reason=f"{request.cause.subject} is in {request.currency}, the books are in {currency}, and no rate of "
            f"{request.happened_on.isoformat()} is known.",
            remedy="Load the rates of that day with `accordant books rates FILE`; it is posted once one is there.",
        )
    ]


def _in_books(legs: Sequence[Leg], request: Request, currency: str) -> list[int]:
    """The amounts in the currency of the books: the total is converted once and split over each side's legs.

    So both sides stay equal and no leg changes its side, whatever the rate.
    """
    if request.rate is None or request.currency == currency:
        return [leg.minor for leg in legs]
    total = converted(sum(leg.minor for leg in legs if leg.minor > 0), request.rate)
    debited = iter(split_minor(total, [leg.minor for leg in legs if leg.minor > 0]))
    credited = iter(split_minor(-total, [-leg.minor for leg in legs if leg.minor < 0]))
    return [next(debited) if leg.minor > 0 else next(credited) for leg in legs]


def _original(leg: Leg, request: Request) -> Money | None:
    if request.rate is not None:
        return Money(leg.minor, request.currency)
    if leg.original is not None and request.original_currency is not None:
        return Money(leg.original, request.original_currency)
    return None


def _dimensions(leg: Leg) -> dict[str, str]:
    named = {"product": leg.use.product, "tax_code": leg.use.tax_code, "processor": leg.use.processor}
    return {**leg.dimensions, **{word: value for word, value in named.items() if value is not None}}
