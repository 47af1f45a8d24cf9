"""What a server does by the clock beside its rooms: the charter's scheduled duties, and the watch over lag.

Every process may run it: a duty is done by whoever takes its lease, and an incident is told once.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog

from accordant.bootstrap import Hub
from accordant.canonical.charter import FlowPart
from accordant.kernel.errors import AccordantError, TransientError
from accordant.operations.check_vat import told_of_vat
from accordant.operations.count_movements import MovementRound, count_movements
from accordant.operations.incident_room import IncidentRoom
from accordant.operations.schedule import Duty, Work, duties, told_of
from accordant.operations.send_alerts import send_alerts
from accordant.operations.settlement import told_of_settlement
from accordant.operations.silence import told_of_silence
from accordant.operations.sweep import SweepReport, told_of_sweep
from accordant.operations.watch_lag import LagRound, watch_lag
from accordant.pipeline.dispatch import resting_flows
from accordant.runtime.renewal import renewed
from accordant.runtime.schedule import Job, run_due
from accordant.store.checkpoints import export_checkpoint, read_signer
from accordant.store.history import SqlHistory
from accordant.store.incidents import SqlIncidentBook
from accordant.store.jobs import SqlJobBook
from accordant.store.lag import SqlLagBook
from accordant.store.leases import LeaseTaken
from accordant.store.movements import SqlMovementBook
from accordant.store.waits import shorten_waits
from accordant.views.spans import finished_lives, latest_event
from accordant.views.stakes import troubled, waiting
from accordant.web.lookout import Lookout
from accordant.web.saga_desk import saga_desk
from accordant.web.vat_desk import vat_desk

#: Who is named in the trail when the clock starts something.
ACTOR = "schedule"
_CHECKPOINTS = "checkpoints.txt"
_SPANS = "spans"
_SPANS_LEASE = timedelta(minutes=1)
_REPLAYS = "replays"
#: After this a replay whose process died is gone on with by another. Two who walk one at once do nothing twice.
_REPLAYS_LEASE = timedelta(minutes=10)

_log = structlog.get_logger("caretaker")


class SweepIncomplete(TransientError):
    """Some system could not be swept; the next tick goes on where this one stopped."""


class SettlementIncomplete(TransientError):
    """Some system could not be asked what its payouts settled; the next tick asks again."""


class Caretaker:
    """Looks after one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._book = SqlJobBook(hub.database)
        self._lag = SqlLagBook(hub.database)
        self._lookout = Lookout(hub)
        self._incidents = IncidentRoom(hub, SqlIncidentBook(hub.database), sweep=self._sweep_one, renewed=renewed)

    async def duty_round(self) -> int:
        """Run every duty whose time has come; how many ran."""
        hub = self._hub
        jobs = [
            Job(name=duty.name, schedule=duty.schedule, run=partial(self._carry_out, duty))
            for duty in duties(hub.charter)
        ]
        return await run_due(jobs, book=self._book, leases=hub.leases, zone=hub.rulebook.zone, clock=hub.clock)

    async def incident_round(self) -> bool:
        """Hold the stops of the incident that is open, and carry out what a page asked for; whether anything was."""
        return await self._incidents.serve() is not None

    def replay_round(self) -> bool:
        """Walk a replay that a page ordered, under a lease of its own; whether one was walked."""
        hub, now = self._hub, self._hub.clock()
        token = hub.leases.try_acquire(_REPLAYS, ttl=_REPLAYS_LEASE, now=now)
        if token is None:
            return False
        try:
            return hub.recovery.walk_ordered() is not None
        finally:
            hub.leases.release(_REPLAYS, token=token)

    async def _sweep_one(self, system: str) -> SweepReport | None:
        return await self._lookout.sweep(system, actor=ACTOR) if system in self._lookout.systems else None

    def lag_round(self) -> LagRound:
        """Look once whether any flow is later than its charter bears, or waits only because a watch was wrong."""
        hub = self._hub
        if count := shorten_waits(hub.database, now=hub.clock()):
            _log.warning("a clock was ahead and was set back: what it put off is due now", count=count)
        return watch_lag(
            charter=hub.charter,
            resting=resting_flows(hub.rulebook, hub.switches()),
            book=self._lag,
            stake=self._behind,
            now=hub.clock(),
        )

    async def alert_round(self) -> int:
        """Send alerts that wait; how many there were. Without a webhook they stay in the console's trouble list."""
        hub = self._hub
        if hub.webhook is None:
            return 0
        return await send_alerts(
            hub.alerts, hub.webhook, company=hub.charter.company, at_stake=self._at_stake, now=hub.clock()
        )

    def _behind(self, flow: FlowPart) -> str:
        hub = self._hub
        return waiting(
            hub.database, flow=flow.name, source=flow.source, now=hub.clock(), zone=hub.rulebook.zone
        ).sentence  # fmt: skip

    async def _at_stake(self) -> str:
        return await asyncio.to_thread(self._troubled)

    def _troubled(self) -> str:
        hub = self._hub
        with hub.database.read() as connection:
            return troubled(connection, now=hub.clock(), zone=hub.rulebook.zone).sentence

    def span_round(self) -> int:
        """Send the lives of events to the collector of traces; how many. Raises TransientError while it is away."""
        hub, now = self._hub, self._hub.clock()
        if hub.span_sender is None:
            return 0
        try:
            hub.leases.acquire(_SPANS, ttl=_SPANS_LEASE, now=now)
        except LeaseTaken:
            return 0
        last = hub.cursors.read(_SPANS)
        if last is None:  # a hub that never sent any begins now: history is not poured into the collector
            hub.cursors.move(_SPANS, latest_event(hub.database), now=now)
            return 0
        lives = finished_lives(hub.database, last, is_wanted=hub.span_sender.is_wanted, now=now)
        if lives.reached > last:
            hub.span_sender.send(lives.spans)
            hub.cursors.move(_SPANS, lives.reached, now=now)
        return lives.reached - last

    async def _carry_out(self, duty: Duty) -> str:
        match duty.work:
            case Work.RECONCILE | Work.RECONCILE_WHOLE:
                return await self._reconcile(str(duty.flow), whole=duty.work is Work.RECONCILE_WHOLE)
            case Work.DRIFT:
                return await self._drift()
            case Work.CHECKPOINT:
                return await asyncio.to_thread(self._checkpoint)
            case Work.SWEEP | Work.FETCH:
                is_sweep = duty.work is Work.SWEEP
                return await self._sweep(self._lookout.delivering if is_sweep else self._lookout.silent)
            case Work.SETTLEMENT | Work.VAT:
                return await (self._settle() if duty.work is Work.SETTLEMENT else self._check_vat())
            case Work.SILENCE:
                return await self._listen()
            case Work.MOVEMENTS:
                return await asyncio.to_thread(self._count_movements)
            case Work.BOOKS | Work.SAGAS:
                return await asyncio.to_thread(self._keep_books if duty.work is Work.BOOKS else self._follow)

    def _follow(self) -> str:
        return f"{saga_desk(self._hub).round():,} sagas began or went on."

    async def _check_vat(self) -> str:
        """Ask the register; what no waiting mends is told, since nobody else would."""
        async with vat_desk(self._hub) as desk:
            found = await desk.check_due(actor=ACTOR)
        told = told_of_vat(found)
        if found.for_persons:
            await self._tell("vat.unanswered", "The register of tax numbers gives no answer until somebody acts", told)
        return told

    async def _reconcile(self, flow: str, *, whole: bool) -> str:
        """Compare; what is found is told, since nobody looks at a night's run by himself."""
        hub = self._hub
        since = None if whole else await asyncio.to_thread(hub.book.last_started, flow)
        found = await hub.reconcile(flow, actor=ACTOR, since=since)
        if since is not None and found.is_empty:
            return "Nothing changed since the last comparison."
        told = told_of(found)
        if found.run.discrepancies:
            await self._tell("reconcile.found", f"{flow} differs from its target", told)
        return told

    async def _drift(self) -> str:
        found = await self._hub.drift_round()
        count = sum(map(len, found.drift.values()))
        unasked = "".join(f" Not asked: {name}. {reason}" for name, reason in found.unasked.items())
        told = f"{count:,} things of the targets do not fit the mapping." if count else "The targets fit the mapping."
        return told + unasked

    def _keep_books(self) -> str:
        done = self._hub.bookkeeper.catch_up()
        earned = self._hub.bookkeeper.count_commissions()
        counted = f" {earned.lines:,} commission lines were made." if earned.bills else ""
        return (
            f"{done.posted:,} of {done.tried:,} held events are posted; {done.read:,} of the past were read.{counted}"
        )

    async def _sweep(self, systems: Sequence[str]) -> str:
        """These systems, each for what it lists; one that cannot be asked does not keep the others from it."""
        told, problems = [], []
        for system in systems:
            try:
                report = await self._lookout.sweep(system, actor=ACTOR)
            except AccordantError as error:
                problems.append(f"{system} was not swept: {error}")
                continue
            told.append(told_of_sweep(report))
            await self._tell_window(report)
        if problems:
            raise SweepIncomplete(" ".join((*problems, *told)))
        return " ".join(told) or "There is no such system that lists its events, or none has what it takes to ask it."

    async def _settle(self) -> str:
        told, problems = [], []
        for system in self._lookout.settling:
            try:
                told.append(told_of_settlement(await self._lookout.settle(system)))
            except AccordantError as error:
                problems.append(f"{system} was not asked: {error}")
        if problems:
            raise SettlementIncomplete(" ".join((*problems, *told)))
        return " ".join(told) or "No system tells what its payouts settled, or none has an API key."

    async def _tell_window(self, report: SweepReport) -> None:
        if report.rescan is not None:
            subject = f"{report.system} no longer lists everything this hub missed"
            await self._tell("sweep.window", subject, told_of_sweep(report))

    async def _listen(self) -> str:
        told = []
        for system in self._lookout.systems:
            found = await self._lookout.listen(system)
            told.append(told_of_silence(system, found))
        return " ".join(told) or "No system lists its events, so none can be asked."

    def movement_round(self) -> MovementRound:
        """Count how recurring revenue moved where something was told of it. Raises TransientError without a store."""
        hub = self._hub
        return count_movements(
            book=SqlMovementBook(hub.database),
            marks=hub.cursors,
            past=SqlHistory(hub.database, hub.inbox),
            connectors=hub.inbounds,
            clock=hub.clock,
            zone=hub.rulebook.zone,
        )

    def _count_movements(self) -> str:
        found = self.movement_round()
        return f"{found.counted:,} customers counted; of {found.moved:,} the recurring revenue had moved."

    def _checkpoint(self) -> str:
        """Sign where the trail ends, in a file beside the store, for whoever carries it to another machine."""
        hub = self._hub
        with hub.database.read() as connection:
            line = export_checkpoint(connection, now=hub.clock(), signer=read_signer(hub.settings.home))
        path = hub.settings.home / _CHECKPOINTS
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return f"The end of the trail was signed into {path.name}. Keep a copy on another machine."

    async def _tell(self, kind: str, subject: str, body: str) -> None:
        hub = self._hub
        await asyncio.to_thread(hub.alerts.add, kind=kind, subject=subject, body=body, now=hub.clock())
