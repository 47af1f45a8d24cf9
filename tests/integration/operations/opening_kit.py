"""A company that opens billing from won opportunities: its charter, and what people and clocks do around it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select

from accordant.canonical.intents import IntentState
from accordant.operations.release import ReleaseOrder
from accordant.store import schema
from accordant.views.openings import WaitingOpening, waiting_openings
from accordant.web.opener import release_opening
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.crm_kit import a_selling_company, asked, company, line, opportunity
from tests.integration.operations.kit import ROUNDS_MAX, Installation

#: The charter of the how-to, as it stands there.
HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "open-billing-from-a-won-opportunity.md"


def written_flows() -> dict[str, Any]:
    """The flows and the identity part that the how-to gives."""
    blocks = re.findall(r"```yaml\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    found = [yaml.safe_load(block) for block in blocks]
    return next(block for block in found if "flows" in block)


CUSTOMER, CONTRACT = "crm_account_id", "crm_contract_id"


@asynccontextmanager
async def an_opening_company(
    store: str,
    folder: Path,
    *,
    subscriptions: str = "manual",
    seats: str = "price_none",
) -> AsyncIterator[Installation]:
    """The usual company, with the flows of the how-to; ``seats`` is billing's price for the product code SEATS."""

    def edit(text: str) -> str:
        rules, more = yaml.safe_load(text), written_flows()
        opened = more["flows"][1]
        opened["trigger"], opened["prices"] = subscriptions, {"SEATS": seats}
        rules["flows"] += more["flows"]
        rules["identity"] = {"model": "b2b", "unmatched": "create"} | more["identity"]
        return yaml.safe_dump(rules, sort_keys=False, allow_unicode=True)

    async with a_selling_company(store, folder, edit=edit) as one:
        yield one


def a_price(one: Installation, *, unit_minor: int = 10_000) -> str:
    """A monthly price of billing's; its id."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=unit_minor, interval="month")
    return str(price["id"])


def sold(one: Installation, price: str | None, stage: str = "Closed Won", **values: Any) -> tuple[str, str]:
    """A company with an opportunity of two seats; their ids."""
    given: dict[str, Any] = {"Billing_Email__c": "bills@example.com", "BillingCountry": "Germany"} | values
    buyer = company(one, **given)
    deal = opportunity(one, buyer, "Prospecting")
    line(one, deal, price, quantity=2)
    one.salesforce.edit("Opportunity", deal, "StageName", stage, ADA)
    return buyer, deal


async def deliver(one: Installation) -> None:
    """Everything that may go has gone, to both."""
    for _ in range(ROUNDS_MAX):
        one.clock.move(seconds=2)
        if await one.hub.deliver_round("stripe") + await one.hub.deliver_round("salesforce") == 0:
            return
    raise AssertionError("the courier did not come to rest")


async def around(one: Installation) -> None:
    """The CRM is asked, billing's events arrive, all is decided and sent; until nothing is new."""
    for _ in range(3):
        one.stripe.advance_to(int(one.clock().timestamp()))
        await asked(one)
        await one.hub.scan_directory("salesforce")
        await deliver(one)
        one.take_in()
        one.process()
        await deliver(one)


def waiting(one: Installation) -> dict[str, WaitingOpening]:
    """What waits to be opened, by object."""
    return {found.object: found for found in waiting_openings(one.hub.database, one.hub.charter).lines}


def let_go(one: Installation, found: WaitingOpening, *, actor: str = "ada", reason: str = "Signed today.") -> None:
    release_opening(one.hub, ReleaseOrder(record=found.record, content=found.content, actor=actor, reason=reason))


def customers(one: Installation, company_id: str) -> list[dict[str, Any]]:
    """Billing's customers that name a company."""
    held = one.stripe.book.table("customer").values()
    return [found for found in held if found["metadata"].get(CUSTOMER) == company_id]


def subscriptions(one: Installation, deal: str) -> list[dict[str, Any]]:
    """Billing's subscriptions that name an opportunity."""
    held = one.stripe.book.table("subscription").values()
    return [found for found in held if found["metadata"].get(CONTRACT) == deal]


def writes_to(one: Installation, target: str) -> list[tuple[str, str]]:
    """The intents that were carried out at one target, as (record, state)."""
    table = schema.write_intent
    query = select(table.c.record, table.c.state).where(
        table.c.target == target, table.c.state == IntentState.APPLIED.value
    )
    with one.hub.database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]
