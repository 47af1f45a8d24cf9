"""Schedules recognised up to the end of a month: one entry for each currency of what was sold, whole or not at all.

What each schedule had recognised before is known, so that a change of the past, or a run that was interrupted, comes to
the difference and to nothing twice. Source: ASC 606-10-25-31 (revenue is recognised as the obligation is satisfied).
"""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from accordant.kernel.hashing import fingerprint
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import Leg, revenue_recognised
from accordant.ledger.schedule import earned_before, in_books
from accordant.pipeline.bookkeep import lay_entry
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import KeptRecognition, KeptSchedule, ScheduleAdvance


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to, in minor units of the books, or why it came to nothing."""

    minor: int = 0
    refusals: tuple[Refusal, ...] = ()


class _Earned(msgspec.Struct, frozen=True, kw_only=True):
    kept: KeptSchedule
    minor: int
    books_minor: int


def recognise_batch(
    bench: Workbench, due: Sequence[KeptSchedule], books: Books, *, month_on: date, rulebook: Rulebook
) -> Batch:
    """Lay on the bench what these schedules, all of one company, have earned by the end of a month and not recognised.

    With a refusal nothing is laid down.
    """
    after_on = date(month_on.year + month_on.month // 12, month_on.month % 12 + 1, 1)
    earned = [_earn(one, after_on) for one in due]
    made: dict[str, JournalEntry] = {}
    system = _system_of(rulebook, books.chart.legal_entity)
    for currency in sorted({one.kept.schedule.currency for one in earned}):
        part = [one for one in earned if one.kept.schedule.currency == currency]
        request = _request(part, currency, books.chart.currency, system=system, month_on=month_on, after_on=after_on)
        if request is None:
            continue
        entry = compose(request, books, recorded_at=bench.now)
        if not isinstance(entry, JournalEntry):
            return Batch(refusals=entry)
        made[currency] = entry
    for entry in made.values():
        assert rulebook.ledger is not None  # noqa: S101  the books are its own; said for the type checker
        root_id = f"books/{entry.legal_entity}"
        lay_entry(bench, rulebook.ledger, entry, root_id=root_id, system=system, told={"lines": len(due)})
    for one in earned:
        _lay_progress(one, bench, after_on=after_on, month_on=month_on, made=made)
    if not made:
        subject = f"{books.chart.legal_entity}/{month_on:%Y-%m}"
        bench.note("books.recognition.nothing", subject, None, {"lines": len(due)})
    return Batch(minor=sum(one.books_minor for one in earned))


def _earn(kept: KeptSchedule, after_on: date) -> _Earned:
    total = earned_before(kept.schedule, after_on)
    return _Earned(
        kept=kept,
        minor=total - kept.recognised_minor,
        books_minor=in_books(kept.schedule, total) - kept.recognised_books_minor,
    )


def _system_of(rulebook: Rulebook, legal_entity: str) -> str:
    """The system whose documents the company's entries go with: the first whose bills are its own."""
    assert rulebook.ledger is not None  # noqa: S101  the caller has looked; said for the type checker
    return next(name for name, owner in rulebook.ledger.part.systems.items() if owner == legal_entity)


def _request(
    part: Sequence[_Earned], currency: str, own: str, *, system: str, month_on: date, after_on: date
) -> Request | None:
    sums: dict[str | None, list[int]] = {}
    for one in part:
        row = sums.setdefault(one.kept.schedule.product, [0, 0])
        row[0] += one.books_minor
        row[1] += one.minor
    parts = [_legs(product, *row, is_foreign=currency != own) for product, row in sorted(sums.items(), key=_by_name)]
    # What is earned comes first: together it is the total.
    legs = [legs[0] for legs in parts] + [leg for legs in parts for leg in legs[1:]]
    if not any(leg.minor for leg in legs):
        return None
    # Named after what it is made of: the same schedules at the same point are the same entry.
    made_of = fingerprint(sorted([one.kept.id, one.kept.version] for one in part))
    return Request(
        legs=tuple(legs),
        currency=own,
        original_currency=currency,
        source_minor=abs(sum(row[0] for row in sums.values())),
        total_legs=len(parts),
        happened_on=after_on - timedelta(days=1),
        cause=Cause(
            event=f"recognition/{month_on:%Y-%m}/{made_of}",
            subject=f"{system}:recognition/{month_on:%Y-%m}",
            rule="revenue_recognised",
        ),
        text=f"Revenue of {month_on:%B %Y}, {len(part)} lines",
        number=f"{month_on:%Y-%m}",
    )


def _by_name(row: tuple[str | None, list[int]]) -> str:
    return row[0] or ""


def _legs(product: str | None, books_minor: int, minor: int, *, is_foreign: bool) -> list[Leg]:
    legs = revenue_recognised(books_minor, deferred=books_minor, product=product)
    if not is_foreign:
        return legs
    return [msgspec.structs.replace(leg, original=minor if leg.use.role.value != "revenue" else -minor) for leg in legs]


def _lay_progress(
    one: _Earned, bench: Workbench, *, after_on: date, month_on: date, made: dict[str, JournalEntry]
) -> None:
    kept, books = one.kept, bench.changes.books
    version = kept.version + 1
    ends_on = max(span.ends_at for span in kept.schedule.spans).astimezone(kept.schedule.zone).date()
    # Less than a minor unit of the books has no entry: it is part of a later one.
    entry = made.get(kept.schedule.currency)
    if entry is not None and (one.minor or one.books_minor):
        books.recognitions.append(
            KeptRecognition(
                schedule_id=kept.id,
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
            next_on=after_on if ends_on >= after_on else None,
        )
    )
