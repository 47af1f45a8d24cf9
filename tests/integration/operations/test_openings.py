"""From a won opportunity to a customer and a subscription in billing: once, by a person's word, and never a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.operations.release import ReleaseOrder, ReleaseRefused
from accordant.store import schema
from accordant.views.why import why
from accordant.web.opener import release_opening
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.crm_kit import asked, line, opportunity, rows
from tests.integration.operations.kit import KEY, Installation
from tests.integration.operations.opening_kit import (
    a_price,
    an_opening_company,
    around,
    customers,
    deliver,
    let_go,
    sold,
    subscriptions,
    waiting,
    writes_to,
)


async def test_a_won_opportunity_opens_billing_once_and_its_echo_causes_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        buyer, deal = sold(one, price)
        await around(one)
        (customer,) = customers(one, buyer)
        assert (customer["name"], customer["email"]) == ("EXAMPLE-1", "bills@example.com")
        assert subscriptions(one, deal) == [], "a person has not released it"
        assert one.salesforce.record("Account", buyer)[KEY] == customer["id"], "billing knows whose it is"
        assert one.salesforce.count("Account") == 1, "and made no second record"

        found = waiting(one)["subscription"]
        assert {one.field: one.value for one in found.fields} == {
            "customer": buyer, "items": f"{price}:2", "description": "Deal", "collection_method": "send_invoice",
            "days_until_due": 30,
        }  # fmt: skip
        let_go(one, found)
        await around(one)
        (subscription,) = subscriptions(one, deal)
        assert subscription["customer"] == customer["id"]
        assert [(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]] == [(price, 2)]
        assert waiting(one) == {}

        before = (len(writes_to(one, "stripe")), one.writes())
        for _ in range(2):
            await around(one)
        assert (len(writes_to(one, "stripe")), one.writes()) == before, "it came back and caused nothing"
        assert len(customers(one, buyer)) == len(subscriptions(one, deal)) == 1
        told = why(one.hub.database, f"stripe:subscription/{subscription['id']}", "items")
        assert told is not None
        assert told.hops[0].applied
        assert [source for source, _ in told.hops[0].sources] == [f"salesforce:Opportunity/{deal}"]


async def test_what_was_not_shown_is_not_released(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        _, deal = sold(one, price)
        await around(one)
        seen = waiting(one)["subscription"]
        line(one, deal, price, code="MORE", quantity=5)
        await around(one)
        with pytest.raises(ReleaseRefused, match="has changed since you looked"):
            let_go(one, seen)
        now = waiting(one)["subscription"]
        let_go(one, now)
        one.salesforce.edit("Opportunity", deal, "Name", "Another deal", ADA)
        await asked(one)
        await deliver(one)
        assert subscriptions(one, deal) == [], "it changed again before it left, and waits again"
        let_go(one, waiting(one)["subscription"])
        await deliver(one)
        assert [found["description"] for found in subscriptions(one, deal)] == ["Another deal"]


async def test_what_is_open_is_billing_s_and_no_edit_of_sales_reaches_it(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        buyer, deal = sold(one, price)
        await around(one)
        let_go(one, waiting(one)["subscription"])
        await around(one)
        (before,) = subscriptions(one, deal)
        known = str(before["items"])
        one.salesforce.edit("Account", buyer, "Phone", "+49 30 2", ADA)
        one.salesforce.edit("Opportunity", deal, "StageName", "Closed Lost", ADA)
        line(one, deal, price, code="MORE", quantity=5)
        await around(one)
        (after,) = subscriptions(one, deal)
        assert str(after["items"]) == known
        assert customers(one, buyer)[0]["phone"] is None
        assert waiting(one) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stage": "Closed Lost"}, "The opportunity is not won."),
        ({"price": None}, "A line has no price in billing."),
    ],
)
async def test_a_condition_that_does_not_hold_is_told_and_cannot_be_released(
    store_url: str, tmp_path: Path, change: dict[str, str | None], said: str
) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = change["price"] if "price" in change else a_price(one)
        _, deal = sold(one, price, str(change.get("stage", "Closed Won")))
        await around(one)
        found = waiting(one)["subscription"]
        assert said in found.why
        with pytest.raises(ReleaseRefused, match=said):
            let_go(one, found)
        assert subscriptions(one, deal) == []


async def test_a_line_without_a_price_is_priced_by_the_charter(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path, seats="price_of_the_charter") as one:
        _, deal = sold(one, None)
        line(one, deal, None, code="SEATS", quantity=3)
        await around(one)
        assert "A line has no price in billing." in waiting(one)["subscription"].why
        first = one.salesforce.org.find("Opportunity", deal)
        for held in one.salesforce.org.records["OpportunityLineItem"].values():
            if held.values["ProductCode"] == "PRO" and held.values["OpportunityId"] == first.id:
                one.salesforce.delete("OpportunityLineItem", held.id, ADA)
        await around(one)
        found = {one.field: one.value for one in waiting(one)["subscription"].fields}
        assert found["items"] == "price_of_the_charter:3"


async def test_a_company_with_a_live_subscription_does_not_get_another(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        buyer, deal = sold(one, price)
        await around(one)
        let_go(one, waiting(one)["subscription"])
        await around(one)
        assert len(subscriptions(one, deal)) == 1
        second = opportunity(one, buyer, "Closed Won", Name="More")
        line(one, second, price)
        await around(one)
        assert "The company has a live subscription already." in waiting(one)["subscription"].why
        with pytest.raises(ReleaseRefused):
            let_go(one, waiting(one)["subscription"])
        await around(one)
        assert subscriptions(one, second) == []


async def test_billing_that_changed_between_release_and_dispatch_stops_it(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        buyer, deal = sold(one, price)
        await around(one)
        let_go(one, waiting(one)["subscription"])
        (customer,) = customers(one, buyer)
        one.stripe.account.billing.subscribe(customer, [(one.stripe.book.table("price")[price], 1)])
        one.take_in()
        one.process()
        await deliver(one)
        assert subscriptions(one, deal) == []
        assert "The company has a live subscription already." in waiting(one)["subscription"].why


async def test_a_customer_that_billing_has_already_gets_the_company_s_key_and_keeps_its_own_name(
    store_url: str, tmp_path: Path
) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        (known,) = one.sell(1)
        await around(one)
        record = one.salesforce.record("Account", known)["Id"]
        one.salesforce.edit("Account", record, "Billing_Email__c", "other@example.com", ADA)
        one.salesforce.edit("Account", record, "Industry", "Banking", ADA)
        opportunity(one, record, "Closed Won")
        await around(one)
        (customer,) = customers(one, record)
        assert customer["id"] == known, "no second customer was made"
        assert customer["name"] == "EXAMPLE-0"
        assert customer["email"] == "billing+0@example.com", "shared fields are billing's"
        assert customer["metadata"]["crm_industry"] == "Banking", "and the profile is sales'"
        one.salesforce.edit("Account", record, "Industry", "Finance", ADA)
        await around(one)
        assert customers(one, record)[0]["metadata"]["crm_industry"] == "Finance"
        before = one.writes()
        await around(one)
        assert one.writes() == before


async def test_a_crash_and_polls_that_come_twice_open_nothing_twice(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        price = a_price(one)
        buyer, deal = sold(one, price)
        await around(one)
        let_go(one, waiting(one)["subscription"])
        await dies_before_the_receipt(one, deal)
        one.clock.move(minutes=10)
        for _ in range(2):
            await around(one)
        assert len(customers(one, buyer)) == len(subscriptions(one, deal)) == 1
        assert waiting(one) == {}


async def test_billing_s_own_event_before_the_receipt_is_not_taken_for_a_subscription_that_stands_in_the_way(
    store_url: str, tmp_path: Path
) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        buyer, deal = sold(one, a_price(one))
        await around(one)
        let_go(one, waiting(one)["subscription"])
        await dies_before_the_receipt(one, deal)
        one.stripe.advance_to(int(one.clock().timestamp()))
        one.take_in()
        one.process()
        assert waiting(one) == {}, "what may be there already waits for nobody"
        one.clock.move(minutes=10)
        await around(one)
        assert len(customers(one, buyer)) == len(subscriptions(one, deal)) == 1
        assert "already_applied" in states(one, f"stripe:subscription/{deal}"), "and its receipt says so"


def states(one: Installation, record: str) -> set[str]:
    """Where the writes of one record ended."""
    table = schema.write_intent
    with one.hub.database.read() as connection:
        return set(connection.execute(select(table.c.state).where(table.c.record == record)).scalars())


async def dies_before_the_receipt(one: Installation, deal: str) -> None:
    """A process opens the subscription that was let go, and dies before it can keep what came of it."""
    outbox, settle = one.hub.outbox, one.hub.outbox.settle

    def lost(*told: Any, **more: Any) -> Any:
        if subscriptions(one, deal):
            raise ConnectionError("the process dies here")
        return settle(*told, **more)

    outbox.settle = lost  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await deliver(one)
    outbox.settle = settle  # type: ignore[method-assign]
    assert len(subscriptions(one, deal)) == 1


async def test_a_release_is_a_named_person_s_with_a_reason_and_in_the_trail(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        sold(one, a_price(one))
        await around(one)
        found = waiting(one)["subscription"]
        for actor, reason, said in (("", "Signed.", "Give your name"), ("ada", " ", "Give your reason")):
            with pytest.raises(ReleaseRefused, match=said):
                let_go(one, found, actor=actor, reason=reason)
        with pytest.raises(ReleaseRefused, match="Nothing of stripe:customer/x waits"):
            release_opening(one.hub, ReleaseOrder(record="stripe:customer/x", content="", actor="ada", reason="No."))
        let_go(one, found)
        kinds = [row for row in rows(one, schema.audit_entry, "kind", "actor", "subject") if row[1] == "ada"]
        assert ("operations.opening.released", "ada", found.record) in kinds
        with pytest.raises(ReleaseRefused, match="Nothing of"):
            let_go(one, msgspec.structs.replace(found))


async def test_what_billing_does_not_list_of_its_metadata_is_no_drift(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        assert (await one.hub.drift_round()).drift.get("stripe", ()) == ()
        buyer, _ = sold(one, a_price(one))
        await around(one)
        assert len(customers(one, buyer)) == 1
