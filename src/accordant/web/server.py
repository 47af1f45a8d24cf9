"""Runs the hub as a server: the door and the console on one port, rooms 3 to 6 in a thread, the couriers as tasks.

SIGTERM and SIGINT drain: the door stops taking deliveries, what was taken in is stored, running rounds end; a kill at
any moment is just another crash. Next: `webhooks.py` for the door, `console/` for the pages.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from accordant.bootstrap import Hub
from accordant.kernel.errors import ConfigurationError, TransientError
from accordant.ports.inbox import Arrival, Reception
from accordant.ports.lanes import StaleLease
from accordant.runtime.group_commit import GroupCommit
from accordant.runtime.worker import AsyncLoop, Loop
from accordant.settings import EVERYTHING, Role
from accordant.store.bell import bell_of
from accordant.store.durability import forgetful, refuse_forgetful
from accordant.store.intake import intake_of
from accordant.store.lanes import BEAT
from accordant.views.load import Load, load
from accordant.web.api import api_application
from accordant.web.app import Front
from accordant.web.caretaker import Caretaker
from accordant.web.console.routes import console_application
from accordant.web.exposition import Live
from accordant.web.listen import Listener
from accordant.web.observe import Health, Observer
from accordant.web.rehearser import Rehearser
from accordant.web.webhooks import Door

#: Deliveries that may wait for the store at once; beyond it the door says 503, long before memory is a question.
WAITING_MAX = 4096
_IDLE_S = 0.5
_RARELY_S = 2.0
_BY_THE_CLOCK_S = 15.0
#: How long one listening for the bell lasts at most.
_LISTEN_S = 1.0
_SCAN_IDLE_S = 60.0
_DRAIN_S = 20.0
_HOUSE_TTL = timedelta(seconds=24)
#: Failures in a row after which a loop counts as standing still.
LOOP_FAILURES_MAX = 5
#: Loops without which every delivery is taken and every write is made: that they stand still is a figure, not a reason
#: to send the traffic elsewhere.
_ASIDE = frozenset({"spans"})

_log = structlog.get_logger("server")


class HubServer:
    """A running hub. ``start`` returns when it listens; ``stop`` drains.

    Workers of one store share its lanes among them. ``metrics_port`` answers for health and figures alone, which a
    process without a door has no other place for.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        host: str,
        port: int,
        roles: frozenset[Role] = EVERYTHING,
        metrics_port: int | None = None,
    ) -> None:
        self.hub = hub
        self.roles = roles
        self.metrics_port = metrics_port
        self.host = host
        self.port = port
        self._intake = intake_of(hub.database, hub.inbox)
        self._arrivals: GroupCommit[Arrival, Reception] = GroupCommit(
            self._intake.accept, waiting_max=WAITING_MAX, hands=self._intake.lines
        )
        self._couriers = {
            target: AsyncLoop(f"courier-{target}", partial(self._deliver, target), idle_s=_IDLE_S)
            for target in hub.outbounds
        }
        self._reread = AsyncLoop("reread", self._read_again, idle_s=_RARELY_S)
        self._alerts = AsyncLoop("alerts", self._send_alerts, idle_s=_RARELY_S)
        self._scan = AsyncLoop("scan", self._scan_directories, idle_s=_SCAN_IDLE_S)
        self.caretaker = Caretaker(hub)
        self._duties = AsyncLoop("duties", self._see_to_duties, idle_s=_BY_THE_CLOCK_S)
        self._lag = AsyncLoop("lag", self._watch_lag, idle_s=_BY_THE_CLOCK_S)
        self._incident = AsyncLoop("incident", self._see_to_incident, idle_s=_RARELY_S)
        self._rooms = Loop("rooms", self._process, idle_s=_IDLE_S)
        self._heart = Loop("heart", self._beat, idle_s=BEAT.total_seconds())
        self._bell = bell_of(hub.database)
        self._ringing = Loop("ringing", self._ring, idle_s=_BY_THE_CLOCK_S)
        self._hearing = Loop("hearing", self._hear, idle_s=_IDLE_S)
        # One process that does everything wakes its own loops; several have to tell each other.
        self._bell_loops: tuple[Loop, ...] = ()
        if roles != EVERYTHING:
            self._bell_loops = (self._ringing,) if roles == {Role.DOOR} else (self._ringing, self._hearing)
        self.door = Door(lambda: hub.connections, self._arrivals.hand_in, hub.clock, self._tell_rooms)
        self._rehearsals = AsyncLoop("rehearsals", Rehearser(hub, hub.given_environment).round, idle_s=_RARELY_S)
        self._tasks = [*self._couriers.values(), self._reread, self._alerts, self._scan, self._duties, self._lag]
        self._tasks += [self._incident, self._rehearsals]
        if hub.span_sender is not None:
            self._tasks.append(AsyncLoop("spans", self._send_spans, idle_s=_RARELY_S))
        self._observer = Observer(
            self,
            database=hub.database,
            token=hub.settings.metrics_token,
            is_open=hub.settings.is_loopback,
            clock=hub.clock,
        )
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        """Listen, and begin to work.

        Raises: ConfigurationError where everybody on the network could act, or where a commit is not on the disk.
        """
        await asyncio.to_thread(self._refuse_an_open_console)
        await asyncio.to_thread(refuse_forgetful, self.hub.database)
        await asyncio.to_thread(self.hub.enforce_charter)
        if Role.WORKER in self.roles:
            self._heart.start()
            self._rooms.start()
        if Role.COURIER in self.roles:
            for loop in self._tasks:
                loop.start()
        for bell_loop in self._bell_loops:
            bell_loop.start()
        if Role.DOOR in self.roles:
            front = Front(
                observer=self._observer,
                door=self.door,
                console=console_application(self.hub),
                api=api_application(self.hub),
            )
            await self._listen(front, self.port)
        if self.metrics_port is not None:
            await self._listen(Front(observer=self._observer), self.metrics_port)

    def _refuse_an_open_console(self) -> None:
        settings = self.hub.settings
        asks = settings.console_token is not None or self.hub.people.is_configured
        if Role.DOOR in self.roles and not settings.is_loopback and not asks:
            raise ConfigurationError(
                f"The console would be open to everybody who can reach {settings.host}.",
                remedy="Give people tokens (accordant people add), set ACCORDANT_CONSOLE_TOKEN, or bind to 127.0.0.1.",
            )

    async def _listen(self, application: Front, port: int) -> None:
        listener = Listener(application, host=self.host, port=port)
        await listener.start()
        self._listeners.append(listener)

    async def stop(self) -> None:
        """Stop taking deliveries, store what was taken in, let running rounds end, give the lanes back."""
        await asyncio.gather(*(listener.stop(_DRAIN_S) for listener in self._listeners))
        if Role.DOOR in self.roles:
            await self._arrivals.stop()
            await self._intake.close()
        await asyncio.to_thread(self._rooms.stop, _DRAIN_S)
        await asyncio.to_thread(self._heart.stop, _DRAIN_S)
        for bell_loop in self._bell_loops:
            await asyncio.to_thread(bell_loop.stop, _DRAIN_S)
        self._bell.close()
        await asyncio.to_thread(self._leave)
        for loop in self._tasks:
            await loop.stop(_DRAIN_S)
        await self.hub.close()

    def _leave(self) -> None:
        """Whoever waits for our lanes need not wait until we count as dead."""
        with suppress(TransientError):
            self.hub.lanes.leave()

    def _tell_rooms(self) -> None:
        """An event is stored: our rooms look, and those of other processes."""
        self._rooms.wake()
        self._ringing.wake()

    def _ring(self) -> bool:
        self._bell.ring()
        return False

    def _hear(self) -> bool:
        """What another process stored may be for our rooms or our couriers."""
        if self._bell.wait(_LISTEN_S):
            self._rooms.wake()
            for loop in (*self._couriers.values(), self._reread):
                loop.wake()
        return True

    def wake(self) -> None:
        """There may be work everywhere: look now."""
        self._rooms.wake()
        for loop in (*self._couriers.values(), self._reread, self._alerts, self._scan, self._duties, self._lag):
            loop.wake()

    def _beat(self) -> bool:
        self.hub.lanes.beat()
        return False

    def _process(self) -> bool:
        try:
            found = self.hub.process_round(self.hub.lanes.balance()) > 0
        except StaleLease as error:
            _log.warning("a batch is dropped", reason=error.message)
            return True
        if found:
            for loop in (*self._couriers.values(), self._reread):
                loop.wake()
            self._ringing.wake()
        return found

    async def _deliver(self, target: str) -> bool:
        return await self.hub.deliver_round(target) > 0

    def _keeps_house(self) -> bool:
        """Whether this courier is the one that reads again, reads directories and sends alerts; another may write."""
        return self.hub.leases.is_ours("housekeeping", ttl=_HOUSE_TTL, now=self.hub.clock())

    async def _read_again(self) -> bool:
        found = await asyncio.to_thread(self._keeps_house) and await self.hub.reread_round() > 0
        if found:
            self._tell_rooms()
        # What could not be read is looked at again after its pause, not at once.
        return False

    async def _scan_directories(self) -> bool:
        """Until the records of a target were read once, nobody knows whose they are and its writes wait."""
        if await asyncio.to_thread(self._keeps_house) and await self.hub.scan_round():
            self._rooms.wake()
            for loop in self._couriers.values():
                loop.wake()
        return False

    async def _see_to_duties(self) -> bool:
        await self.caretaker.duty_round()
        return False

    async def _see_to_incident(self) -> bool:
        replayed = await asyncio.to_thread(self.caretaker.replay_round)
        return await self.caretaker.incident_round() or replayed

    async def _watch_lag(self) -> bool:
        await asyncio.to_thread(self.caretaker.lag_round)
        return False

    async def _send_alerts(self) -> bool:
        if await asyncio.to_thread(self._keeps_house):
            await self.caretaker.alert_round()
        return False

    async def _send_spans(self) -> bool:
        return await asyncio.to_thread(self.caretaker.span_round) > 0

    def health(self, problem: str | None) -> Health:
        """See `web.observe.Observed`."""
        loops = self.live({}, 0.0).loops
        standing = [
            f"{name} failed {count} times in a row."
            for name, count in loops.items()
            if count >= LOOP_FAILURES_MAX and name not in _ASIDE
        ]
        problems = (*([problem] if problem else []), *standing)
        return Health(
            status="failing" if problems else "ok",
            problems=problems,
            store=self.hub.database.engine.dialect.name,
            charter=self.hub.charter.version,
            targets={
                target: ("left alone" if breaker.failures else "working")
                for target, breaker in self.hub.breakers.items()
            },
        )

    def load(self) -> Load:
        """See `web.observe.Observed`."""
        return load(self.hub.database, self.hub.charter, now=self.hub.clock(), zone=self.hub.rulebook.zone)

    def live(self, writes: Mapping[tuple[str, str, str], int], store_write_s: float) -> Live:
        """See `web.observe.Observed`."""
        return Live(
            deliveries=dict(self.door.answers),
            writes=dict(writes),
            commits=self._arrivals.commits,
            committed=self._arrivals.committed,
            breakers={target: breaker.failures for target, breaker in self.hub.breakers.items()},
            loops={loop.name: loop.failures for loop in (self._rooms, self._heart, *self._bell_loops)}
            | {task.name: task.failures for task in self._tasks},
            store_write_s=store_write_s,
        )

    def probe(self) -> None:
        """See `web.observe.Observed`."""
        self.hub.cursors.move("probe", 0, now=self.hub.clock())

    def doubt(self) -> str | None:
        """See `web.observe.Observed`."""
        found = forgetful(self.hub.database)
        return None if found is None else f"{found} {found.remedy}"


async def serve(hub: Hub, *, host: str, port: int, ready: Callable[[HubServer], None]) -> None:
    """Run until a signal asks to stop, in the roles of the settings. ``ready`` is called once the hub listens."""
    settings = hub.settings
    server = HubServer(hub, host=host, port=port, roles=settings.roles, metrics_port=settings.metrics_port)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    ready(server)
    await stopping.wait()
    _log.info("draining")
    await server.stop()
