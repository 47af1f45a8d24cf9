"""What is sold, distributed from billing to the CRM, and every way in which the two come apart: on both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.integration.operations.kit import Installation, an_installation, recharter

KEY = "Billing_Product_Id__c"
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
