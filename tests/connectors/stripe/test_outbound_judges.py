"""Three judges of what is written to Stripe: its own document, its own library, and the hub's own ear for an echo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stripe

from accordant.canonical.conflicts import FieldMark
from accordant.canonical.entities import Account as BillingAccount
from accordant.canonical.intents import Applied, WireValue
from accordant.canonical.observations import Interpreted
from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_searching import LAG_S
from accordant.connectors.stripe.simulator_versions import PINNED
from accordant.connectors.stripe.simulator_world import API_KEY
from accordant.governance.echo import Echo, News, listen
from accordant.testing.contracts import ContractJudge, load_specification
from tests.connectors.stripe.outbound_kit import CUSTOMER, SUBSCRIPTION, Account, an_account

TERMS: dict[str, WireValue] = {"collection_method": "send_invoice", "days_until_due": 30}


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with an_account() as made:
        yield made


async def write_everything(account: Account) -> None:
    small, large = account.price(4_900), account.price(9_900)
    began = account.clock().date().isoformat()
    fields: dict[str, WireValue] = {
        "name": "Ünal & Söhne",
        "email": "a@b.example",
        "phone": "1",
        "description": "d",
        "address__city": "Köln",
    }
    await account.send(CUSTOMER, "001A", **fields, preferred_locales="de,en", metadata__segment="mid")
    account.simulator.advance(60)
    await account.send(CUSTOMER, "001A", name="Ünal AG", phone=None, address__line1="Ring 1")
    items = f"{small}:3,{large}:1"
    await account.send(SUBSCRIPTION, "006A", customer="001A", items=items, start_date=began, **TERMS)
    account.simulator.advance(60)
    await account.send(SUBSCRIPTION, "006A", items=f"{small}:4", cancel_at_period_end=True, description="x")
    assert all(call.status == 200 for call in account.calls)


async def test_every_call_fits_stripes_own_document(contracts: Path) -> None:
    specification = load_specification(contracts / "stripe" / "spec3-2024-04-10.json.gz")
    judge = ContractJudge(specification)
    async with StripeSimulator(middlewares=[judge.middleware]) as simulator:
        account = Account(simulator, api_version=PINNED)
        await write_everything(account)
        await account.outbound.close()
    assert judge.checked > 8
    judge.verify()


async def test_stripes_own_library_shows_what_was_written(account: Account) -> None:
    await write_everything(account)
    client = stripe.StripeClient(API_KEY, base_addresses={"api": account.simulator.url})
    account.simulator.advance(LAG_S)
    query = {"query": "metadata['crm_account_id']:'001A'"}
    (customer,) = (await asyncio.to_thread(lambda: client.v1.customers.search(query))).data  # type: ignore[arg-type]
    assert (customer.name, customer.phone) == ("Ünal AG", None)
    assert customer.metadata is not None
    assert customer.metadata["segment"] == "mid"
    (subscription,) = (await asyncio.to_thread(lambda: client.v1.subscriptions.list({"customer": customer.id}))).data
    assert [(item.price.id, item.quantity) for item in subscription["items"].data] == [
        (account.held("subscription")[0]["items"]["data"][0]["price"]["id"], 4)
    ]
    assert subscription.cancel_at_period_end


async def test_what_a_library_wrote_under_a_key_is_not_written_again_by_us(account: Account) -> None:
    """Two programs and one account: ours sees the other's customer by the key in its metadata, at once."""
    client = stripe.StripeClient(API_KEY, base_addresses={"api": account.simulator.url})
    given = {"name": "Acme", "metadata": {"crm_account_id": "001A"}}
    made = await asyncio.to_thread(lambda: client.v1.customers.create(given))  # type: ignore[arg-type]
    done = await account.outcome(CUSTOMER, "001A", name="Acme GmbH")
    assert done == Applied(target_id=made.id, created=False)


async def test_our_own_write_comes_back_with_our_key_and_is_known_for_an_echo(account: Account) -> None:
    sent: dict[str, WireValue] = {"name": "Acme GmbH", "email": "pay@acme.example"}
    await account.send(CUSTOMER, "001A", **sent)
    (event,) = account.simulator.events("customer.created")
    body = json.loads(event.body())
    assert body["request"]["idempotency_key"] == account.keys[0]
    told = StripeInbound(live=False).interpret(system="billing", body=event.body())
    assert isinstance(told, Interpreted)
    (observation,) = told.observations
    assert isinstance(observation.entity, BillingAccount)
    assert observation.entity.metadata == {"crm_account_id": "001A"}
    held = (await account.outbound.whereabouts(CUSTOMER, [observation.ref.id]))[observation.ref.id].record
    marks = {name: FieldMark(value=value, revision=1, at=account.clock()) for name, value in sent.items()}
    assert listen(held.fields, marks) == Echo(("email", "name"), 1)
    account.simulator.book.change(account.held("customer")[0], "customer.updated", name="Acme AG")
    held = (await account.outbound.whereabouts(CUSTOMER, [observation.ref.id]))[observation.ref.id].record
    assert listen(held.fields, marks) == News(("name",))
