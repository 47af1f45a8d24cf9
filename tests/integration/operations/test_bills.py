"""Invoices, payments and activities below an Account (requirements 87 to 89), through the real rooms on both stores.

What is compared with is the billing stand-in's own list of each, never what the hub says of it.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp

from accordant.canonical.review import ReviewAction
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.demo.company import API_KEY
from accordant.views.customer import BILLS_SHOWN
from accordant.views.customer import customer as customer_page
from tests.integration.operations.kit import KEY, Installation, an_installation
from tests.integration.operations.test_identity import customer as a_customer
from tests.integration.operations.test_review import decided, touch

BELOW = {
    "Billing_Subscription__c": ("Account__c", "Billing_Subscription_Id__c"),
    "Billing_Invoice__c": ("Account__c", "Billing_Invoice_Id__c"),
    "Billing_Payment__c": ("Account__c", "Billing_Payment_Id__c"),
}
HYBRID = "identity:\n  model: b2b\n  unmatched: create\n"


def reached(org: SalesforceSimulator, account: str) -> dict[str, set[str]]:
    """What a salesperson gets to from one Account, by its own links only: the owner's ids of everything below it."""
    found = {
        name: {str(row.values[key]) for row in org.org.live(org.org.object(name)) if row.values.get(link) == account}
        for name, (link, key) in BELOW.items()
    }
    about = [row.values for row in org.org.live(org.org.object("Task")) if row.values.get("WhatId") == account]
    found["Task"] = {str(one.get("Activity_Payment_Id__c") or one.get("Activity_Refund_Id__c")) for one in about}
    return found


def said(one: Installation, customer: str) -> dict[str, set[str]]:
    """What billing has of a customer: drafts are no bills, and a refund is of whoever was charged."""
    book = one.stripe.book
    mine = {
        name: [found for found in book.table(name).values() if found["customer"] == customer]
        for name in ("subscription", "invoice", "charge")
    }
    charges = {str(found["id"]) for found in mine["charge"]}
    refunds = {str(found["id"]) for found in book.table("refund").values() if found["charge"] in charges}
    return {
        "Billing_Subscription__c": {str(found["id"]) for found in mine["subscription"]},
        "Billing_Invoice__c": {str(found["id"]) for found in mine["invoice"] if found["status"] != "draft"},
        "Billing_Payment__c": charges,
        "Task": charges | refunds,
    }


def live(one: Installation, name: str) -> list[dict[str, object]]:
    return [dict(row.values) for row in one.salesforce.org.live(one.salesforce.org.object(name))]


def a_month(one: Installation) -> None:
    one.stripe.advance(33 * 86_400)
    one.clock.move(days=33)


async def test_everything_billed_and_collected_is_reached_from_its_account_and_nobody_elses(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, bills=True) as one:
        first, second = one.sell(2)
        await one.settle()
        one.stripe.account.payments.decline_next(second)
        a_month(one)
        await one.settle()
        (charge, *_) = [found for found in one.stripe.book.table("charge").values() if found["customer"] == first]
        one.stripe.account.payments.refund(charge, amount=2_500, given={})
        await one.settle()
        for customer in (first, second):
            account = str(one.salesforce.record("Account", customer)["Id"])
            assert reached(one.salesforce, account) == said(one, customer)
        assert len(said(one, first)["Task"]) > len(said(one, first)["Billing_Payment__c"])
        subjects = {str(task["Subject"]).partition(" of ")[0]: str(task["Subject"]) for task in live(one, "Task")}
        assert subjects.keys() == {"Payment", "Refund"}
        assert subjects["Refund"] == "Refund of 25.00 USD"
        assert any("failed (card_declined)" in str(task["Subject"]) for task in live(one, "Task"))
        assert {task["Status"] for task in live(one, "Task")} == {"Completed"}
        assert all(invoice["Line_Count__c"] == 1 for invoice in live(one, "Billing_Invoice__c"))
        assert all(": 100.00 USD" in str(invoice["Lines__c"]) for invoice in live(one, "Billing_Invoice__c"))


async def test_what_is_told_again_is_one_record_and_one_activity(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, bills=True) as one:
        (customer,) = one.sell(1)
        (charge,) = one.stripe.book.table("charge").values()
        one.stripe.account.payments.refund(charge, amount=None, given={})
        await one.settle()
        before, tasks = one.writes(), len(live(one, "Task"))
        assert tasks == 2
        one.hub.replan_accounts(whole=True)
        one.hub.inbox.accept([one.arrival(event.body()) for event in one.stripe.events()])
        one.process()
        await one.deliver()
        assert (one.writes(), len(live(one, "Task"))) == (before, tasks)
        for flow in one.hub.charter.flows:
            found = await one.hub.reconcile(flow.name, actor="ada")
            assert (flow.name, found.run.discrepancies) == (flow.name, 0)
        assert one.salesforce.record("Account", customer)


async def test_a_draft_is_no_bill_until_it_is_issued(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, bills=True) as one:
        (customer,) = one.sell(1)
        await one.settle()
        seen = len(live(one, "Billing_Invoice__c"))
        made = await commanded(one, "invoiceitems", customer=customer, amount=700, currency="usd", description="Set-up")
        assert made["customer"] == customer
        draft = await commanded(one, "invoices", customer=customer, pending_invoice_items_behavior="include")
        await one.settle()
        assert (draft["status"], len(live(one, "Billing_Invoice__c"))) == ("draft", seen)
        compared = await one.hub.reconcile("invoices", actor="ada")
        assert compared.run.discrepancies == 0, "a draft is not missing"
        await commanded(one, f"invoices/{draft['id']}/finalize")
        await one.settle()
        told = one.salesforce.record("Billing_Invoice__c", str(draft["id"]))
        assert str(told["Lines__c"]).startswith("Set-up")


async def commanded(one: Installation, path: str, **form: str | int) -> dict[str, object]:
    """A person's own call to billing."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession(one.stripe.url, headers=headers) as api:
        fields = {name: str(value) for name, value in form.items()}
        async with api.post(f"/v1/{path}", data=fields) as answer:
            body: dict[str, object] = await answer.json()
    assert answer.status == 200, body
    return body


async def test_what_came_while_a_customer_waited_for_a_person_comes_when_they_have_decided(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=HYBRID, bills=True) as one:
        mine, other = (one.salesforce.create("Account", Name=name, Website="x.example") for name in ("X GmbH", "X AG"))
        await one.hub.scan_directory("salesforce")
        customer = a_customer(one, "X", "ada@x.example")
        await one.settle()
        a_month(one)
        await one.settle()
        assert live(one, "Billing_Invoice__c") == []
        await decided(one, ReviewAction.ACCEPT, customer, mine)
        await one.deliver()
        assert one.salesforce.record("Account", mine)[KEY] == customer
        assert reached(one.salesforce, mine) == said(one, customer)
        assert len(said(one, customer)["Billing_Invoice__c"]) == 2
        assert reached(one.salesforce, other) == {name: set() for name in (*BELOW, "Task")}


async def test_a_customer_that_found_its_own_way_brings_along_what_was_billed_before(
    store_url: str, tmp_path: Path
) -> None:
    """Nobody decided: billing learned the mailbox that one of two Accounts has, and from then on it is known whose."""
    async with an_installation(store_url, tmp_path, more=HYBRID, bills=True) as one:
        mine, _ = (one.salesforce.create("Account", Name=name, Website="x.example") for name in ("X GmbH", "X AG"))
        one.salesforce.create("Contact", LastName="Ada", Email="billing@x.example", AccountId=mine)
        await one.hub.scan_directory("salesforce")
        customer = a_customer(one, "X", "ada@x.example")
        await one.settle()
        assert live(one, "Billing_Invoice__c") == []
        one.stripe.advance(60)
        one.clock.move(seconds=60)
        await commanded(one, f"customers/{customer}", email="billing@x.example")
        await one.settle()
        assert reached(one.salesforce, mine) == said(one, customer)


async def test_an_old_invoice_that_somebody_edits_is_put_right(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, bills=True) as one:
        (customer,) = one.sell(1)
        await one.settle()
        a_month(one)
        await one.settle()
        touch(one, customer, 2)
        await one.settle()
        oldest = min(live(one, "Billing_Invoice__c"), key=lambda found: str(found["Issued__c"]))
        key = str(oldest["Billing_Invoice_Id__c"])
        one.salesforce.edit("Billing_Invoice__c", key, "Total__c", 1, "sales@example.com")
        found = await one.hub.reconcile("invoices", actor="ada")
        assert found.run.discrepancies == 1
        one.hub.repair(found.run.id, actor="ada")
        await one.deliver()
        assert one.salesforce.record("Billing_Invoice__c", key)["Total__c"] == oldest["Total__c"]


async def test_the_page_of_an_old_customer_shows_what_is_not_right_and_the_latest(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, bills=True) as one:
        (name,) = one.sell(1)
        await one.settle()
        oldest = next(str(found["id"]) for found in one.stripe.book.table("charge").values())
        for _ in range(6):
            a_month(one)
            await one.settle()
        (account_id,) = one.hub.state.account_ids()
        told = customer_page(one.hub.database, account_id, now=one.clock())
        assert told is not None
        assert [record.object for record in told.records[:2]] == ["Account", "Billing_Subscription__c"]
        assert len(told.records) == 2 + BILLS_SHOWN
        assert told.more_records == sum(map(len, said(one, name).values())) - 1 - BILLS_SHOWN
        assert all(oldest != record.key for record in told.records)

        one.hub.pause("system:salesforce", "ada", "We look at it.")
        one.stripe.account.payments.refund(one.stripe.book.get("charge", oldest), amount=500, given={})
        await one.settle()
        told = customer_page(one.hub.database, account_id, now=one.clock())
        assert told is not None
        shown = {(record.object, record.key) for record in told.records if record.differing}
        assert ("Billing_Payment__c", oldest) in shown, "however old, what is not right is shown"
