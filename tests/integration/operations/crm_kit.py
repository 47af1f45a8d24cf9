"""An installation that also listens to its CRM: the usual one, with the settings that say what is read there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from accordant.canonical.entities import Entity, decode_entity
from accordant.canonical.refs import EntityKind
from accordant.operations.sweep import SweepReport
from accordant.store import schema
from accordant.web.lookout import Lookout
from tests.connectors.salesforce.crm_kit import ADA, prepare_sales
from tests.integration.operations.kit import Installation, an_installation

_SECRET = "      client_secret: env:SALESFORCE_CLIENT_SECRET\n"
_LISTENS = """\
      listens_to: [Account, Contact, Opportunity]
      currency: USD
      billing_email_field: Billing_Email__c
      company_fields: [Segment__c]
      starts_on_field: Start__c
      term_months_field: Term__c
      price_field: Product2.Billing_Price_Id__c
"""


def listening(text: str) -> str:
    """The usual charter, of a company that reads its CRM."""
    assert _SECRET in text
    return text.replace(_SECRET, _SECRET + _LISTENS)


@asynccontextmanager
async def a_selling_company(
    store: str, folder: Path, *, edit: Callable[[str], str] = str, more: str = "", phase: str = "controlled"
) -> AsyncIterator[Installation]:
    """The installation after its first look at the CRM: what happens from here on is news."""
    async with an_installation(store, folder, phase=phase, more=more, edit=lambda text: edit(listening(text))) as one:
        prepare_sales(one.salesforce)
        await asked(one)
        yield one


async def asked(one: Installation) -> SweepReport:
    """A minute later the CRM is asked what changed, and all that was said is decided."""
    one.clock.move(minutes=1)
    report = await Lookout(one.hub).sweep("salesforce", actor="ada")
    await come_to_rest(one)
    return report


async def come_to_rest(one: Installation) -> None:
    """All that is stored is decided, and owners are asked where that takes it."""
    for _ in range(20):
        one.process()
        one.clock.move(seconds=3)
        if await one.hub.reread_round() == 0:
            return
    raise AssertionError("the owner is asked without end")


def company(one: Installation, name: str = "EXAMPLE-1", **values: Any) -> str:
    return one.salesforce.create("Account", ADA, **{"Name": name, **values})


def opportunity(one: Installation, company_id: str | None, stage: str = "Prospecting", **values: Any) -> str:
    if company_id is not None:
        values["AccountId"] = company_id
    return one.salesforce.create(
        "Opportunity", ADA, **{"Name": "Deal", "StageName": stage, "CloseDate": "2026-03-31", **values}
    )


def line(one: Installation, deal: str, price_id: str | None, *, code: str = "PRO", quantity: int = 1) -> str:
    product = one.salesforce.create("Product2", ADA, Name=code.title(), ProductCode=code, Billing_Price_Id__c=price_id)
    return one.salesforce.create(
        "OpportunityLineItem", ADA, OpportunityId=deal, Product2Id=product, Quantity=quantity, UnitPrice=100
    )


def held(one: Installation, kind: EntityKind) -> dict[str, Entity]:
    """What the hub holds of a kind, by the owner's id."""
    with one.hub.database.read() as connection:
        rows = connection.execute(select(schema.entity.c.state).where(schema.entity.c.kind == kind.value)).scalars()
        found = [decode_entity(state) for state in rows]
    return {entity.external_id: entity for entity in found}


def happened(one: Installation, event_type: str) -> int:
    """How often something happened in business."""
    table = schema.business_event
    with one.hub.database.read() as connection:
        return len(connection.execute(select(table.c.id).where(table.c.type == event_type)).all())


def rows(one: Installation, table: Any, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of every row of a table."""
    with one.hub.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(*(table.c[name] for name in names)))]
