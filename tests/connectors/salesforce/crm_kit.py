"""What the tests of what comes in share: an org with a sales team in it, our reader beside it, and a clock for both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accordant.canonical.deals import Company, Contact, Opportunity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.observations import Interpreted, Observation
from accordant.connectors.salesforce.changes import SalesforceReader
from accordant.connectors.salesforce.connector import inbound, reader
from accordant.connectors.salesforce.inbound import SalesforceInbound
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.sdk.addresses import AddressPolicy
from tests.connectors.salesforce.stand_in import Clock

ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)
SETTINGS: dict[str, Any] = {
    "flow": "client_credentials",
    "client_id": "EXAMPLE-CLIENT",
    "client_secret": "EXAMPLE-SECRET",
    "listens_to": ("Account", "Contact", "Opportunity"),
    "currency": "EUR",
    "billing_email_field": "Billing_Email__c",
    "company_fields": ("Segment__c",),
    "starts_on_field": "Start__c",
    "term_months_field": "Term__c",
    "price_field": "Product2.Billing_Price_Id__c",
}
ADA = "ada@example.com"


def prepare_sales(simulator: SalesforceSimulator) -> None:
    """The fields that the settings name."""
    simulator.define_field("Account", "Billing_Email__c", "email", length=80)
    simulator.define_field("Account", "Segment__c", length=40)
    simulator.define_field("Opportunity", "Start__c", "date")
    simulator.define_field("Opportunity", "Term__c", "int")
    simulator.define_field("Product2", "Billing_Price_Id__c", length=64)


@dataclass
class SalesOrg:
    """A running stand-in, and what reads it."""

    simulator: SalesforceSimulator
    reader: SalesforceReader
    inbound: SalesforceInbound
    clock: Clock

    def move(self, **span: float) -> None:
        self.clock.now += timedelta(**span)

    def company(self, name: str = "EXAMPLE-1", **values: Any) -> str:
        return self.simulator.create("Account", ADA, Name=name, **values)

    def opportunity(self, company: str | None, name: str = "Deal", stage: str = "Prospecting", **values: Any) -> str:
        if company is not None:
            values["AccountId"] = company
        return self.simulator.create("Opportunity", ADA, Name=name, StageName=stage, CloseDate="2026-03-31", **values)

    def line(self, opportunity: str, code: str, quantity: int | Decimal = 1, price: int = 10) -> str:
        product = self.simulator.create("Product2", ADA, Name=code.title(), ProductCode=code)
        self.simulator.edit("Product2", product, "Billing_Price_Id__c", f"price_{code.lower()}", ADA)
        return self.simulator.create(
            "OpportunityLineItem",
            ADA,
            OpportunityId=opportunity,
            Product2Id=product,
            Quantity=quantity,
            UnitPrice=price,
        )

    async def bodies(self, since: datetime = ALWAYS, until: datetime | None = None) -> list[bytes]:
        """Every change of a span, newest first."""
        end = until or self.clock.now + timedelta(seconds=1)
        return [body for page in [page async for page in self.reader.events(since=since, until=end)] for body in page]

    async def seen(self, since: datetime = ALWAYS, until: datetime | None = None) -> list[Observation]:
        """What the CRM says of its own, newest first."""
        return [one for body in await self.bodies(since, until) for one in self.meaning(body).observations[:1]]

    async def happened(self) -> list[BusinessEvent]:
        return [one for body in await self.bodies() for one in self.meaning(body).business_events]

    def meaning(self, body: bytes) -> Interpreted:
        found = self.inbound.interpret(system="crm", body=body)
        assert isinstance(found, Interpreted), found
        return found

    async def the(self, record: str) -> Company | Contact | Opportunity:
        """One record as it was told last."""
        entity = next(one.entity for one in await self.seen() if one.ref.id == record)
        assert isinstance(entity, Company | Contact | Opportunity)
        return entity


@asynccontextmanager
async def a_sales_org(*, settings: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[SalesOrg]:
    """An org of sales people. ``options`` go to the stand-in, ``settings`` beside the usual ones."""
    clock = Clock()
    simulator = SalesforceSimulator(now=clock, **options)
    prepare_sales(simulator)
    url = await simulator.start()
    given = SETTINGS | {"instance_url": url} | (settings or {})
    made = reader(given, clock, system="crm", addresses=AddressPolicy(allow_loopback=True))
    try:
        yield SalesOrg(simulator, made, inbound(given), clock)
    finally:
        await made.close()
        await simulator.stop()
