"""The Stripe stand-in over HTTP: keys, pages, idempotency, faults, and deliveries in every unkind order."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_events import RETRY_AFTER_S, sign
from accordant.connectors.stripe.simulator_state import Record
from accordant.connectors.stripe.simulator_versions import CURRENT
from accordant.connectors.stripe.simulator_world import API_KEY

DAY = 86_400
KEY = {"Authorization": f"Bearer {API_KEY}"}


class Receiver:
    """A webhook endpoint that keeps what it got and answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, str]] = []
        self.status: Callable[[str], int] = lambda _: 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        event_id = json.loads(body)["id"]
        self.got.append((event_id, body, request.headers["Stripe-Signature"]))
        return web.Response(status=self.status(event_id))

    @property
    def ids(self) -> list[str]:
        return [event_id for event_id, _, _ in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application()
    application.router.add_post("/hook", made.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def stripe(receiver: Receiver) -> AsyncIterator[StripeSimulator]:
    async with StripeSimulator(webhook_url=receiver.url, webhook_secret="whsec_one") as made:
        yield made


@pytest.fixture
async def web_client(stripe: StripeSimulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(stripe.url, headers=KEY) as session:
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, Record, Any]:
    async with client.request(method, path, **more) as answer:
        return answer.status, await answer.json(), answer.headers


async def new_customers(client: aiohttp.ClientSession, count: int) -> list[str]:
    return [(await ask(client, "POST", "/v1/customers", data={"name": f"c{one}"}))[1]["id"] for one in range(count)]


async def test_keys_are_checked_in_both_notations(stripe: StripeSimulator, web_client: aiohttp.ClientSession) -> None:
    async with aiohttp.ClientSession(stripe.url) as stranger:
        for headers in ({}, {"Authorization": "Bearer sk_wrong"}, {"Authorization": "Basic !!"}):
            status, body, _ = await ask(stranger, "GET", "/v1/customers", headers=headers)
            assert (status, body["error"]["type"]) == (401, "invalid_request_error")
        status, _, _ = await ask(
            stranger, "GET", "/v1/customers", headers={"Authorization": aiohttp.encode_basic_auth(API_KEY, "")}
        )
        assert status == 200
    status, _, headers = await ask(web_client, "GET", "/v1/customers", headers={"Stripe-Version": "2024-04-10"})
    assert (status, headers["Stripe-Version"]) == (200, "2024-04-10")
    assert headers["Request-Id"].startswith("req_")
    status, _, _ = await ask(web_client, "GET", "/v1/customers", headers={"Stripe-Version": "soon"})
    assert status == 400


async def test_pages_are_newest_first_and_cursors_go_both_ways(web_client: aiohttp.ClientSession) -> None:
    made = await new_customers(web_client, 7)
    newest = made[::-1]

    async def page(**query: str) -> tuple[list[str], bool]:
        _, body, _ = await ask(web_client, "GET", "/v1/customers", params=query)
        return [one["id"] for one in body["data"]], body["has_more"]

    assert await page(limit="3") == (newest[:3], True)
    assert await page(limit="3", starting_after=newest[2]) == (newest[3:6], True)
    assert await page(limit="3", starting_after=newest[5]) == (newest[6:], False)
    assert await page(limit="3", ending_before=newest[4]) == (newest[1:4], True)
    assert await page(limit="3", ending_before=newest[1]) == (newest[:1], False)
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"starting_after": "cus_no"}, {"colour": "red"}):
        status, _, _ = await ask(web_client, "GET", "/v1/customers", params=query)
        assert status == 400, query


async def test_events_are_found_by_type_time_and_delivery_for_thirty_days(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    stripe.lose_next(1)
    (lost_customer,) = await new_customers(web_client, 1)
    await stripe.drain()
    first = stripe.now
    stripe.advance(100)
    await new_customers(web_client, 1)
    await stripe.drain()

    async def found(**query: str) -> list[str]:
        _, body, _ = await ask(web_client, "GET", "/v1/events", params=query)
        return [event["data"]["object"]["id"] for event in body["data"]]

    assert await found(delivery_success="false") == [lost_customer]
    assert len(await found(delivery_success="true")) == 1
    assert await found(**{"created[lte]": str(first)}) == [lost_customer]
    assert len(await found(**{"types[]": "customer.created"})) == 2
    assert await found(type="invoice.paid") == []
    stripe.advance(30 * DAY - 50)
    assert len(await found()) == 1


async def test_the_same_key_does_the_thing_once(stripe: StripeSimulator, web_client: aiohttp.ClientSession) -> None:
    async def create(key: str, name: str = "A") -> tuple[int, Record, Any]:
        return await ask(web_client, "POST", "/v1/customers", data={"name": name}, headers={"Idempotency-Key": key})

    _, first, headers = await create("k1")
    assert "Idempotent-Replayed" not in headers
    status, again, headers = await create("k1")
    assert (status, again, headers["Idempotent-Replayed"]) == (200, first, "true")
    status, other, _ = await create("k1", "B")
    assert (status, other["error"]["type"]) == (400, "idempotency_error")
    status, _, _ = await create("k" * 256)
    assert status == 400
    stripe.advance(DAY - 1)
    assert (await create("k1"))[1] == first
    stripe.advance(1)
    assert (await create("k1"))[1]["id"] != first["id"]
    created = [json.loads(event.body())["request"]["idempotency_key"] for event in stripe.events("customer.created")]
    assert created == ["k1", "k1"]


async def test_a_twin_in_flight_is_refused(stripe: StripeSimulator, web_client: aiohttp.ClientSession) -> None:
    stripe.fail_next("slow", delay_s=0.3, method="POST")
    begun = asyncio.Event()
    stripe.book.listeners.append(lambda _: begun.set())

    async def create() -> int:
        return (await ask(web_client, "POST", "/v1/customers", data={"name": "A"}, headers={"Idempotency-Key": "k"}))[0]

    slow = asyncio.create_task(create())
    await asyncio.wait_for(begun.wait(), 5)
    assert await create() == 409
    assert await slow == 200
    assert await create() == 200
    assert len(stripe.events("customer.created")) == 1


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [("rate_limit", 429, 0), ("server_error", 500, 0), ("error_after_commit", 500, 1), ("timeout", 0, 0),
     ("timeout_after_commit", 0, 1)],
)  # fmt: skip
async def test_faults_strike_before_or_after_the_work(
    stripe: StripeSimulator, web_client: aiohttp.ClientSession, kind: str, status: int, made: int
) -> None:
    stripe.fail_next(kind, delay_s=0.01, method="POST", path="/v1/customers")
    assert (await ask(web_client, "GET", "/v1/customers"))[0] == 200  # the fault waits for its own kind of request
    try:
        got, body, headers = await ask(
            web_client, "POST", "/v1/customers", data={"name": "A"}, headers={"Idempotency-Key": "k"}
        )
        assert got == status
        assert body["error"]["message"]
        assert ("Retry-After" in headers) == (status == 429)
    except aiohttp.ClientError:
        assert status == 0
    assert len(stripe.events("customer.created")) == made
    again, _, _ = await ask(web_client, "POST", "/v1/customers", data={"name": "A"}, headers={"Idempotency-Key": "k"})
    assert again == (500 if kind == "error_after_commit" else 200)  # Stripe replays its 500s too
    assert len(stripe.events("customer.created")) == 1


async def test_the_rate_limit_counts_a_sliding_second(
    stripe: StripeSimulator, web_client: aiohttp.ClientSession
) -> None:
    stripe.limit_requests(3)
    statuses = [(await ask(web_client, "GET", "/v1/customers"))[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    with pytest.raises(ValueError, match="A fault is one of"):
        stripe.fail_next("meteor")


async def test_what_it_does_not_know_is_refused(web_client: aiohttp.ClientSession) -> None:
    for method, path in (("GET", "/v1/quotes"), ("POST", "/v1/customers/cus_1/dance"), ("GET", "/v1/customers/cus_1")):
        status, body, _ = await ask(web_client, method, path)
        assert (status, body["error"]["type"]) == (404, "invalid_request_error")
    (one,) = await new_customers(web_client, 1)
    status, body, _ = await ask(web_client, "GET", f"/v1/customers/{one}", params={"expand[]": "email"})
    assert (status, body["error"]["param"]) == (400, "expand")


async def test_deliveries_arrive_in_the_order_they_are_released(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    stripe.hold_deliveries()
    await new_customers(web_client, 3)
    assert await stripe.drain() == 3
    assert receiver.got == []
    said = [event.id for event in stripe.events()]
    stripe.release_deliveries([said[1]], reverse=True)
    assert await stripe.drain() == 0
    assert receiver.ids == [said[1], said[2], said[0]]
    stripe.hold_deliveries()
    with pytest.raises(ValueError, match="not held"):
        stripe.release_deliveries(["evt_never"])


async def test_a_refused_delivery_comes_again_by_the_clock_and_in_the_end_no_more(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    receiver.status = lambda _: 500
    await new_customers(web_client, 1)
    (event,) = stripe.events()
    assert await stripe.drain() == 1
    for number, wait in enumerate(RETRY_AFTER_S, start=2):
        stripe.advance(wait - 1)
        await stripe.drain()
        assert len(receiver.got) == number - 1
        stripe.advance(1)
        await stripe.drain()
        assert len(receiver.got) == number
    assert sum(RETRY_AFTER_S) <= 3 * DAY
    stripe.advance(10 * DAY)
    await stripe.drain()
    assert len(receiver.got) == len(RETRY_AFTER_S) + 1
    assert (event.waiting, event.undelivered) == (set(), {stripe.attempts[0].endpoint_id})


async def test_pending_webhooks_fall_to_zero_and_retries_can_be_hurried(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    receiver.status = lambda _: 503
    await new_customers(web_client, 1)
    await stripe.drain()
    (event,) = stripe.events()
    assert event.as_object()["pending_webhooks"] == 1
    receiver.status = lambda _: 200
    stripe.deliveries.retry_now()
    await stripe.drain()
    assert event.as_object()["pending_webhooks"] == 0
    assert [attempt.status for attempt in stripe.attempts] == [503, 200]


async def test_delayed_deliveries_wait_for_the_clock(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    stripe.delay_deliveries(60)
    await new_customers(web_client, 1)
    stripe.advance(59)
    assert await stripe.drain() == 1
    stripe.advance(1)
    assert await stripe.drain() == 0
    assert len(receiver.got) == 1


async def test_a_rolling_secret_signs_with_both_until_the_overlap_ends(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    (endpoint,) = stripe.book.table("webhook_endpoint")
    stripe.roll_secret(endpoint, "whsec_two", overlap_s=100)
    await new_customers(web_client, 1)
    await stripe.drain()
    stripe.advance(100)
    await new_customers(web_client, 1)
    await stripe.drain()
    (_, body, both), (_, later_body, one) = receiver.got
    assert both == sign(body, stripe.now - 100, ("whsec_two", "whsec_one"))
    assert one == sign(later_body, stripe.now, ("whsec_two",))


async def test_a_storm_repeats_every_event_with_fresh_signatures(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    await new_customers(web_client, 5)
    await stripe.drain()
    stripe.advance(7)
    assert await stripe.redeliver_everything(4, concurrency=8) == 20
    assert len(receiver.got) == 25
    assert {header.split(",")[0] for _, _, header in receiver.got[5:]} == {f"t={stripe.now}"}
    assert {body for _, body, _ in receiver.got[5:]} == {body for _, body, _ in receiver.got[:5]}
    assert sum(attempt.repeat for attempt in stripe.attempts) == 20


async def test_an_endpoint_hears_only_what_it_asked_for_in_its_own_version(
    stripe: StripeSimulator, receiver: Receiver, web_client: aiohttp.ClientSession
) -> None:
    made = stripe.add_webhook(receiver.url, enabled_events=["product.created"], api_version=CURRENT)
    await ask(web_client, "POST", "/v1/products", data={"name": "P"})
    await new_customers(web_client, 1)
    await stripe.drain()
    versions = [json.loads(body)["api_version"] for _, body, _ in receiver.got]
    assert sorted(versions) == ["2024-04-10", "2024-04-10", CURRENT]
    assert made["secret"].startswith("whsec_")


async def test_a_played_past_is_read_and_not_delivered(stripe: StripeSimulator, receiver: Receiver) -> None:
    stripe.play_history(accounts=4, months=2, seed=3)
    await stripe.drain()
    assert receiver.got == []
    assert len(stripe.book.table("customer")) == 4
    assert not any(event.undelivered for event in stripe.events())
    stripe.play_history(accounts=1, months=1, seed=4, deliver=True)
    await stripe.drain()
    assert receiver.got


async def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await StripeSimulator().start("0.0.0.0")  # noqa: S104 - the refusal is what is tested


async def test_controls_over_http_say_what_went_wrong(
    stripe: StripeSimulator, web_client: aiohttp.ClientSession
) -> None:
    assert (await ask(web_client, "POST", "/_sim/advance", json={"seconds": 5}))[1] == {"now": stripe.now}
    status, body, _ = await ask(web_client, "POST", "/_sim/dispute", json={"charge": "ch_no"})
    assert (status, body["error"]) == (404, "No such charge: 'ch_no'")
    assert (await ask(web_client, "POST", "/_sim/dance"))[0] == 404
    assert (await ask(web_client, "POST", "/_sim/advance", json={}))[0] == 400
    (customer,) = await new_customers(web_client, 1)
    await ask(web_client, "POST", "/_sim/card", json={"customer": customer, "failing": True})
    assert stripe.book.private_of(customer)["failing"]


@pytest.mark.subprocess
def test_it_runs_as_its_own_process() -> None:
    command = [sys.executable, "-m", "accordant.connectors.stripe.simulator", "--seed", "9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()

            async def state() -> Record:
                async with aiohttp.ClientSession(url) as client:
                    return (await ask(client, "GET", "/_sim/state"))[1]

            assert asyncio.run(state())["events"] == 0
        finally:
            process.terminate()
