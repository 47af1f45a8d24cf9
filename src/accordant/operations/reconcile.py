"""Compare, record by record and field by field, what a target holds with what it should hold. Nothing is written.

Every difference is looked at twice, with what the hub knows read before and after: what moved meanwhile is in flight
and no finding. An empty comparison says so and is never clean. Next: `repair.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from accordant.analytics.bill_facts import is_told
from accordant.analytics.mrr import mrr_position
from accordant.analytics.standing import is_over
from accordant.canonical.entities import Subscription
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import CurrentRecord, ObjectSpec, object_spec
from accordant.governance.decide import Switches
from accordant.governance.gates import AskGates
from accordant.kernel.clock import Clock
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.operations.judge import Judgement, judge
from accordant.operations.strangers import Strangers
from accordant.pipeline.contest import found_of
from accordant.pipeline.deliver import respelled
from accordant.pipeline.dispatch import gate_asker
from accordant.pipeline.plan import Route
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import ConflictBook, Found
from accordant.ports.connector import Outbound
from accordant.ports.reconcile import (
    Cause,
    Discrepancy,
    DiscrepancyKind,
    KnownRecord,
    ReconcileBook,
    ReconcileRun,
)
from accordant.ports.state import State, StoredEntity

#: Records compared at once: what is held in memory beside the names of those already seen.
BATCH = 500
#: Findings that come back with the answer; all of them are kept in the store.
SHOWN_MAX = 1_000

#: Told now and then: how many records were compared, and of about how many.
Progress = Callable[[int, int], None]
_Answer = TypeVar("_Answer")


class FindingCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings there are of one kind, cause and field."""

    kind: DiscrepancyKind
    cause: Cause
    field: str | None
    count: int


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison came to.

    ``exposure`` is the monthly recurring revenue of the accounts behind the findings, each account once;
    ``unknown_exposure`` counts those accounts and records whose revenue nobody knows. ``shown`` are the first findings.
    """

    run: ReconcileRun
    in_flight: int
    counts: tuple[FindingCount, ...]
    exposure: tuple[Money, ...]
    unknown_exposure: int
    repairable: int
    shown: tuple[Discrepancy, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to compare, which proves nothing."""
        return self.run.records == 0

    @property
    def is_clean(self) -> bool:
        """Whether something was compared and every record that is not in flight agrees."""
        return not self.is_empty and self.run.discrepancies == 0


class Tally:
    """A run in the making: findings go to the book as they come, only counts stay in memory."""

    def __init__(self, run: ReconcileRun, *, book: ReconcileBook, state: State, clock: Clock) -> None:
        self.run = run
        self.records = 0
        self.fields = 0
        self.in_flight = 0
        self._book = book
        self._state = state
        self._clock = clock
        self._counts: Counter[tuple[DiscrepancyKind, Cause, str]] = Counter()
        self._worth: dict[str, tuple[Money, ...] | None] = {}
        self._nobodys = 0
        self._repairable = 0
        self._shown: list[Discrepancy] = []

    async def add(self, findings: Sequence[Discrepancy]) -> None:
        """Keep findings, each with what is exposed by it."""
        if not findings:
            return
        await self._learn_worth({found.account_id for found in findings if found.account_id is not None})
        valued = [
            msgspec.structs.replace(found, exposure=self._worth.get(found.account_id) if found.account_id else None)
            for found in findings
        ]
        self._nobodys += sum(found.account_id is None for found in findings)
        self._repairable += sum(found.repairable for found in findings)
        self._counts.update((found.kind, found.cause, found.field or "") for found in findings)
        self._shown += valued[: SHOWN_MAX - len(self._shown)]
        await off_loop(partial(self._book.keep, self.run, valued, now=self._clock()))

    async def _learn_worth(self, account_ids: set[str]) -> None:
        new = account_ids - self._worth.keys()
        standings = await off_loop(partial(self._state.standings, new))
        for account_id in new:
            kept = standings.get(account_id)
            position = None if kept is None else mrr_position(kept.standing, as_of=self._clock())
            # No amount, or one of which a part is unknown, is not a figure: it must not read as nothing at stake.
            known = position is not None and position.counted and not position.unknown
            self._worth[account_id] = position.counted if position is not None and known else None

    async def finish(self, actor: str) -> Reconciliation:
        """Close the run with its counts."""
        now = self._clock()
        found = sum(self._counts.values())
        run = msgspec.structs.replace(
            self.run, finished_at=now, records=self.records, fields=self.fields, discrepancies=found
        )
        body: dict[str, str | int | bool | list[str] | None] = {
            "flow": run.flow,
            "records": run.records,
            "fields": run.fields,
            "in_flight": self.in_flight,
            "discrepancies": found,
        }
        subject = f"reconcile/{run.id}"
        entry = AuditEntry(
            kind="operations.reconcile.finished", actor=actor, subject=subject, cause=None, at=now, body=body
        )
        await off_loop(partial(self._book.finish, run, entry))
        sums: Counter[str] = Counter()
        for worth in self._worth.values():
            for money in worth or ():
                sums[money.currency] += money.amount_minor
        return Reconciliation(
            run=run,
            in_flight=self.in_flight,
            counts=tuple(
                FindingCount(kind=kind, cause=cause, field=field or None, count=count)
                for (kind, cause, field), count in sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
            ),
            exposure=tuple(Money(minor, currency) for currency, minor in sorted(sums.items())),
            unknown_exposure=self._nobodys + sum(worth is None for worth in self._worth.values()),
            repairable=self._repairable,
            shown=tuple(self._shown),
        )


async def reconcile(
    *,
    route: Route,
    outbound: Outbound,
    book: ReconcileBook,
    state: State,
    conflicts: ConflictBook,
    switches: Callable[[], Switches],
    strangers: Strangers,
    actor: str,
    clock: Clock,
    progress: Progress | None = None,
    since: datetime | None = None,
) -> Reconciliation:
    """Compare one flow whole and keep every finding; with ``since`` only records decided or confirmed after that.

    A record that has our key and that we never wrote may be a red flag besides: ``strangers`` raises it.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired, RejectedError when the target cannot be asked: the run
    then stays unfinished and proves nothing.
    """
    started_at = clock()
    flow = route.flow
    run = ReconcileRun(id=derived_id("run", flow.name, started_at.isoformat()), flow=flow.name, started_at=started_at)
    await off_loop(partial(book.begin, run))
    tally = Tally(run, book=book, state=state, clock=clock)
    comparison = _Comparison(
        route=route,
        outbound=outbound,
        book=book,
        conflicts=conflicts,
        tally=tally,
        switches=switches,
        clock=clock,
        ask_gates=gate_asker(state, clock),
        strangers=strangers,
        progress=progress,
    )
    if since is None:
        await comparison.walk_target()
        await comparison.walk_desired()
        await _find_unplanned(route, book=book, state=state, tally=tally)
    else:
        await comparison.walk_changed(since)
    return await tally.finish(actor)


class _Comparison:
    """One walk over a target and one over the desired records, with the second look both share."""

    def __init__(
        self,
        *,
        route: Route,
        outbound: Outbound,
        book: ReconcileBook,
        conflicts: ConflictBook,
        tally: Tally,
        switches: Callable[[], Switches],
        clock: Clock,
        ask_gates: AskGates,
        strangers: Strangers,
        progress: Progress | None,
    ) -> None:
        self._route = route
        self._outbound = outbound
        self._book = book
        self._conflicts = conflicts
        self._clock = clock
        self._tally = tally
        self._switches = switches
        self._ask_gates = ask_gates
        self._strangers = strangers
        self._progress = progress
        self._spec: ObjectSpec = object_spec(route.mapping)
        self._seen: dict[str, str] = {}
        self._total = 0

    async def walk_target(self) -> None:
        """Everything the target holds under a key of ours."""
        self._total = await off_loop(partial(self._book.count, self._route.flow.name))
        batch: dict[str, CurrentRecord] = {}
        twins: list[Discrepancy] = []
        async for key, record in self._outbound.keys(self._spec):
            first = self._seen.setdefault(key, record.target_id)
            if first != record.target_id:
                twins.append(self._twin(key, first, record.target_id))
                continue
            batch[key] = record
            if len(batch) == BATCH:
                await self._compare(batch)
                batch = {}
        await self._compare(batch)
        await self._tally.add(twins)

    async def walk_desired(self) -> None:
        """Everything desired that the target did not show."""
        after = ""
        while page := await off_loop(partial(self._book.known_after, self._route.flow.name, after, limit=BATCH)):
            after = page[-1].key
            await self._look_again([known.key for known in page if known.key not in self._seen])
            self._tell()

    async def walk_changed(self, since: datetime) -> None:
        """What the hub decided or saw confirmed since then; what only the target changed shows in a whole walk."""
        after = ""
        changed = partial(self._book.changed_after, self._route.flow.name, since)
        while keys := await off_loop(partial(changed, after, limit=BATCH)):
            after = keys[-1]
            self._total += len(keys)
            await self._look_again(keys)
            self._tell()

    async def _compare(self, batch: dict[str, CurrentRecord]) -> None:
        """The first look: what agrees needs no second one."""
        known = await off_loop(partial(self._book.known, [self._ref(key) for key in batch]))
        switches = await off_loop(self._switches)
        doubtful = []
        for key, record in batch.items():
            about = known.get(self._ref(key))
            if about is not None and about.flow != self._route.flow.name:
                continue  # another flow keeps this record and answers for it
            judged = None if about is None else self._judge(about, record, switches)
            if judged is not None and judged.agrees:
                self._count(judged)
            else:
                doubtful.append(key)
        await self._look_again(doubtful)
        self._tell()

    async def _look_again(self, keys: Sequence[str]) -> None:
        """The second look, between two of ours: only what stood still can be a finding."""
        for start in range(0, len(keys), self._outbound.batch_max):
            part = keys[start : start + self._outbound.batch_max]
            refs = [self._ref(key) for key in part]
            before = await off_loop(partial(self._book.known, refs))
            held = await self._outbound.read(self._spec, part)
            after = await off_loop(partial(self._book.known, refs))
            switches = await off_loop(self._switches)
            findings: list[Discrepancy] = []
            met: list[Found] = []
            for key, ref in zip(part, refs, strict=True):
                found, conflicts = self._second_judgement(
                    key, before.get(ref), after.get(ref), held.get(key), switches=switches
                )
                findings += found
                met += conflicts
            if met:
                await off_loop(partial(self._conflicts.note, met))
            strange = [
                (ref, held[key])
                for key, ref in zip(part, refs, strict=True)
                if key in held and ref not in before and ref not in after
            ]
            if strange:
                await off_loop(partial(self._strangers.tell, strange))
            await self._tally.add(findings)

    def _second_judgement(
        self,
        key: str,
        before: KnownRecord | None,
        after: KnownRecord | None,
        held: CurrentRecord | None,
        *,
        switches: Switches,
    ) -> tuple[tuple[Discrepancy, ...], tuple[Found, ...]]:
        """Findings, and the conflicts behind them."""
        if before != after:
            self._tally.records += 1
            self._tally.in_flight += 1
            return (), ()
        if after is None:
            if held is None:
                return (), ()  # it was deleted between the looks, and nobody wanted it
            self._tally.records += 1
            return (self._extra(key, held),), ()
        judged = self._judge(after, held, switches)
        self._count(judged)
        if held is None:
            return judged.findings, ()
        conflicts = found_of(
            judged.contested,
            record=after.ref,
            flow=after.flow,
            target_id=held.target_id,
            account_id=after.account_id,
            raw=after.fields,
            cause=None,
            found_at=self._clock(),
            found_by="reconciliation",
            umpire=self._route.umpire,
            known=after.known,
        )
        return judged.findings, conflicts

    def _judge(self, known: KnownRecord, held: CurrentRecord | None, switches: Switches) -> Judgement:
        return judge(
            known=known,
            held=held,
            route=self._route,
            switches=switches,
            respell=partial(respelled, self._spec, self._outbound),
            now=self._clock(),
            ask_gates=self._ask_gates,
        )

    def _count(self, judged: Judgement) -> None:
        self._tally.records += 1
        self._tally.fields += judged.compared
        self._tally.in_flight += judged.in_flight

    def _extra(self, key: str, held: CurrentRecord) -> Discrepancy:
        return Discrepancy(
            kind=DiscrepancyKind.EXTRA,
            cause=Cause.NOT_OURS,
            record=self._ref(key),
            explanation=f"{held.target_id} has a key of this flow, and the hub never asked for such a record. "
            "It is not deleted: clear its key there, or bring its customer in.",
            actual=key,
            target_id=held.target_id,
        )

    def _twin(self, key: str, first: str, second: str) -> Discrepancy:
        return Discrepancy(
            kind=DiscrepancyKind.DUPLICATE,
            cause=Cause.HELD_TWICE,
            record=self._ref(key),
            explanation=f"{first} and {second} have the same key. Merge them there, and make the key field unique.",
            expected=first,
            actual=second,
            target_id=second,
        )

    def _ref(self, key: str) -> str:
        return f"{self._route.flow.target}:{self._spec.name}/{key}"

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._tally.records, max(self._total, self._tally.records))


async def _find_unplanned(route: Route, *, book: ReconcileBook, state: State, tally: Tally) -> None:
    """What the flow carries, and for which nobody ever decided what the target should hold."""
    flow = route.flow
    after = ""
    while ids := await off_loop(partial(book.unplanned_after, flow.name, flow.entity, flow.source, after, limit=BATCH)):
        after = ids[-1]
        stored = await off_loop(partial(state.entities, ids))
        roots = await off_loop(partial(state.entities, {one.root_id for one in stored.values()}))
        waiting = [one for one in stored.values() if not _is_untold(one, roots.get(one.root_id))]
        tally.records += len(waiting)
        await tally.add([_unplanned(one, route) for one in waiting])


def _is_untold(stored: StoredEntity, root: StoredEntity | None) -> bool:
    """Of the subscriptions that ended only the last is kept in the target; a draft is no bill yet; and what was paid
    without being a customer stands below no account.
    """
    is_of_nobody = root is not None and root.ref.kind not in {EntityKind.ACCOUNT, EntityKind.PRODUCT}
    is_past = isinstance(stored.entity, Subscription) and is_over(stored.entity)
    return is_of_nobody or is_past or not is_told(stored.entity)


def _unplanned(stored: StoredEntity, route: Route) -> Discrepancy:
    return Discrepancy(
        kind=DiscrepancyKind.MISSING,
        cause=Cause.NOT_PLANNED,
        record=f"{route.flow.target}:{route.flow.object}/{stored.source.id}",
        explanation=f"{stored.source} was never planned for this flow: its key cannot be spelled, or the flow is new.",
        expected=stored.source.id,
        account_id=stored.root_id,
        repairable=True,
    )


async def off_loop(ask: Callable[[], _Answer]) -> _Answer:
    """Ask the store away from the event loop, which others share."""
    return await asyncio.to_thread(ask)
