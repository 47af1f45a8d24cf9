"""The stage of the demo: stand-ins, a receiver of alerts and the hub's own server, all on loopback, on one clock.

The hub is built as `accordant serve` builds it, from a charter folder; nothing between the three is a shortcut.
Next: `story.py`, what is played here.
"""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.demo.backstage import OpenWork, open_work, owes
from accordant.demo.company import (
    API_KEY,
    APP,
    WEBHOOK_SECRET,
    environment,
    let_sales_begin,
    prepare_org,
    write_charter,
)
from accordant.settings import Settings
from accordant.store.directory import SqlDirectory
from accordant.store.engine import Database
from accordant.web.server import HubServer

HOST = "127.0.0.1"
#: Connections the stand-in delivers over: more than one, as with the real thing, so order is never promised.
DELIVERY_CONCURRENCY = 4
SETTLE_SECONDS_MAX = 60.0
_LOOK_EVERY_S = 0.02
_FOLLOW_EVERY_S = 0.05
_OWED_AGAIN = timedelta(seconds=10)


class NotSettled(Exception):
    """The hub did not come to rest in time; the message says what is still open."""


class BillingRefused(Exception):
    """The billing stand-in said no; the message is its own."""


class StoryClock:
    """The one clock of the stage: it runs with real time and leaps where days pass in the story. Any thread may ask."""

    def __init__(self, starts_at: datetime) -> None:
        self._starts_at = starts_at
        self._began = time.monotonic()
        self._leapt = timedelta()

    def __call__(self) -> datetime:
        """The story's time, aware UTC."""
        return self._starts_at + self._leapt + timedelta(seconds=time.monotonic() - self._began)

    def unix(self) -> int:
        """The story's time as a Unix second."""
        return int(self().timestamp())

    def leap(self, span: timedelta) -> None:
        """Let time pass at once."""
        self._leapt += span


class AlertReceiver:
    """Takes what a Slack incoming webhook would take, and keeps the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        application = web.Application()
        application.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/alerts"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.texts.append((await request.json())["text"])
        return web.Response(text="ok")


class Stage:
    """What the story and the tests hold: the two systems, the hub between them, and the clock.

    ``database`` is the hub's, ``address`` its door and console; ``wake`` spares its loops their pauses.
    """

    hub: Hub
    server: HubServer
    api: aiohttp.ClientSession
    database: Database
    address: str

    def __init__(self, clock: StoryClock, stripe: StripeSimulator, salesforce: SalesforceSimulator) -> None:
        self.clock = clock
        self.stripe = stripe
        self.salesforce = salesforce
        self.alerts = AlertReceiver()
        self.wake: Callable[[], None] = lambda: None
        #: One look of the watch over lag; nothing where the hub is a process of its own.
        self.watch_lag: Callable[[], object] = lambda: None
        #: How revenue moved, counted as the hub does every hour; None where the hub is a process of its own.
        self.movement_round: Callable[[], object] | None = None

    async def open_billing(self) -> aiohttp.ClientSession:
        """Start the billing stand-in; the session calls its API, and whoever asked closes it."""
        await self.stripe.start()
        self.api = aiohttp.ClientSession(self.stripe.url, headers={"Authorization": f"Bearer {API_KEY}"})
        return self.api

    async def register_webhook(self) -> None:
        """Tell the billing stand-in where the door is. The charter names the secret first, so it is given here."""
        made = await self.ask(
            "POST", "webhook_endpoints", url=f"{self.address}/webhooks/stripe", **{"enabled_events[]": "*"}
        )
        self.stripe.deliveries.set_secret(made["id"], WEBHOOK_SECRET)

    async def ask(self, method: str, path: str, **form: str | int) -> dict[str, Any]:
        """One call to the billing system's API, as its own dashboard would make it. Raises: BillingRefused."""
        fields = {name: str(value) for name, value in form.items()}
        is_read = method == "GET"
        async with self.api.request(
            method, f"/v1/{path}", params=fields if is_read else None, data=None if is_read else fields
        ) as answer:
            body: dict[str, Any] = await answer.json()
        if answer.status >= 400:
            raise BillingRefused(f"The billing stand-in refused {method} {path}: {body['error']['message']}")
        return body

    async def list_all(self, path: str, **form: str | int) -> list[dict[str, Any]]:
        """Every object of a list, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.ask("GET", path, limit=100, **form)
            found += page["data"]
            if not page["has_more"]:
                return found
            form["starting_after"] = page["data"][-1]["id"]

    async def pass_days(self, days: int) -> None:
        """Let days pass for everybody, and wait until what happened in them has arrived."""
        await self.settled()
        # Day by day, as life does: each day's events arrive before the next day begins.
        for _ in range(days):
            self.clock.leap(timedelta(days=1))
            self.stripe.advance_to(self.clock.unix())
            await self.stripe.drain()
        await self.settled()

    async def count_movements(self) -> bool:
        """Have the hour's count of how revenue moved done now, and what it changes written; whether that can be had.

        Raises: NotSettled.
        """
        if self.movement_round is None:
            return False
        await asyncio.to_thread(self.movement_round)
        self.clock.leap(_OWED_AGAIN)  # a word is followed twice, and the audience need not sit through the pause

        def is_followed() -> bool:
            self.wake()
            return not owes(self.database)

        await self.until(is_followed, "what the count changes is decided")
        await self.settled()
        return True

    async def settled(self, timeout_s: float = SETTLE_SECONDS_MAX) -> OpenWork:
        """Wait until every delivery is answered and nothing is open but what waits behind a parked lane.

        Raises: NotSettled, with what is still open.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            # In this order: what is brought forward is tried before we look, or it would be on nobody's list.
            self.stripe.deliveries.retry_now()
            await self.stripe.drain()
            left = await asyncio.to_thread(open_work, self.database, today=self.clock().date())
            undelivered = len(self.stripe.deliveries.held_ids)
            if left.is_none and undelivered == 0:
                return left
            if time.monotonic() > deadline:
                raise NotSettled(f"After {timeout_s:.0f} s there is still open: {undelivered} deliveries, {left}.")
            self.wake()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def until(self, seen: Callable[[], bool], what: str, timeout_s: float = 20.0) -> float:
        """Wait until something can be seen; the seconds it took. Raises: NotSettled, naming what was waited for."""
        began = time.monotonic()
        while not seen():
            if time.monotonic() - began > timeout_s:
                left = await asyncio.to_thread(open_work, self.database)
                raise NotSettled(f"Waited {timeout_s:.0f} s in vain: {what}. Still open: {left}.")
            await asyncio.sleep(_LOOK_EVERY_S)
        return time.monotonic() - began


def free_port(wanted: int = 0) -> int:
    """A port nobody listens on just now: the wanted one if it is free, else any."""
    for candidate in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, candidate))
            port: int = probe.getsockname()[1]
            return port
    raise NotSettled(f"No port is free on {HOST}. Close a program that listens, and start the demo again.")


@asynccontextmanager
async def stage(
    *,
    store: str | None = None,
    home: Path | None = None,
    starts_at: datetime | None = None,
    port: int = 0,
    seed: int = 0,
) -> AsyncIterator[Stage]:
    """Start everything and take it down again. ``store`` None: SQLite in a folder that goes away with the stage."""
    clock = StoryClock(starts_at or system_clock())
    async with AsyncExitStack() as stack:
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accordant-demo-")))
        stripe = StripeSimulator(
            seed=seed,
            now=clock.unix(),
            api_key=API_KEY,
            signing_clock=clock.unix,
            delivery_concurrency=DELIVERY_CONCURRENCY,
        )
        salesforce = SalesforceSimulator(app=APP, now=clock)
        prepare_org(salesforce)
        let_sales_begin(salesforce)
        made = Stage(clock, stripe, salesforce)
        await stack.enter_async_context(await made.open_billing())
        stack.push_async_callback(stripe.stop)
        await salesforce.start()
        stack.push_async_callback(salesforce.stop)
        await made.alerts.start()
        stack.push_async_callback(made.alerts.stop)
        made.hub = await asyncio.to_thread(_build_hub, made, folder, store)
        made.server = HubServer(made.hub, host=HOST, port=free_port(port))
        made.database, made.wake = made.hub.database, made.server.wake
        made.watch_lag = made.server.caretaker.lag_round
        made.movement_round = made.server.caretaker.movement_round
        made.address = f"http://{HOST}:{made.server.port}"
        await made.server.start()
        stack.push_async_callback(made.server.stop)
        directory = SqlDirectory(made.database)
        await made.until(lambda: _is_read(directory), "the hub reads the Accounts that sales has")
        await made.register_webhook()
        stripe.follow_wall_clock(clock.unix, every_s=_FOLLOW_EVERY_S)
        yield made


def _is_read(directory: SqlDirectory) -> bool:
    scan = directory.scan("salesforce", "Account")
    return scan is not None and not scan.is_open


def _build_hub(made: Stage, folder: Path, store: str | None) -> Hub:
    charter = write_charter(
        folder / "charter",
        stripe_url=made.stripe.url,
        salesforce_url=made.salesforce.url,
        alerts=True,
        matching=True,
        bills=True,
        books=True,
    )
    settings = Settings(home=folder, charter=charter, store=store or f"sqlite:///{folder / 'store.db'}")
    return Hub(settings, checked_charter(settings), environment=environment(made.alerts.url), clock=made.clock)
