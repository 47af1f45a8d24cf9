"""Past events once more through rooms 3 to 6, for what was missed then: a no-op where everything was done.

Money first, then subscriptions, then the rest. Records are kept in step; automations act only where the replay names
them (EF9). A job is kept batch by batch and goes on where it stood. Next: `pipeline/process.py`, the same path.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec

from accordant.canonical.charter import Automation
from accordant.canonical.entities import kind_of
from accordant.canonical.observations import Interpreted
from accordant.canonical.refs import EntityKind
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError, TransientError
from accordant.kernel.ids import derived_id
from accordant.ledger.post import MEANING
from accordant.pipeline.interpret import interpret
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process
from accordant.pipeline.work import Shield
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Inbound
from accordant.ports.inbox import InboxEvent, WorkState
from accordant.ports.rehearsal import HistoryPage
from accordant.ports.replay import ReplayBook, ReplayClass, ReplayHistory, ReplayJob, ReplayOrder, ReplayProgress
from accordant.ports.state import Changes, ConcurrentChange, State

#: Events walked in one commit.
BATCH = 500
_TRIES = 5
#: Events of which it is remembered that their owner would have to be asked.
_DOUBTFUL_MAX = 10_000

_MONEY = frozenset(
    {
        EntityKind.INVOICE,
        EntityKind.CREDIT_NOTE,
        EntityKind.PAYMENT,
        EntityKind.REFUND,
        EntityKind.DISPUTE,
        EntityKind.PAYOUT,
        EntityKind.BALANCE_MOVEMENT,
        EntityKind.BANK_STATEMENT,
        EntityKind.CASH_MOVEMENT,
    }
)
_SUBSCRIPTION = frozenset({EntityKind.SUBSCRIPTION, EntityKind.PRODUCT})

#: Who walks a job and has not been heard of for so long is taken for dead.
LEASE = timedelta(minutes=1)


class ReplayTaken(TransientError):
    """Another process walks this replay."""

    remedy = "Wait for it; where its process died, the replay can be resumed after a minute."


class Rights(Protocol):
    """Gives the right to do something alone (`store/leases.py`)."""

    def try_acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int | None:
        """The token of the right, or None while another has it."""
        ...

    def is_ours(self, name: str, *, ttl: timedelta, now: datetime) -> bool:
        """Whether it is ours still; renewed when a third of it is over."""
        ...

    def release(self, name: str, *, token: int) -> None:
        """Give it back."""
        ...


#: Told after each batch: how much is done, and of how much.
Progress = Callable[[int, int], None]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay stands on: the live state, the past, and the rules in force."""

    state: State
    history: ReplayHistory
    book: ReplayBook
    rulebook: Rulebook
    connectors: Mapping[str, Inbound]
    shield: Shield


class ReplayCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many events a replay would walk, by class in the order it would walk them."""

    classes: tuple[tuple[ReplayClass, int], ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(count for _, count in self.classes)


def count_replay(stage: Stage, order: ReplayOrder) -> ReplayCount:
    """How many events there are to walk. Nothing is changed."""
    sorted_kinds = _sorted(stage, order)
    return ReplayCount(classes=tuple((name, sum(kinds.values())) for name, kinds in sorted_kinds.items()))


def begin_replay(stage: Stage, order: ReplayOrder, *, now: datetime, job_id: str | None = None) -> ReplayJob:
    """Start a job. Raises RejectedError without a name or a reason, and where there is no event to walk.

    ``job_id`` names the job; whoever gives it finds the job again after a crash, and begins no second one.
    """
    if not order.actor.strip() or not order.reason.strip():
        raise RejectedError("A replay is started by a named person for a stated reason.", remedy="Say who and why.")
    total = count_replay(stage, order).total
    if not total:
        raise RejectedError(
            "There is no settled event to replay there.",
            remedy="Events that wait are in the queue, and those set aside are redriven.",
        )
    first = next(name for name in ReplayClass if name in order.classes)
    job = ReplayJob(
        id=job_id or derived_id("rpl", order.actor, now.isoformat(), repr(order.scope)),
        order=order,
        progress=ReplayProgress(at=first, total=total),
        started_at=now,
    )
    stage.book.begin(job, entry=_entry(job, "started", now))
    return job


def resume_replay(
    stage: Stage, job: ReplayJob, *, rights: Rights, clock: Clock, progress: Progress | None = None
) -> ReplayJob:
    """Walk what is left of a job, batch by batch; each is kept, so that a crash repeats one at most.

    One process walks a job at a time, under a lease that it renews with every batch. Raises ReplayTaken while another
    does, and when this one stood still for so long that another has taken over; ConcurrentChange when other workers
    keep changing the same accounts.
    """
    name = f"replay/{job.id}"
    token = rights.try_acquire(name, ttl=LEASE, now=clock())
    if token is None:
        raise ReplayTaken(f"The replay {job.id} is being walked by another process.")
    try:
        # As it stands now: whoever had it before may have come further.
        job = stage.book.find(job.id) or job
        return _walk_all(stage, job, name, rights=rights, clock=clock, progress=progress)
    finally:
        rights.release(name, token=token)


def _walk_all(
    stage: Stage, job: ReplayJob, name: str, *, rights: Rights, clock: Clock, progress: Progress | None
) -> ReplayJob:
    kinds = {name: frozenset(found) for name, found in _sorted(stage, job.order).items()}
    while job.progress.at is not None:
        if not rights.is_ours(name, ttl=LEASE, now=clock()):
            raise ReplayTaken(f"The replay {job.id} was taken over by another process, which goes on with it.")
        at = job.progress.at
        page = (
            stage.history.walk(job.order.scope, kinds[at], after=job.progress.after, limit=BATCH)
            if kinds.get(at)
            else HistoryPage(events=(), last=None)
        )
        if page.last is None:
            after = [name for name in ReplayClass if name in job.order.classes]
            rest = after[after.index(at) + 1 :]
            job = _moved(job, at=rest[0] if rest else None, after=0)
        else:
            job = _walk(stage, job, page, now=clock())
            job = _moved(job, after=page.last)
        stage.book.keep(job)
        if progress is not None:
            progress(min(job.progress.done, job.progress.total), job.progress.total)
    job = _ask_again(stage, job, now=clock())
    finished_at = clock()
    job = msgspec.structs.replace(job, finished_at=finished_at)
    stage.book.finish(job, entry=_entry(job, "finished", finished_at))
    return job


def _moved(job: ReplayJob, **changes: object) -> ReplayJob:
    return msgspec.structs.replace(job, progress=msgspec.structs.replace(job.progress, **changes))


def _sorted(stage: Stage, order: ReplayOrder) -> dict[ReplayClass, dict[tuple[str, str], int]]:
    """The types of event in the scope, by class in the order of the replay, each with how many there are.

    What a type tells of is seen from the newest event of it.
    """
    found: dict[ReplayClass, dict[tuple[str, str], int]] = {name: {} for name in ReplayClass if name in order.classes}
    for kind in stage.history.kinds(order.scope):
        sample = stage.history.pick((kind.newest,)).events
        chosen = _class_of(sample, stage.connectors)
        if chosen in found:
            found[chosen][kind.connection, kind.event_type] = kind.count
    return found


def _class_of(sample: Sequence[InboxEvent], connectors: Mapping[str, Inbound]) -> ReplayClass:
    meanings = [interpret(event, connectors).interpretation for event in sample if event.connection in connectors]
    understood = [one for one in meanings if isinstance(one, Interpreted)]
    kinds = {kind_of(seen.entity) for one in understood for seen in one.observations}
    # What persons say brings no object along, and is of money where the books take it.
    is_booked = any(
        event.said is not None and event.type in MEANING for one in understood for event in one.business_events
    )
    if is_booked or kinds & _MONEY:
        return ReplayClass.MONEY
    return ReplayClass.SUBSCRIPTION if kinds & _SUBSCRIPTION else ReplayClass.SUPPORT


def _walk(stage: Stage, job: ReplayJob, page: HistoryPage, *, now: datetime) -> ReplayJob:
    """One page: whole where it can be, else event by event, so that one that fails stops nobody else."""
    events = [event for event in page.events if event.connection in stage.connectors]
    counted = _take(stage, job, events, page.not_understood, now=now)
    if counted is None:
        counted = job
        for event in events:
            alone = _take(stage, counted, [event], page.not_understood, now=now)
            counted = alone or _moved(counted, stopped=counted.progress.stopped + 1)
    seen = counted.progress
    return _moved(
        counted,
        done=seen.done + len(page.events) + page.erased,
        erased=seen.erased + page.erased,
        stopped=seen.stopped + len(page.events) - len(events),
    )


def _take(
    stage: Stage, job: ReplayJob, events: Sequence[InboxEvent], aside: frozenset[int], *, now: datetime
) -> ReplayJob | None:
    """Decide and commit; None where the events could not be processed together."""
    if not events:
        return job
    asleep = frozenset(Automation) - {Automation.RECORD_SYNC} - set(job.order.automations)
    step = partial(
        process,
        events,
        connectors=stage.connectors,
        rulebook=stage.rulebook,
        state=stage.state,
        now=now,
        asleep=asleep,
    )
    for attempt in range(_TRIES):
        outcome = stage.shield(step)
        if isinstance(outcome, str):
            return None
        doubtful = tuple(one.seq for one in outcome.settlements if one.state is WorkState.AWAITING_REREAD)
        changed = only_new(outcome, aside)
        try:
            if _says_anything(changed):
                stage.state.commit(changed, now=now)
        except ConcurrentChange:
            if attempt == _TRIES - 1:
                raise
        else:
            seen = job.progress
            causes = {stored.cause for stored in changed.entities} | {one.seq for one in changed.settlements}
            return _moved(
                job,
                changed=seen.changed + len(causes),
                intents=seen.intents + sum(not planned.shadow for planned in changed.intents),
                doubtful=tuple(sorted({*seen.doubtful, *doubtful}))[:_DOUBTFUL_MAX],
            )
    return None


def _ask_again(stage: Stage, job: ReplayJob, *, now: datetime) -> ReplayJob:
    """Events whose account nobody had described: by now a later class may have. What is still in doubt stays named."""
    doubtful = job.progress.doubtful
    job = _moved(job, doubtful=())
    for start in range(0, len(doubtful), BATCH):
        page = stage.history.pick(doubtful[start : start + BATCH])
        done = job.progress.done
        job = _moved(_walk(stage, job, page, now=now), done=done)
    return job


def only_new(changes: Changes, aside: frozenset[int]) -> Changes:
    """What a walk changed, without repeating what the first one told.

    An event keeps the state it was settled in, unless it stood aside (``aside``) and is understood now; where its owner
    would have to be asked it stays as it is, and the replay tells of it.
    """
    understood = {one.seq for one in changes.settlements if one.seq in aside and one.state is WorkState.PROCESSED}
    return Changes(
        links=changes.links,
        entities=changes.entities,
        restamps=changes.restamps,
        standings=changes.standings,
        observations=[one for one in changes.observations if one.outcome == "advanced" or one.seq in understood],
        business_events=changes.business_events,
        desired=changes.desired,
        intents=changes.intents,
        settlements=[one for one in changes.settlements if one.seq in understood],
        stands=changes.stands,
        lifted=changes.lifted,
        decisions=changes.decisions,
        flags=changes.flags,
        audit=[entry for entry in changes.audit if not entry.kind.startswith("interpreter.")],
        matches=changes.matches,
        books=changes.books,
        uses=changes.uses,
        renamed=changes.renamed,
    )


def _says_anything(changes: Changes) -> bool:
    """Whether there is anything to store; what a change told first by another notice is not kept twice anyhow."""
    return any(
        (
            changes.links,
            changes.entities,
            changes.restamps,
            changes.standings,
            changes.observations,
            changes.business_events,
            changes.desired,
            changes.intents,
            changes.settlements,
            changes.stands,
            changes.lifted,
            changes.flags,
            changes.books.postings,
            changes.audit,
        )
    )


def _entry(job: ReplayJob, what: str, now: datetime) -> AuditEntry:
    told = msgspec.to_builtins(job.order.scope)
    seen = job.progress
    return AuditEntry(
        kind=f"operations.replay.{what}",
        actor=job.order.actor.strip(),
        subject=f"replay/{job.id}",
        cause=job.order.scope.event,
        at=now,
        body={
            "reason": job.order.reason.strip(),
            "scope": [f"{name}={value}" for name, value in sorted(told.items()) if value is not None],
            "classes": [one.value for one in job.order.classes],
            "automations": [one.value for one in job.order.automations],
            "events": seen.total,
            "changed": seen.changed,
            "intents": seen.intents,
            "stopped": seen.stopped,
            "doubtful": len(seen.doubtful),
        },
    )
