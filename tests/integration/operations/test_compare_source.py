"""Billing against the hub: what no event has told is found, valued and fed; what is on its way is no finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.kernel.errors import ConfigurationError
from accordant.operations.compare_source import SourceComparison
from tests.integration.operations.kit import Installation, an_installation


async def compare(one: Installation, *, feed: bool = False) -> SourceComparison:
    one.clock.move(seconds=1)
    one.stripe.advance(1)
    return await one.hub.compare_source("stripe", actor="ada", feed=feed)


def told(found: SourceComparison) -> list[str]:
    return sorted(one.record for one in found.reconciliation.shown)


async def test_an_owner_whose_every_event_arrived_agrees(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(4)
        await one.settle()
        found = await compare(one)
        assert [(count.kind.value, count.status, count.at_owner, count.in_hub) for count in found.statuses] == [
            ("account", "present", 4, 4),
            ("subscription", "active", 4, 4),
        ]
        assert told(found) == []
        assert found.reconciliation.is_clean


async def test_a_lost_change_is_found_and_the_answer_is_fed(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, *_ = one.sell(2)
        await one.settle()
        one.stripe.advance(3_600)
        one.clock.move(hours=1)
        subscription = next(
            seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer
        )
        one.stripe.account.billing.cancel(subscription)
        list(one.events())  # said, and lost on the way
        found = await compare(one, feed=True)
        assert f"stripe:subscription/{subscription['id']}" in told(found)
        lost = next(seen for seen in found.reconciliation.shown if subscription["id"] in seen.record)
        assert (lost.expected, lost.actual) == ("canceled", "active")
        assert lost.exposure is not None
        assert found.fed == len(found.reconciliation.shown)
        await one.settle()
        again = await compare(one)
        assert told(again) == []
        assert one.salesforce.record("Account", customer)["Billing_Status__c"] == "Churned"


async def test_a_customer_nobody_told_of_is_found_and_not_invented(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(1)
        await one.settle()
        one.stripe.advance(60)
        one.clock.move(minutes=1)
        (stranger,) = one.sell(1)
        list(one.events())
        found = await compare(one)
        assert f"stripe:customer/{stranger}" in told(found)
        assert not any(seen.repairable for seen in found.reconciliation.shown if stranger in seen.record)
        assert [(count.at_owner, count.in_hub) for count in found.statuses] == [(2, 1), (2, 1)]


async def test_what_waits_in_the_inbox_is_in_flight(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(3)
        one.take_in()
        found = await compare(one)
        assert told(found) == []
        assert found.reconciliation.in_flight == 6


async def test_a_system_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        with pytest.raises(ConfigurationError, match="systems that can be read: stripe"):
            await one.hub.compare_source("salesforce", actor="ada")
