"""What a monitoring system sees of a running hub: figures without persons, health with reasons, one trace an event."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import islice
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from prometheus_client.parser import text_string_to_metric_families

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.canonical.correlation import correlation_id
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator_history import HistoryEvent, history
from accordant.demo.backstage import open_work
from accordant.demo.company import APP, WEBHOOK_SECRET, environment, prepare_org, write_charter
from accordant.demo.stage import HOST, free_port
from accordant.kernel.errors import TransientError
from accordant.settings import Settings
from accordant.web.server import HubServer
from tests.conftest import missing

pytestmark = pytest.mark.slow
EVENTS = 40
TOKEN = "a-long-random-token-for-figures"


class Collector:
    """A collector of traces that keeps what it is sent, and can be away."""

    def __init__(self) -> None:
        self.spans: list[SentSpan] = []
        self.is_away = False

    async def take(self, request: web.Request) -> web.Response:
        if self.is_away:
            return web.Response(status=400)
        sent = ExportTraceServiceRequest.FromString(await request.read())
        self.spans += [span for part in sent.resource_spans for scope in part.scope_spans for span in scope.spans]
        return web.Response(status=200)


class Watched:
    """A hub at work between two stand-ins, with a collector beside it."""

    def __init__(self, server: HubServer, collector: Collector, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.hub = server.hub
        self.collector = collector
        self.client = client

    async def deliver(self, events: list[HistoryEvent]) -> None:
        at = int(time.time())
        for event in events:
            signed = {"stripe-signature": event.signature(at, WEBHOOK_SECRET), "content-type": "application/json"}
            async with self.client.post("/webhooks/stripe", data=event.body, headers=signed) as answer:
                assert answer.status == 200
        deadline = time.monotonic() + 30
        while not open_work(self.hub.database).is_none:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def figures(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        async with self.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
            text = await answer.text()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        collector = Collector()
        application = web.Application()
        application.router.add_post("/v1/traces", collector.take)
        runner = web.AppRunner(application)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        collecting = free_port()
        await web.TCPSite(runner, HOST, collecting).start()
        salesforce = SalesforceSimulator(app=APP)
        prepare_org(salesforce)
        await salesforce.start()
        stack.push_async_callback(salesforce.stop)
        charter = write_charter(
            tmp_path / "charter", stripe_url=f"http://{HOST}:9", salesforce_url=salesforce.url, rate_per_s=200
        )
        settings = Settings(
            home=tmp_path, charter=charter, store=f"sqlite:///{tmp_path / 'store.db'}", metrics_token=TOKEN
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{HOST}:{collecting}")
        traced = {**environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{collecting}"}
        hub = Hub(settings, checked_charter(settings), environment=traced, clock=system_clock)
        server = HubServer(hub, host=HOST, port=free_port())
        await server.start()
        stack.push_async_callback(server.stop)
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://{HOST}:{server.port}"))
        yield Watched(server, collector, client)


def _customers(count: int) -> list[HistoryEvent]:
    told = (event for event in history(accounts=count, months=1, seed=11) if event.type == "customer.created")
    return list(islice(told, count))


async def test_the_figures_say_what_happened_and_name_nobody(watched: Watched) -> None:
    before = await watched.figures()
    events = _customers(EVENTS)
    await watched.deliver(events)
    taken = ("accordant_deliveries_total", (("connection", "stripe"), ("outcome", "new")))
    assert taken not in before
    async with asyncio.timeout(20):  # the youngest answers are counted a few seconds later
        while True:
            seen = await watched.figures()
            applied = seen.get(
                (
                    "accordant_writes_answered_total",
                    (("flow", "accounts"), ("outcome", "Applied"), ("target", "salesforce")),
                )
            )
            if applied == EVENTS:
                break
            await asyncio.sleep(0.5)
    assert seen[taken] == EVENTS
    assert seen["accordant_intake_committed_total", ()] == EVENTS
    assert 1 <= seen["accordant_intake_commits_total", ()] <= EVENTS
    assert seen["accordant_oldest_event_seconds", ()] == 0
    lag = ("accordant_flow_lag_seconds", (("flow", "accounts"), ("share", "0.95"), ("target", "salesforce")))
    assert seen[lag] > 0
    everything = json.dumps([(name, labels) for name, labels in seen])
    for event in events:
        customer = json.loads(event.body)["data"]["object"]
        for personal in (customer["email"], customer["name"], customer["id"], event.id):
            assert personal not in everything


async def test_prometheus_own_checker_takes_the_figures(watched: Watched) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Install it (Debian: apt-get install prometheus).")
    await watched.deliver(_customers(2))
    async with watched.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}) as answer:
        text = await answer.read()
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_a_collector_that_stays_away_takes_nobody_out_of_service(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces are looked at by people; whether deliveries are taken must not hang on whoever keeps them."""
    loops = {loop.name: loop for loop in watched.server._tasks}
    monkeypatch.setattr(loops["spans"], "failures", 50)
    assert watched.server.health(None).status == "ok"
    monkeypatch.setattr(loops["courier-salesforce"], "failures", 50)
    assert watched.server.health(None).problems == ("courier-salesforce failed 50 times in a row.",)


async def test_the_figures_are_for_those_who_have_the_token(watched: Watched) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        async with watched.client.get("/metrics", headers=headers) as answer:
            assert answer.status == 401
            assert "accordant_" not in await answer.text()


async def test_health_says_what_is_wrong(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched.client.get("/health/ready") as answer:
        assert (answer.status, (await answer.json())["problems"]) == (200, [])

    def fail() -> None:
        raise TransientError("The disk is full.")

    monkeypatch.setattr(watched.server, "probe", fail)
    async with watched.client.get("/health/ready") as answer:
        assert (answer.status, (await answer.json())["problems"]) == (503, ["The disk is full."])
    async with watched.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}) as answer:
        assert answer.status == 503
    async with watched.client.get("/health/live") as answer:
        assert answer.status == 200


async def test_one_event_is_one_trace_from_its_source_to_the_receipt(watched: Watched) -> None:
    watched.server.caretaker.span_round()  # whoever comes first remembers where to begin
    (event,) = _customers(1)
    await watched.deliver([event])
    watched.collector.is_away = True
    later = watched.hub.clock() + timedelta(seconds=5)
    watched.hub.clock = lambda: later
    with pytest.raises(TransientError, match="collector"):
        await asyncio.to_thread(watched.server.caretaker.span_round)
    watched.collector.is_away = False
    await asyncio.to_thread(watched.server.caretaker.span_round)
    spans = [span for span in watched.collector.spans if span.trace_id.hex() == correlation_id("stripe", event.id)]
    names = {span.name for span in spans}
    assert names == {
        "event customer.created",
        "stripe to door",
        "rooms",
        "write salesforce Account",
        "try 1 at salesforce",
    }
    (whole,) = [span for span in spans if not span.parent_span_id]
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if span is not whole:
            above = by_id[span.parent_span_id]
            assert above.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= above.end_time_unix_nano
    told = "".join(str(span) for span in spans)
    customer = json.loads(event.body)["data"]["object"]
    assert customer["email"] not in told
    assert customer["name"] not in told
