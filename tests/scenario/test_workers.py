"""Several workers of one store, each a process: one is killed, one sleeps too long, and nothing is lost or done twice.

The oracles are the store's own rows of leases, which no worker is asked about, and the CRM's ledger of effects.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import select

from accordant.bench.runs import events_of, fill_inbox
from accordant.bootstrap import Hub, checked_charter
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator_history import HistoryEvent
from accordant.demo.company import APP, environment, prepare_org, write_charter
from accordant.demo.report import doubled_effects
from accordant.demo.stage import HOST, free_port
from accordant.settings import read_settings
from accordant.store.audit import verify_chain
from accordant.store.inbox import PARTITIONS
from accordant.store.lanes import TTL
from accordant.store.schema import inbox_work, lease, write_intent

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]

RECLAIM_S_MAX = 30.0
START_S_MAX = 60.0
WORK_S_MAX = 120.0


class Worksite:
    """A store with its charter, the processes that work on it, and a hub of the test that only fills and looks."""

    def __init__(self, folder: Path, store: str, org: SalesforceSimulator) -> None:
        self.folder = folder
        self.store = store
        self.org = org
        write_charter(folder / "charter", stripe_url="http://127.0.0.1:9", salesforce_url=org.url)
        settings = read_settings({}, home=folder, charter=folder / "charter", store=store)
        self.hub = Hub(settings, checked_charter(settings), environment=environment())
        self.hub.enforce_charter()
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment(), "ACCORDANT_METRICS_TOKEN": ""},
        )  # fmt: skip
        self.processes.append(process)
        return process

    async def serve(self, role: str) -> tuple[asyncio.subprocess.Process, int]:
        port = free_port()
        process = await self.start(
            "-m", "accordant", "serve", "--role", role, "--metrics-port", str(port), "--home", str(self.folder),
            "--charter", str(self.folder / "charter"), "--store", self.store,
        )  # fmt: skip
        await self.says(process, b"at work")
        return process, port

    async def says(self, process: asyncio.subprocess.Process, words: bytes) -> None:
        assert process.stdout is not None
        async with asyncio.timeout(START_S_MAX):
            while words not in (line := await process.stdout.readline()):
                assert line, "the process ended before it said so"

    async def until(self, seen: object, seconds: float) -> float:
        """Wait until ``seen()``; how long that took, in seconds."""
        assert callable(seen)
        began = time.monotonic()
        while not await asyncio.to_thread(seen):
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {self.takers()} {self.states()}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    def takers(self) -> Counter[int]:
        """How many partitions are taken under each token; 0 is nobody's."""
        with self.hub.database.read() as connection:
            rows = connection.execute(select(lease.c.token).where(lease.c.name.like("lanes/%"))).scalars()
            return Counter(map(int, rows))

    def is_shared_by(self, count: int) -> bool:
        takers = self.takers()
        return len(takers) == count and 0 not in takers and sum(takers.values()) == PARTITIONS

    def states(self) -> Counter[str]:
        with self.hub.database.read() as connection:
            return Counter(connection.execute(select(inbox_work.c.state)).scalars())

    def is_processed(self) -> bool:
        return not self.states()["received"]

    def is_written(self) -> bool:
        open_states = ("pending", "leased", "uncertain")
        with self.hub.database.read() as connection:
            query = select(write_intent.c.id).where(write_intent.c.state.in_(open_states)).limit(1)
            return self.is_processed() and connection.execute(query).first() is None

    def give(self, events: list[HistoryEvent]) -> None:
        fill_inbox(self.hub, events)

    def check(self, events: list[HistoryEvent]) -> None:
        """Nothing lost, nothing done twice, and the trail is whole."""
        states = self.states()
        assert sum(states.values()) == len(events)
        assert states["processed"] > 0.8 * len(events)
        assert states.keys() <= {"processed", "parked", "awaiting_reread"}, states
        with self.hub.database.read() as connection:
            assert verify_chain(connection).faults == ()
        assert doubled_effects(self.org) == ()


@asynccontextmanager
async def worksite(folder: Path, store: str) -> AsyncIterator[Worksite]:
    org = SalesforceSimulator(app=APP, daily_calls_max=1_000_000)
    prepare_org(org)
    await org.start()
    site = await asyncio.to_thread(Worksite, folder, store, org)
    try:
        yield site
    finally:
        for process in site.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await site.hub.close()
        await org.stop()


async def answers(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(f"http://{HOST}:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_the_lanes_of_a_killed_worker_go_to_the_others(store_url: str, tmp_path: Path) -> None:
    events = events_of(600, seed=5)
    async with worksite(tmp_path, store_url) as site:
        *workers, _ = await asyncio.gather(*(site.serve("worker") for _ in range(3)), site.serve("courier"))
        await site.until(lambda: site.is_shared_by(3), START_S_MAX)
        for _, port in workers:
            status, text = await answers(port, "/health/ready")
            assert status == 200, text
            assert "accordant_events_open" in (await answers(port, "/metrics"))[1]
            assert (await answers(port, "/"))[0] == 404
        site.give(events[:200])
        workers[0][0].kill()
        site.give(events[200:400])
        # The others are on its machine and see that it is gone: they do not wait until its lease has run out.
        moved_s = await site.until(lambda: site.is_shared_by(2), TTL.total_seconds() - 1)
        site.give(events[400:])
        # One that is told to stop gives its lanes back: nobody waits for it to be taken for dead.
        workers[1][0].send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(workers[1][0].wait(), START_S_MAX) == 0
        left_s = await site.until(lambda: site.is_shared_by(1), TTL.total_seconds())
        await site.until(site.is_written, WORK_S_MAX)
        site.check(events)
    print(f"{store_url.partition(':')[0]}: lanes moved {moved_s:.1f} s after kill -9, {left_s:.1f} s after SIGTERM")


async def test_a_worker_that_slept_longer_than_its_lease_commits_nothing(store_url: str, tmp_path: Path) -> None:
    events = events_of(200, seed=6)
    program = str(Path(__file__).with_name("worker_process.py"))
    async with worksite(tmp_path, store_url) as site:
        sleeper = await site.start(
            program, "--home", str(tmp_path), "--store", site.store, "--linger-s", "1.0"
        )  # fmt: skip
        await site.says(sleeper, b"at work")
        await site.until(lambda: site.is_shared_by(1), START_S_MAX)
        site.give(events)
        await site.says(sleeper, b"took")
        sleeper.send_signal(signal.SIGSTOP)
        await site.serve("worker")
        (old,) = site.takers()
        moved_s = await site.until(lambda: old not in site.takers() and site.is_shared_by(1), RECLAIM_S_MAX)
        await site.until(site.is_processed, WORK_S_MAX)
        before = site.states()
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.stderr is not None
        async with asyncio.timeout(START_S_MAX):
            while b"a batch is dropped" not in (line := await sleeper.stderr.readline()):
                assert line, "the sleeper ended"
        await site.until(lambda: site.is_shared_by(2), START_S_MAX)
        assert site.states() == before
        site.check(events)
    print(f"{store_url.partition(':')[0]}: lanes moved {moved_s:.1f} s after SIGSTOP, the stale commit was refused")
