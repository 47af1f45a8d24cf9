"""What the tests of Xero share: a stand-in with a chart of accounts, and our halves beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from accordant.canonical.targets import object_spec
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, Timeouts
from accordant.connectors.xero.connector import default_mappings, outbound
from accordant.connectors.xero.outbound import XeroOutbound
from accordant.connectors.xero.simulator import CLIENT, TENANT, XeroSimulator
from tests.connectors.ledger_kit import BANK, CLEARING, COMPANY, DEFERRED, RECEIVABLE, REVENUE, TAX, put

CONTACT, BILL, ENTRY = (object_spec(mapping) for mapping in default_mappings())
LOOPBACK = AddressPolicy(allow_loopback=True)
BRISK = Timeouts(connect_s=2.0, silence_s=5.0, total_s=10.0)


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


def chart(simulator: XeroSimulator) -> None:
    """The accounts that the tests' documents name, and two that nobody may write a line to."""
    books = simulator.books
    books.add_account(RECEIVABLE, "Accounts receivable", "DEBTORS")
    books.add_account(CLEARING, "Processor clearing", payments=True)
    books.add_account(BANK, "Bank", "BANK")
    for code, name, kind in (
        (TAX, "Sales tax", "CURRLIAB"),
        (DEFERRED, "Deferred revenue", "CURRLIAB"),
        (REVENUE, "Revenue", "REVENUE"),
        ("2450", "Customer balances", "CURRLIAB"),
        ("2460", "Refunds owed", "CURRLIAB"),
        ("4900", "Refunds and credits", "REVENUE"),
        ("7000", "Exchange differences", "EXPENSE"),
    ):
        books.add_account(code, name, kind)


def settings(url: str, **more: str) -> dict[str, str]:
    """Those of a custom connection to a stand-in."""
    return {
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "tenant_id": TENANT,
        "company": COMPANY,
        "url": url,
        "login_url": url,
        **more,
    }


@dataclass
class Books:
    """A running stand-in, our outbound half beside it, and every call that passed between them."""

    simulator: XeroSimulator
    erp: XeroOutbound
    clock: Clock
    calls: list[Exchange] = field(default_factory=list)

    async def a_customer(self, code: str, name: str = "") -> str:
        """A customer of a test's own."""
        await put(self.erp, CONTACT, code, {"name": name or f"Customer {code}", "email": f"{code}@example.com"})
        return code

    def balance(self) -> dict[str, str]:
        """The stand-in's own trial balance."""
        return {code: f"{value:.2f}" for code, value in self.simulator.books.trial_balance().items()}


@asynccontextmanager
async def some_books(*, more: dict[str, str] | None = None, **limits: Any) -> AsyncIterator[Books]:
    """A stand-in with a chart, and a connection of ours."""
    clock = Clock()
    simulator = XeroSimulator(now=clock, **limits)
    chart(simulator)
    url = await simulator.start()
    calls: list[Exchange] = []
    erp = outbound(
        settings(url, **(more or {})),
        clock,
        rate_per_s=1_000,
        addresses=LOOPBACK,
        timeouts=BRISK,
        recorder=calls.append,
        sleep=at_once,
    )
    try:
        yield Books(simulator, erp, clock, calls)
    finally:
        await erp.close()
        await simulator.stop()
