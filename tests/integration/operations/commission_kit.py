"""A company that pays commissions: its books, its plan, deals that sales has won, and what customers pay on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select

from accordant.operations.bookkeeper import CommissionsCounted
from accordant.ports.commissions import KeptLine
from accordant.store import schema
from accordant.store.commissions import LINE, read_line
from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.crm_kit import a_selling_company
from tests.integration.operations.kit import Installation
from tests.integration.operations.opening_kit import (
    a_price,
    around,
    let_go,
    sold,
    subscriptions,
    waiting,
    written_flows,
)

COMPANY = "Example GmbH"
ACCOUNTS = {
    "1350": {"name": "Deferred commissions", "type": "asset"},
    "2350": {"name": "Commissions payable", "type": "liability"},
    "6200": {"name": "Commissions", "type": "expense"},
    "6100": {"name": "Processing fees", "type": "expense"},
}
ROWS = {
    "deferred_commission": "1350",
    "commissions_payable": "2350",
    "commission_expense": "6200",
    "processing_fees": "6100",
}
PLAN: dict[str, Any] = {
    "name": "direct",
    "legal_entity": COMPANY,
    "from_on": "2024-01-01",
    "counts": ["new", "expansion", "renewal"],
    "tiers": [{"above": "0", "percent": "8"}, {"above": "500", "percent": "12"}],
    "benefit_months": {"new": 36, "expansion": 36, "renewal": 12},
}


def with_commissions(text: str, *plans: dict[str, Any], people: dict[str, str] | None = None) -> str:
    """The charter with books and plans."""
    rules: dict[str, Any] = yaml.safe_load(text)
    rules |= yaml.safe_load(LEDGER)
    entity = rules["ledger"]["legal_entities"][COMPANY]
    entity["accounts"] |= ACCOUNTS
    entity["rules"] += [{"role": role, "account": account} for role, account in ROWS.items()]
    rules["commissions"] = {"crm": "salesforce", "plans": list(plans or (PLAN,)), "people": people or {}}
    return yaml.safe_dump(rules, sort_keys=False, allow_unicode=True)


@asynccontextmanager
async def a_paying_company(
    store: str, folder: Path, *plans: dict[str, Any], people: dict[str, str] | None = None
) -> AsyncIterator[Installation]:
    """The company that opens billing from won opportunities, with books and plans."""

    def edit(text: str) -> str:
        rules, more = yaml.safe_load(text), written_flows()
        more["flows"][1] |= {"trigger": "manual", "prices": {}}
        rules["flows"] += more["flows"]
        rules["identity"] = {"model": "b2b", "unmatched": "create"} | more["identity"]
        return with_commissions(yaml.safe_dump(rules, sort_keys=False, allow_unicode=True), *plans, people=people)

    async with a_selling_company(store, folder, edit=edit) as one:
        yield one


def lines(one: Installation) -> list[KeptLine]:
    """Every line, in the order of their events' days."""
    table = schema.commission_line
    with one.hub.database.read() as connection:
        rows = connection.execute(select(*(table.c[name] for name in LINE)))
        found = [read_line(tuple(row)) for row in rows]
    return sorted(found, key=lambda kept: (kept.line.happened_on, kept.line.amount_minor, kept.id))


def cash(one: Installation) -> list[tuple[Any, ...]]:
    """Kind, state, amount and reason of all that was collected or given back, in the order of days."""
    table = schema.commission_cash
    names = ("kind", "state", "gross_minor", "reason", "happened_on")
    with one.hub.database.read() as connection:
        rows = connection.execute(
            select(*(table.c[name] for name in names)).order_by(table.c.happened_on, table.c.kind)
        )
        return [tuple(row)[:4] for row in rows]


def sums(one: Installation) -> tuple[int, int]:
    """What all lines come to: collected, and commission."""
    found = [kept.line for kept in lines(one)]
    return sum(line.base_minor for line in found), sum(line.amount_minor for line in found)


async def won(one: Installation, *, unit_minor: int = 10_000, **values: Any) -> tuple[str, dict[str, Any]]:
    """A deal of two seats that was won and begun in billing; its id and its subscription, with a card to pay by."""
    _, deal = sold(one, a_price(one, unit_minor=unit_minor), **values)
    await around(one)
    let_go(one, waiting(one)["subscription"])
    await around(one)
    (subscription,) = subscriptions(one, deal)
    payments = one.stripe.account.payments
    customer = one.stripe.book.get("customer", subscription["customer"])
    payments.set_default(customer, payments.attach_card(customer)["id"])
    return deal, subscription


def bills(one: Installation, state: str = "open") -> list[dict[str, Any]]:
    """Billing's bills in a state, the oldest first."""
    held = one.stripe.book.table("invoice").values()
    return sorted((found for found in held if found["status"] == state), key=lambda found: found["created"])


async def pay(one: Installation) -> list[dict[str, Any]]:
    """Every open bill is paid by card, and what came of it is counted; the charges."""
    before = set(one.stripe.book.table("charge"))
    for bill in bills(one):
        one.stripe.account.invoices.pay(bill)
    await count(one)
    return [one.stripe.book.get("charge", name) for name in one.stripe.book.table("charge") if name not in before]


async def count(one: Installation) -> CommissionsCounted:
    """All that was said is decided, and what was collected is counted."""
    await around(one)
    one.hub.bookkeeper.catch_up()
    return one.hub.bookkeeper.count_commissions()


def owner_of(one: Installation, deal: str) -> str:
    """The CRM's id of who owns an opportunity."""
    return str(one.salesforce.record("Opportunity", deal)["OwnerId"])
