"""Where the drills take place: stand-ins with their own ledgers, and the product in processes of its own beside them.

The hub is `accordant serve`, started, killed and asked over HTTP; what judges it is the sender's list of answers, the
CRM's ledger of effects and the billing API. Next: `drills.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
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
from accordant.demo.stage import HOST, NotSettled, Stage, StoryClock, free_port
from accordant.store.engine import Database
from accordant.store.schema import inbox_event
from tests.faults.aftermath import given_up, is_read, sweep, unrest
from tests.faults.hub import HubProcess, Nursery
from tests.faults.pour import Pour

#: A bound against a hang, not a measure: a shared machine may stand still for minutes.
SETTLE_S_MAX = 600.0
_READY_PAUSE_S = 0.1
#: Events of the past that a storm repeats, besides the latest.
_STORM_OLD = 60
_STORM_NEW = 120
#: A hub that is down for longer is a hub that does not come back.
_POUR_S_MAX = 120.0
#: What the hub may say in its log when it is hurt; a trace under any other name is a defect.
_TRACE = b"Traceback (most recent call last)"


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
        self.nursery = Nursery()
        self.processes: dict[str, HubProcess] = {}
        self.extra_environment: dict[str, str] = {}
        self.price = ""
        self.pour = Pour(self.port)
        #: So many events of the pour are to be acknowledged in each round.
        self.poured_a_round = 0
        self._is_introduced = False

    # -- the hub ---------------------------------------------------------------------------------------------------

    def process(self, role: str) -> HubProcess:
        """The process of a role (``all`` for one that does everything); not started by this."""
        if role not in self.processes:
            words = [*self._places, "--role", role]
            words += ["--port", str(self.port)] if role in {"all", "door"} else []
            environ = {**os.environ, **environment(), "ACCORDANT_METRICS_TOKEN": "", **self.extra_environment}
            self.processes[role] = HubProcess(role, words, environ, self.folder / f"{role}.log", self.nursery)
        return self.processes[role]

    @property
    def _places(self) -> list[str]:
        """What every command is told: where home, charter and store are."""
        return ["--home", str(self.folder), "--charter", str(self.folder / "charter"), "--store", self.store]

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
        await asyncio.gather(
            self.live(number),
            self.storm(),
            asyncio.to_thread(self.pour.pour, self.poured_a_round, seconds_max=_POUR_S_MAX),
        )

    # -- the verdict -----------------------------------------------------------------------------------------------

    def answered(self) -> int:
        """Deliveries that were answered 2xx so far."""
        return sum(one.delivered for one in self.stage.stripe.attempts) + len(self.pour.acked)

    def unanswered(self) -> int:
        """Deliveries that were not answered 2xx so far."""
        return sum(not one.delivered for one in self.stage.stripe.attempts) + self.pour.unanswered

    async def rest(self, timeout_s: float) -> tuple[list[str], dict[str, float]]:
        """Wait until everything came to rest, and let the hub fetch what its sender has given up on.

        What is still open then, in words, and how many events were given up and fetched, and the seconds it all took.
        """
        began, stripe = time.monotonic(), self.stage.stripe
        faults: list[str] = []
        fetched = 0
        try:
            await self.stage.settled(timeout_s=timeout_s)
            missed = given_up(stripe.events(), stripe.attempts)
            if missed and (wanted := [one.event for one in missed if is_read(one.event)]):
                door = self.process("all" if "all" in self.processes else "door")
                newest = max(event.created for event in wanted)
                fetched = await sweep(self._places, door.environ, newest=newest, clock=self.stage.clock)
                await self.stage.settled(timeout_s=timeout_s)
            if fetched > len(missed):
                faults.append(f"{fetched} events were fetched, and only {len(missed)} were given up")
        except NotSettled as error:
            faults.append(str(error))
            missed = given_up(stripe.events(), stripe.attempts)
        tried = min((len(one.statuses) for one in missed), default=0)
        seconds = round(time.monotonic() - began, 1)
        return faults, {"given_up": len(missed), "given_up_after": tried, "fetched": fetched, "settled_s": seconds}

    async def verdict(self, *, settle_s: float = SETTLE_S_MAX) -> Verdict:
        """Let everything come to rest and judge it."""
        faults, figures = await self.rest(settle_s)
        attempts = self.stage.stripe.attempts
        acked = {one.event_id for one in attempts if one.delivered}.union(self.pour.acked)
        with self.stage.database.read() as connection:
            kept = Counter(connection.execute(select(inbox_event.c.external_id)).scalars())
        said = {event.id for event in self.stage.stripe.events() if is_read(event)}
        faults += [f"{one} was acknowledged and is lost" for one in sorted(acked - kept.keys())[:5]]
        faults += [f"{one} is stored {count} times" for one, count in kept.items() if count != 1][:5]
        faults += [f"{one} never arrived" for one in sorted(said - kept.keys())[:5]]
        faults += unrest(self.stage.database)
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
            "acknowledged events": len(acked),
            "acknowledgements": self.answered(),
            "values": sum(line.compared for line in closing.lines),
            "effects": closing.effects,
            "audit entries": closing.explained.chain_entries,
        }
        figures |= {
            "deliveries": float(len(attempts) + len(self.pour.acked) + self.pour.unanswered),
            "unanswered": float(self.unanswered()),
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
            folder / "charter", stripe_url=stripe.url, salesforce_url=crm, rate_per_s=200, attempts_max=50, bills=True,
            backoff_max_s=backoff_max_s,
        )  # fmt: skip
        stage.database = Database(store)
        if not past_months:
            await made.open_books()
        try:
            yield made
        finally:
            await made.kill_all()
            await made.nursery.close()
            stage.database.close()
            await salesforce.stop()
            await stripe.stop()
