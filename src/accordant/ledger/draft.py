"""The books a history would make: its events read in order, each posted or refused with its reasons.

Nothing is stored and nothing is sent: the same rules that post say beforehand what they would post, and what is missing
for it. Next: `views/books.py` brings the history, `cli/books.py` shows the draft.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

import msgspec

from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import Money
from accordant.ledger import patterns
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Refusal, Request, compose
from accordant.ledger.contract_month import Asset, ContractMonth, Part, contract_month
from accordant.ledger.contracts import Contract
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.meanings.reading import allocations_of
from accordant.ledger.patterns import Leg
from accordant.ledger.post import Outcome, Reader, in_order
from accordant.ledger.schedule import RevenueSchedule, earned_before, in_books, lines, next_month
from accordant.ledger.setting import Setting


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a draft is made of: the events in order, the objects as they are known now, and what each price sells."""

    events: tuple[BusinessEvent, ...]
    objects: Mapping[ExternalRef, Entity]
    products: Mapping[str, str | None] = {}


class Unposted(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has a meaning in the books and was refused, with every reason."""

    event: str
    type: EventType
    subject: ExternalRef
    happened_on: date
    amount: Money | None
    refusals: tuple[Refusal, ...]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The entries in order, what was refused, and the schedules with the day they were booked on."""

    entries: tuple[JournalEntry, ...]
    unposted: tuple[Unposted, ...]
    schedules: tuple[tuple[date, RevenueSchedule], ...]


def draft(history: History, setting: Setting, *, before_on: date) -> Draft:
    """Read the history up to, not including, ``before_on``; revenue is recognised at the end of each month in it."""
    allocations = allocations_of(history.events)
    reader = Reader(setting, history.objects, products=history.products, allocations=allocations)
    entries: list[JournalEntry] = []
    unposted: list[Unposted] = []
    for event in in_order(history.events):
        if event.occurred_at.astimezone(setting.zone).date() >= before_on:
            continue
        outcome = reader.take(event)
        if outcome is None:
            continue
        for part in outcome.parts:
            entries.extend(part.fresh)
            if part.refusals:
                unposted.append(_unposted(part))
    reader.finish()
    bills = tuple(reader.bills.values())
    contracts = tuple(reader.contracts.values())
    for made in (*_recognised(bills, setting, before_on), *_recognised_contracts(contracts, setting, before_on)):
        if isinstance(made, JournalEntry):
            entries.append(made)
        else:
            unposted.append(made)
    entries.sort(key=lambda one: one.posted_on)
    schedules = [(bill.booked_on, one) for bill in bills for one in bill.schedules]
    schedules += [(one.agreed_on, one.unbilled) for one in contracts if one.unbilled.spans]
    return Draft(entries=tuple(entries), unposted=tuple(unposted), schedules=tuple(schedules))


def _unposted(outcome: Outcome) -> Unposted:
    event = outcome.event
    return Unposted(
        event=event.id,
        type=event.type,
        subject=event.subject,
        happened_on=outcome.happened_on,
        amount=event.amount,
        refusals=outcome.refusals,
    )


def _recognised(bills: Iterable[Bill], setting: Setting, before_on: date) -> Iterator[JournalEntry | Unposted]:
    """An entry for each bill and month that is over: what its lines earned in it, product by product."""
    for bill in bills:
        months = sorted({line.month_on for one in bill.schedules if one.contract is None for line in lines(one)})
        for month_on in months:
            if next_month(month_on) <= before_on and (made := _month(bill, month_on, setting)) is not None:
                yield made


def _month(bill: Bill, month_on: date, setting: Setting) -> JournalEntry | Unposted | None:
    ends_on, own = next_month(month_on), bill.books.chart.currency
    sums: dict[str | None, list[int]] = {}
    for one in bill.schedules:
        if one.contract is not None:
            continue
        before, after = earned_before(one, month_on), earned_before(one, ends_on)
        row = sums.setdefault(one.product, [0, 0])
        row[0] += in_books(one, after) - in_books(one, before)
        row[1] += after - before
    parts = [_legs(product, minor, earned, bill) for product, (minor, earned) in sums.items()]
    # What is earned comes first: together it is the total.
    legs = [part[0] for part in parts] + [leg for part in parts for leg in part[1:]]
    total = sum(row[0] for row in sums.values())
    if not any(leg.minor for leg in legs):
        return None
    made = compose(
        Request(
            legs=tuple(legs),
            currency=own,
            original_currency=bill.currency,
            source_minor=abs(total),
            total_legs=len(sums),
            happened_on=ends_on - timedelta(days=1),
            cause=Cause(
                event=f"{bill.issued.cause.event}/{month_on:%Y-%m}", subject=str(bill.ref), rule="revenue_recognised"
            ),
            text=f"{bill.issued.text}, {month_on:%B %Y}",
        ),
        bill.books,
        recorded_at=setting.recorded_at,
    )
    if isinstance(made, JournalEntry):
        return made
    return Unposted(
        event=bill.issued.cause.event,
        type=EventType.INVOICE_ISSUED,
        subject=bill.ref,
        happened_on=ends_on - timedelta(days=1),
        amount=Money(total, own),
        refusals=made,
    )


def _recognised_contracts(
    contracts: Iterable[Contract], setting: Setting, before_on: date
) -> Iterator[JournalEntry | Unposted]:
    """An entry for each contract and month that is over: what it earned, and what that makes of it in the books."""
    for contract in contracts:
        parts = [Part(schedule=one.schedule, billed_on=one.bill.booked_on) for one in contract.slices]
        parts.append(Part(schedule=contract.unbilled))
        stands = Asset()
        month_on = min([contract.agreed_on, *_first_days(parts)]).replace(day=1)
        while (after_on := next_month(month_on)) <= before_on:
            month = contract_month(parts, contract.books, month_on=month_on, stands=stands)
            if month.request is not None:
                made = compose(month.request, contract.books, recorded_at=setting.recorded_at)
                if not isinstance(made, JournalEntry):
                    yield _not_recognised(contract, month, made)
                    break
                yield made
            stands, parts, month_on = month.asset, list(month.parts), after_on


def _first_days(parts: Iterable[Part]) -> Iterator[date]:
    for part in parts:
        yield from (one.starts_at.astimezone(part.schedule.zone).date() for one in part.schedule.spans[:1])


def _not_recognised(contract: Contract, month: ContractMonth, refusals: tuple[Refusal, ...]) -> Unposted:
    assert month.request is not None  # noqa: S101  the caller has looked; said for the type checker
    return Unposted(
        event=month.request.cause.event,
        type=EventType.PROGRESS_MEASURED if contract.is_project else EventType.RAMP_AGREED,
        subject=ExternalRef.parse(contract.name),
        happened_on=month.request.happened_on,
        amount=Money(month.request.source_minor, month.request.currency),
        refusals=refusals,
    )


def _legs(product: str | None, minor: int, earned: int, bill: Bill) -> list[Leg]:
    legs = patterns.revenue_recognised(minor, deferred=minor, product=product)
    if bill.currency != bill.books.chart.currency:
        # The first leg is the revenue, a debit where recognition is taken back.
        return [msgspec.structs.replace(leg, original=-earned if at == 0 else earned) for at, leg in enumerate(legs)]
    return legs
