"""What the tests of Zendesk share: a stand-in whose administrator has made the fields of the mapping, and our half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from accordant.canonical.charter import FieldType
from accordant.canonical.targets import object_spec
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, Timeouts
from accordant.connectors.zendesk.connector import default_mappings, outbound
from accordant.connectors.zendesk.outbound import CUSTOM, ZendeskOutbound
from accordant.connectors.zendesk.simulator import AGENT, ZendeskSimulator

(MAPPING,) = default_mappings()
SPEC = object_spec(MAPPING)
LOOPBACK = AddressPolicy(allow_loopback=True)
BRISK = Timeouts(connect_s=2.0, silence_s=5.0, total_s=10.0)
#: What an administrator makes for each type of the mapping.
_KINDS = {FieldType.CURRENCY: "decimal", FieldType.DATE: "date", FieldType.TEXT: "text"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


async def at_once(_seconds: float) -> None:
    """How a client sleeps that waits for nothing: others get their turn."""
    await asyncio.sleep(0)


def prepare(simulator: ZendeskSimulator) -> None:
    """The fields that the shipped mapping names."""
    for name, part in MAPPING.fields.items():
        if not name.startswith(f"{CUSTOM}."):
            continue
        key = name.removeprefix(f"{CUSTOM}.")
        options = tuple(part.values.values()) if part.values else ()
        simulator.account.add_field(key, "dropdown" if options else _KINDS[part.type], *options)


def settings(url: str) -> dict[str, str]:
    """Those of a connection to a stand-in."""
    return {"url": url, "email": AGENT[0], "api_token": AGENT[1]}


@dataclass
class Desk:
    """A running stand-in, our outbound half beside it, and every call that passed between them."""

    simulator: ZendeskSimulator
    support: ZendeskOutbound
    clock: Clock
    calls: list[Exchange] = field(default_factory=list)


@asynccontextmanager
async def a_desk(**limits: Any) -> AsyncIterator[Desk]:
    """A stand-in with the fields of the mapping, and a connection of ours."""
    clock = Clock()
    simulator = ZendeskSimulator(now=clock, **limits)
    prepare(simulator)
    url = await simulator.start()
    calls: list[Exchange] = []
    support = outbound(
        settings(url),
        clock,
        rate_per_s=1_000,
        addresses=LOOPBACK,
        timeouts=BRISK,
        recorder=calls.append,
        sleep=at_once,
    )
    try:
        yield Desk(simulator, support, clock, calls)
    finally:
        await support.close()
        await simulator.stop()


def facts(name: str = "Acme", **more: Any) -> dict[str, Any]:
    """What is wanted of an organization, in the mapping's fields."""
    given = {
        "billing_status": "billing_active",
        "billing_plan": "Pro",
        "billing_mrr": "49.50",
        "billing_currency": "EUR",
        "billing_next_renewal": "2026-04-01",
        "payment_risk": "risk_low",
    } | more
    return dict.fromkeys(SPEC.fields) | {"name": name} | {f"{CUSTOM}.{key}": value for key, value in given.items()}
