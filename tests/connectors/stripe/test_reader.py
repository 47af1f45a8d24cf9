"""The reader against the stand-in over real HTTP, and a played history through the interpreter in both versions.

The stand-in shares no code with the connector: where they agree, two readings of Stripe's documents agree.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from accordant.canonical.events import EventType
from accordant.canonical.observations import Interpreted, Parked
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, HttpClient
from accordant.connectors.stripe import connector
from accordant.connectors.stripe.errors import ReadRefused
from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.reader import COLLECTIONS, StripeReader
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_history import history
from accordant.connectors.stripe.simulator_versions import CURRENT
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import AuthorizationExpired, RateLimited, TargetUnavailable

KEY = "sk_test_toy_key"
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
INBOUND = StripeInbound(live=False)


def make_reader(url: str, exchanges: list[Exchange] | None = None, **changes: str) -> StripeReader:
    settings = {"api_key": KEY, "api_base": url, "live_mode": "false", **changes}
    return connector.reader(
        settings,
        lambda: NOW,
        system="billing",
        addresses=AddressPolicy(allow_loopback=True),
        recorder=exchanges.append if exchanges is not None else None,
    )


async def _at_once(_seconds: float) -> None:
    """A pause in a world where waiting takes no time."""


@asynccontextmanager
async def answering(*answers: tuple[int, str]) -> AsyncIterator[tuple[StripeReader, list[web.Request]]]:
    """A server that gives these answers in turn, the last one for ever."""
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        status, text = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        return web.Response(status=status, text=text, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    http = HttpClient(
        f"http://127.0.0.1:{runner.addresses[0][1]}",
        clock=lambda: NOW,
        rate_per_s=1000,
        headers={"Authorization": f"Bearer {KEY}"},
        addresses=AddressPolicy(allow_loopback=True),
        sleep=_at_once,
    )
    reader = StripeReader(http, system="billing", clock=lambda: NOW)
    try:
        yield reader, seen
    finally:
        await reader.close()
        await runner.cleanup()


async def create(url: str, path: str, count: int, **fields: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as session:
        for number in range(count):
            form = {name: value.format(number) for name, value in fields.items()}
            async with session.post(f"{url}{path}", data=form, headers=headers) as answer:
                assert answer.status == 200, await answer.text()


async def test_250_objects_come_page_by_page_each_once_newest_first() -> None:
    exchanges: list[Exchange] = []
    async with StripeSimulator(api_key=KEY) as simulator:
        await create(simulator.url, "/v1/customers", 250, name="Customer {}")
        reader = make_reader(simulator.url, exchanges)
        pages = [page async for page in reader.pages("customer")]
        await reader.close()
    assert [len(page.objects) for page in pages] == [100, 100, 50]
    assert {page.read_at for page in pages} == {NOW}
    objects = [entry for page in pages for entry in page.objects]
    assert len({ref for ref, _ in objects}) == 250
    assert [json.loads(body)["name"] for _, body in objects] == [f"Customer {number}" for number in range(249, -1, -1)]
    for ref, body in objects:
        assert json.loads(body)["id"] == ref.id
        assert isinstance(INBOUND.interpret_object(ref=ref, body=body, read_at=NOW), Interpreted)
    assert {exchange.request_headers["Stripe-Version"] for exchange in exchanges} == {"2026-10-28.endive"}
    assert {exchange.method for exchange in exchanges} == {"GET"}
    assert KEY not in repr(exchanges)


async def test_pages_since_a_moment() -> None:
    async with StripeSimulator(api_key=KEY) as simulator:
        await create(simulator.url, "/v1/customers", 3, name="Old {}")
        simulator.advance(3600)
        since = datetime.fromtimestamp(simulator.now, UTC)
        await create(simulator.url, "/v1/customers", 2, name="New {}")
        reader = make_reader(simulator.url)
        found = [
            json.loads(body)["name"]
            async for page in reader.pages("customer", created_since=since)
            for _, body in page.objects
        ]
        assert found == ["New 1", "New 0"]
        nothing = [page async for page in reader.pages("customer", created_since=since + timedelta(days=1))]
        assert nothing == []
        await reader.close()


@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-04-10"])
async def test_every_kind_of_object_is_listed_read_and_understood(version: str) -> None:
    async with StripeSimulator(api_key=KEY) as simulator:
        simulator.play_history(accounts=25, months=6, seed=3)
        reader = make_reader(simulator.url, api_version=version)
        counts: dict[str, int] = {}
        for kind in COLLECTIONS:
            async for page in reader.pages(kind):
                counts[kind] = counts.get(kind, 0) + len(page.objects)
                for ref, body in page.objects:
                    found = INBOUND.interpret_object(ref=ref, body=body, read_at=page.read_at)
                    assert isinstance(found, Interpreted), (ref, found)
                ref, listed = page.objects[0]
                single, asked_at = await reader.read(ref)
                assert asked_at == NOW
                # Stripe leaves its expansions' order open; what we make of both must be one.
                assert INBOUND.interpret_object(ref=ref, body=single, read_at=NOW) == INBOUND.interpret_object(
                    ref=ref, body=listed, read_at=NOW
                )
        await reader.close()
    assert set(counts) == set(COLLECTIONS), counts


async def test_a_charge_names_its_bill_in_every_version() -> None:
    """Newer versions tie the two by an object of its own; a reading that left it out would forget what is known."""
    told: dict[tuple[str, str], dict[str, str | None]] = {}
    async with StripeSimulator(api_key=KEY) as simulator:
        simulator.play_history(accounts=8, months=6, seed=3)
        for version in ("2024-04-10", "2026-10-28.endive"):
            reader = make_reader(simulator.url, api_version=version)
            ways = {"all": None, "since": datetime(2020, 1, 1, tzinfo=UTC)}
            for way, since in ways.items():
                pages = [page async for page in reader.pages("charge", created_since=since)]
                objects = [one for page in pages for one in page.objects]
                told[version, way] = {ref.id: json.loads(body).get("invoice") for ref, body in objects}
            refs = [ExternalRef("billing", "charge", name) for name in told[version, "all"]]
            told[version, "one"] = {ref.id: json.loads((await reader.read(ref))[0]).get("invoice") for ref in refs}
            await reader.close()
    first = told["2024-04-10", "one"]
    assert sum(bill is not None for bill in first.values()) > 5
    assert all(one == first for one in told.values())


async def test_a_charge_that_pays_several_bills_names_none_of_them() -> None:
    """Its shares are told one by one by events; any single name would be wrong."""
    async with StripeSimulator(api_key=KEY, api_version=CURRENT) as simulator:
        account = simulator.account
        customer = account.create_customer({"name": "EXAMPLE-1", "email": "a@example.com", "metadata": {}}, card=True)
        product = account.create_product({"name": "Pro", "metadata": {}})
        price = account.create_price(product, currency="usd", unit_amount=1_000, interval="month")
        given = {"collection_method": "send_invoice", "days_until_due": 30}
        for _ in range(2):
            account.billing.subscribe(customer, [(price, 1)], given=given)
        simulator.advance(7_200)
        charge = account.together.pay(list(account.book.table("invoice").values()))
        reader = make_reader(simulator.url, api_version=CURRENT)
        (page,) = [page async for page in reader.pages("charge")]
        single, _ = await reader.read(ExternalRef("billing", "charge", charge["id"]))
        await reader.close()
    assert [json.loads(body).get("invoice") for body in (single, page.objects[0][1])] == [None, None]


async def test_canceled_subscriptions_are_listed_too() -> None:
    async with StripeSimulator(api_key=KEY) as simulator:
        simulator.play_history(accounts=40, months=8, seed=5)
        reader = make_reader(simulator.url)
        bodies = [json.loads(body) async for page in reader.pages("subscription") for _, body in page.objects]
        await reader.close()
    assert "canceled" in {body["status"] for body in bodies}


async def test_the_movements_of_one_payout() -> None:
    async with StripeSimulator(api_key=KEY) as simulator:
        simulator.play_history(accounts=25, months=6, seed=3)
        reader = make_reader(simulator.url)
        payouts = [(ref, json.loads(body)) async for page in reader.pages("payout") for ref, body in page.objects]
        ref, payout = next((ref, body) for ref, body in payouts if body["status"] == "paid")
        movements = [json.loads(body) async for page in reader.movements_of(ref.id) for _, body in page.objects]
        await reader.close()
    settled = [movement["net"] for movement in movements if movement["type"] != "payout"]
    assert sum(settled) == payout["amount"]


async def test_what_is_deleted_or_was_never_there_is_empty() -> None:
    async with StripeSimulator(api_key=KEY) as simulator:
        await create(simulator.url, "/v1/customers", 1, name="Gone")
        reader = make_reader(simulator.url)
        (page,) = [page async for page in reader.pages("customer")]
        ref = page.objects[0][0]
        async with aiohttp.ClientSession() as session:
            url = f"{simulator.url}/v1/customers/{ref.id}"
            await session.delete(url, headers={"Authorization": f"Bearer {KEY}"})
        assert await reader.read(ref) == (b"", NOW)
        assert await reader.read(ExternalRef("billing", "customer", "cus_never")) == (b"", NOW)
        await reader.close()


ERROR = '{{"error":{{"code":"{}","type":"invalid_request_error","message":"{}"}}}}'


@pytest.mark.parametrize(
    ("status", "text", "raised"),
    [
        (400, ERROR.format("parameter_unknown", "Received unknown parameter"), ReadRefused),
        (400, "not json", ReadRefused),
        (401, "{}", AuthorizationExpired),
        (403, ERROR.format("", "The provided key does not have the required permissions"), AuthorizationExpired),
        (404, "{}", ReadRefused),
        (404, "<html>nginx</html>", ReadRefused),
        (404, ERROR.format("resource_missing", "No such customer; a similar object exists in live mode"), ReadRefused),
        (409, ERROR.format("", "busy"), TargetUnavailable),
        (409, ERROR.format("lock_timeout", "busy"), RateLimited),
        (429, ERROR.format("rate_limit", "slow down"), RateLimited),
        (500, "{}", TargetUnavailable),
        (503, "", TargetUnavailable),
        (200, "<html>", TargetUnavailable),
        (200, "", TargetUnavailable),
        (200, '{"id":"cus', TargetUnavailable),
        (200, "[]", TargetUnavailable),
    ],
)
async def test_each_refusal_has_one_meaning(status: int, text: str, raised: type) -> None:
    async with answering((status, text)) as (reader, _):
        with pytest.raises(raised) as error:
            await reader.read(ExternalRef("billing", "customer", "cus_1"))
        assert type(error.value) is raised
        with pytest.raises(raised) as listed:
            await anext(aiter(reader.pages("customer")))
        assert type(listed.value) is raised
    assert KEY not in str(error.value)


async def test_a_page_that_repeats_itself_ends() -> None:
    page = json.dumps({"object": "list", "data": [{"id": "cus_1"}], "has_more": True})
    async with answering((200, page)) as (reader, seen):
        with pytest.raises(TargetUnavailable, match="repeats"):
            _ = [page async for page in reader.pages("customer")]
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cus_1", "/v1/customers/cus_1"),
        ("../charges/ch_1", "/v1/customers/..%2Fcharges%2Fch_1"),
        ("a?b#c d", "/v1/customers/a%3Fb%23c%20d"),
        ("é", "/v1/customers/%C3%A9"),
    ],
)
async def test_an_id_stays_one_segment_of_the_path(name: str, path: str) -> None:
    async with answering((200, json.dumps({"id": name}))) as (reader, seen):
        await reader.read(ExternalRef("billing", "customer", name))
    assert seen[0].raw_path.split("?")[0] == path


async def test_an_object_that_is_not_ours_to_read_is_our_own_mistake() -> None:
    async with answering((200, "{}")) as (reader, seen):
        with pytest.raises(InvariantBroken):
            await reader.read(ExternalRef("billing", "mandate", "x"))
        assert seen == []


# -- a played history ------------------------------------------------------------------------------------------------


def played(version: str) -> list[tuple[str, Interpreted]]:
    found: list[tuple[str, Interpreted]] = []
    for event in history(accounts=40, months=6, seed=11, api_version=version):
        said = INBOUND.interpret(system="billing", body=event.body)
        if isinstance(said, Parked):
            assert event.type.startswith("coupon."), (event.type, said)
            continue
        assert isinstance(said, Interpreted), (event.type, said)
        envelope = INBOUND.read_envelope(event.body)
        assert envelope.external_id == event.id
        for observation in said.observations[:1]:
            assert envelope.lane == f"{observation.root.object_type}/{observation.root.id}"
        found.append((event.type, said))
    return found


def test_a_history_is_understood_and_means_the_same_in_both_versions() -> None:
    old, new = (
        [(kind, said) for kind, said in played(version) if said.observations]
        for version in ("2024-04-10", "2026-10-28.endive")
    )
    assert [kind for kind, _ in old] == [kind for kind, _ in new]
    for (kind, before), (_, after) in zip(old, new, strict=True):
        if kind != "invoice.payment_failed":  # only the older version says that no charge was made
            assert [event.id for event in before.business_events] == [event.id for event in after.business_events]
        for one, other in zip(before.observations, after.observations, strict=True):
            assert _comparable(one.entity) == _comparable(other.entity), kind


def _comparable(entity: Any) -> Any:
    """Leave out what one of the versions does not say: a charge's invoice, a refund's customer, an unread coupon."""
    said = msgspec.to_builtins(entity)
    for name in {"payment": ("invoice_id",), "refund": ("customer_id",), "subscription": ("discounts",)}.get(
        said["kind"], ()
    ):
        said.pop(name)
    return said


def test_a_history_s_business_events_are_its_own_count() -> None:
    """Counted from the raw bodies by other rules than ours, which look at nothing but types and one null."""
    raw: Counter[str] = Counter()
    ours: Counter[EventType] = Counter()
    seen: set[str] = set()
    for event in history(accounts=40, months=6, seed=11):
        raw[event.type] += 1
        if event.type == "invoice.payment_failed" and json.loads(event.body)["data"]["object"]["charge"] is None:
            raw["no charge"] += 1
        said = INBOUND.interpret(system="billing", body=event.body)
        for happened in said.business_events if isinstance(said, Interpreted) else ():
            if happened.id not in seen:
                seen.add(happened.id)
                ours[happened.type] += 1
    assert ours[EventType.PAYMENT_APPLIED] == raw["charge.succeeded"] > 0
    assert ours[EventType.PAYMENT_FAILED] == raw["charge.failed"] + raw["no charge"]
    assert raw["charge.failed"] > 0
    assert raw["no charge"] > 0
    assert ours[EventType.REFUND_ISSUED] == raw["refund.created"] > 0
    assert ours[EventType.INVOICE_ISSUED] == raw["invoice.finalized"] > 0
    assert ours[EventType.SUBSCRIPTION_CANCELLED] == raw["customer.subscription.deleted"] > 0
    assert ours[EventType.CUSTOMER_CREATED] == raw["customer.created"] == 40
    assert ours[EventType.PAYOUT_PAID] == raw["payout.paid"] > 0
