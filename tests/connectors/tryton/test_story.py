"""From a signed event to a document in a real Tryton: its trial balance and receivables are those of the books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from accordant.bootstrap import Hub, checked_charter
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import START_AT
from accordant.connectors.tryton.rpc import Rpc
from accordant.demo.company import environment, prepare_org, write_charter
from accordant.kernel.hashing import digest
from accordant.ports.connector import EventLister
from accordant.ports.inbox import Arrival, Proof
from accordant.settings import Settings
from accordant.store.schema import entity, journal_line, write_intent
from tests.connectors.tryton.company import RECEIVABLE
from tests.connectors.tryton.kit import PARTY
from tests.connectors.tryton.server import PASSWORD, USER, Tryton
from tests.integration.operations.bookkit import LEDGER, balances, held
from tests.integration.operations.kit import HandClock, Installation

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
BOOKS = {"company": 1, "language": "en"}
DAY = 86_400
ROUNDS_MAX = 60
ALWAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
_SYSTEM = """\
  tryton:
    connector: tryton
    owner: Finance
    stand_in: true
    rate_per_s: 200
    settings: {{url: "{url}", database: {database}, user: {user}, password: env:TRYTON_PASSWORD}}
"""
_OWNERSHIP = """\
  - entity: ledger_document
    system_of_record: stripe
    readers: [tryton]
    purpose: What billing says is posted in Tryton, which closes the books.
"""
_FLOWS = """\
  - {name: parties, entity: account, source: stripe, target: tryton, phase: controlled, write_fields: all,
     verify: The party in Tryton.}
  - {name: bills, entity: ledger_document, source: stripe, target: tryton, object: account.invoice, phase: controlled,
     write_fields: all, documents: [invoice, credit_note], verify: The invoice in Tryton.}
  - {name: entries, entity: ledger_document, source: stripe, target: tryton, object: account.move, phase: controlled,
     write_fields: all, documents: [payment, journal_entry, reversal], verify: The move in Tryton.}
"""


@dataclass
class Company(Installation):
    """An installation with Tryton behind it."""

    async def post(self) -> None:
        """Everything said is stored, decided, and written to Tryton."""
        self.take_in()
        for _ in range(ROUNDS_MAX):
            self.process()
            self.clock.move(seconds=3)
            if await self.hub.reread_round() == 0:
                break
        for _ in range(ROUNDS_MAX):
            if await self.hub.deliver_round("tryton") == 0:
                if all(row.state in {"dead", "pending"} for row in self.left()):
                    return
                self.clock.move(minutes=3)  # a slow machine lost an answer: it is looked for after a while
        raise AssertionError("the courier did not come to rest")

    def left(self) -> list[Any]:
        """Intents for Tryton that are not through."""
        done = ("applied", "already_applied", "superseded")
        row = write_intent.c
        query = select(row.object, row.record, row.state, row.reason).where(
            row.target == "tryton", row.state.not_in(done)
        )
        with self.hub.database.read() as connection:
            return list(connection.execute(query))


@asynccontextmanager
async def a_company(tryton: Tryton, folder: Path, *, seed: int = 7) -> AsyncIterator[Company]:
    clock = HandClock(datetime.fromtimestamp(START_AT, UTC))
    async with AsyncExitStack() as stack:
        stripe, salesforce = StripeSimulator(seed=seed), SalesforceSimulator(now=clock)
        prepare_org(salesforce)
        urls = (await stripe.start(), await salesforce.start())
        stack.push_async_callback(stripe.stop)
        stack.push_async_callback(salesforce.stop)
        settings = Settings(
            home=folder / "home", charter=_charter(folder, tryton, *urls), store=f"sqlite:///{folder / 'store.db'}"
        )
        variables = environment() | {"TRYTON_PASSWORD": PASSWORD}
        hub = Hub(settings, checked_charter(settings), environment=variables, clock=clock)
        stack.push_async_callback(hub.close)
        yield Company(hub, stripe, salesforce, clock, settings)


def _charter(folder: Path, tryton: Tryton, stripe_url: str, salesforce_url: str) -> Path:
    """The demo company's, with Tryton as a reader of its customers and as the place of its books."""
    charter = write_charter(folder / "charter", stripe_url=stripe_url, salesforce_url=salesforce_url)
    own = (charter / "accordant.yaml").read_text(encoding="utf-8")
    own = own.replace("readers: [salesforce]", "readers: [salesforce, tryton]", 1)
    system = _SYSTEM.format(url=tryton.url, database=tryton.database, user=USER)
    for before, part in (("ownership:", system), ("flows:", _OWNERSHIP), ("courier:", _FLOWS)):
        assert own.count(f"\n{before}\n") == 1
        own = own.replace(f"\n{before}\n", f"\n{part}{before}\n")
    (charter / "accordant.yaml").write_text(own, encoding="utf-8")
    (charter / "ledger.yaml").write_text(LEDGER.replace("USD", "EUR"), encoding="utf-8")
    return charter


async def trial_balance(rpc: Rpc) -> dict[str, int]:
    """What Tryton has on its accounts, debits less credits, in cents; accounts at zero are left out."""
    fields = ["debit", "credit", "account.code", "move.state"]
    lines = await rpc.find("account.move.line", [], fields, context=BOOKS, limit=None)
    assert {line["move."]["state"] for line in lines} <= {"posted"}  # nothing at all in a new company
    found: dict[str, int] = {}
    for line in lines:
        code = line["account."]["code"]
        found[code] = found.get(code, 0) + int((line["debit"] - line["credit"]) * 100)
    return {code: minor for code, minor in found.items() if minor}


async def receivables(rpc: Rpc) -> dict[str, int]:
    """What Tryton says each customer owes, in cents, as of the last day."""
    parties = await rpc.find("party.party", [["code", "like", "cus_%"]], ["code", "receivable"], context=BOOKS)
    return {one["code"]: int(Decimal(one["receivable"]) * 100) for one in parties}


def owed(one: Company) -> dict[str, int]:
    """What the books say each customer owes, in minor units, by the customer's own id."""
    line = journal_line
    query = select(line.c.party, func.sum(line.c.amount_minor)).where(line.c.account == RECEIVABLE)
    with one.hub.database.read() as connection:
        return {party: int(minor) for party, minor in connection.execute(query.group_by(line.c.party))}


def live_two_months(one: Company) -> None:
    """Three customers in euros; one upgrades in mid-month, one gets half a bill back, one does not pay the second."""
    first, second, third = one.sell(3, currency="eur")
    account = one.stripe.account
    book = account.book

    def subscription(customer: str) -> Any:
        return next(s for s in book.table("subscription").values() if s["customer"] == customer)

    one.stripe.advance(12 * DAY)
    product = account.create_product({"name": "Max", "metadata": {}})
    dear = account.create_price(product, currency="eur", unit_amount=30_001, interval="month")
    running = subscription(first)
    account.billing.update(running, items=[{"id": running["items"]["data"][0]["id"], "price": dear["id"]}])
    charge = next(c for c in book.table("charge").values() if c["customer"] == second)
    account.payments.refund(charge, amount=5_000, given={})
    account.payments.set_card(third, failing=True)
    one.stripe.advance(21 * DAY)
    unpaid = [i for i in book.table("invoice").values() if i["customer"] == third and i["status"] == "open"]
    account.invoices.void(unpaid[0])
    one.stripe.advance(DAY)


async def test_the_books_and_those_of_tryton_are_equal_to_the_cent(tryton: Tryton, rpc: Rpc, tmp_path: Path) -> None:
    async with a_company(tryton, tmp_path) as one:
        live_two_months(one)
        await one.post()
        assert held(one.hub.database) == []
        assert one.left() == []
        books = balances(one.hub.database)
        assert sum(books.values()) == 0
        assert await trial_balance(rpc) == books
        told = await receivables(rpc)
        assert {party: minor for party, minor in told.items() if minor} == {p: m for p, m in owed(one).items() if m}
        invoices = await rpc.find("account.invoice", [["reference", "like", "jrn_%"]], ["state", "number"], limit=None)
        assert {row["state"] for row in invoices} >= {"paid", "cancelled"}
        assert all(row["number"] for row in invoices)
        await _receivables_come_back(one)
        # The same again changes nothing, there as here.
        await one.post()
        assert await trial_balance(rpc) == books


async def _receivables_come_back(one: Company) -> None:
    """What Tryton says each customer owes lands at the customer's own account, once however often it is asked."""
    lister, inbound = one.hub.readers["tryton"], one.hub.inbounds["tryton"]
    assert isinstance(lister, EventLister)
    for _ in range(2):
        async for page in lister.events(since=ALWAYS[0], until=ALWAYS[1]):
            arrivals = [
                Arrival(
                    connection="tryton",
                    envelope=inbound.read_envelope(body),
                    headers=b"{}",
                    body=body,
                    digest=digest(body),
                    received_at=one.clock(),
                    proof=Proof.FETCHED,
                )
                for body in page
            ]
            one.hub.inbox.accept(arrivals)
        one.process()
    with one.hub.database.read() as connection:
        rows = connection.execute(select(entity.c.root_id).where(entity.c.kind == "receivable")).all()
        accounts = connection.execute(select(entity.c.id).where(entity.c.kind == "account")).all()
    assert sorted(row.root_id for row in rows) == sorted(row.id for row in accounts)


async def test_a_month_closed_in_tryton_stops_the_document_with_its_name_and_leaves_nothing_behind(
    tryton: Tryton, rpc: Rpc, tmp_path: Path
) -> None:
    async with a_company(tryton, tmp_path, seed=8) as one:
        before = await trial_balance(rpc)
        month = await rpc.find("account.period", [["start_date", "=", date(2024, 1, 1)]], ["name"], context=BOOKS)
        await rpc.call("account.period", "close", [month[0]["id"]], context=BOOKS)
        one.sell(1, currency="eur")
        await one.post()
        stopped = [row for row in one.left() if row.object != PARTY.name]
        assert {row.state for row in stopped} >= {"dead"}
        assert any(month[0]["name"] in (row.reason or "") for row in stopped)
        assert await trial_balance(rpc) == before
        await rpc.call("account.period", "reopen", [month[0]["id"]], context=BOOKS)
