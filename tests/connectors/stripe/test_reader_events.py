"""The reader's lists of events and endpoints over HTTP, each request and answer judged by Stripe's specification."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from accordant.connectors.stripe.reader import StripeReader
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import EVENT_WINDOW_S
from accordant.testing.contracts import ContractJudge, load_specification
from tests.connectors.stripe.test_reader import KEY, create, make_reader


async def ids(reader: StripeReader, since: datetime, until: datetime, **narrow: str | bool) -> list[list[str]]:
    pages = reader.events(since=since, until=until, **narrow)  # type: ignore[arg-type]
    return [[json.loads(body)["id"] for body in page] async for page in pages]


async def test_lists_of_events_and_endpoints_keep_the_specification(contracts: Path) -> None:
    judge = ContractJudge(load_specification(contracts / "stripe" / "spec3-2024-04-10.json.gz"))
    async with StripeSimulator(api_key=KEY, middlewares=[judge.middleware]) as simulator:
        start = datetime.fromtimestamp(simulator.now, UTC)
        simulator.add_webhook("http://127.0.0.1:9/nobody", enabled_events=["customer.updated"])
        await create(simulator.url, "/v1/customers", 130, name="Customer {}")
        simulator.advance(60)
        later = datetime.fromtimestamp(simulator.now, UTC)
        await create(simulator.url, "/v1/products", 1, name="Pro")
        reader = make_reader(simulator.url)
        said = [event.id for event in simulator.events()]
        end = later + timedelta(seconds=1)
        assert [len(page) for page in await ids(reader, start, end)] == [100, 31]
        assert [name for page in await ids(reader, start, end) for name in page] == said[::-1]
        assert await ids(reader, start, later, event_type="product.created") == [], "the end is left out"
        assert await ids(reader, later, end, event_type="product.created") == [said[-1:]]
        assert await ids(reader, start, end, undelivered=True) == [], "nobody asked for these types"
        (endpoint,) = await reader.endpoints()
        assert (endpoint.is_enabled, endpoint.api_version) == (True, None)
        assert endpoint.event_types == {"customer.updated"}
        simulator.advance(EVENT_WINDOW_S + 1)
        assert await ids(reader, start, end) == [], "past the window nothing is listed"
        await reader.close()
        judge.verify()
