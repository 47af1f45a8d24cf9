"""What is done at each step of a recovery, and what is measured by it: replays, comparisons, repairs, each repeatable.

A crash anywhere loses nothing: everything here may be done again. Next: `incident_room.py`, which moves the incident.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from accordant.canonical.charter import Automation, Charter, Phase
from accordant.governance.decide import GATE_RULE, Case, Switches, decide
from accordant.governance.gates import AskGates
from accordant.governance.phases import is_wider
from accordant.kernel.clock import Clock
from accordant.kernel.ids import derived_id
from accordant.operations.compare_source import Part, SourceComparison, SourceScope
from accordant.operations.reconcile import Reconciliation, off_loop
from accordant.operations.recovery_room import RecoveryRoom
from accordant.operations.repair import Repair
from accordant.orchestration.incident import Compared, Incident, RecoveryStep, Walked
from accordant.pipeline.dispatch import gate_asker
from accordant.pipeline.plan import Route, Rulebook
from accordant.ports.reconcile import Cause, Discrepancy, ReconcileBook, ReconcileRun
from accordant.ports.replay import ReplayClass, ReplayOrder, ReplayScope
from accordant.ports.state import State

#: Findings that are told of each comparison.
TOLD_MAX = 5
_ROUNDS_MAX = 100_000

#: Which events each step walks once more, and the automations that act again from there on.
REPLAYED: Mapping[RecoveryStep, tuple[ReplayClass, tuple[Automation, ...]]] = {
    RecoveryStep.REPLAY_MONEY: (ReplayClass.MONEY, ()),
    RecoveryStep.REPLAY_SUBSCRIPTIONS: (ReplayClass.SUBSCRIPTION, ()),
    RecoveryStep.REPLAY_SUPPORT: (ReplayClass.SUPPORT, (Automation.SUPPORT_ENRICHMENT,)),
}
#: What of an owner is compared with the hub at each step.
SOURCES: Mapping[RecoveryStep, tuple[Part, ...]] = {
    RecoveryStep.RECONCILE_MONEY: (Part.MONEY,),
    RecoveryStep.REPLAY_MONEY: (Part.MONEY,),
    RecoveryStep.REPLAY_SUBSCRIPTIONS: (Part.CUSTOMERS,),
    RecoveryStep.RESTORE_AUTOMATIONS: (Part.MONEY, Part.CUSTOMERS),
}
#: From this step on targets are compared too; before the support step only what tells of money and subscriptions.
_TARGETS_FROM = RecoveryStep.REPLAY_SUBSCRIPTIONS

#: Told now and then: what is done, how far, and of how much.
Tell = Callable[[str, int, int], None]
#: Fetches what a system lists and the inbox lacks.
SweepOne = Callable[[str], Awaitable[object]]


def tell_nobody(_what: str, _done: int, _total: int) -> None:
    """Nobody looks on."""


class RecoveryHub(Protocol):
    """The hub, as far as a recovery works with it."""

    @property
    def charter(self) -> Charter: ...
    @property
    def rulebook(self) -> Rulebook: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def state(self) -> State: ...
    @property
    def book(self) -> ReconcileBook: ...
    @property
    def recovery(self) -> RecoveryRoom: ...
    @property
    def readers(self) -> Mapping[str, object]: ...
    @property
    def inbounds(self) -> Mapping[str, object]: ...
    @property
    def outbounds(self) -> Mapping[str, object]: ...
    def switches(self) -> Switches: ...
    def process_round(self) -> int: ...
    async def reread_round(self) -> int: ...
    async def deliver_round(self, target: str) -> int: ...
    async def reconcile(self, flow: str, *, actor: str) -> Reconciliation: ...
    async def compare_source(
        self, system: str, *, actor: str, scope: SourceScope, feed: bool = False
    ) -> SourceComparison: ...
    def repair(self, run_id: str, *, actor: str) -> Repair: ...


class Worker:
    """Works on one step of one incident, for one person."""

    def __init__(self, hub: RecoveryHub, incident: Incident, *, actor: str, tell: Tell, sweep: SweepOne | None) -> None:
        self._hub = hub
        self._incident = incident
        self._actor = actor
        self._tell = tell
        self._sweep = sweep

    async def work(self, step: RecoveryStep) -> tuple[Walked | None, tuple[str, ...], tuple[Compared, ...]]:
        """Replay, settle, compare, put right and compare again; the replay, the names of comparisons, what they found.

        Raises RateLimited, TargetUnavailable, AuthorizationExpired: nothing is measured then, and all may be repeated.
        """
        if step is RecoveryStep.RECONCILE_MONEY and self._sweep is not None:
            for system in self._systems():
                await self._sweep(system)
        walked = await off_loop(partial(self._replay, step)) if step in REPLAYED else None
        await self._settle()
        expected: list[str] = []
        compared: list[Compared] = []
        for part in SOURCES.get(step, ()):
            for system in self._systems():
                expected.append(f"{part.value}:{system}")
                compared.append(await self._compare_source(system, part))
        if step.place >= _TARGETS_FROM.place:
            for route in self._routes(step):
                expected.append(route.flow.name)
                compared.append(await self._compare_target(route, step))
        return walked, tuple(expected), tuple(compared)

    def _systems(self) -> list[str]:
        return sorted(self._hub.readers.keys() & self._hub.inbounds.keys())

    def _routes(self, step: RecoveryStep) -> list[Route]:
        """Flows that may write, those left out that the incident itself still stops."""
        switches = self._hub.switches()
        mine = {one.switch for one in self._incident.stops if one.until.place > step.place}
        return [
            route
            for route in sorted(self._hub.rulebook.all_routes, key=lambda route: route.flow.name)
            if is_wider(route.rules.ceiling(switches).phase, Phase.READ_ONLY)
            and f"class:{route.rules.automation.value}" not in mine
        ]

    def _replay(self, step: RecoveryStep) -> Walked:
        chosen, automations = REPLAYED[step]
        order = ReplayOrder(
            scope=ReplayScope(since=self._incident.since),
            actor=self._actor,
            reason=f"Incident: {self._incident.title}",
            classes=(chosen,),
            automations=automations,
        )
        name = replay_of(self._incident, step)
        job = self._hub.recovery.replay_once(name, order, progress=partial(self._tell, f"Replaying {chosen.value}"))
        if job is None:
            return Walked(job=name, total=0, done=0, aside=0, is_finished=True)
        seen = job.progress
        return Walked(
            job=name,
            total=seen.total,
            done=seen.done,
            aside=seen.stopped + len(seen.doubtful),
            is_finished=job.finished_at is not None,
        )

    async def _settle(self) -> None:
        """Carry out here and now what waits; a server that runs meanwhile shares the work through leases."""
        for _ in range(_ROUNDS_MAX):
            if await off_loop(self._hub.process_round) == 0 and await self._hub.reread_round() == 0:
                break
        for target in sorted(self._hub.outbounds):
            for _ in range(_ROUNDS_MAX):
                if await self._hub.deliver_round(target) == 0:
                    break

    async def _compare_source(self, system: str, part: Part) -> Compared:
        self._tell(f"Comparing {part.value} of {system}", 0, 0)
        found = await self._hub.compare_source(system, actor=self._actor, scope=SourceScope(part=part), feed=True)
        if found.fed:
            await self._settle()
            found = await self._hub.compare_source(system, actor=self._actor, scope=SourceScope(part=part))
        run = found.reconciliation.run
        findings = await self._findings(run)
        return _compared(f"{part.value}:{system}", run, findings)

    async def _compare_target(self, route: Route, step: RecoveryStep) -> Compared:
        name = route.flow.name
        self._tell(f"Comparing {name}", 0, 0)
        found = await self._hub.reconcile(name, actor=self._actor)
        if found.repairable:
            await off_loop(partial(self._hub.repair, found.run.id, actor=self._actor))
            await self._settle()
            found = await self._hub.reconcile(name, actor=self._actor)
        findings = await self._findings(found.run)
        only = route.rules.essential if step is RecoveryStep.REPLAY_SUBSCRIPTIONS else None
        asked = gate_asker(self._hub.state, self._hub.clock)
        counted = partial(_counts, route=route, switches=self._hub.switches(), ask_gates=asked, only=only)
        standing = await off_loop(lambda: [one for one in findings if counted(one)])
        return _compared(name, found.run, standing)

    async def _findings(self, run: ReconcileRun) -> tuple[Discrepancy, ...]:
        return await off_loop(partial(self._hub.book.findings, run.id))


def replay_of(incident: Incident, step: RecoveryStep) -> str:
    """The name of the replay of a step: found again after a crash, begun once."""
    return derived_id("rpl", incident.id, step.value)


def _compared(name: str, run: ReconcileRun, findings: Iterable[Discrepancy]) -> Compared:
    standing = list(findings)
    return Compared(
        name=name,
        run=run.id,
        started_at=run.started_at,
        records=run.records,
        differing=len(standing),
        told=tuple(_told(one) for one in standing[:TOLD_MAX]),
    )


def _told(one: Discrepancy) -> str:
    return f"{one.record}{'' if one.field is None else f'#{one.field}'}: {one.explanation}"


def _counts(
    one: Discrepancy, *, route: Route, switches: Switches, ask_gates: AskGates, only: frozenset[str] | None
) -> bool:
    """Whether a finding stands against leaving the step.

    What a flow may not write at all (a field that is not released, one that a compliance gate holds of this customer)
    is a difference by rule, and none of the recovery's. What a red flag holds is one: people decide it first.
    """
    if one.field is None:
        return True
    if only is not None and one.field not in only:
        return False
    if one.cause is not Cause.NOT_WRITTEN:
        return True
    verdicts = ask_gates(route.rules.gates, one.account_id or "")
    decision = decide(
        Case(
            flow=route.rules,
            fields=frozenset({one.field}),
            switches=switches,
            verdicts=verdicts,
            accounts=(one.account_id or "",),
        )
    )
    by_gate = {name for reason in decision.reasons if reason.rule == GATE_RULE for name in reason.fields}
    return bool((decision.write | decision.held) - by_gate)
