"""The stage of one schedule: machines that run the application, a provider that delivers, targets that take or refuse.

Every call, delivery and transaction passes a moment here at which a fault may strike. Next: `schedule.py`, which plays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection, receive
from accordant.ports.connector import (
    AnswerLost,
    DestinationClass,
    RateLimited,
    RecordWrite,
    TargetUnavailable,
)
from accordant.store.engine import StoreUnavailable
from accordant.store.memory_store import Backup, MemoryStore, Moment
from accordant.testing.destinations import CallMoment, Lie, MemoryDestination
from accordant.testing.simulator.application import (
    Application,
    InlineLoop,
    KeptMark,
    Outside,
    SkewedClock,
    StartApplication,
)
from accordant.testing.simulator.links import Links
from accordant.testing.simulator.provider import SECRET, Past, PastReader, headers_of, inbound
from accordant.testing.simulator.world import Crash, Fault, World

Result = TypeVar("Result")

_OPERATOR = "operator"
_WIDTH = tuple(Phase)
#: How long a machine is held up while it lives: longer than any lease.
_HELD_UP_S = 150.0
_LIES = {
    Lie.DONE: Fault.LIE_DONE,
    Lie.FAILED: Fault.LIE_FAILED,
    Lie.OTHER_RECORD: Fault.LIE_OTHER_RECORD,
}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What all schedules of a run share. ``sources`` and ``targets`` are names of systems in the charter."""

    charter: Charter
    start: StartApplication
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    store: MemoryStore
    loop: InlineLoop
    #: What pasts come to where nothing goes wrong, by their number: lived once for a setting.
    references: dict[Any, Any] = {}


class Machine:
    """One machine that runs the application, with a clock of its own; None while it is down."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.clock = SkewedClock(world)
        self.application: Application | None = None


class Provider:
    """What a provider has still to deliver, and what was acknowledged to it: the list that no acked event may miss."""

    def __init__(self, system: str, past: Past) -> None:
        self.system = system
        self.past = past
        self.pending = list(range(len(past.bodies)))
        self.lost: list[int] = []
        self.acknowledged: list[int] = []
        self.bytes_sent = 0


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How probable each fault is at each moment it may strike; 0 leaves it out of a schedule."""

    of: dict[Fault, float]

    def __getitem__(self, fault: Fault) -> float:
        return self.of.get(fault, 0.0)


class Stage:
    """Everything of one schedule that is not the application itself."""

    def __init__(self, setting: Setting, world: World, past: Past, classes: Sequence[DestinationClass]) -> None:
        self.setting = setting
        self.world = world
        self.rates = Rates(of={})
        self.charter = setting.charter
        self.violations: list[str] = []
        #: Switches that a person has thrown, as the world outside knows them: the oracle of what may be written.
        self.thrown: set[str] = set()
        self.doubtful: set[str] = set()
        self.needs_comparison = False
        self.writes_begun = 0
        #: What a person said, by its key, with its day; and the keys that he has no answer for.
        self.words: dict[str, date] = {}
        self.unanswered: list[str] = []
        self.links = Links(world, (*setting.sources, *setting.targets))
        #: At which moment from now on the machine that is at work dies, in calm weather too; 0 never.
        self.dies_in = 0
        self.providers = [Provider(name, past) for name in setting.sources]
        self.destinations = {
            name: MemoryDestination(
                name,
                one,
                clock=world,
                weather=self._weather(name),
                lie=self._lie(name),
                begun=self._begun(name),
            )
            for name, one in zip(setting.targets, classes, strict=True)
        }
        self.machines = [Machine(f"machine {number}", world) for number in (1, 2)]
        self._running: list[tuple[Machine | None, str]] = []
        self._storms: dict[str, tuple[Fault, float]] = {}
        #: The machine that was held up in its step, the token of its lanes then, and what was settled until it went on.
        self._overtaken: tuple[Machine, int, tuple[int, ...]] | None = None
        self._marker = KeptMark()
        self._saved: tuple[Backup, tuple[int, ...], frozenset[str]] | None = None
        setting.store.clear()
        setting.store.database.at_moment = self._at_moment

    # -- running the application ---------------------------------------------------------------------------------------

    def run(self, machine: Machine, what: str, step: Callable[[Application], Result]) -> Result | None:
        """One step of one machine; None where it crashed or has to come again later."""
        self._running.append((machine, what))
        try:
            if machine.application is None:
                machine.application = self._start(machine)
            result = step(machine.application)
        except Crash as crash:
            self.world.tell(f"{machine.name} is down: {crash.where}")
            machine.application = None
            return None
        except TransientError as error:
            self.world.tell(f"{machine.name} {what}: {type(error).__name__}")
            return None
        finally:
            self._running.pop()
            if not self._running:
                self._overtaken = None
        if result:
            self.world.tell(f"{machine.name} {what}: {result}")
        return result

    def _start(self, machine: Machine) -> Application:
        secrets = (SECRET.encode(),)
        connections = {
            one.system: Connection(name=one.system, inbound=inbound(), secrets=secrets, deliveries_per_s=1_000)
            for one in self.providers
        }
        application = self.setting.start(
            self.charter,
            self.setting.store.database,
            clock=machine.clock,
            lease_clock=self.world,
            randomness=self.world.source(),
            outside=Outside(
                inbounds={name: one.inbound for name, one in connections.items()},
                connections=connections,
                readers={
                    one.system: PastReader(
                        one.past, machine.clock, system=one.system, call=partial(self.links.call, one.system, "read")
                    )
                    for one in self.providers
                },
                outbounds=self.destinations,
                marker=self._marker,
            ),
        )
        application.enforce_charter()
        return application

    def process(self, machine: Machine) -> int:
        """Rooms 3 to 6 on one machine."""
        return self.run(machine, "process", lambda hub: hub.take_turn()) or 0

    def deliver(self, machine: Machine, target: str) -> int:
        """Rooms 7 and 8 on one machine for one target."""
        drive = self.setting.loop.drive
        return self.run(machine, f"deliver to {target}", lambda hub: drive(hub.deliver_round(target))) or 0

    def reread(self, machine: Machine) -> int:
        """Ask owners what is in doubt."""
        drive = self.setting.loop.drive
        return self.run(machine, "reread", lambda hub: drive(hub.reread_round())) or 0

    def receive(self, machine: Machine, provider: Provider, indexes: Sequence[int]) -> None:
        """Deliver some events in one group; acknowledged only where the store has said yes."""
        bodies = [provider.past.bodies[index] for index in indexes]

        def take(hub: Application) -> int:
            connection = hub.connections[provider.system]
            arrivals = [
                receive(
                    connection=connection, headers=headers_of(body, machine.clock()), body=body, now=machine.clock()
                )
                for body in bodies
            ]
            hub.inbox.accept(arrivals)
            return len(arrivals)

        provider.bytes_sent += sum(map(len, bodies))
        if self.run(machine, "receive", take) is None:
            provider.pending[:0] = indexes  # no 2xx: the provider tries again
        else:
            provider.acknowledged += indexes

    # -- people --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Nothing strikes while a person acts: what people do is a fault of its own."""
        self._running.append((None, _OPERATOR))
        try:
            yield
        finally:
            self._running.pop()

    def flip_switch(self, where: str) -> None:
        """Somebody throws a switch, or releases one."""
        names = [*(flow.name for flow in self.charter.flows), *(f"system:{one}" for one in self.setting.targets)]
        # What is stopped for good cannot be written against: mostly somebody releases what was thrown.
        is_release = bool(self.thrown) and self.world.chance(0.7)
        name = self.world.one_of(sorted(self.thrown) if is_release else [*names, "writes"])
        self.world.note_fault(Fault.SWITCH_FLIP, where)
        self._switch(name, throw=name not in self.thrown)

    def release_all(self) -> None:
        """Every switch is released."""
        for name in sorted(self.thrown):
            self._switch(name, throw=False)

    def _switch(self, name: str, *, throw: bool) -> None:
        hub = self._some_application()
        if hub is None:
            return
        with self._undisturbed():
            if throw:
                hub.pause(name, "ada", "Looking into it.")
                self.thrown.add(name)
            else:
                hub.resume(name, "ada")
                self.thrown.discard(name)
        self.world.tell(f"{'thrown' if throw else 'released'}: {name}")

    def _some_application(self) -> Application | None:
        return next((one.application for one in self.machines if one.application is not None), None)

    def flip_charter(self) -> None:
        """Another charter comes into force, on every machine: one flow paused, or all as they were."""
        flow = self.world.one_of(self.setting.charter.flows).name
        self.world.note_fault(Fault.CHARTER_FLIP, "between steps")
        changed = tuple(
            msgspec.structs.replace(one, paused=not one.paused if one.name == flow else one.paused)
            for one in self.charter.flows
        )
        self.put_in_force(msgspec.structs.replace(self.charter, flows=changed))

    def widen(self, phase: Phase) -> None:
        """A charter comes into force in which every flow may go this far, or as far as it went in the first."""
        flows = tuple(
            msgspec.structs.replace(one, phase=min(phase, wished.phase, key=_WIDTH.index))
            for one, wished in zip(self.charter.flows, self.setting.charter.flows, strict=True)
        )
        self.put_in_force(msgspec.structs.replace(self.charter, flows=flows))

    def put_in_force(self, charter: Charter) -> None:
        """Every machine stops and starts with this charter."""
        if charter is self.charter:
            return
        self.charter = charter
        for machine in self.machines:
            machine.application = None
        self.world.tell("a charter comes into force")

    def edit_by_hand(self) -> None:
        """Somebody changes a field of a record in a target."""
        destination = self.destinations[self.world.one_of(self.setting.targets)]
        if not destination.record_ids:
            return
        target_id = self.world.one_of(destination.record_ids)
        fields = {name: value for name, value in destination.fields_of(target_id).items() if isinstance(value, str)}
        if not fields:
            return
        name = self.world.one_of(sorted(fields))
        self.world.note_fault(Fault.HAND_EDIT, "between steps")
        value: WireValue = f"{fields[name]}!"
        destination.edit(target_id, name, value)
        self.doubtful.add(destination.identity_of(target_id))
        self.needs_comparison = True

    @property
    def keeps_books(self) -> bool:
        """Whether anybody has a reason to speak of the books."""
        return self.setting.charter.ledger is not None

    def say(self, machine: Machine, key: str) -> None:
        """A person says something under a key, and remembers it until he is answered that it is in the books."""
        day = self.words.setdefault(key, self.world.at.date())
        if self.run(machine, f"say {key}", lambda hub: hub.say(key, day)):
            self.unanswered = [one for one in self.unanswered if one != key]
        elif key not in self.unanswered:
            self.unanswered.append(key)

    # -- backups -------------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Keep a copy of the store, as an installation does every night."""
        if self._saved is not None:
            return
        acknowledged = tuple(len(one.acknowledged) for one in self.providers)
        self._saved = self.setting.store.backup(), acknowledged, frozenset(self.thrown)
        self.world.tell("a backup is made")

    def restore(self) -> None:
        """The store is lost; the copy takes its place, and providers are asked for what they said since."""
        if self._saved is None:
            return
        backup, acknowledged, thrown = self._saved
        self.world.note_fault(Fault.RESTORE, "between steps")
        for machine in self.machines:
            machine.application = None
        self.setting.store.restore(backup)
        self.thrown = set(thrown)
        # Nobody knows what of it is in the copy: all of it is said again.
        self.unanswered = list(self.words)
        for provider, kept in zip(self.providers, acknowledged, strict=True):
            provider.lost += provider.acknowledged[kept:]
            del provider.acknowledged[kept:]

    def close(self) -> None:
        """Nothing happens any more."""
        self.setting.store.database.at_moment = None
        if self._saved is not None:
            self._saved[0].copy.close()

    # -- moments at which faults strike --------------------------------------------------------------------------------

    def _at_moment(self, moment: Moment) -> None:
        if not self._running or self._running[-1][0] is None:
            return
        what = self._running[-1][1]
        self._count_down(what, moment)
        if not self.world.is_calm:
            self._strike(f"{what}, {moment}", moment)
        if moment is Moment.AFTER_COMMIT:
            self._look_at_fence()

    def _strike(self, where: str, moment: Moment) -> None:
        if self.world.strikes(Fault.CRASH, where, self.rates[Fault.CRASH]):
            raise Crash(where)
        if self.world.strikes(Fault.STORE_AWAY, where, self.rates[Fault.STORE_AWAY]):
            raise StoreUnavailable("The store is away.", retry_after_s=1.0)
        if moment is Moment.BEFORE_BEGIN:
            self._meanwhile(where)

    def _count_down(self, what: str, moment: Moment) -> None:
        if self.dies_in:
            self.dies_in -= 1
            if not self.dies_in:
                where = f"{what}, {moment}"
                self.world.note_fault(Fault.REPLAY_CRASH, where)
                raise Crash(where)

    def _meanwhile(self, where: str) -> None:
        """A living machine is held up; the world goes on."""
        if len(self._running) > 1:
            return
        if not self.world.is_calm and self.world.chance(self.rates[Fault.SWITCH_FLIP]):
            self.flip_switch(where)
        if self.world.strikes(Fault.LEASE_EXPIRY, where, self.rates[Fault.LEASE_EXPIRY]):
            self._overtake(self._running[0][0])

    def _overtake(self, held_up: Machine | None) -> None:
        """One machine stands still for longer than any lease, and lives; the others do its work meanwhile."""
        self.world.passes(_HELD_UP_S)
        for machine in self.machines:
            if machine is held_up:
                continue
            turn = self.run(machine, "process", lambda hub: hub.take_turn())
            for target in self.setting.targets:
                self.deliver(machine, target)
            if turn is not None and held_up is not None and held_up.application is not None:
                token = held_up.application.lane_token
                self._overtaken = (held_up, token, self.setting.store.progress()) if token else None
        self.world.tell("the machine that was held up goes on")

    def _look_at_fence(self) -> None:
        """OR1: whose lanes were given away settles nothing in them any more, unless it has joined anew."""
        if self._overtaken is None or len(self._running) > 1:
            return
        machine, token, progress = self._overtaken
        if machine is not self._running[-1][0] or machine.application is None:
            return
        if machine.application.lane_token == token and self.setting.store.progress() != progress:
            self._overtaken = None
            self.violations.append(f"OR1: {machine.name} settled events in lanes that were another's by then.")

    def begin_storm(self, target: str, fault: Fault, seconds: float) -> None:
        """From now on every call to this target is refused."""
        self._storms[target] = fault, (self.world.at + timedelta(seconds=seconds)).timestamp()
        self.world.tell(f"{fault} at {target} for {seconds:.0f} s")

    def _weather(self, target: str) -> Callable[[CallMoment, int], None]:
        def weather(moment: CallMoment, _records: int) -> None:
            world = self.world
            what = self._running[-1][1] if self._running else _OPERATOR
            where = f"{what}, {moment}"
            if self._running and self._running[-1][0] is not None:
                if world.strikes(Fault.CRASH, where, self.rates[Fault.CRASH]):
                    raise Crash(where)
                if moment in {CallMoment.READ, CallMoment.READ_ANSWER}:
                    self._meanwhile(where)
            if moment in {CallMoment.READ, CallMoment.WRITE}:
                self.links.call(target, where)
                self._storm(target, where)
            if moment is CallMoment.WRITE and world.strikes(
                Fault.TIMEOUT_BEFORE, where, self.rates[Fault.TIMEOUT_BEFORE]
            ):
                raise AnswerLost("No answer came in time.")
            if moment is CallMoment.WRITE_ANSWER and world.strikes(
                Fault.TIMEOUT_AFTER, where, self.rates[Fault.TIMEOUT_AFTER]
            ):
                raise AnswerLost("No answer came in time.")

        return weather

    def _storm(self, target: str, where: str) -> None:
        fault, until = self._storms.get(target, (Fault.ERROR_STORM, 0.0))
        if self.world.is_calm or self.world.at.timestamp() >= until:
            return
        self.world.note_fault(fault, where)
        if fault is Fault.RATE_STORM:
            raise RateLimited("Too many requests.", retry_after_s=float(self.world.number(1, 30)))
        raise TargetUnavailable("The target is not working.")

    def _lie(self, target: str) -> Callable[[RecordWrite], Lie | None]:
        def lie(record: RecordWrite) -> Lie | None:
            for told, fault in _LIES.items():
                if self.world.strikes(fault, f"write to {target}", self.rates[fault]):
                    self.needs_comparison = True
                    if told is Lie.OTHER_RECORD:
                        self.doubtful.add(record.key)
                    return told
            return None

        return lie

    def _begun(self, target: str) -> Callable[[ObjectSpec, RecordWrite], None]:
        def begun(spec: ObjectSpec, record: RecordWrite) -> None:
            self.writes_begun += 1
            flows = [one for one in self.charter.flows if (one.target, one.object) == (target, spec.name)]
            self.world.tell(f"write to {target}: {spec.name}/{record.key} {sorted(record.fields.items())}")
            if not any(self._may_write(flow) for flow in flows):
                self.violations.append(
                    f"EF6: {spec.name}/{record.key} was written to {target} although it was stopped."
                )

        return begun

    def _may_write(self, flow: FlowPart) -> bool:
        stops = {flow.name, f"system:{flow.target}", f"system:{flow.source}", "writes"}
        may_write = _WIDTH.index(flow.phase) >= _WIDTH.index(Phase.CONTROLLED)
        return may_write and not flow.paused and self.thrown.isdisjoint(stops)
