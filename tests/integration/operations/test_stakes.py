"""An alert says how much hangs on it: which customers are affected and what they pay a month, to the unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web
from sqlalchemy import select, update

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.alerts import AlertWebhook
from accordant.demo.stage import HOST, free_port
from accordant.kernel.money import Money
from accordant.store import schema
from accordant.views.load import load
from accordant.web.caretaker import Caretaker
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_review import touch


@asynccontextmanager
async def a_chat(one: Installation) -> AsyncIterator[list[str]]:
    """A chat that takes the alerts of this hub, as Slack does; what it was told."""
    told: list[str] = []

    async def take(request: web.Request) -> web.Response:
        told.append(msgspec.json.decode(await request.read())["text"])
        return web.Response(text="ok")

    application, port = web.Application(), free_port()
    application.router.add_post("/services/T/B", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    one.hub.webhook = AlertWebhook(
        f"http://{HOST}:{port}/services/T/B", clock=one.hub.clock, addresses=AddressPolicy(allow_loopback=True)
    )
    try:
        yield told
    finally:
        await runner.cleanup()


def sells(one: Installation) -> list[str]:
    """Four customers: 100, 100 and 25 dollars, and 30 euros a month."""
    return [*one.sell(2), *one.sell(1, unit_minor=2_500), *one.sell(1, unit_minor=3_000, currency="eur")]


async def test_an_alert_ends_with_the_customers_and_the_money_behind_what_did_not_go_through(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one, a_chat(one) as told:
        caretaker = Caretaker(one.hub)
        customers = sells(one)
        await one.settle()
        one.hub.alerts.add(kind="drift", subject="A field", body="is new there.", now=one.clock())
        assert await caretaker.alert_round() == 1
        assert told == ["Example GmbH: A field\nis new there."], "nobody is affected"
        for customer in customers[1:]:
            one.salesforce.reject("Account", customer)
        for customer in customers:
            touch(one, customer, 2)
        await one.settle()
        assert await caretaker.alert_round() == 3
        assert told[-1].endswith("\nCustomers affected: 3, who pay 60.00 EUR and 250.00 USD a month.")
        assert told[-1].count("Example GmbH: ") == 3
        assert await caretaker.alert_round() == 0
        seen = load(one.hub.database, one.hub.charter, now=one.clock())
        assert (seen.customers, seen.worth) == (3, (Money(6_000, "EUR"), Money(25_000, "USD")))


async def test_a_flow_that_is_late_says_who_waits_for_it(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one, a_chat(one) as told:
        caretaker = Caretaker(one.hub)
        first, *_ = sells(one)
        await one.settle()
        touch(one, first, 3)
        one.take_in()
        one.process()
        one.clock.move(seconds=901)
        assert "accounts" in caretaker.lag_round().opened
        await caretaker.alert_round()
        assert "Writes that wait: 1. Customers affected: 1, who pay 300.00 USD a month. Verify here" in told[-1]


async def test_an_event_that_was_given_up_stops_its_customer_and_counts(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, *_ = sells(one)
        await one.settle()
        touch(one, first, 3)
        one.take_in()
        lanes = schema.inbox_work.c.lane == f"stripe:customer/{first}"
        with one.hub.database.write_unaudited() as connection:
            newest = select(schema.inbox_work.c.seq).where(lanes).order_by(schema.inbox_work.c.seq.desc()).limit(1)
            seq = connection.execute(newest).scalar_one()
            connection.execute(
                update(schema.inbox_work).where(schema.inbox_work.c.seq == seq).values(state="dead", settled_at=1)
            )
        seen = load(one.hub.database, one.hub.charter, now=one.clock())
        assert (seen.customers, seen.worth) == (1, (Money(10_000, "USD"),)), "what he is known to pay"
