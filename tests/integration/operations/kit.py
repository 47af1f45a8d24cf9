"""The real hub between two stand-ins, in one event loop, its rounds called one by one and its clock moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.charter import FlowPart
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import START_AT, SaidEvent
from accordant.connectors.stripe.simulator_versions import PINNED
from accordant.demo.company import environment, prepare_org, write_charter
from accordant.governance.phases import Tier
from accordant.kernel.hashing import digest
from accordant.pipeline.plan import write_rulebook
from accordant.ports.inbox import Arrival
from accordant.runtime.schedule import LEASE
from accordant.settings import Settings
from accordant.store.leases import Leases
from tests.connectors.salesforce.outbound_kit import at_once, connect

ROUNDS_MAX = 200
MRR = "Billing_MRR__c"
KEY = "Billing_Customer_Id__c"


class HandClock:
    """Stands still until it is moved; with a ``tick`` it goes on by that whenever somebody looks at it."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.tick = timedelta()

    def __call__(self) -> datetime:
        self.at += self.tick
        return self.at

    def move(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Installation:
    """A hub and the two systems it stands between."""

    hub: Hub
    stripe: StripeSimulator
    salesforce: SalesforceSimulator
    clock: HandClock
    settings: Settings
    _given: int = 0

    def sell(self, count: int, *, unit_minor: int = 10_000, currency: str = "usd") -> list[str]:
        """New customers, each with one monthly subscription; their ids."""
        account = self.stripe.account
        product = account.create_product({"name": "Pro", "metadata": {}})
        price = account.create_price(product, currency=currency, unit_amount=unit_minor, interval="month")
        ids = []
        for number in range(count):
            person = {"name": f"EXAMPLE-{number}", "email": f"billing+{number}@example.com", "metadata": {}}
            customer = account.create_customer(person, card=True)
            account.billing.subscribe(customer, [(price, 1)])
            ids.append(customer["id"])
        return ids

    def events(self) -> Iterator[SaidEvent]:
        """Events said since the last time."""
        said = self.stripe.events()
        yield from said[self._given :]
        self._given = len(said)

    def take_in(self) -> int:
        """Store what was said, as the door would; signatures are the door's own tests' business."""
        arrivals = [self.arrival(event.body()) for event in self.events()]
        self.hub.inbox.accept(arrivals)
        return len(arrivals)

    def arrival(self, body: bytes) -> Arrival:
        envelope = self.hub.inbounds["stripe"].read_envelope(body)
        return Arrival(
            connection="stripe",
            envelope=envelope,
            headers=b"{}",
            body=body,
            digest=digest(body),
            received_at=self.clock(),
        )

    def process(self) -> None:
        for _ in range(ROUNDS_MAX):
            if self.hub.process_round() == 0:
                return
        raise AssertionError("the rooms did not come to rest")

    async def deliver(self) -> None:
        for _ in range(ROUNDS_MAX):
            if await self.hub.deliver_round("salesforce") == 0:
                return
        raise AssertionError("the courier did not come to rest")

    async def settle(self) -> None:
        """Everything said is stored, decided and written."""
        self.take_in()
        for _ in range(ROUNDS_MAX):
            self.process()
            self.clock.move(seconds=3)
            if await self.hub.reread_round() == 0:
                break
        await self.deliver()

    def writes(self) -> int:
        """How many changes the org counted."""
        return sum(len(effects) for effects in self.salesforce.effects.values())


def leased_elsewhere(one: Installation, name: str) -> None:
    """Another process of this hub has just taken the lease, by the clock that leases run out by."""
    Leases(one.hub.database, "other", clock=one.hub.lease_clock).acquire(name, ttl=LEASE, now=one.clock())


def recharter(hub: Hub, flows: Sequence[FlowPart]) -> None:
    """Put the same charter in force with other flows; connections stay as they are."""
    hub.charter = msgspec.structs.replace(hub.charter, flows=tuple(flows))
    hub.rulebook = write_rulebook(hub.charter, dict.fromkeys(hub.charter.systems, Tier.GOLD))


@asynccontextmanager
async def an_installation(
    store: str,
    folder: Path,
    *,
    phase: str = "controlled",
    more: str = "",
    bills: bool = False,
    api_version: str = PINNED,
    edit: Callable[[str], str] = str,
) -> AsyncIterator[Installation]:
    """A hub on ``store``, wired as `accordant serve` wires it, from a charter folder; ``more`` is YAML beside it, and
    ``edit`` makes another charter of the usual text. ``bills``: invoices, payments and refunds flow too;
    ``api_version`` is that of the Stripe account.
    """
    clock = HandClock(datetime.fromtimestamp(START_AT, UTC))
    stripe = StripeSimulator(seed=7, api_version=api_version)
    salesforce = SalesforceSimulator(now=clock)
    prepare_org(salesforce)
    stripe_url, salesforce_url = await stripe.start(), await salesforce.start()
    home = folder / "home"
    write_charter(
        folder / "charter",
        stripe_url=stripe_url,
        salesforce_url=salesforce_url,
        phase=phase,
        rate_per_s=50,
        bills=bills,
    )
    written = folder / "charter" / "accordant.yaml"
    written.write_text(edit(written.read_text(encoding="utf-8")), encoding="utf-8")
    if more:
        (folder / "charter" / "more.yaml").write_text(more, encoding="utf-8")
    settings = Settings(home=home, charter=folder / "charter", store=store)
    hub = Hub(settings, checked_charter(settings), environment=environment(), clock=clock)
    one = Installation(hub, stripe, salesforce, clock, settings)
    try:
        yield one
    finally:
        # The hub of the last process: a test may have put another in the place of the first.
        await one.hub.close()
        await stripe.stop()
        await salesforce.stop()


@asynccontextmanager
async def brisk(store: str, folder: Path, **more: Any) -> AsyncIterator[Installation]:
    """An installation whose courier gives up on an answer after a second and does not sleep between its tries."""
    async with an_installation(store, folder, **more) as one:
        await one.hub.outbounds["salesforce"].close()
        quick: Any = connect(one.salesforce.url, sleep=at_once)
        one.hub.outbounds["salesforce"] = quick
        yield one
