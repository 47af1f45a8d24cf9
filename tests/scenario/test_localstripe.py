"""A Stripe we did not write: localstripe, its own process, of API version 2017-08-15, signs events for our door.

It shares no line with our connector or our stand-in, so it finds what both of them got wrong together.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.demo.backstage import open_work
from accordant.demo.company import API_KEY, APP, WEBHOOK_SECRET, environment, prepare_org, write_charter
from accordant.demo.stage import HOST, free_port
from accordant.settings import Settings
from accordant.store.schema import inbox_event, inbox_work
from accordant.web.server import HubServer

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]

START_SECONDS_MAX = 30.0
#: localstripe waits a second before each delivery.
ARRIVE_SECONDS_MAX = 30.0


class Foreign:
    """localstripe on one side, our Salesforce stand-in on the other, the hub between."""

    def __init__(self, api: aiohttp.ClientSession, salesforce: SalesforceSimulator, server: HubServer) -> None:
        self.api = api
        self.salesforce = salesforce
        self.server = server
        self.hub = server.hub

    async def sign_with(self, secret: str) -> None:
        """Tell localstripe where our door is and with what to sign."""
        hook = {"url": f"http://{HOST}:{self.server.port}/webhooks/stripe", "secret": secret}
        async with self.api.post("/_config/webhooks/ours", json=hook) as answer:
            assert answer.status == 200

    async def ask(self, path: str, **form: str | int) -> dict[str, Any]:
        fields = {name: str(value) for name, value in form.items()}
        async with self.api.post(f"/v1/{path}", data=fields) as answer:
            body: dict[str, Any] = await answer.json(content_type=None)
            assert answer.status == 200, (path, body)
            return body

    def states(self) -> dict[str, tuple[str, str | None]]:
        """State and reason by event type, as far as they have arrived."""
        with self.hub.database.read() as connection:
            rows = connection.execute(
                select(inbox_event.c.event_type, inbox_work.c.state, inbox_work.c.reason).select_from(
                    inbox_work.join(inbox_event, inbox_event.c.seq == inbox_work.c.seq)
                )
            ).all()
        return {row.event_type: (row.state, row.reason) for row in rows}

    async def arrived(self, *types: str) -> None:
        """Wait until events of these types are here and nothing is open."""
        await _until(lambda: set(types) <= self.states().keys() and open_work(self.hub.database).is_none)


async def _until(seen: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + ARRIVE_SECONDS_MAX
    while not seen():
        assert asyncio.get_running_loop().time() < deadline, "it never arrived"
        await asyncio.sleep(0.05)


async def _listening(port: int) -> None:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[Foreign]:
    billing, door = free_port(), free_port()
    async with AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "localstripe", "--port", str(billing), "--from-scratch",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip
        stack.push_async_callback(process.wait)
        stack.callback(process.kill)
        await _listening(billing)
        salesforce = SalesforceSimulator(app=APP)
        prepare_org(salesforce)
        await salesforce.start()
        stack.push_async_callback(salesforce.stop)
        charter = write_charter(
            tmp_path / "charter", stripe_url=f"http://{HOST}:{billing}", salesforce_url=salesforce.url
        )
        settings = Settings(home=tmp_path, charter=charter, store=f"sqlite:///{tmp_path / 'store.db'}")
        hub = Hub(settings, checked_charter(settings), environment=environment(), clock=system_clock)
        server = HubServer(hub, host=HOST, port=door)
        await server.start()
        stack.push_async_callback(server.stop)
        api = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://{HOST}:{billing}", headers={"Authorization": aiohttp.encode_basic_auth(API_KEY, "")}
            )
        )
        made = Foreign(api, salesforce, server)
        await made.sign_with(WEBHOOK_SECRET)
        yield made


async def test_events_of_a_foreign_stripe_reach_salesforce(foreign: Foreign) -> None:
    await foreign.ask("plans", id="gold", currency="eur", interval="month", amount=2_500, **{"product[name]": "Gold"})
    customer = await foreign.ask("customers", email="post@example.org", name="Żabka Polska S.A.", description="PL")
    await foreign.ask(f"customers/{customer['id']}/sources", source=await _card(foreign))
    items: dict[str, str | int] = {"items[0][plan]": "gold", "items[0][quantity]": 4}
    subscription = await foreign.ask("subscriptions", customer=customer["id"], **items)
    await foreign.arrived(
        "plan.created", "customer.created", "customer.subscription.created", "invoice.payment_succeeded"
    )

    states = foreign.states()
    for kind in ("customer.created", "customer.subscription.created"):
        assert states[kind] == ("processed", None)
    # localstripe's invoices lack a field that Stripe's have always had: such a body is kept, and says what it lacks.
    for kind in ("invoice.created", "invoice.payment_succeeded"):
        state, reason = states[kind]
        assert state == "quarantined"
        assert "amount_remaining is missing" in str(reason)
    others = {kind: told for kind, told in states.items() if told[0] not in {"processed", "parked", "quarantined"}}
    assert others == {}
    assert all(reason for state, reason in states.values() if state != "processed")
    account = foreign.salesforce.record("Account", customer["id"])
    assert account["Name"] == "Żabka Polska S.A."
    assert account["Billing_Status__c"] == "Active"
    assert account["Billing_MRR__c"] == Decimal("100.00")
    held = foreign.salesforce.record("Billing_Subscription__c", subscription["id"])
    assert (held["Status__c"], held["Quantity__c"], held["Account__c"]) == ("Active", 4, account["Id"])


async def _card(foreign: Foreign) -> str:
    card: dict[str, str | int] = {"card[number]": "4242424242424242", "card[exp_month]": 12, "card[exp_year]": 2040}
    token = await foreign.ask("tokens", **card, **{"card[cvc]": 123})
    return str(token["id"])


async def test_a_wrong_secret_of_a_foreign_stripe_is_refused(foreign: Foreign) -> None:
    customer = await foreign.ask("customers", email="a@example.org", name="First")
    await foreign.arrived("customer.created")
    await foreign.sign_with("whsec_of_somebody_else_entirely")
    await foreign.ask("customers", email="b@example.org", name="Second")
    await _until(lambda: foreign.server.door.answers["stripe", "refused_401"] > 0)
    assert foreign.salesforce.count("Account") == 1
    assert foreign.salesforce.record("Account", customer["id"])["Name"] == "First"
