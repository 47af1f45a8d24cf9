"""Batch flows on the real hub: planned as ever, sent at their time, together, beside flows that are real time."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import SyncMode
from accordant.store.schema import write_intent
from tests.integration.operations.kit import Installation, an_installation, recharter

HOURLY = "0 * * * *"


def batched(one: Installation, *names: str, schedule: str = HOURLY) -> None:
    """Send these flows by a schedule."""
    recharter(
        one.hub,
        [
            msgspec.structs.replace(flow, sync=SyncMode.BATCH, schedule=schedule) if flow.name in names else flow
            for flow in one.hub.charter.flows
        ],
    )


def states(one: Installation) -> dict[str, set[str]]:
    """Flow -> the states its intents are in."""
    found: dict[str, set[str]] = {}
    with one.hub.database.read() as connection:
        for flow, state in connection.execute(select(write_intent.c.flow, write_intent.c.state)):
            found.setdefault(flow, set()).add(state)
    return found


async def test_a_batch_flow_is_sent_at_its_time(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        batched(one, "accounts", "subscriptions")
        one.clock.at = one.clock.at.replace(minute=10, second=0, microsecond=0)
        one.sell(2)
        await one.settle()
        assert (one.writes(), states(one)["accounts"]) == (0, {"pending"})
        one.clock.at = one.clock.at.replace(minute=59, second=59)
        await one.deliver()
        assert one.writes() == 0
        one.clock.move(seconds=1)
        await one.deliver()
        assert one.salesforce.count("Account") == 2
        assert states(one) == {"accounts": {"applied"}, "subscriptions": {"applied"}}
        one.clock.move(seconds=1)
        one.sell(1)
        await one.settle()
        assert one.salesforce.count("Account") == 2, "what was planned after the tick waits for the next"
        one.clock.move(hours=1)
        await one.deliver()
        assert one.salesforce.count("Account") == 3


async def test_ticks_missed_are_made_up_for_once(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        batched(one, "accounts", "subscriptions")
        one.clock.at = one.clock.at.replace(minute=10)
        one.sell(1)
        await one.settle()
        one.clock.move(hours=30)  # nobody was there
        await one.deliver()
        assert one.salesforce.count("Account") == 1
        writes = one.writes()
        await one.deliver()
        assert one.writes() == writes


async def test_a_flow_beside_it_goes_on_in_real_time(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        batched(one, "subscriptions")
        one.clock.at = one.clock.at.replace(minute=10)
        one.sell(2)
        await one.settle()
        assert one.salesforce.count("Account") == 2
        assert states(one) == {"accounts": {"applied"}, "subscriptions": {"pending"}}
        recharter(
            one.hub,
            [msgspec.structs.replace(flow, sync=SyncMode.REAL_TIME, schedule=None) for flow in one.hub.charter.flows],
        )
        await one.deliver()
        assert states(one)["subscriptions"] == {"applied"}
