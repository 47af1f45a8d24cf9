"""kill -9 in the middle of a duplicate storm, ten times on each store, loses nothing and does nothing twice.

Oracles that do not believe the hub: the sender's list of what was answered 2xx, and the CRM's own ledger of writes.
A killed process keeps its page cache, so this says nothing about a power cut; that needs another harness.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import func, select

from accordant.bootstrap import system_clock
from accordant.connectors.salesforce.connector import default_mappings
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.demo.company import API_KEY, APP, prepare_org, write_charter
from accordant.demo.report import compare, doubled_effects
from accordant.demo.stage import HOST, Stage, StoryClock, free_port
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work, write_intent, write_receipt

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]

KILLS = 10
#: Leases of a dead courier run out after this; time is made to pass while the hub is down.
LEASE_OVER = timedelta(seconds=121)
#: The CRM answers this much after it has committed: the moment in which a crash leaves a write without its receipt.
ANSWER_AFTER_S = 0.03
START_SECONDS_MAX = 30.0


class HubProcess:
    """The hub in a process of its own, always on the same port."""

    def __init__(self, folder: Path, store: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._store = store
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, ahead: timedelta) -> None:
        program = Path(__file__).with_name("hub_process.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), "--home", str(self._folder), "--charter", str(self._folder / "charter"),
            "--store", self._store, "--port", str(self.port), "--ahead-s", str(ahead.total_seconds()),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            while (line := await self._process.stdout.readline()) != b"listening\n":
                assert line, "the hub ended before it listened"

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, "the hub ended by itself"
        self._process.kill()
        await self._process.wait()


class Committed:
    """Sees every write the moment the CRM has committed it, before the answer leaves."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    @web.middleware
    async def watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)
        if request.method == "PATCH":
            self.event.set()
            await asyncio.sleep(ANSWER_AFTER_S)
        return answer


@asynccontextmanager
async def between_stand_ins(folder: Path, store: str, committed: Committed) -> AsyncIterator[tuple[Stage, HubProcess]]:
    clock = StoryClock(system_clock())
    stripe = StripeSimulator(
        now=clock.unix(), api_key=API_KEY, signing_clock=clock.unix, delivery_concurrency=8, seed=3
    )
    salesforce = SalesforceSimulator(app=APP, now=clock, middlewares=(committed.watch,))
    prepare_org(salesforce)
    stage = Stage(clock, stripe, salesforce)
    hub = HubProcess(folder, store)
    stage.address = f"http://{HOST}:{hub.port}"
    async with await stage.open_billing():
        await salesforce.start()
        await stage.register_webhook()
        stripe.follow_wall_clock(clock.unix, every_s=0.05)
        write_charter(folder / "charter", stripe_url=stripe.url, salesforce_url=salesforce.url, bills=True)
        stage.database = Database(store)
        try:
            yield stage, hub
        finally:
            await hub.kill()
            stage.database.close()
            await salesforce.stop()
            await stripe.stop()


async def live_a_little(stage: Stage, price: str, number: int) -> None:
    """Customers come, change and pay while the storm blows."""
    for one in range(3):
        customer = await stage.ask("POST", "customers", name=f"Köln {number}-{one} ✓", payment_method="pm_card_visa")
        form: dict[str, str | int] = {"items[0][price]": price, "items[0][quantity]": 1}
        made = await stage.ask("POST", "subscriptions", customer=customer["id"], **form)
        item = made["items"]["data"][0]["id"]
        for seats in (3, 2 + number):
            await asyncio.sleep(0.02)
            await stage.ask(
                "POST", f"subscriptions/{made['id']}", **{"items[0][id]": item, "items[0][quantity]": seats}
            )


async def killed_again_and_again(stage: Stage, hub: HubProcess, committed: Committed, dice: random.Random) -> int:
    """Ten rounds of storm, fresh events and SIGKILL; how many kills struck right after a write was committed."""
    form = {"recurring[interval]": "month", "product_data[name]": "Team"}
    price = (await stage.ask("POST", "prices", currency="eur", unit_amount=4_900, **form))["id"]
    ahead, after_write = timedelta(), 0
    for number in range(KILLS):
        await hub.start(ahead)
        stage.stripe.deliveries.retry_now()
        committed.event.clear()
        life = asyncio.create_task(live_a_little(stage, price, number))
        storm = asyncio.create_task(stage.stripe.redeliver_everything(1, concurrency=16))
        if number % 2:
            async with asyncio.timeout(START_SECONDS_MAX):
                await committed.event.wait()
            after_write += 1
        else:
            await asyncio.sleep(dice.uniform(0.02, 0.9))
        await hub.kill()
        await asyncio.gather(life, storm)
        stage.clock.leap(LEASE_OVER)
        ahead += LEASE_OVER
    await hub.start(ahead)
    return after_write


async def test_kill_9_ten_times_in_the_storm_loses_and_doubles_nothing(store_url: str, tmp_path: Path) -> None:
    committed = Committed()
    began = time.monotonic()
    async with between_stand_ins(tmp_path, store_url, committed) as (stage, hub):
        after_write = await killed_again_and_again(stage, hub, committed, random.Random(store_url.partition(":")[0]))
        await stage.settled(timeout_s=60)

        attempts = stage.stripe.attempts
        acknowledged = {one.event_id for one in attempts if one.delivered}
        with stage.database.read() as connection:
            kept = Counter(connection.execute(select(inbox_event.c.external_id)).scalars())
            states = Counter(connection.execute(select(inbox_work.c.state)).scalars())
            intents = Counter(connection.execute(select(write_intent.c.record)).scalars())
            probed = connection.execute(
                select(func.count()).where(write_receipt.c.outcome == "AlreadyApplied")
            ).scalar_one()
        assert acknowledged - kept.keys() == set(), "acknowledged and lost"
        assert [one for one, count in kept.items() if count != 1] == [], "stored twice"
        assert kept.keys() == {event.id for event in stage.stripe.events()}, "every event arrived in the end"
        assert states.keys() <= {"processed", "parked"}, states
        assert sum(1 for one in attempts if one.repeat) > len(kept), "there was no storm"
        assert any(not one.delivered for one in attempts), "no kill struck a delivery"

        closing = await compare(stage)
        assert closing.differences == ()
        assert closing.missing == closing.surplus == ()
        assert sum(line.compared for line in closing.lines) > 100
        assert closing.explained.unexplained == ()
        assert closing.explained.chain_faults == ()
        assert closing.dead_letters == ()
        assert doubled_effects(stage.salesforce) == ()
        # A task may be of a payment or of a refund: its key stands in the field of the one.
        key_fields = [(mapping.object, mapping.key_field) for mapping in default_mappings()]
        for effects in stage.salesforce.effects.values():
            record = stage.salesforce.record(effects[0].object, effects[0].id)
            keys = [record[field] for name, field in key_fields if name == effects[0].object and field in record]
            (key,) = (one for one in keys if one is not None)
            assert len(effects) <= intents[f"salesforce:{effects[0].object}/{key}"], "more writes than decisions"
        assert after_write == KILLS // 2
        assert probed > 0, "no write was ever found to have been made already: the crashes missed their moment"
    print(f"{len(attempts)} deliveries, {len(kept)} events, {probed} probed, {time.monotonic() - began:.1f} s")
