"""What would a changed charter change? Stored history walks through the rooms again, on a scratch state, and compares.

Nothing is sent, the live store is only read. Both charters decide with `replan`, the step that adopting one takes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from accordant.canonical.rehearsal import (
    Difference,
    Rehearsal,
    RehearsalOrder,
    RehearsalProgress,
    RehearsalTicket,
    Walked,
)
from accordant.canonical.standing import Standing
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.kernel.ids import derived_id
from accordant.operations.rehearsal_compare import Comparison
from accordant.operations.scratch import ScratchState
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process
from accordant.pipeline.work import Shield
from accordant.ports.connector import Inbound
from accordant.ports.inbox import InboxEvent, WorkState
from accordant.ports.rehearsal import History, HistoryPage, RehearsalBook
from accordant.ports.state import Changes, State, StoredStanding

#: Events walked at once. An account that many of them touch is planned once, so more are quicker; they are in memory.
BATCH = 2_000
_ENTITIES = 2_000
_NAMED = 20
_NOT_UNDERSTOOD = frozenset({WorkState.PARKED, WorkState.QUARANTINED})

#: Told after each batch: how much is done, and of how much.
Progress = Callable[[int, int], None]
#: Takes differences as they are found.
Tell = Callable[[Sequence[Difference]], None]


class RehearsalStopped(RejectedError):
    """Somebody stopped this rehearsal, or it is no longer kept."""

    remedy = "Order it again."


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal stands on. ``empty`` is a state of its own, without anything in it; ``connectors`` are those of
    the proposed charter. ``walked`` is how far an earlier try of the same rehearsal came with that state.
    """

    live: State
    empty: State
    history: History
    book: RehearsalBook
    in_force: Rulebook
    proposed: Rulebook
    connectors: Mapping[str, Inbound]
    shield: Shield
    walked: Walked = Walked()


def rehearse(
    stage: Stage,
    order: RehearsalOrder,
    *,
    actor: str,
    clock: Clock,
    ticket: RehearsalTicket | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Rehearsal:
    """Rehearse the proposed charter; every difference is kept in the book, and told to ``tell`` as it is found.

    With a ``ticket`` it is the one that was ordered, as of the moment it was. Raises RejectedError for an order that
    asks for two things at once or for a flow neither charter has, RehearsalStopped when somebody stops it. An
    interruption at any moment leaves a run without an end and nothing else.
    """
    _check(stage, order)
    started_at = clock() if ticket is None else ticket.ordered_at
    run_id = _begun(stage, ticket, actor, started_at)
    report = _Report(stage.book, run_id, clock, progress)
    walk = _Walk(stage, order, started_at, report)
    if not order.quick:
        walk.go()
    if not order.quick and order.until is None:
        walk.check_against_held()
    comparison = Comparison(
        before=stage.in_force,
        after=stage.proposed,
        held=stage.live,
        replayed=None if order.quick else walk.scratch,
        unlike=walk.unlike_accounts,
        history=stage.history,
        flow=order.flow,
        is_past=order.until is not None,
        sample=order.sample,
        now=started_at,
        tell=partial(_keep, stage.book, run_id, tell),
    )
    comparison.compare(_accounts(stage, order, walk), report.compared)
    rehearsal = Rehearsal(
        id=run_id,
        before=stage.in_force.version,
        after=stage.proposed.version,
        walked=not order.quick,
        started_at=started_at,
        finished_at=clock(),
        flow=order.flow,
        since=order.since,
        until=order.until,
        events=walk.events,
        left_out=walk.left_out,
        stopped=walk.stopped,
        stopped_sample=tuple(walk.stopped_sample),
        entities=walk.entities,
        unlike=walk.unlike,
        unlike_sample=tuple(walk.unlike_sample),
        **comparison.result(),
    )
    stage.book.finish(rehearsal)
    return rehearsal


def _begun(stage: Stage, ticket: RehearsalTicket | None, actor: str, started_at: datetime) -> str:
    """The id of the run, which is in the book from now on."""
    if ticket is not None:
        stage.book.forget_differences(ticket.id)
        return ticket.id
    before, after = stage.in_force.version, stage.proposed.version
    run_id = derived_id("reh", after, actor, started_at.isoformat())
    stage.book.begin(run_id, before=before, after=after, started_at=started_at, actor=actor)
    return run_id


class _Report:
    """Keeps how far it is, for whoever looks and for whoever takes it up again."""

    def __init__(self, book: RehearsalBook, run_id: str, clock: Clock, progress: Progress | None) -> None:
        self._book = book
        self._run_id = run_id
        self._clock = clock
        self._progress = progress
        self._began: dict[bool, tuple[datetime, int]] = {}
        self._walked: Walked | None = None

    def begin(self, done: int) -> None:
        """History is walked from here on."""
        self._began[False] = (self._clock(), done)

    def walked(self, walked: Walked, total: int) -> None:
        """So much of history is walked and committed."""
        self._walked = walked
        self._mark(walked.events, total, is_comparing=False)

    def compared(self, done: int, total: int) -> None:
        """So many accounts are compared."""
        self._mark(done, total, is_comparing=True)

    def _mark(self, done: int, total: int, *, is_comparing: bool) -> None:
        now = self._clock()
        since_at, from_done = self._began.setdefault(is_comparing, (now, done))
        is_kept = self._book.mark(
            self._run_id,
            RehearsalProgress(
                is_comparing=is_comparing,
                done=done,
                total=total,
                since_at=since_at,
                from_done=from_done,
                seen_at=now,
                walked=self._walked,
            ),
        )
        if not is_kept:
            raise RehearsalStopped("This rehearsal was stopped.")
        if self._progress is not None:
            self._progress(done, total)


def _check(stage: Stage, order: RehearsalOrder) -> None:
    if order.quick and order.until is not None:
        raise RejectedError(
            "What is held is held now, so a quick rehearsal cannot end in the past.",
            remedy="Leave out --quick or --until.",
        )
    if order.since is not None and order.until is not None and order.since >= order.until:
        raise RejectedError("The time to look at ends before it begins.", remedy="Let --since be before --until.")
    if order.flow is not None and all(book.route(order.flow) is None for book in (stage.in_force, stage.proposed)):
        names = sorted({flow.name for book in (stage.in_force, stage.proposed) for flow in book.charter.flows})
        raise RejectedError(
            f"Neither charter has a flow named {order.flow!r}.", remedy=f"Their flows are: {', '.join(names)}."
        )


def _keep(book: RehearsalBook, run_id: str, tell: Tell | None, found: Sequence[Difference]) -> None:
    book.keep(run_id, found)
    if tell is not None:
        tell(found)


def _accounts(stage: Stage, order: RehearsalOrder, walk: "_Walk") -> tuple[str, ...]:
    """The accounts to decide under both charters."""
    ids: Iterable[str] = stage.history.account_ids() if order.until is None else walk.accounts
    if order.since is not None:
        spoken_of = stage.history.touched(order.since, until=order.until)
        roots = {stored.root_id for stored in stage.live.entities(spoken_of).values()}
        ids = roots.intersection(ids)
    return tuple(sorted(ids))


class _Walk:
    """History through rooms 3 to 6 on the scratch state, and whether it tells what is held."""

    def __init__(self, stage: Stage, order: RehearsalOrder, now: datetime, report: _Report) -> None:
        self.scratch = ScratchState(stage.empty, live=stage.live, now=now)
        self.events = stage.walked.events
        self.left_out = stage.walked.left_out
        self.accounts: set[str] = set(stage.walked.accounts)
        self.stopped = stage.walked.stopped
        self.stopped_sample = list(stage.walked.stopped_sample)
        self.entities = 0
        self.unlike = 0
        self.unlike_sample: list[str] = []
        self.unlike_accounts: set[str] = set()
        self._stage = stage
        self._order = order
        self._now = now
        self._report = report

    def go(self) -> None:
        """Walk every settled event once, in order of arrival. A batch walked twice changes nothing the second time."""
        history, until, last = self._stage.history, self._order.until, self._stage.walked.last
        total, left_out = history.count(until=until)
        self.left_out = msgspec.structs.replace(left_out, erased=self.left_out.erased)
        self._report.begin(self.events)
        while (page := history.after(last, until=until, limit=BATCH)).last is not None:
            last = page.last
            self._step(page)
            self.events += len(page.events)
            self.left_out = msgspec.structs.replace(self.left_out, erased=self.left_out.erased + page.erased)
            self._report.walked(self._reached(last), total)

    def _reached(self, last: int) -> Walked:
        """Where to go on from. The accounts are needed again only where history ends in the past."""
        return Walked(
            last=last,
            events=self.events,
            left_out=self.left_out,
            stopped=self.stopped,
            stopped_sample=tuple(self.stopped_sample),
            accounts=tuple(sorted(self.accounts)) if self._order.until is not None else (),
        )

    def _step(self, page: HistoryPage) -> None:
        outcome = self._process(page.events)
        if isinstance(outcome, Changes):
            self._take(outcome, page)
            return
        for event in page.events:
            alone = self._process([event])
            if isinstance(alone, Changes):
                self._take(alone, page)
            else:
                self._stop(event.seq, alone)

    def _process(self, events: Sequence[InboxEvent]) -> Changes | str:
        return self._stage.shield(
            partial(
                process,
                events,
                connectors=self._stage.connectors,
                rulebook=self._stage.proposed,
                state=self.scratch,
                now=self._now,
            )
        )

    def _take(self, changes: Changes, page: HistoryPage) -> None:
        self.scratch.commit(changes, now=self._now)
        self.accounts.update(kept.account_id for kept in changes.standings)
        for settled in changes.settlements:
            if settled.state in _NOT_UNDERSTOOD and settled.seq not in page.not_understood:
                self._stop(settled.seq, settled.reason or settled.state.value)

    def _stop(self, seq: int, reason: str) -> None:
        self.stopped += 1
        if len(self.stopped_sample) < _NAMED:
            self.stopped_sample.append(f"event {seq}: {reason}")

    def check_against_held(self) -> None:
        """Compare what history told with what is held, entity by entity and account by account."""
        last = ""
        while page := self._stage.history.held_after(last, limit=_ENTITIES):
            last = page[-1].id
            told = self.scratch.entities(held.id for held in page)
            for held in page:
                self.entities += 1
                replayed = told.get(held.id)
                if replayed is None or replayed.digest != held.digest:
                    self._differ(held.id, held.root_id)
        ids = self._stage.history.account_ids()
        for start in range(0, len(ids), _ENTITIES):
            part = ids[start : start + _ENTITIES]
            counted = self._stage.live.standings(part)
            recounted = self.scratch.standings(part)
            for account_id in part:
                if _figures(counted.get(account_id)) != _figures(recounted.get(account_id)):
                    self._differ(f"the figures of {account_id}", account_id)

    def _differ(self, name: str, account_id: str) -> None:
        self.unlike += 1
        self.unlike_accounts.add(account_id)
        if len(self.unlike_sample) < _NAMED:
            self.unlike_sample.append(name)


def _figures(kept: StoredStanding | None) -> Standing:
    """An account of which nothing counts has empty figures or none: the same thing."""
    return Standing() if kept is None else kept.standing
