"""Schedules recognised up to the end of a month: one entry for each currency of what was sold, whole or not at all.

What each schedule had recognised before is known, so that a change of the past, or a run that was interrupted, comes to
the difference and to nothing twice. Source: ASC 606-10-25-31 (revenue is recognised as the obligation is satisfied).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.kernel.hashing import fingerprint
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.contract_month import ContractMonth, Part, contract_month
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import Leg, revenue_recognised, revenue_unbilled, unbilled_billed
from accordant.ledger.schedule import earned_before, first_and_last, in_books, next_month
from accordant.pipeline.bookkeep import lay_entry
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import KeptRecognition, KeptSchedule, ScheduleAdvance
from accordant.ports.ledger_desk import KeptContract, contract_root


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to, in minor units of the books, or why it came to nothing."""

    minor: int = 0
    refusals: tuple[Refusal, ...] = ()


class _Earned(msgspec.Struct, frozen=True, kw_only=True):
    kept: KeptSchedule
    minor: int
    books_minor: int

    def is_billed(self, after_on: date) -> bool:
        """Whether its bill came before ``after_on``. Only usage is looked at before."""
        return self.kept.booked_on < after_on


class _Kind(StrEnum):
    """What an entry says: revenue of what is billed, of what is yet to be, and that the bill for that came."""

    BILLED = "revenue_recognised"
    UNBILLED = "revenue_unbilled"
    CAME = "unbilled_billed"


_PATTERNS: dict[_Kind, Callable[[int, str | None], list[Leg]]] = {
    _Kind.BILLED: lambda minor, product: revenue_recognised(minor, deferred=minor, product=product),
    _Kind.UNBILLED: lambda minor, product: revenue_unbilled(minor, product=product),
    _Kind.CAME: lambda minor, product: unbilled_billed(minor, product=product),
}


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """A month's end: of which month, whose entries they go with, and the currency of the books."""

    month_on: date
    after_on: date
    system: str
    own: str


def recognise_contracts(
    bench: Workbench, due: Mapping[str, KeptContract], books: Books, *, month_on: date, rulebook: Rulebook
) -> Batch:
    """Lay on the bench what these contracts, all of one company, come to by the end of a month: an entry for each.

    With a refusal nothing is laid down.
    """
    assert rulebook.ledger is not None  # noqa: S101  the books are its own; said for the type checker
    ended: list[tuple[KeptContract, ContractMonth, JournalEntry | None]] = []
    after_on, minor = next_month(month_on), 0
    for name, kept in sorted(due.items()):
        month = contract_month([_part(one) for one in kept.schedules], books, month_on=month_on, stands=kept.asset)
        entry = None if month.request is None else compose(month.request, books, recorded_at=bench.now)
        if isinstance(entry, tuple):
            return Batch(refusals=entry)
        if entry is not None:
            system = ExternalRef.parse(name).system
            told: dict[str, str | int] = {"lines": len(kept.schedules)}
            lay_entry(bench, rulebook.ledger, entry, root_id=contract_root(name), system=system, bill=name, told=told)
        ended.append((kept, month, entry))
    for kept, month, posted in ended:
        for schedule, by in zip(kept.schedules, month.earned, strict=True):
            earned = _Earned(kept=schedule, minor=by.minor, books_minor=by.books_minor)
            _lay_progress(earned, bench, after_on=after_on, month_on=month_on, entry=posted)
            minor += by.books_minor
    if not any(posted for _, _, posted in ended):
        _note_nothing(bench, books, month_on, lines=sum(len(kept.schedules) for kept, _, _ in ended))
    return Batch(minor=minor)


def _note_nothing(bench: Workbench, books: Books, month_on: date, *, lines: int) -> None:
    subject = f"{books.chart.legal_entity}/{month_on:%Y-%m}"
    bench.note("books.recognition.nothing", subject, None, {"lines": lines})


def _part(kept: KeptSchedule) -> Part:
    return Part(
        schedule=kept.schedule,
        billed_on=kept.booked_on if kept.is_billed else None,
        recognised_minor=kept.recognised_minor,
        recognised_books_minor=kept.recognised_books_minor,
    )


def recognise_batch(
    bench: Workbench, due: Sequence[KeptSchedule], books: Books, *, month_on: date, rulebook: Rulebook
) -> Batch:
    """Lay on the bench what these schedules, all of one company, have earned by the end of a month and not recognised.

    With a refusal nothing is laid down.
    """
    after_on = next_month(month_on)
    earned = [_earn(one, after_on) for one in due]
    made: dict[tuple[str, _Kind], JournalEntry] = {}
    assert rulebook.ledger is not None  # noqa: S101  the books are its own; said for the type checker
    system = rulebook.ledger.system_of(books.chart.legal_entity)
    for currency, is_billed in sorted({(one.kept.schedule.currency, one.is_billed(after_on)) for one in earned}):
        part = [one for one in earned if (one.kept.schedule.currency, one.is_billed(after_on)) == (currency, is_billed)]
        end = _End(month_on=month_on, after_on=after_on, system=system, own=books.chart.currency)
        for kind in (_Kind.BILLED,) if is_billed else (_Kind.UNBILLED, _Kind.CAME):
            request = _request(part, currency, end, kind)
            if request is None:
                continue
            entry = compose(request, books, recorded_at=bench.now)
            if not isinstance(entry, JournalEntry):
                return Batch(refusals=entry)
            made[currency, kind] = entry
    for entry in made.values():
        root_id = f"books/{entry.legal_entity}"
        lay_entry(bench, rulebook.ledger, entry, root_id=root_id, system=system, told={"lines": len(due)})
    for one in earned:
        kind = _Kind.BILLED if one.is_billed(after_on) else _Kind.UNBILLED
        found = made.get((one.kept.schedule.currency, kind))
        _lay_progress(one, bench, after_on=after_on, month_on=month_on, entry=found)
    if not made:
        _note_nothing(bench, books, month_on, lines=len(due))
    return Batch(minor=sum(one.books_minor for one in earned))


def _earn(kept: KeptSchedule, after_on: date) -> _Earned:
    total = earned_before(kept.schedule, after_on)
    return _Earned(
        kept=kept,
        minor=total - kept.recognised_minor,
        books_minor=in_books(kept.schedule, total) - kept.recognised_books_minor,
    )


def _request(part: Sequence[_Earned], currency: str, end: _End, kind: _Kind) -> Request | None:
    sums: dict[str | None, list[int]] = {}
    for one in part:
        row = sums.setdefault(one.kept.schedule.product, [0, 0])
        row[0] += one.books_minor
        row[1] += one.minor
    is_foreign = currency != end.own
    parts = [_legs(kind, product, *row, is_foreign=is_foreign) for product, row in sorted(sums.items(), key=_by_name)]
    # What is earned comes first: together it is the total.
    legs = [legs[0] for legs in parts] + [leg for legs in parts for leg in legs[1:]]
    if not any(leg.minor for leg in legs):
        return None
    # Named after what it is made of: the same schedules at the same point are the same entry.
    made_of = fingerprint(sorted([one.kept.id, one.kept.version] for one in part))
    month = f"{end.month_on:%Y-%m}"
    last_on = end.after_on - timedelta(days=1)
    return Request(
        legs=tuple(legs),
        currency=end.own,
        original_currency=currency,
        source_minor=abs(sum(row[0] for row in sums.values())),
        total_legs=len(parts),
        happened_on=max(one.kept.booked_on for one in part) if kind is _Kind.CAME else last_on,
        cause=Cause(
            event=f"recognition/{month}/{made_of}", subject=f"{end.system}:recognition/{month}", rule=kind.value
        ),
        text=f"{_TEXTS[kind]} of {end.month_on:%B %Y}, {len(part)} lines",
        number=month,
    )


_TEXTS = {_Kind.BILLED: "Revenue", _Kind.UNBILLED: "Revenue not billed yet", _Kind.CAME: "Bills for use"}


def _by_name(row: tuple[str | None, list[int]]) -> str:
    return row[0] or ""


def _legs(kind: _Kind, product: str | None, books_minor: int, minor: int, *, is_foreign: bool) -> list[Leg]:
    legs = _PATTERNS[kind](books_minor, product)
    if not is_foreign:
        return legs
    # The first leg of each pattern is its credit.
    return [msgspec.structs.replace(leg, original=-minor if at == 0 else minor) for at, leg in enumerate(legs)]


def _lay_progress(
    one: _Earned, bench: Workbench, *, after_on: date, month_on: date, entry: JournalEntry | None
) -> None:
    kept, books = one.kept, bench.changes.books
    version = kept.version + 1
    _, ends_on = first_and_last(kept.schedule) or (None, None)
    # Less than a minor unit of the books has no entry: it is part of a later one.
    if entry is not None and (one.minor or one.books_minor):
        books.recognitions.append(
            KeptRecognition(
                schedule_id=kept.id,
                legal_entity=entry.legal_entity,
                booked_on=kept.booked_on,
                version=version,
                month_on=month_on,
                minor=one.minor,
                books_minor=one.books_minor,
                entry_id=entry.id,
            )
        )
    books.advances.append(
        ScheduleAdvance(
            id=kept.id,
            version=version,
            recognised_minor=kept.recognised_minor + one.minor,
            recognised_books_minor=kept.recognised_books_minor + one.books_minor,
            # A span of one day ends on the day it began: it is over once that day is.
            next_on=after_on if ends_on is not None and ends_on >= after_on else None,
        )
    )
