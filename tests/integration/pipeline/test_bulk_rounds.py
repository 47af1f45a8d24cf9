"""A backlog above what calls are meant for leaves in one job, under the policy, leases and receipts of any write."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accordant.connectors.salesforce import bulk
from accordant.kernel.errors import TransientError
from accordant.pipeline import hold
from accordant.pipeline.handed_jobs import WAITS, JobKeeper
from accordant.pipeline.hold import Hold
from accordant.pipeline.requests import Requests
from accordant.ports.connector import Bulk
from tests.connectors.salesforce.outbound_kit import at_once, connect
from tests.integration.operations.kit import Installation, an_installation
from tests.unit.pipeline.memory import MemoryJobs

#: The connector's own bound is two thousand; nobody need sell so much here.
ENOUGH = 10
CUSTOMERS = 24


async def with_small_jobs(one: Installation) -> None:
    await one.hub.outbounds["salesforce"].close()
    made: Any = connect(one.salesforce.url, sleep=at_once)
    made.bulk = Bulk(records_min=ENOUGH, records_max=10_000, lasts_max=bulk.LASTS_MAX)
    one.hub.outbounds["salesforce"] = made


def states(one: Installation) -> Counter[str]:
    return Counter(job.state for job in one.salesforce.bulk.jobs.values())


async def test_a_backlog_is_one_job_an_object_and_every_record_has_its_receipt(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_small_jobs(one)
        customers = one.sell(CUSTOMERS)
        one.salesforce.reject("Account", customers[3], message="Region is required.")
        await one.settle()
        assert states(one) == {"JobComplete": 2}
        assert one.salesforce.count("Account") == CUSTOMERS - 1
        (group,) = one.hub.recovery.groups()
        assert (group.count, "Region is required." in group.reason) == (1, True)
        one.salesforce.accept_all()
        assert (await one.hub.reconcile("subscriptions", actor="ada")).run.records
        writes = one.writes()
        await one.settle()
        assert one.writes() == writes


async def test_what_differs_no_more_or_only_in_few_leaves_by_calls(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = one.sell(CUSTOMERS)
        await one.settle()
        await with_small_jobs(one)
        for customer in customers[:2]:
            one.salesforce.edit("Account", customer, "Name", "Typed by hand", "sales@example.com")
        writes = one.writes()
        one.hub.replan_accounts(repair=frozenset(f"salesforce:Account/{customer}" for customer in customers))
        await one.settle()
        assert states(one) == Counter()
        assert one.writes() == writes + 2


@pytest.mark.parametrize("step", ["_opened", "_closed"])
async def test_a_flow_that_is_stopped_while_a_job_is_made_up_writes_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(bulk, step)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_small_jobs(one)

        async def stopped(*given: Any) -> Mapping[str, Any] | str:
            one.hub.pause("accounts", "ada", "A second thought.")
            answer: Mapping[str, Any] | str = await real(*given)
            return answer

        monkeypatch.setattr(bulk, step, stopped)
        one.sell(CUSTOMERS)
        await one.settle()
        assert one.salesforce.count("Account") == 0
        assert states(one) == ({"Aborted": 1} if step == "_closed" else {})
        monkeypatch.setattr(bulk, step, real)
        one.hub.resume("accounts", "ada")
        one.clock.move(minutes=10)
        await one.settle()
        assert one.salesforce.count("Account") == CUSTOMERS


class Killed(BaseException):
    """SIGKILL, as far as a test can have it."""


def doomed(one: Installation) -> Any:
    """A connector whose process is killed while it waits for its first job: no call of it comes any more."""
    made: Any = connect(one.salesforce.url, sleep=at_once)
    made.bulk = Bulk(records_min=ENOUGH, records_max=10_000, lasts_max=bulk.LASTS_MAX)
    ask = made._ask_of_job
    dead: list[bool] = []

    async def killed(_seconds: float) -> None:
        dead.append(True)
        raise Killed

    async def until_killed(*given: Any, **more: Any) -> Any:
        if dead:
            raise TransientError("There is nobody to call.")
        return await ask(*given, **more)

    made._sleep, made._ask_of_job = killed, until_killed
    return made


async def test_a_job_of_a_courier_that_was_killed_overwrites_nothing_newer(store_url: str, tmp_path: Path) -> None:
    """The oracle is the CRM once time has passed there: what billing says now stands, not what the job began with."""
    async with an_installation(store_url, tmp_path) as one:
        customers = one.sell(CUSTOMERS)
        await with_small_jobs(one)
        one.salesforce.bulk.polls_until_done = 1_000
        usual, one.hub.outbounds["salesforce"] = one.hub.outbounds["salesforce"], doomed(one)
        with pytest.raises(Killed):
            await one.settle()
        assert states(one) == {"UploadComplete": 1}
        await one.hub.outbounds["salesforce"].close()
        # Another process takes over, once the leases have run out; meanwhile billing has changed its mind.
        one.hub.outbounds["salesforce"] = usual
        one.hub.requests = Requests(one.hub.outbox, one.hub.lease_clock)
        one.salesforce.bulk.polls_until_done = 1
        one.clock.move(minutes=1)
        book = one.stripe.book
        book.advance_to(int(one.clock().timestamp()))
        for customer in customers[:3]:
            book.change(book.get("customer", customer), "customer.updated", name="Renamed")
        await one.settle()
        assert states(one)["Aborted"] == 1
        one.salesforce.bulk.let_time_pass()
        names = [one.salesforce.record("Account", customer)["Name"] for customer in customers[:3]]
        assert names == ["Renamed"] * 3
        assert one.salesforce.count("Account") == CUSTOMERS


async def test_while_such_a_job_does_not_end_nothing_is_written_and_no_try_is_lost(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.sell(CUSTOMERS)
        await with_small_jobs(one)
        one.salesforce.bulk.polls_until_done = 1_000
        usual, one.hub.outbounds["salesforce"] = one.hub.outbounds["salesforce"], doomed(one)
        with pytest.raises(Killed):
            await one.settle()
        await one.hub.outbounds["salesforce"].close()
        one.hub.outbounds["salesforce"] = usual
        one.salesforce.fault("error_before", method="PATCH", path="/jobs/ingest", times=3)
        one.clock.move(minutes=1)
        assert await one.hub.deliver_round("salesforce") == CUSTOMERS
        assert one.writes() == 0
        assert str(one.hub.breakers["salesforce"].reason).startswith("A job of before has to end first")
        one.salesforce.faults.clear()
        one.clock.move(minutes=10)
        one.salesforce.bulk.polls_until_done = 1
        await one.settle()
        assert one.salesforce.count("Account") == CUSTOMERS


async def killed_while_waiting(keeper: JobKeeper) -> None:
    async with keeper.waiting("crm") as note:
        await note("job-2")
        raise Killed


async def test_a_job_that_is_waited_for_is_nobody_elses_to_end() -> None:
    """Who waits says so again and again, and says when it is over."""
    clock = [datetime(2026, 3, 1, tzinfo=UTC)]
    heard = asyncio.Queue[datetime]()
    loop = asyncio.get_running_loop()

    class Telling(MemoryJobs):
        def note(self, target: str, job: str, *, until: datetime) -> None:
            super().note(target, job, until=until)
            loop.call_soon_threadsafe(heard.put_nowait, until)

    book = Telling()
    keeper = JobKeeper(book, lambda: clock[0], beat=timedelta(seconds=0.01))
    async with asyncio.timeout(10), keeper.waiting("crm") as note:
        await note("job-1")
        for _ in range(5):
            clock[0] += WAITS * 0.9
            while await heard.get() < clock[0] + WAITS:
                pass
            assert book.left("crm", at=clock[0]) == ()
    assert book.until == {}
    with pytest.raises(Killed):
        await killed_while_waiting(keeper)
    assert book.left("crm", at=clock[0]) == ()
    assert book.left("crm", at=clock[0] + WAITS) == ("job-2",)
    assert book.left("other", at=clock[0] + WAITS) == ()


async def test_a_word_that_is_under_way_does_not_bring_back_what_is_over() -> None:
    started, told = threading.Event(), threading.Event()

    class Slow(MemoryJobs):
        def note(self, target: str, job: str, *, until: datetime) -> None:
            if (target, job) in self.until:
                started.set()
                told.wait(0.3)
            super().note(target, job, until=until)
            if started.is_set():
                told.set()

    book = Slow()
    keeper = JobKeeper(book, lambda: datetime(2026, 3, 1, tzinfo=UTC), beat=timedelta(seconds=0.01))
    async with keeper.waiting("crm") as note:
        await note("job-1")
        await asyncio.to_thread(started.wait, 10)
    assert await asyncio.to_thread(told.wait, 10)
    assert book.until == {}


async def test_leases_are_prolonged_while_a_job_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "LEASE", timedelta(seconds=0.03))
    monkeypatch.setattr(hold, "WRITE_MAX", timedelta(seconds=0.01))
    renewed = asyncio.Event()

    class Renewing(Hold):
        times = 0

        async def renew(self) -> None:
            self.times += 1
            if self.times == 3:
                renewed.set()

    nothing: Any = None
    one = Renewing(nothing, (), since=nothing, clock=nothing)
    async with asyncio.timeout(10):
        async with one.kept():
            await renewed.wait()
    times = one.times
    await asyncio.sleep(0.1)
    assert one.times == times
