"""Keeps the books beside the rooms: what happened before there were any, what is held, month ends, closing and opening.

Everything is a number of small commits that each stand by themselves: what was interrupted is simply begun again.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import partial
from typing import Protocol

import msgspec

from accordant.canonical.books import LegalEntityPart
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ledger.cash_events import CASH_RULES
from accordant.ledger.commissions import Line
from accordant.ledger.compose import Books, Refusal
from accordant.ledger.periods import Period, PeriodRefused, PeriodState, close, reopen
from accordant.ledger.post import event_of
from accordant.ledger.schedule import next_month
from accordant.ledger.setting import books_of
from accordant.operations.closing import MissingStep, MonthToClose, missing_steps
from accordant.operations.earn_commissions import Counting
from accordant.operations.expense_commissions import Expensed, expense_batch
from accordant.operations.recognise import Batch, recognise_batch, recognise_contracts
from accordant.operations.revalue import MonthsEnd, Revaluation, outstanding, revalue
from accordant.pipeline.bookkeep import Ledger, Told, lay_entry, post_events, recall_documents
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.workbench import Workbench
from accordant.ports.audit import AuditEntry
from accordant.ports.books import KeptEntry, KeptSchedule
from accordant.ports.commissions import KeptDeferral, KeptLine
from accordant.ports.ledger_desk import ForeignBalance, KeptContract, LedgerDesk, PeriodChange
from accordant.ports.state import ConcurrentChange, State

_BATCH = 500
_LINES = 20_000
_BILLS = 100
_TRIES = 5
_MARK = "books"


class BooksMissing(RejectedError):
    """The charter in force has no ledger part, or not this legal entity or period."""

    remedy = "Name one of the charter's `ledger.legal_entities`, and a month of a fiscal year near today."


class PeriodKept(RejectedError):
    """A period stays as it is."""


class Marks(Protocol):
    """Remembers a number by name."""

    def read(self, name: str) -> int | None:
        """The number, or None before the first."""
        ...

    def move(self, name: str, position: int, *, now: datetime) -> None:
        """From now on it is this."""
        ...


class CaughtUp(msgspec.Struct, frozen=True, kw_only=True):
    """What a round came to: events of the past that were read, held ones that were looked at, how many of them were
    posted, and documents that were told again.
    """

    read: int
    tried: int
    posted: int
    told: int


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """What a month end came to: schedule lines, entries, minor units by currency of the books; why it stopped.

    ``commissions`` are those that were deferred and are an expense now, in minor units of the books.
    """

    lines: int
    entries: int
    minor: dict[str, int]
    commissions: int = 0
    refusals: tuple[Refusal, ...] = ()


class CommissionsCounted(msgspec.Struct, frozen=True, kw_only=True):
    """What a round over what was collected came to: bills looked at, lines made, and minor units by currency."""

    bills: int = 0
    lines: int = 0
    minor: dict[str, int] = {}


class _Month(msgspec.Struct, kw_only=True):
    """Some schedules and contracts to recognise, and what the last try of it made."""

    legal_entity: str
    month_on: date
    due: tuple[KeptSchedule, ...]
    contracts: dict[str, KeptContract]
    made: list[Batch] = []


class Bookkeeper:
    """See the module."""

    def __init__(
        self,
        desk: LedgerDesk,
        state: State,
        marks: Marks,
        *,
        rulebook: Callable[[], Rulebook],
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._state = state
        self._marks = marks
        self._rulebook = rulebook
        self._clock = clock

    # -- what waits ---------------------------------------------------------------------------------------------------

    def catch_up(self) -> CaughtUp:
        """Post what can be posted now; under a charter not seen before also read all of the past once.

        Raises ConcurrentChange when workers keep changing the same bills.
        """
        rulebook = self._rulebook()
        if rulebook.ledger is None:
            return CaughtUp(read=0, tried=0, posted=0, told=0)
        version = int(rulebook.version, 16)
        is_new = self._marks.read(_MARK) != version
        read = self._read_past(rulebook.ledger) if is_new else 0
        told = self._tell_again() if is_new else 0
        if is_new:
            self._collect_past(rulebook.ledger)
        tried, posted = self._try_held()
        if is_new:
            self._marks.move(_MARK, version, now=self._clock())
        return CaughtUp(read=read, tried=tried, posted=posted, told=told)

    def _read_past(self, ledger: Ledger) -> int:
        after, count = "", 0
        while found := self._desk.unread(ledger.part.systems, after=after, limit=_BATCH):
            after = found[-1][0].id
            count += len(found)
            told: dict[str, Told] = {event.id: Told(event=event, cause=seq) for event, seq in found}
            self._commit(partial(self._post, told))
        return count

    def _try_held(self) -> tuple[int, int]:
        after, tried, posted = "", 0, 0
        while found := self._desk.all_held(after=after, limit=_BATCH):
            after = found[-1][0].event
            tried += len(found)
            told: dict[str, Told] = {event.id: Told(event=event, cause=kept.cause) for kept, event in found}
            posted += self._commit(partial(self._post, told))
        return tried, posted

    def _tell_again(self) -> int:
        """An ERP that a new charter brings in is told everything that is in the books; the others learn nothing new."""
        after, count = "", 0
        while found := self._desk.entries(after=after, limit=_BATCH):
            after = found[-1].entry.id
            count += len(found)
            self._commit(partial(self._recall, found))
        return count

    def _recall(self, found: tuple[KeptEntry, ...], bench: Workbench, _rulebook: Rulebook) -> None:
        recall_documents(bench, found, self._state.books)

    def _post(self, told: dict[str, Told], bench: Workbench, rulebook: Rulebook) -> None:
        if rulebook.ledger is not None:
            post_events(bench, told, rulebook.ledger, self._state.books)

    def _commit(self, lay: Callable[[Workbench, Rulebook], object]) -> int:
        """Lay something on a bench, plan what follows and store both; how many entries it made. Who is second begins
        anew.
        """
        for attempt in range(_TRIES):
            rulebook = self._rulebook()
            bench = Workbench(self._state, self._clock())
            lay(bench, rulebook)
            plan(bench, rulebook, Switches.thrown(*self._state.policy()))
            changes = bench.collect()
            if not (changes.audit or changes.desired):
                return 0
            try:
                self._state.commit(changes, now=self._clock())
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
            else:
                return len(changes.books.entries)
        raise AssertionError("unreachable")

    # -- commissions --------------------------------------------------------------------------------------------------

    def count_commissions(self) -> CommissionsCounted:
        """Count what was collected and is due, bill after bill. Without plans nothing is done.

        Stopped anywhere, it goes on where it was. Raises ConcurrentChange when workers keep changing the same bills.
        """
        ledger = self._rulebook().ledger
        if ledger is None or ledger.commissions is None:
            return CommissionsCounted()
        after, bills, lines = "", 0, 0
        sums: dict[str, int] = {}
        while found := self._state.books.commissions.waiting(after=after, limit=_BILLS):
            after = found[-1]
            bills += len(found)
            made: list[tuple[KeptLine, ...]] = []
            self._commit(partial(self._count, found, made))
            lines += len(made[-1])
            for kept in made[-1]:
                sums[kept.currency] = sums.get(kept.currency, 0) + kept.line.amount_minor
        return CommissionsCounted(bills=bills, lines=lines, minor=sums)

    def _count(
        self, bills: tuple[str, ...], made: list[tuple[KeptLine, ...]], bench: Workbench, rulebook: Rulebook
    ) -> None:
        ledger = rulebook.ledger
        if ledger is not None and ledger.commissions is not None:
            books = {name: self._books(name) for name in ledger.part.legal_entities}
            Counting(bench, ledger, ledger.commissions, self._state.books.commissions).count(bills, books)
        made.append(tuple(bench.changes.books.commissions.lines))

    def _collect_past(self, ledger: Ledger) -> None:
        """Under new plans what was posted before is looked at again, and what counted for nobody."""
        if ledger.commissions is None:
            return
        desk = self._state.books.commissions
        desk.ask_again(now=self._clock())
        after = ""
        while found := self._desk.entries(after=after, limit=_BATCH):
            after = found[-1].entry.id
            events = {one.entry.cause.event: one for one in found if one.entry.cause.rule in CASH_RULES}
            missing = events.keys() - desk.cash((), events).keys()
            causes = {event_of(key): events[key].cause for key in missing}
            known = self._state.books.dossiers((), causes).events
            told = {name: Told(event=event, cause=causes[name]) for name, event in known.items()}
            if told:
                self._commit(partial(self._post, told))

    # -- month ends ---------------------------------------------------------------------------------------------------

    def recognise(self, legal_entity: str, month_on: date) -> Recognised:
        """Recognise everything that is earned by the end of a month and was not yet, from whatever month it is.

        Stopped anywhere, it goes on where it was when it is run again. Raises BooksMissing.
        """
        part = self._part(legal_entity)
        ends_on = next_month(month_on)
        lines, entries, sums = 0, 0, {part.currency: 0}
        while due := self._desk.due(legal_entity, before_on=ends_on, limit=_LINES):
            plain = tuple(one for one in due if one.schedule.contract is None)
            names = {one.schedule.contract for one in due if one.schedule.contract is not None}
            month = _Month(
                legal_entity=legal_entity, month_on=month_on, due=plain, contracts=self._desk.contracts(names)
            )
            done = self._commit(partial(self._lay_month, month))
            entries += done
            sums[part.currency] += sum(one.minor for one in month.made)
            refusals = next((one.refusals for one in month.made if one.refusals), ())
            if refusals:
                lines += len(plain) if len(month.made) > 1 else 0
                return Recognised(lines=lines, entries=entries, minor=sums, refusals=refusals)
            lines += len(due)
        expensed = self._expense_commissions(legal_entity, month_on)
        return Recognised(
            lines=lines,
            entries=entries + expensed.entries,
            minor=sums,
            refusals=expensed.refusals,
            commissions=expensed.commissions,
        )

    def _expense_commissions(self, legal_entity: str, month_on: date) -> Recognised:
        """What the month bears of commissions whose benefit lasts longer."""
        desk, total, entries, lines = self._state.books.commissions, 0, 0, 0
        while due := desk.deferred(legal_entity, before_on=next_month(month_on), limit=_LINES):
            found: list[Expensed] = []
            entries += self._commit(partial(self._lay_expense, legal_entity, month_on, due, found))
            if found[-1].refusals:
                return Recognised(
                    lines=lines, entries=entries, minor={}, refusals=found[-1].refusals, commissions=total
                )
            total += found[-1].minor
            lines += len(due)
        return Recognised(lines=lines, entries=entries, minor={}, commissions=total)

    def _lay_expense(
        self,
        legal_entity: str,
        month_on: date,
        due: tuple[tuple[KeptDeferral, Line], ...],
        found: list[Expensed],
        bench: Workbench,
        _rulebook: Rulebook,
    ) -> None:
        found.append(expense_batch(bench, due, self._books(legal_entity), self._ledger(), month_on=month_on))

    def _lay_month(self, month: "_Month", bench: Workbench, rulebook: Rulebook) -> None:
        books = self._books(month.legal_entity)
        month.made.clear()
        if month.due:
            month.made.append(recognise_batch(bench, month.due, books, month_on=month.month_on, rulebook=rulebook))
        if month.contracts and not any(one.refusals for one in month.made):
            made = recognise_contracts(bench, month.contracts, books, month_on=month.month_on, rulebook=rulebook)
            month.made.append(made)

    def revalue(self, legal_entity: str, month_on: date) -> Revaluation:
        """Bring what is owed and held in other currencies to the closing rate of a month. Raises BooksMissing."""
        self._part(legal_entity)
        found: list[Revaluation] = []
        self._commit(partial(self._lay_revaluation, legal_entity, next_month(month_on), found))
        return found[-1]

    def _lay_revaluation(
        self, legal_entity: str, after_on: date, found: list[Revaluation], bench: Workbench, _rulebook: Rulebook
    ) -> None:
        ledger = self._ledger()
        system = ledger.system_of(legal_entity)
        end, balances = self._months_end(legal_entity, after_on)
        found.append(revalue(balances, end, self._state.books.rate_of))
        for entry, cancelled in found[-1].entries:
            root_id = f"books/{legal_entity}"
            lay_entry(bench, ledger, entry, root_id=root_id, system=system)
            lay_entry(bench, ledger, cancelled, root_id=root_id, system=system, cancelled=entry)

    def _months_end(self, legal_entity: str, after_on: date) -> tuple[MonthsEnd, tuple[ForeignBalance, ...]]:
        """The end of the month before ``after_on``, and what is owed and held in other currencies then."""
        end = MonthsEnd(
            books=self._books(legal_entity),
            system=self._ledger().system_of(legal_entity),
            after_on=after_on,
            recorded_at=self._clock(),
        )
        return end, self._desk.foreign_balances(legal_entity, before_on=after_on)

    # -- periods ------------------------------------------------------------------------------------------------------

    def periods(self, legal_entity: str) -> tuple[Period, ...]:
        """The periods of a company around today, in order. Raises BooksMissing."""
        return tuple(sorted(self._books(legal_entity).periods, key=lambda one: one.starts_on))

    def missing(self, legal_entity: str, month_on: date) -> tuple[MissingStep, ...]:
        """What a month lacks before it can be closed, in the order in which it is done. Raises BooksMissing."""
        ledger, period = self._ledger(), self._period(legal_entity, month_on)
        systems = [system for system, owner in ledger.part.systems.items() if owner == legal_entity]
        ends = self._desk.open_ends(legal_entity, systems, before_on=period.ends_on)
        end, balances = self._months_end(legal_entity, period.ends_on)
        return missing_steps(period, ends, outstanding(balances, end, self._state.books.rate_of))

    def to_close(self, legal_entity: str) -> MonthToClose | None:
        """The month that is closed next, with what it lacks; None where none is over. Raises BooksMissing."""
        first_on = self._desk.first_posted_on(legal_entity)
        today = self._clock().astimezone(self._ledger().zone).date()
        is_open = [one for one in self.periods(legal_entity) if one.state is PeriodState.OPEN and one.ends_on <= today]
        due = [one for one in is_open if first_on is not None and first_on < one.ends_on]
        if not due:
            return None
        starts_on = due[0].starts_on
        return MonthToClose(
            legal_entity=legal_entity,
            month_on=starts_on,
            waiting=len(due),
            missing=self.missing(legal_entity, starts_on),
        )

    def close(self, legal_entity: str, month_on: date, *, by: str) -> tuple[Period, ...]:
        """Close a period for good, and with it those before the first entry: nothing may come into them later either.

        What was closed, the period itself last. Raises PeriodKept with what is still open in it, BooksMissing.
        """
        period = self._period(legal_entity, month_on)
        missing = self.missing(legal_entity, month_on) if period.state is PeriodState.OPEN else ()
        if missing:
            raise PeriodKept(
                " ".join(one.what for one in missing), remedy=" ".join(dict.fromkeys(one.remedy for one in missing))
            )
        periods, changes = list(self.periods(legal_entity)), list[PeriodChange]()
        for one in (*self._empty_before(legal_entity, period), period):
            closed = _decided(close(periods, one, by=by))
            periods[periods.index(one)] = closed
            changes.append(PeriodChange(was=one, becomes=closed))
        for change in changes:
            self._keep(change, "books.period.closed", by)
        return tuple(change.becomes for change in changes)

    def _empty_before(self, legal_entity: str, period: Period) -> list[Period]:
        """The open periods before one that are over before anything was posted, in order."""
        first_on = self._desk.first_posted_on(legal_entity)
        return [
            one
            for one in self.periods(legal_entity)
            if one.state is PeriodState.OPEN and one.starts_on < period.starts_on
            if first_on is None or one.ends_on <= first_on
        ]

    def reopen(self, legal_entity: str, month_on: date, *, by: str) -> Period:
        """Ask for a closed period to be opened again; the second person who asks opens it. Raises as ``close``."""
        period = self._period(legal_entity, month_on)
        first = self._desk.reopen_asked_by(legal_entity, period.starts_on)
        opened = reopen(self.periods(legal_entity), period, by=[one for one in (first, by) if one is not None])
        if isinstance(opened, PeriodRefused):
            # Refused for nothing else than that only one person has asked: his word is kept for the second.
            _decided(reopen(self.periods(legal_entity), period, by=[by, f"not {by}"]))
            self._keep(PeriodChange(was=period, becomes=period, asked_by=by), "books.period.reopen_asked", by)
            return period
        self._keep(PeriodChange(was=period, becomes=opened), "books.period.reopened", by)
        return opened

    def _keep(self, change: PeriodChange, kind: str, by: str) -> None:
        period, now = change.becomes, self._clock()
        subject = f"{period.legal_entity}/{period.starts_on:%Y-%m}"
        told = AuditEntry(
            kind=kind, actor=by, subject=subject, cause=None, at=now, body={"people": list(period.reopened_by) or [by]}
        )
        self._desk.keep_period(change, told, now=now)

    def _period(self, legal_entity: str, month_on: date) -> Period:
        for period in self.periods(legal_entity):
            if period.holds(month_on):
                return period
        raise BooksMissing(f"{legal_entity} has no period with {month_on}.")

    def _books(self, legal_entity: str) -> Books:
        part, today = self._part(legal_entity), self._clock().date()
        kept: Sequence[Period] = self._state.books.periods()
        first = min([one.starts_on.year for one in kept] + [today.year - 2])
        return books_of(legal_entity, part, range(first, today.year + 2), kept)

    def _part(self, legal_entity: str) -> LegalEntityPart:
        part = self._ledger().part.legal_entities.get(legal_entity)
        if part is None:
            raise BooksMissing(f"There is no legal entity {legal_entity!r}.")
        return part

    def _ledger(self) -> Ledger:
        ledger = self._rulebook().ledger
        if ledger is None:
            raise BooksMissing
        return ledger

    @property
    def legal_entities(self) -> Iterable[str]:
        """The companies whose books are kept. Raises BooksMissing."""
        return self._ledger().part.legal_entities


def _decided(period: Period | PeriodRefused) -> Period:
    if isinstance(period, PeriodRefused):
        raise PeriodKept(period.reason, remedy=period.remedy)
    return period
