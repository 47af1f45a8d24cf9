"""What the tests of QuickBooks share: a stand-in with a chart of accounts and services, and our halves beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accordant.canonical.targets import object_spec
from accordant.connectors.quickbooks.connector import default_mappings, outbound
from accordant.connectors.quickbooks.outbound import QuickBooksOutbound
from accordant.connectors.quickbooks.simulator import CLIENT, REALM, QuickBooksSimulator
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, Timeouts
from tests.connectors.ledger_kit import BANK, CLEARING, COMPANY, DEFERRED, RECEIVABLE, REVENUE, TAX, put
from tests.connectors.xero.kit import Clock, at_once

CUSTOMER, BILL, ENTRY = (object_spec(mapping) for mapping in default_mappings())
LOOPBACK = AddressPolicy(allow_loopback=True)
BRISK = Timeouts(connect_s=2.0, silence_s=5.0, total_s=10.0)
OWED = "Accounts Receivable"


def chart(simulator: QuickBooksSimulator) -> None:
    """The accounts that the tests' documents name; all but those of money and exchange have a service."""
    for number, name, kind in (
        (RECEIVABLE, "Accounts receivable", OWED),
        (CLEARING, "Processor clearing", "Other Current Asset"),
        (BANK, "Bank", "Bank"),
        ("7000", "Exchange differences", "Other Expense"),
    ):
        simulator.books.add_account(number, name, kind)
    for number, name, kind in (
        (TAX, "Sales tax", "Other Current Liability"),
        (DEFERRED, "Deferred revenue", "Other Current Liability"),
        (REVENUE, "Revenue", "Income"),
        ("2450", "Customer balances", "Other Current Liability"),
        ("2460", "Refunds owed", "Other Current Liability"),
        ("4900", "Refunds and credits", "Income"),
    ):
        simulator.books.add_account(number, name, kind, service=True)


def settings(url: str, folder: Path, **more: str) -> dict[str, str]:
    """Those of a connection to a stand-in."""
    return {
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "realm_id": REALM,
        "company": COMPANY,
        "refresh_token": "refresh-0",
        "token_file": str(folder / "tokens.json"),
        "url": url,
        "login_url": url,
        **more,
    }


@dataclass
class Books:
    """A running stand-in, our outbound half beside it, and every call that passed between them."""

    simulator: QuickBooksSimulator
    erp: QuickBooksOutbound
    clock: Clock
    folder: Path
    calls: list[Exchange] = field(default_factory=list)

    async def a_customer(self, code: str, name: str = "") -> str:
        """A customer of a test's own."""
        await put(self.erp, CUSTOMER, code, {"name": name or f"Customer {code}", "email": f"{code}@example.com"})
        return code

    def rows(self, entity: str) -> list[dict[str, Any]]:
        """What the stand-in holds of an entity."""
        return list(self.simulator.books.tables[entity].values())

    def balance(self) -> dict[str, str]:
        """The stand-in's own trial balance."""
        return {code: f"{value:.2f}" for code, value in self.simulator.books.trial_balance().items()}

    def owed(self) -> dict[str, str]:
        """What each customer owes, by its display name."""
        customers = self.simulator.books.tables["Customer"]
        return {customers[one]["DisplayName"]: f"{value:.2f}" for one, value in self.simulator.books.owed().items()}


@asynccontextmanager
async def some_books(folder: Path, *, more: dict[str, str] | None = None, **limits: Any) -> AsyncIterator[Books]:
    """A stand-in with a chart, and a connection of ours."""
    clock = Clock()
    simulator = QuickBooksSimulator(now=clock, **limits)
    chart(simulator)
    url = await simulator.start()
    calls: list[Exchange] = []
    erp = outbound(
        settings(url, folder, **(more or {})),
        clock,
        rate_per_s=1_000,
        addresses=LOOPBACK,
        timeouts=BRISK,
        recorder=calls.append,
        sleep=at_once,
    )
    try:
        yield Books(simulator, erp, clock, folder, calls)
    finally:
        await erp.close()
        await simulator.stop()
