"""The books built again from the inbox, on an empty store, and held against those that are kept, entry by entry.

Every delivery walks the rooms once more at the moment at which it was settled, words of persons among them. What
persons decided about periods and months is done again at its moment, as the trail has it. The live store is only read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from accordant.kernel.errors import RejectedError
from accordant.ledger.commissions import CommissionRule
from accordant.ledger.entries import JournalEntry, encode_entry
from accordant.operations.bookkeeper import Bookkeeper, Marks
from accordant.operations.scratch import RebuiltState
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process
from accordant.pipeline.work import Shield
from accordant.ports.books import Bookshelf, KeptEntry
from accordant.ports.connector import Inbound
from accordant.ports.inbox import InboxEvent
from accordant.ports.ledger_desk import LedgerDesk
from accordant.ports.rebuild import Act, BooksPast, Moment
from accordant.ports.state import Changes, State

_ENTRIES = 500
_NAMED = 20

#: Told after each moment: how many deliveries are walked, and of how many.
Progress = Callable[[int, int], None]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild stands on: the live state and its desk, the past, the rules in force, and an empty state with a
    desk and marks of its own.
    """

    live: State
    live_desk: LedgerDesk
    past: BooksPast
    empty: State
    desk: LedgerDesk
    marks: Marks
    rulebook: Rulebook
    connectors: Mapping[str, Inbound]
    shield: Shield


class Unlike(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same: an entry or a bill by its name, and how it differs."""

    name: str
    how: str


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``erased`` deliveries can be read no more; ``stopped`` say what could not be done again.

    ``unlike`` are the first things that differ, ``differing`` is how many do.
    """

    deliveries: int
    erased: int
    decisions: int
    entries: int
    bills: int
    differing: int
    unlike: tuple[Unlike, ...]
    stopped: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether the books follow from the inbox and from what is on the trail, to the byte."""
        return not self.differing and not self.stopped


def rebuild(stage: Stage, *, now: datetime, progress: Progress | None = None) -> Rebuilt:
    """Build the books again and compare. An entry's moment of recording is left out where nothing else differs."""
    walk = _Walk(stage, now)
    moments = stage.past.moments()
    total = sum(len(one.seqs) for one in moments)
    for moment in moments:
        walk.take(moment)
        if progress is not None:
            progress(walk.deliveries + walk.erased, total)
    entries, bills, unlike = _compare(stage)
    return Rebuilt(
        deliveries=walk.deliveries,
        erased=walk.erased,
        decisions=walk.decisions,
        entries=entries,
        bills=bills,
        differing=len(unlike),
        unlike=tuple(unlike[:_NAMED]),
        stopped=tuple(walk.stopped[:_NAMED]),
    )


_COUNTED_APART = frozenset(rule.value for rule in CommissionRule)


class _Walk:
    """The past, moment by moment, into the empty state."""

    def __init__(self, stage: Stage, now: datetime) -> None:
        self.deliveries = 0
        self.erased = 0
        self.decisions = 0
        self.stopped: list[str] = []
        self._stage = stage
        self._at = now
        self._state = RebuiltState(stage.empty, live=stage.live, now=now)
        self._keeper = Bookkeeper(
            stage.desk, self._state, stage.marks, rulebook=lambda: stage.rulebook, clock=lambda: self._at
        )

    def take(self, moment: Moment) -> None:
        """Do again what was done."""
        self._at = moment.at
        if moment.act is Act.SETTLED:
            self._settle(moment.seqs)
            return
        self.decisions += moment.act is not Act.CAUGHT_UP
        company, month_on = moment.legal_entity, moment.month_on
        try:
            match moment.act:
                case Act.CAUGHT_UP:
                    self._keeper.catch_up()
                case Act.RECOGNISED:
                    self._tell(moment, self._keeper.recognise(company, month_on).refusals)
                case Act.REVALUED:
                    self._tell(moment, self._keeper.revalue(company, month_on).refusals)
                case Act.CLOSED:
                    self._keeper.close(company, month_on, by=moment.by)
                case Act.REOPENED:
                    self._keeper.reopen(company, month_on, by=moment.by)
        except RejectedError as error:
            self._tell(moment, (error.message,))

    def _settle(self, seqs: Sequence[int]) -> None:
        events = self._stage.past.open(seqs)
        self.erased += len(seqs) - len(events)
        self.deliveries += len(events)
        if self._walk(events) is None:
            return
        for event in events:
            problem = self._walk([event])
            self.stopped += [f"delivery {event.seq}: {problem}"] if problem else []

    def _walk(self, events: Sequence[InboxEvent]) -> str | None:
        step = partial(
            process,
            events,
            connectors=self._stage.connectors,
            rulebook=self._stage.rulebook,
            state=self._state,
            now=self._at,
        )
        outcome = self._stage.shield(step)
        if isinstance(outcome, Changes):
            self._state.commit(outcome, now=self._at)
            return None
        return outcome

    def _tell(self, moment: Moment, refusals: Iterable[object]) -> None:
        what = f"{moment.legal_entity} {moment.month_on:%Y-%m} {moment.act.value}"
        self.stopped += [f"{what}: {one}" for one in refusals]


def _compare(stage: Stage) -> tuple[int, int, list[Unlike]]:
    """How many entries and bills there are, and which differ."""
    unlike: list[Unlike] = []
    entries, bills = 0, set[str]()
    for page in _pages(stage.live_desk):
        entries += len(page)
        bills |= {one.bill for one in page if one.bill is not None}
        found = {one.entry.id: one.entry for one in stage.empty.books.kept_entries([one.entry.id for one in page])}
        unlike += [differs for one in page if (differs := _entry_differs(one.entry, found.get(one.entry.id)))]
    for page in _pages(stage.desk):
        known = {one.entry.id for one in stage.live.books.kept_entries([one.entry.id for one in page])}
        bills |= {one.bill for one in page if one.bill is not None}
        unlike += [
            Unlike(name=one.entry.id, how="It is not in the books that are kept.")
            for one in page
            if one.entry.id not in known
        ]
    names = sorted(bills)
    for start in range(0, len(names), _ENTRIES):
        unlike += _bills_differ(names[start : start + _ENTRIES], stage.live.books, stage.empty.books)
    return entries, len(bills), unlike


def _pages(desk: LedgerDesk) -> Iterator[tuple[KeptEntry, ...]]:
    after = ""
    while page := desk.entries(after=after, limit=_ENTRIES):
        after = page[-1].entry.id
        # Commissions follow from the entries of money and from who owned what in the CRM: they are counted apart.
        yield tuple(one for one in page if one.entry.cause.rule not in _COUNTED_APART)


def _entry_differs(kept: JournalEntry, built: JournalEntry | None) -> Unlike | None:
    if built is None:
        return Unlike(name=kept.id, how=f"{kept.text} does not follow from the inbox.")
    # When it was recorded is when a worker came to it: a delivery that had to be asked about has two such moments.
    if encode_entry(msgspec.structs.replace(built, recorded_at=kept.recorded_at)) != encode_entry(kept):
        return Unlike(name=kept.id, how=f"{kept.text} comes out otherwise.")
    return None


def _bills_differ(names: Sequence[str], kept: Bookshelf, built: Bookshelf) -> Iterator[Unlike]:
    here, there = kept.dossiers(names, ()), built.dossiers(names, ())
    for what, one, other in (("bill", here.bills, there.bills), ("schedule", here.schedules, there.schedules)):
        for name in sorted(one.keys() | other.keys()):
            pair = [_without_version(found.get(name)) for found in (one, other)]
            if pair[0] != pair[1]:
                yield Unlike(name=name, how=f"The {what} stands otherwise.")


def _without_version(found: msgspec.Struct | None) -> object:
    """How often a row was written depends on what was settled together."""
    return None if found is None else {**msgspec.structs.asdict(found), "version": 0}
