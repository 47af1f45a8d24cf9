"""The hub as `accordant simulate` runs it: itself, on a store in memory, with stand-ins for the systems outside.

Nothing outside this process is touched; time is virtual, and a seed tells the whole story.
"""

import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import structlog

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.books import Role
from accordant.canonical.charter import AlertsPart, Charter, SystemPart
from accordant.cli.render import err, say
from accordant.demo.company import write_charter
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.ledger.orders import EntryOrder, OrderLeg
from accordant.operations.incident_room import IncidentRoom
from accordant.operations.order_entry import EntryDesk
from accordant.operations.word_desk import OrderOutcome
from accordant.orchestration.incident import STEPS
from accordant.pipeline.courier import Breaker
from accordant.pipeline.plan import Rulebook
from accordant.ports.epochs import Marker
from accordant.ports.replay import ReplayOrder, ReplayScope
from accordant.settings import Settings
from accordant.store.engine import Database
from accordant.store.incidents import SqlIncidentBook
from accordant.store.memory_store import MemoryDatabase, MemoryStore
from accordant.store.vault import read_wrapping_key
from accordant.testing.simulator.application import InlineLoop, Outside
from accordant.testing.simulator.provider import CONNECTOR
from accordant.testing.simulator.run import Progress, Report, replay, simulate
from accordant.testing.simulator.schedule import LONG, SHORT, Verdict
from accordant.testing.simulator.stage import Setting

_PROGRESS_S = 2.0
_SHOWN_MAX = 10


class SimulatedHub(Hub):
    """The hub itself; only its store and the systems outside are given to it."""

    def __init__(
        self,
        settings: Settings,
        charter: Charter,
        *,
        database: MemoryDatabase,
        outside: Outside,
        clock: Clock,
        lease_clock: Clock,
        randomness: random.Random,
        rulebooks: dict[str, Rulebook],
        key: bytes,
    ) -> None:
        self._given = database
        self._key = key
        self._rulebooks = rulebooks
        self._outside = outside
        super().__init__(settings, charter, environment={}, clock=clock, lease_clock=lease_clock, randomness=randomness)

    @property
    def lane_token(self) -> int:
        """Under which token this machine has its lanes."""
        return self.lanes.token

    def replay_all(self, name: str) -> int:
        """Walk everything once more under a name, or go on with it; how many writes were planned because of it."""
        order = ReplayOrder(scope=ReplayScope(), actor="ada", reason="All of it must be done already.")
        job = self.recovery.replay_once(name, order)
        return 0 if job is None else job.progress.intents

    def say(self, key: str, day: date) -> bool:
        """A person orders an entry of one cent; whether it is in the books. What is held is tried again."""
        ledger = self.rulebook.ledger
        assert ledger is not None  # noqa: S101  somebody speaks only where books are kept; said for the type checker
        system, company = next(iter(ledger.part.systems.items()))
        legs = (OrderLeg(role=Role.BANK, amount="0.01"), OrderLeg(role=Role.REVENUE, amount="-0.01"))
        order = EntryOrder(
            key=key,
            system=system,
            happened_on=day,
            currency=ledger.part.legal_entities[company].currency,
            total="0.01",
            text="Said by a person",
            legs=legs,
        )
        desk = EntryDesk(self.state, self.inbox, rulebook=lambda: self.rulebook, clock=self.clock)
        done = desk.order(order, by="ada")
        if done.outcome is OrderOutcome.HELD:
            self.bookkeeper.catch_up()
            done = desk.order(order, by="ada")
        return done.outcome in {OrderOutcome.POSTED, OrderOutcome.REPEAT}

    @property
    def _incidents(self) -> IncidentRoom:
        return IncidentRoom(self, SqlIncidentBook(self.database), renewed=_taken)

    def open_incident(self, title: str, actor: str) -> object:
        """A recovery begins."""
        return self._incidents.open(title=title, actor=actor)

    async def go_on_with_incident(self, actor: str) -> object:
        """Work on its step, and go on to the next, or close it, where the exit holds."""
        room = self._incidents
        is_last = room.current().step is STEPS[-1]
        return await (room.close(actor=actor) if is_last else room.advance(actor=actor))

    def is_incident_open(self) -> bool:
        """Whether a recovery is under way."""
        return self._incidents.standing() is not None

    def take_turn(self) -> int:
        """Rooms 3 to 6 for this machine's share of the lanes, as the server takes them."""
        return self.process_round(self.lanes.balance())

    def _write_rulebook(self, charter: Charter) -> Rulebook:
        """One charter is made ready once, however often a machine starts with it: nothing here has a shape to fit."""
        known = self._rulebooks.get(charter.version)
        if known is None:
            known = self._rulebooks[charter.version] = super()._write_rulebook(charter)
        return known

    def _open_marker(self) -> Marker:
        return self._outside.marker

    def _wrapping_key(self) -> bytes:
        return self._key

    def _open_database(self) -> Database:
        return self._given

    def _connect(self, name: str, system: SystemPart, environment: Mapping[str, str]) -> None:  # noqa: ARG002
        outside = self._outside
        if name in outside.inbounds:
            self.inbounds[name] = outside.inbounds[name]
            self.connections[name] = outside.connections[name]
            self.readers[name] = outside.readers[name]
        if name in outside.outbounds:
            self.outbounds[name] = outside.outbounds[name]
            self.breakers[name] = Breaker(self.pause_after)


@asynccontextmanager
async def _taken(_renew: Callable[[], object], /, *, ttl: timedelta) -> AsyncIterator[None]:  # noqa: ARG001
    """A lease that is taken and not renewed: no virtual time passes while a step is worked on."""
    yield


def play(
    folder: Path | None, *, schedules: int, seed: int, is_long: bool, replay_seed: int | None, as_json: bool
) -> int:
    """Play schedules, or one again, and print what came of it; the exit code. Raises ConfigurationError."""
    if schedules < 1:
        raise ConfigurationError("A run has at least one schedule.", remedy="Give --schedules a number above 0.")
    # What the hub tells its operator in the worst of weathers would bury the result.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    length = LONG if is_long else SHORT
    with a_setting(folder) as setting:
        if replay_seed is not None:
            return _show(replay(setting, replay_seed, length=length))
        report = simulate(
            setting, schedules=schedules, seed=seed, length=length, progress=_teller(is_shown=sys.stderr.isatty())
        )
    if as_json:
        shown = msgspec.to_builtins(report) | {"fired": report.fired, "holds": report.holds}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        _print(report, again="--long --replay" if is_long else "--replay")
    return 0 if report.holds else 1


@contextmanager
def a_setting(folder: Path | None) -> Iterator[Setting]:
    """What schedules are played on. Raises as reading a charter."""
    with TemporaryDirectory(prefix="accordant-simulate-") as home:
        place = folder or write_charter(
            Path(home) / "charter", stripe_url="http://127.0.0.1:9", salesforce_url="http://127.0.0.1:9"
        )
        settings = Settings(home=Path(home), charter=place, store="sqlite://")
        charter = msgspec.structs.replace(checked_charter(settings), alerts=AlertsPart())
        sources = tuple(name for name, system in charter.systems.items() if system.connector == CONNECTOR)
        targets = tuple(dict.fromkeys(flow.target for flow in charter.flows))
        if not sources or not targets:
            raise ConfigurationError(
                f"This charter has no flow from a system of the connector {CONNECTOR}.",
                remedy="The simulator knows a past of that system only.",
            )
        store = MemoryStore()

        def start(
            charter: Charter,
            database: MemoryDatabase,
            *,
            clock: Clock,
            lease_clock: Clock,
            randomness: random.Random,
            outside: Outside,
        ) -> SimulatedHub:
            return SimulatedHub(
                settings,
                charter,
                database=database,
                outside=outside,
                clock=clock,
                lease_clock=lease_clock,
                randomness=randomness,
                rulebooks=rulebooks,
                key=key,
            )

        rulebooks: dict[str, Rulebook] = {}
        key = read_wrapping_key(settings.home / "wrapping.key")
        loop = InlineLoop()
        try:
            yield Setting(charter=charter, start=start, sources=sources, targets=targets, store=store, loop=loop)
        finally:
            loop.close()
            store.close()


def _teller(*, is_shown: bool) -> Progress:
    began = time.perf_counter()
    told = began

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.perf_counter()
        if is_shown and now - told >= _PROGRESS_S:
            told = now
            rest_s = (now - began) / done * (total - done)
            err().print(f"{done:,} of {total:,} schedules, {done / (now - began):.1f}/s, {rest_s:.0f} s to go")

    return tell


def _show(verdict: Verdict) -> int:
    say(*verdict.trace, f"Seed {verdict.seed}, digest {verdict.digest}.", *verdict.violations)
    return 1 if verdict.violations else 0


def _print(report: Report, *, again: str) -> None:
    width = max(map(len, report.fired))
    say(
        *(f"  {name:<{width}}  {count:>9,}" for name, count in report.fired.items()),
        f"{report.schedules:,} schedules from seed {report.seed}: {report.failed:,} did not hold.",
        f"Compared: {report.events:,} events ({report.bytes:,} bytes delivered), {report.effects:,} effects, "
        f"{report.records:,} records; {report.waiting:,} records wait for a person. {report.writes:,} writes were held "
        f"against what was allowed as they began; everything was replayed {report.replays:,} times.",
        *report.shortcomings,
    )
    for failure in report.failures[:_SHOWN_MAX]:
        say(f"Seed {failure.seed}: {failure.violations[0]}", f"  accordant simulate {again} {failure.seed}")
