"""Five weeks of bills, from a signed event to a document of QuickBooks's: its books and ours are equal to the cent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from accordant.connectors.quickbooks.connector import outbound, reader
from accordant.connectors.quickbooks.customers import key_of
from accordant.connectors.quickbooks.records import number_of
from accordant.connectors.quickbooks.simulator import CLIENT, REALM, QuickBooksSimulator
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.stripe.simulator_state import START_AT
from accordant.operations.reconcile import Reconciliation
from tests.connectors.ledger_kit import COMPANY
from tests.connectors.ledger_story import Company, Erp, a_company, live_two_months, owed, receivables_come_back
from tests.connectors.quickbooks.kit import chart, settings
from tests.integration.operations.bookkit import balances, held

_SYSTEM = """\
  quickbooks:
    connector: quickbooks
    owner: Finance
    stand_in: true
    rate_per_s: 8
    settings:
      url: "{url}"
      login_url: "{url}"
      client_id: {client}
      client_secret: env:QUICKBOOKS_SECRET
      realm_id: "{realm}"
      company: {company}
      refresh_token: env:QUICKBOOKS_REFRESH
      token_file: "{folder}/tokens.json"
      webhook_secrets: env:QUICKBOOKS_WEBHOOK
"""


@asynccontextmanager
async def a_company_on_quickbooks(
    folder: Path, *, seed: int = 7, store: str = "", edit: Callable[[Path], None] | None = None
) -> AsyncIterator[tuple[Company, QuickBooksSimulator]]:
    """The demo company with a QuickBooks stand-in on the same clock, asked faster than the vendor lets anybody."""
    clocks: list[Company] = []
    simulator = QuickBooksSimulator(now=lambda: clocks[0].clock() if clocks else datetime.fromtimestamp(START_AT, UTC))
    chart(simulator)
    url = await simulator.start()
    system = _SYSTEM.format(url=url, client=CLIENT[0], realm=REALM, folder=folder, company=COMPANY)
    variables = {"QUICKBOOKS_SECRET": CLIENT[1], "QUICKBOOKS_WEBHOOK": "a-key", "QUICKBOOKS_REFRESH": "refresh-0"}
    erp = Erp(name="quickbooks", system=system, bills="Invoice", entries="JournalEntry", variables=variables)
    try:
        async with a_company(erp, folder, seed=seed, store=store, edit=edit) as one:
            clocks.append(one)
            given, addresses = settings(url, folder), AddressPolicy(allow_loopback=True)
            await one.hub.outbounds["quickbooks"].close()
            one.hub.outbounds["quickbooks"] = outbound(given, one.clock, rate_per_s=1_000, addresses=addresses)
            await one.hub.readers["quickbooks"].close()
            one.hub.readers["quickbooks"] = reader(
                given, one.clock, system="quickbooks", rate_per_s=1_000, addresses=addresses
            )
            yield one, simulator
    finally:
        await simulator.stop()


def trial_balance(simulator: QuickBooksSimulator) -> dict[str, int]:
    """What the stand-in has on its accounts, debits less credits, in cents."""
    return {code: int(value * 100) for code, value in simulator.books.trial_balance().items()}


async def test_the_books_and_those_of_quickbooks_are_equal_to_the_cent(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        live_two_months(one)
        await one.post()
        assert held(one.hub.database) == []
        assert one.left() == []
        books = balances(one.hub.database)
        assert sum(books.values()) == 0
        assert trial_balance(simulator) == books
        customers = simulator.books.tables["Customer"]
        told = {key_of(customers[one]): int(value * 100) for one, value in simulator.books.owed().items()}
        assert {party: minor for party, minor in told.items() if minor} == {p: m for p, m in owed(one).items() if m}
        kinds = {name: len(rows) for name, rows in simulator.books.tables.items()}
        assert all(kinds[name] for name in ("Invoice", "CreditMemo", "Payment", "JournalEntry")), kinds
        await receivables_come_back(one)
        made = list(simulator.books.made)
        await one.post()
        assert simulator.books.made == made  # the same again changes nothing


async def compared(one: Company, flow: str) -> Reconciliation:
    one.clock.move(seconds=1)
    return await one.hub.reconcile(flow, actor="ada")


async def test_what_people_do_in_quickbooks_is_found_by_comparing(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        one.sell(2, currency="eur")
        await one.post()
        for flow in ("bills", "entries"):
            assert (await compared(one, flow)).is_clean
        books = simulator.books
        payment = next(iter(books.tables["Payment"].values()))
        books.delete("Payment", payment["Id"])
        invoice = next(row for row in books.tables["Invoice"].values() if not row["Balance"])
        invoice["Line"][0]["Description"] = "Something else"
        bills, entries = [await compared(one, flow) for flow in ("bills", "entries")]
        assert [(number_of(one.record.rpartition("/")[2]), one.field) for one in bills.shown] == [
            (invoice["DocNumber"], "lines")
        ]
        assert [(number_of(one.record.rpartition("/")[2]), one.kind.value) for one in entries.shown] == [
            (payment["PaymentRefNum"], "missing_in_target")
        ]


async def test_closed_books_stop_the_document_with_its_day_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        simulator.close_books(date(2030, 12, 31))
        one.sell(1, currency="eur")
        await one.post()
        stopped = [row for row in one.left() if row.object != "Customer"]
        assert {row.state for row in stopped} >= {"dead"}
        assert any("2030-12-31" in (row.reason or "") for row in stopped)
        assert simulator.books.trial_balance() == {}
