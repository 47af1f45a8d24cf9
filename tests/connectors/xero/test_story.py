"""Five weeks of bills, from a signed event to a document of Xero's: its books and ours are equal to the cent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.xero.connector import outbound, reader
from accordant.connectors.xero.simulator import CLIENT, TENANT, XeroSimulator
from accordant.operations.reconcile import Reconciliation
from tests.connectors.ledger_kit import BANK, COMPANY
from tests.connectors.ledger_story import Company, Erp, a_company, live_two_months, owed, receivables_come_back
from tests.connectors.xero.kit import chart, settings
from tests.integration.operations.bookkit import balances, held

_SYSTEM = """\
  xero:
    connector: xero
    owner: Finance
    stand_in: true
    rate_per_s: 1
    settings:
      url: "{url}"
      login_url: "{url}"
      client_id: {client}
      client_secret: env:XERO_SECRET
      tenant_id: {tenant}
      company: {company}
      webhook_secrets: env:XERO_WEBHOOK
"""


@asynccontextmanager
async def a_company_on_xero(
    folder: Path, *, seed: int = 7, edit: Callable[[Path], None] | None = None, **more: str
) -> AsyncIterator[tuple[Company, XeroSimulator]]:
    """The demo company with a Xero stand-in on the same clock, asked faster than the vendor lets anybody.

    ``edit`` may change the charter before it is read; ``more`` are further variables that it refers to.
    """
    clocks: list[Company] = []
    simulator = XeroSimulator(now=lambda: clocks[0].clock())  # noqa: PLW0108  there is no company yet
    chart(simulator)
    simulator.books.add_account(BANK, "Bank, matched by its feed", payments=True)
    url = await simulator.start()
    system = _SYSTEM.format(url=url, client=CLIENT[0], tenant=TENANT, company=COMPANY)
    variables = {"XERO_SECRET": CLIENT[1], "XERO_WEBHOOK": "a-webhook-key", **more}
    erp = Erp(name="xero", system=system, bills="Invoices", entries="ManualJournals", variables=variables)
    try:
        async with a_company(erp, folder, seed=seed, edit=edit) as one:
            clocks.append(one)
            given, addresses = settings(url), AddressPolicy(allow_loopback=True)
            await one.hub.outbounds["xero"].close()
            one.hub.outbounds["xero"] = outbound(given, one.clock, rate_per_s=1_000, addresses=addresses)
            await one.hub.readers["xero"].close()
            one.hub.readers["xero"] = reader(given, one.clock, system="xero", rate_per_s=1_000, addresses=addresses)
            yield one, simulator
    finally:
        await simulator.stop()


def trial_balance(simulator: XeroSimulator) -> dict[str, int]:
    """What the stand-in has on its accounts, debits less credits, in cents."""
    return {code: int(value * 100) for code, value in simulator.books.trial_balance().items()}


async def test_the_books_and_those_of_xero_are_equal_to_the_cent(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        live_two_months(one)
        await one.post()
        assert held(one.hub.database) == []
        assert one.left() == []
        books = balances(one.hub.database)
        assert sum(books.values()) == 0
        assert trial_balance(simulator) == books
        told = {party: int(value * 100) for party, value in simulator.books.owed().items()}
        assert {party: minor for party, minor in told.items() if minor} == {p: m for p, m in owed(one).items() if m}
        kinds = {name: len(rows) for name, rows in simulator.books.tables.items()}
        assert all(kinds[name] for name in ("Invoices", "CreditNotes", "Payments", "ManualJournals")), kinds
        await receivables_come_back(one)
        made = list(simulator.books.made)
        await one.post()
        assert simulator.books.made == made  # the same again changes nothing


async def compared(one: Company, flow: str) -> Reconciliation:
    one.clock.move(seconds=1)
    return await one.hub.reconcile(flow, actor="ada")


async def test_what_people_do_in_xero_is_found_by_comparing(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        one.sell(2, currency="eur")
        await one.post()
        for flow in ("bills", "entries"):
            assert (await compared(one, flow)).is_clean
        books = simulator.books
        payment = next(iter(books.tables["Payments"].values()))
        books.take_back("Payments", payment["PaymentID"])
        invoice = next(row for row in books.tables["Invoices"].values() if row["Status"] == "PAID")
        invoice["LineItems"][0]["AccountCode"] = "4000"
        bills, entries = [await compared(one, flow) for flow in ("bills", "entries")]
        assert [(one.record.rpartition("/")[2], one.field) for one in bills.shown] == [
            (invoice["InvoiceNumber"], "lines")
        ]
        assert {(one.record.rpartition("/")[2], one.field, one.actual) for one in entries.shown} == {
            (payment["Reference"].split(" ")[0], "state", "cancelled")
        }


async def test_a_locked_month_stops_the_document_with_its_day_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        simulator.lock(date(2030, 12, 31))
        one.sell(1, currency="eur")
        await one.post()
        stopped = [row for row in one.left() if row.object != "Contacts"]
        assert {row.state for row in stopped} >= {"dead"}
        assert any("2030-12-31" in (row.reason or "") for row in stopped)
        assert simulator.books.trial_balance() == {}
