"""What is sold, distributed from billing to the CRM, and every way in which the two come apart: on both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from accordant.canonical.books import Role
from accordant.views.catalog import catalog_drift
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.crm_kit import company, line, opportunity
from tests.integration.operations.kit import Installation, an_installation, recharter
from tests.integration.operations.opening_kit import (
    a_price,
    an_opening_company,
    around,
    let_go,
    sold,
    subscriptions,
    waiting,
)

_PRODUCTS = """\
flows:
  - name: products
    entity: product
    source: stripe
    target: salesforce
    phase: controlled
    write_fields: all
    verify: The list of products in Salesforce.
"""


@asynccontextmanager
async def a_catalog(store: str, folder: Path) -> AsyncIterator[Installation]:
    """The usual company, whose products flow too."""

    def edit(text: str) -> str:
        return text.replace("flows:\n", _PRODUCTS, 1)

    async with an_installation(store, folder, edit=edit) as one:
        yield one


def in_crm(one: Installation, product: dict[str, Any]) -> tuple[str, bool]:
    found = one.salesforce.record("Product2", str(product["id"]))
    return found["Name"], found["IsActive"]


def changed(one: Installation, product: dict[str, Any], **fields: Any) -> None:
    """Somebody changes a product in billing."""
    book = one.stripe.book
    book.change(product, "product.updated", updated=book.now, **fields)


async def test_a_product_is_distributed_renamed_archived_and_deleted_by_one_write_each(
    store_url: str, tmp_path: Path
) -> None:
    async with a_catalog(store_url, tmp_path) as one:
        product = one.stripe.account.create_product({"name": "Pro", "metadata": {}})
        await one.settle()
        assert in_crm(one, product) == ("Pro", True)
        for fields, told in (({"name": "Pro 2"}, ("Pro 2", True)), ({"active": False}, ("Pro 2", False))):
            changed(one, product, **fields)
            await one.settle()
            assert in_crm(one, product) == told
        writes = one.writes()
        assert writes == 3
        changed(one, product, active=True)
        one.stripe.book.say("product.deleted", product)
        await one.settle()
        assert in_crm(one, product) == ("Pro 2", False), "what is deleted in billing stays, and is not sold"
        assert one.hub.replan_accounts() == 1
        await one.settle()
        assert one.writes() == writes, "on and off again between two rounds is no write, and neither is a replay"


async def test_a_product_changed_by_hand_in_the_crm_is_found_and_put_right(store_url: str, tmp_path: Path) -> None:
    async with a_catalog(store_url, tmp_path) as one:
        one.sell(2)
        await one.settle()
        (product,) = one.stripe.book.table("product").values()
        assert (await one.hub.reconcile("products", actor="ada")).is_clean
        one.salesforce.edit("Product2", str(product["id"]), "Name", "Professional", "carl@example.com")
        one.clock.move(seconds=1)
        found = await one.hub.reconcile("products", actor="ada")
        (edited,) = found.shown
        assert (edited.cause.value, edited.field, edited.expected, edited.actual) == (
            "hand_edit", "Name", "Pro", "Professional",
        )  # fmt: skip
        assert edited.record == f"salesforce:Product2/{product['id']}"
        assert "somebody changed Name there since" in edited.explanation
        done = one.hub.repair(found.run.id, actor="ada")
        assert (done.records, done.left) == (1, 0)
        await one.deliver()
        assert in_crm(one, product) == ("Pro", True)


async def test_products_that_are_older_than_their_flow_are_missed_and_brought_in(
    store_url: str, tmp_path: Path
) -> None:
    async with a_catalog(store_url, tmp_path) as one:
        flows = one.hub.charter.flows
        recharter(one.hub, [flow for flow in flows if flow.name != "products"])
        one.sell(1)
        await one.settle()
        assert one.salesforce.count("Product2") == 0
        recharter(one.hub, flows)
        found = await one.hub.reconcile("products", actor="ada")
        assert [(one.kind.value, one.cause.value) for one in found.shown] == [("missing_in_target", "not_planned")]
        one.hub.replan_accounts()
        await one.deliver()
        assert one.salesforce.count("Product2") == 1
        one.clock.move(seconds=1)
        assert (await one.hub.reconcile("products", actor="ada")).is_clean


def drift(one: Installation) -> list[tuple[str, str]]:
    """What disagrees about what is sold: where, and how much it weighs."""
    found = catalog_drift(one.hub.database, one.hub.charter, now=one.clock())
    assert all(finding.problem and finding.remedy for finding in found)
    return [(finding.where, finding.severity.value) for finding in found]


async def test_a_price_archived_in_billing_is_found_wherever_sales_still_sells_it(
    store_url: str, tmp_path: Path
) -> None:
    async with an_opening_company(store_url, tmp_path, seats="price_none") as one:
        assert drift(one) == [], "nothing was heard of billing's catalog yet"
        price = a_price(one)
        _, opened = sold(one, price)
        await around(one)
        let_go(one, waiting(one)["subscription"])
        await around(one)
        assert subscriptions(one, opened)
        mapped = next(at for at, flow in enumerate(one.hub.charter.flows) if flow.prices)
        here = f"flows[{mapped}].prices.SEATS"
        assert drift(one) == [(here, "error")], "the charter names a price that billing never had"

        buyer = company(one, "EXAMPLE-2")
        asking, lost = opportunity(one, buyer), opportunity(one, buyer)
        line(one, asking, price)
        line(one, lost, price)
        one.salesforce.edit("Opportunity", lost, "StageName", "Closed Lost", ADA)
        await around(one)
        assert drift(one) == [(here, "error")], "a quote at a price that is sold is in order"
        book = one.stripe.book
        book.change(book.get("price", price), "price.updated", active=False)
        await around(one)
        assert drift(one) == [(here, "error"), (f"salesforce:Opportunity/{asking}", "warning")]
        *_, quoted = catalog_drift(one.hub.database, one.hub.charter, now=one.clock())
        assert quoted.problem.startswith(f"{asking} would be opened"), "who is lost or open already is not among them"


async def test_products_that_cannot_be_posted_or_told_apart_are_found_before_their_first_bill(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        account = one.stripe.account
        first, second = (account.create_product({"name": name, "metadata": {}}) for name in ("Pro", "pro"))
        await one.settle()
        assert drift(one) == [(f"stripe:product/{max(first['id'], second['id'])}", "warning")]
        changed(one, second, active=False)
        await one.settle()
        assert drift(one) == []
        ledger = one.hub.charter.ledger
        assert ledger is not None
        (entity,) = ledger.legal_entities.values()
        rows = tuple(
            msgspec.structs.replace(row, product="prod_old") if row.role is Role.REVENUE else row
            for row in entity.rules
        )
        books = {"Example GmbH": msgspec.structs.replace(entity, rules=rows)}
        one.hub.charter = msgspec.structs.replace(
            one.hub.charter, ledger=msgspec.structs.replace(ledger, legal_entities=books)
        )
        at = next(at for at, row in enumerate(rows) if row.product)
        assert drift(one) == [
            (f"stripe:product/{first['id']}", "error"),
            (f"ledger.legal_entities.Example GmbH.rules[{at}].product", "warning"),
        ]
