"""Where the drills take place: stand-ins with their own ledgers, and the product in processes of its own beside them.

The hub is `accordant serve`, started, killed and asked over HTTP; what judges it is the sender's list of answers, the
CRM's ledger of effects and the billing API. Next: `drills.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from sqlalchemy import select

from accordant.bootstrap import system_clock
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.demo.company import API_KEY, APP, environment, prepare_org, write_charter
from accordant.demo.report import compare, doubled_effects
from accordant.demo.stage import HOST, Stage, StoryClock, free_port
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work

#: Bounds against a hang, not measures: a shared machine may stand still for minutes.
START_S_MAX = 600.0
SETTLE_S_MAX = 600.0
_READY_PAUSE_S = 0.1
#: An event in whose work a process dies counts as tried, so that one that kills is set aside. Here nobody but the drill
#: kills, again and again, and what it happens to strike is innocent.
_PATIENT = "lanes:\n  receives_max: 50\n"
#: Events of the past that a storm repeats, besides the latest.
_STORM_OLD = 60
_STORM_NEW = 120
#: What the hub may say in its log when it is hurt; a trace under any other name is a defect.
_TRACE = b"Traceback (most recent call last)"


class HubProcess:
    """One process of the product: `accordant serve` in some roles."""

    def __init__(self, name: str, words: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._words = words
        self._environ = environ
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id. Raises: AssertionError when it does not run."""
        assert self._process is not None
        assert self._process.returncode is None, f"{self.name} ended by itself: {self.tail()}"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def tail(self) -> str:
        """The last it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.exists() else ""

    async def start(self) -> float:
        """Run until it says that it is up; the seconds that took."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "accordant", "serve", *self._words,
                stdout=asyncio.subprocess.PIPE, stderr=log, env=dict(self._environ),
            )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S_MAX):
            while b"Accordant is" not in (line := await self._process.stdout.readline()):
                assert line, f"{self.name} ended before it was up: {self.tail()}"
        return time.monotonic() - began

    async def kill(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        assert self.pid
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def terminate(self, within_s: float) -> tuple[int | None, float]:
        """SIGTERM; its exit code, or None where it had to be killed after ``within_s``, and the seconds it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        assert self._process is not None
        try:
            async with asyncio.timeout(within_s):
                code = await self._process.wait()
        except TimeoutError:
            await self.kill()
            return None, time.monotonic() - began
        return code, time.monotonic() - began


class Committed:
    """Sees every write the moment the CRM has committed it, before the answer leaves; answers a little late."""

    def __init__(self, late_s: float) -> None:
        self.event = asyncio.Event()
        self._late_s = late_s

    @web.middleware
    async def watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)
        if request.method in {"PATCH", "POST"} and "/sobjects" in request.path:
            self.event.set()
            await asyncio.sleep(self._late_s)
        return answer


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared and how much of it, what does not hold, and figures."""

    compared: dict[str, int]
    faults: tuple[str, ...]
    figures: dict[str, float]


class Site:
    """The two systems, the hub's processes between them, and the life that goes on meanwhile."""

    def __init__(self, folder: Path, store: str, stage: Stage, committed: Committed, *, seed: int) -> None:
        self.folder = folder
        self.store = store
        self.stage = stage
        self.committed = committed
        self.dice = random.Random(seed)
        self.port = free_port()
        self.processes: dict[str, HubProcess] = {}
        self.extra_environment: dict[str, str] = {}
        self.price = ""
        self._is_introduced = False

    # -- the hub ---------------------------------------------------------------------------------------------------

    def process(self, role: str) -> HubProcess:
        """The process of a role (``all`` for one that does everything); not started by this."""
        if role not in self.processes:
            words = ["--home", str(self.folder), "--charter", str(self.folder / "charter"), "--store", self.store]
            words += ["--role", role, *(["--port", str(self.port)] if role in {"all", "door"} else [])]
            environ = {**os.environ, **environment(), "ACCORDANT_METRICS_TOKEN": "", **self.extra_environment}
            self.processes[role] = HubProcess(role, words, environ, self.folder / f"{role}.log")
        return self.processes[role]

    async def start(self, *roles: str) -> None:
        """Start those of these roles that do not run. The first brings the store up to date alone.

        Then what waited for them is delivered, the catalogue before all: what a plan is called is not awaited.
        """
        idle = [one for role in roles if not (one := self.process(role)).runs]
        if idle and not any(one.runs for one in self.processes.values()):
            await idle.pop(0).start()
        await asyncio.gather(*(one.start() for one in idle))
        if not self._is_introduced:
            self._is_introduced = True
            self.stage.stripe.deliveries.retry_now()
            await self.stage.stripe.drain()

    async def kill_all(self) -> None:
        for one in self.processes.values():
            if one.runs:
                await one.kill()

    async def retire(self) -> None:
        """End what runs as a rolling restart does, and forget it: other roles may follow."""
        for one in self.processes.values():
            if one.runs:
                await one.terminate(60.0)
        self.processes.clear()

    async def ready(self, timeout_s: float = 60.0) -> float:
        """Wait until the door says that it can work; the seconds that took."""
        began, said = time.monotonic(), "nothing"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
            # Counted in tries: a machine that stood still for a minute has not been asked.
            for _ in range(round(timeout_s / _READY_PAUSE_S)):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(f"http://{HOST}:{self.port}/health/ready") as answer:
                        if answer.status == 200:
                            return time.monotonic() - began
                        said = await answer.text()
                await asyncio.sleep(_READY_PAUSE_S)
        tails = "\n".join(one.tail() for one in self.processes.values())
        raise AssertionError(f"the hub was not ready within {timeout_s} s: it said {said}; its log ends:\n{tails}")

    # -- life ------------------------------------------------------------------------------------------------------

    async def open_books(self) -> None:
        """From now on the billing stand-in lives in the present."""
        self.stage.stripe.follow_wall_clock(self.stage.clock.unix, every_s=0.05)
        form = {"recurring[interval]": "month", "product_data[name]": "Team"}
        self.price = (await self.stage.ask("POST", "prices", currency="eur", unit_amount=4_900, **form))["id"]

    async def live(self, number: int, *, customers: int = 2) -> None:
        """Customers come, change and pay."""
        for one in range(customers):
            name = f"Köln {number}-{one} ✓"
            customer = await self.stage.ask("POST", "customers", name=name, payment_method="pm_card_visa")
            form: dict[str, str | int] = {"items[0][price]": self.price, "items[0][quantity]": 1}
            made = await self.stage.ask("POST", "subscriptions", customer=customer["id"], **form)
            item = made["items"]["data"][0]["id"]
            for seats in (3, 2 + number % 40):
                await asyncio.sleep(0.02)
                await self.stage.ask(
                    "POST", f"subscriptions/{made['id']}", **{"items[0][id]": item, "items[0][quantity]": seats}
                )

    async def storm(self) -> int:
        """Repeat the latest events and some of the old ones; how many repeats were answered 2xx."""
        known = [event.id for event in self.stage.stripe.events()]
        old = known[:-_STORM_NEW]
        chosen = [*known[-_STORM_NEW:], *self.dice.sample(old, min(len(old), _STORM_OLD))]
        if not chosen:
            return 0
        return await self.stage.stripe.deliveries.redeliver(1, concurrency=8, event_ids=chosen)

    async def busy(self, number: int) -> None:
        """One round's load."""
        self.stage.stripe.deliveries.retry_now()
        await asyncio.gather(self.live(number), self.storm())

    # -- the verdict -----------------------------------------------------------------------------------------------

    def unanswered(self) -> int:
        """Deliveries that were not answered 2xx so far."""
        return sum(not one.delivered for one in self.stage.stripe.attempts)

    async def resent(self) -> int:
        """Have sent again what the sender has given up on, as a person does at the provider; how many events that were.

        A sender tries an event so and so often. In a long drill some of them meet a hub that is down every time.
        """
        missed = [one.id for one in self.stage.stripe.events() if one.undelivered - one.waiting]
        if missed:
            await self.stage.stripe.deliveries.redeliver(1, concurrency=8, event_ids=missed)
        return len(missed)

    async def verdict(self, *, settle_s: float = SETTLE_S_MAX) -> Verdict:
        """Let everything come to rest and judge it."""
        began = time.monotonic()
        await self.stage.settled(timeout_s=settle_s)
        resent = await self.resent()
        await self.stage.settled(timeout_s=settle_s)
        settled_s = time.monotonic() - began
        attempts = self.stage.stripe.attempts
        acked = {one.event_id for one in attempts if one.delivered}
        with self.stage.database.read() as connection:
            kept = Counter(connection.execute(select(inbox_event.c.external_id)).scalars())
            states = Counter(connection.execute(select(inbox_work.c.state)).scalars())
        said = {event.id for event in self.stage.stripe.events()}
        faults = [f"{one} was acknowledged and is lost" for one in sorted(acked - kept.keys())[:5]]
        faults += [f"{one} is stored {count} times" for one, count in kept.items() if count != 1][:5]
        faults += [f"{one} never arrived" for one in sorted(said - kept.keys())[:5]]
        faults += [f"{count} events are {state}" for state, count in states.items() if state not in _AT_REST]
        closing = await compare(self.stage)
        faults += [f"{one.object} {one.key} {one.field} differs" for one in closing.differences[:5]]
        faults += [f"{one} is missing in the CRM" for one in closing.missing[:5]]
        faults += [f"{one} is too many in the CRM" for one in closing.surplus[:5]]
        faults += [f"{one} is unexplained" for one in closing.explained.unexplained[:5]]
        faults += [f"the trail: {one}" for one in closing.explained.chain_faults[:5]]
        faults += [f"dead letter: {one}" for one in closing.dead_letters[:5]]
        faults += [f"done twice: {one}" for one in doubled_effects(self.stage.salesforce)[:5]]
        faults += self.traces()
        compared = {
            "events": len(kept),
            "acknowledgements": sum(one.delivered for one in attempts),
            "values": sum(line.compared for line in closing.lines),
            "effects": closing.effects,
            "audit entries": closing.explained.chain_entries,
        }
        figures = {
            "deliveries": float(len(attempts)),
            "unanswered": float(self.unanswered()),
            "settled_s": round(settled_s, 1),
            "resent": float(resent),
        }
        return Verdict(compared=compared, faults=tuple(faults), figures=figures)

    def traces(self) -> list[str]:
        """Traces in the hub's logs: something that nobody expected. Expected failures are one line each."""
        found = []
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_bytes()
            if count := text.count(_TRACE):
                last = text.rpartition(_TRACE)[2].decode(errors="replace")
                found.append(f"{log.name} holds {count} traces; the last: {last[:3000]}")
        return found


_AT_REST = frozenset({"processed", "parked"})


@asynccontextmanager
async def site(
    folder: Path,
    store: str,
    *,
    seed: int = 3,
    late_s: float = 0.0,
    backoff_max_s: int = 2,
    past_months: int = 0,
    crm_address: Callable[[str], Awaitable[str]] | None = None,
    door_address: Callable[[str], Awaitable[str]] | None = None,
) -> AsyncIterator[Site]:
    """Stand-ins that run and a hub that does not yet. The two addresses may be changed to lead through a proxy.

    ``past_months``: the billing stand-in begins that long ago, so that a company's past fits in before today.
    """
    clock = StoryClock(system_clock())
    committed = Committed(late_s)
    stripe = StripeSimulator(
        now=clock.unix() - past_months * 31 * 86_400,
        api_key=API_KEY,
        signing_clock=clock.unix,
        delivery_concurrency=8,
        seed=seed,
    )
    salesforce = SalesforceSimulator(app=APP, now=clock, daily_calls_max=100_000_000, middlewares=(committed.watch,))
    prepare_org(salesforce)
    stage = Stage(clock, stripe, salesforce)
    made = Site(folder, store, stage, committed, seed=seed)
    async with await stage.open_billing():
        await salesforce.start()
        door = f"http://{HOST}:{made.port}"
        stage.address = door if door_address is None else await door_address(door)
        await stage.register_webhook()
        crm = salesforce.url if crm_address is None else await crm_address(salesforce.url)
        write_charter(
            folder / "charter", stripe_url=stripe.url, salesforce_url=crm, rate_per_s=200, attempts_max=50,
            backoff_max_s=backoff_max_s,
        )  # fmt: skip
        (folder / "charter" / "lanes.yaml").write_text(_PATIENT, encoding="utf-8")
        stage.database = Database(store)
        if not past_months:
            await made.open_books()
        try:
            yield made
        finally:
            await made.kill_all()
            stage.database.close()
            await salesforce.stop()
            await stripe.stop()
