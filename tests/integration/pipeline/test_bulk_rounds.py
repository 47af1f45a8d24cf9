"""A backlog above what calls are meant for leaves in one job, under the policy, leases and receipts of any write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accordant.connectors.salesforce import bulk
from accordant.pipeline import hold
from accordant.pipeline.hold import Hold
from accordant.ports.connector import Bulk
from tests.connectors.salesforce.outbound_kit import at_once, connect
from tests.integration.operations.kit import Installation, an_installation

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
