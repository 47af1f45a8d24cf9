"""A company whose books are posted into an ERP, for the stories of each: from signed events to its documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.refs import ExternalRef
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import START_AT
from accordant.demo.company import environment, prepare_org, write_charter
from accordant.kernel.hashing import digest
from accordant.ports.connector import EventLister
from accordant.ports.inbox import Arrival, Proof
from accordant.settings import Settings
from accordant.store.schema import entity, journal_line, write_intent
from tests.connectors.ledger_kit import RECEIVABLE
from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.kit import HandClock, Installation

DAY = 86_400
ROUNDS_MAX = 60
ALWAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
_OWNERSHIP = """\
  - entity: ledger_document
    system_of_record: stripe
    readers: [{name}]
    purpose: What billing says is posted in the ERP, which closes the books.
"""
_FLOWS = """\
  - {{name: parties, entity: account, source: stripe, target: {name}, phase: controlled, write_fields: all,
     verify: The customer in the ERP.}}
  - {{name: bills, entity: ledger_document, source: stripe, target: {name}, object: {bills}, phase: controlled,
     write_fields: all, documents: [invoice, credit_note], verify: The invoice in the ERP.}}
  - {{name: entries, entity: ledger_document, source: stripe, target: {name}, object: {entries}, phase: controlled,
     write_fields: all, documents: [payment, journal_entry, reversal], verify: The entry in the ERP.}}
"""


@dataclass(frozen=True)
class Erp:
    """How an ERP stands in the charter: its name there, its system in YAML, the objects of its documents."""

    name: str
    system: str
    bills: str
    entries: str
    variables: Mapping[str, str]


@dataclass(kw_only=True)
class Company(Installation):
    """An installation with an ERP behind it."""

    erp: Erp

    async def post(self) -> None:
        """Everything said is stored, decided, and written to the ERP."""
        self.take_in()
        for _ in range(ROUNDS_MAX):
            self.process()
            self.clock.move(seconds=3)
            if await self.hub.reread_round() == 0:
                break
        for _ in range(ROUNDS_MAX):
            if await self.hub.deliver_round(self.erp.name) == 0:
                if all(row.state in {"dead", "pending"} for row in self.left()):
                    return
                self.clock.move(minutes=3)  # a slow machine lost an answer: it is looked for after a while
        raise AssertionError("the courier did not come to rest")

    def left(self) -> list[Any]:
        """Intents for the ERP that are not through."""
        done = ("applied", "already_applied", "superseded")
        row = write_intent.c
        query = select(row.object, row.record, row.state, row.reason).where(
            row.target == self.erp.name, row.state.not_in(done)
        )
        with self.hub.database.read() as connection:
            return list(connection.execute(query))


@asynccontextmanager
async def a_company(
    erp: Erp, folder: Path, *, seed: int = 7, store: str = "", edit: Callable[[Path], None] | None = None
) -> AsyncIterator[Company]:
    """The demo company with books in euros and an ERP; ``store`` is a file of its own where none is given.

    ``edit`` may change the folder of the charter before it is read.
    """
    clock = HandClock(datetime.fromtimestamp(START_AT, UTC))
    async with AsyncExitStack() as stack:
        stripe, salesforce = StripeSimulator(seed=seed), SalesforceSimulator(now=clock)
        prepare_org(salesforce)
        urls = (await stripe.start(), await salesforce.start())
        stack.push_async_callback(stripe.stop)
        stack.push_async_callback(salesforce.stop)
        charter = _charter(folder, erp, *urls)
        if edit is not None:
            edit(charter)
        settings = Settings(
            home=folder / "home",
            charter=charter,
            store=store or f"sqlite:///{folder / 'store.db'}",
        )
        hub = Hub(settings, checked_charter(settings), environment={**environment(), **erp.variables}, clock=clock)
        stack.push_async_callback(hub.close)
        yield Company(hub, stripe, salesforce, clock, settings, erp=erp)


def _charter(folder: Path, erp: Erp, stripe_url: str, salesforce_url: str) -> Path:
    """The demo company's, with the ERP as a reader of its customers and as the place of its books."""
    charter = write_charter(folder / "charter", stripe_url=stripe_url, salesforce_url=salesforce_url)
    own = (charter / "accordant.yaml").read_text(encoding="utf-8")
    own = own.replace("readers: [salesforce]", f"readers: [salesforce, {erp.name}]", 1)
    ownership = _OWNERSHIP.format(name=erp.name)
    flows = _FLOWS.format(name=erp.name, bills=erp.bills, entries=erp.entries)
    for before, part in (("ownership:", erp.system), ("flows:", ownership), ("courier:", flows)):
        assert own.count(f"\n{before}\n") == 1
        own = own.replace(f"\n{before}\n", f"\n{part}{before}\n")
    (charter / "accordant.yaml").write_text(own, encoding="utf-8")
    (charter / "ledger.yaml").write_text(LEDGER.replace("USD", "EUR"), encoding="utf-8")
    return charter


def owed(one: Company) -> dict[str, int]:
    """What the books say each customer owes, in minor units, by the customer's own id."""
    line = journal_line
    query = select(line.c.party, func.sum(line.c.amount_minor)).where(line.c.account == RECEIVABLE)
    with one.hub.database.read() as connection:
        sums = connection.execute(query.group_by(line.c.party)).all()
    return {ExternalRef.parse(party).id: int(minor) for party, minor in sums}


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


async def receivables_come_back(one: Company) -> None:
    """What the ERP says each customer owes lands at the customer's own account, once however often it is asked."""
    lister, inbound = one.hub.readers[one.erp.name], one.hub.inbounds[one.erp.name]
    assert isinstance(lister, EventLister)
    for _ in range(2):
        async for page in lister.events(since=ALWAYS[0], until=ALWAYS[1]):
            arrivals = [
                Arrival(
                    connection=one.erp.name,
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
