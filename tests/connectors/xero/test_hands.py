"""What people do in Xero by hand is noticed by webhook and by sweep alike, once, and only of what is ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accordant.connectors.xero.simulator import XeroSimulator
from tests.connectors import ledger_hands
from tests.connectors.ledger_hands import WEBHOOK_KEY, Hands, Notice, at_work, heard, known, swept
from tests.connectors.ledger_story import Company
from tests.connectors.xero.test_story import a_company_on_xero


class XeroHands(Hands):
    """Somebody at Xero's screen."""

    def __init__(self, one: Company, simulator: XeroSimulator) -> None:
        super().__init__(one)
        self.simulator = simulator
        self.books = simulator.books

    def paid_bill(self) -> str:
        return next(one for one, row in self.books.tables["Invoices"].items() if row["Status"] == "PAID")

    def move_revenue(self, bill: str, account: str) -> str:
        items = self.books.tables["Invoices"][bill]["LineItems"]
        moved = [{**item, "AccountCode": account} for item in items]
        self.simulator.correct("Invoices", bill, LineItems=moved)
        return str(items[0]["AccountCode"])

    def touch(self, bill: str, word: str) -> None:
        self.simulator.correct("Invoices", bill, Url=f"https://bills.example.com/{word}")

    def take_payment_back(self) -> str:
        payment = next(iter(self.books.tables["Payments"]))
        self.books.take_back("Payments", payment)
        return f"Payments,{payment}"

    def contact(self, customer: str) -> dict[str, Any]:
        rows = self.books.tables["Contacts"].values()
        return next(row for row in rows if row.get("ContactNumber") == customer and row["ContactStatus"] == "ACTIVE")

    def rename(self, customer: str, name: str) -> None:
        self.simulator.correct("Contacts", self.contact(customer)["ContactID"], Name=name)

    def name_of(self, customer: str) -> str:
        return str(self.contact(customer)["Name"])

    def make_foreign_bill(self) -> str:
        contact = self.books.put_contact({"Name": "A client of theirs", "ContactNumber": "C-1"})
        item = {"Description": "Hours", "UnitAmount": "80.00", "AccountCode": "4000"}
        bill = self.books.put_bill(
            "Invoices",
            {
                "Type": "ACCREC",
                "Contact": {"ContactID": contact["ContactID"]},
                "Date": "2024-01-01",
                "DueDate": "2024-01-31",
                "InvoiceNumber": "INV-0001",
                "Status": "AUTHORISED",
                "LineItems": [item],
            },
        )
        return str(bill["InvoiceID"])

    def bill_notice(self, *bills: str) -> Notice:
        return self.simulator.notice(WEBHOOK_KEY, *(("INVOICE", one, "UPDATE") for one in bills))

    def customer_notice(self, customer: str) -> Notice:
        return self.simulator.notice(WEBHOOK_KEY, ("CONTACT", self.contact(customer)["ContactID"], "UPDATE"))

    @property
    def made(self) -> Sequence[Any]:
        return self.books.made

    @property
    def calls(self) -> int:
        return len(self.simulator.calls)


@pytest.mark.parametrize("by_webhook", [True, False])
async def test_an_edit_by_hand_is_told_once(tmp_path: Path, by_webhook: bool) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        await ledger_hands.an_edit_is_told_once(XeroHands(one, simulator), by_webhook=by_webhook)


async def test_a_payment_that_was_taken_back_is_told_and_not_made_again(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        await ledger_hands.what_was_taken_back_is_told_and_stays_away(XeroHands(one, simulator))
        (conflict,) = known(one).conflicts
        assert (conflict.contested.field, conflict.contested.target.value) == ("state", "cancelled")
        assert "took this document back" in conflict.contested.ruling.sentence


async def test_a_renamed_contact_gets_its_name_back(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        await ledger_hands.a_customer_is_given_his_name_back(XeroHands(one, simulator))


async def test_nobody_else_s_document_is_ever_looked_at(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        await ledger_hands.nobody_else_s_is_ever_looked_at(XeroHands(one, simulator))


async def test_forged_late_and_disordered_notices_change_nothing(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        await ledger_hands.forged_late_and_disordered_notices_change_nothing(XeroHands(one, simulator))


async def test_a_contact_that_was_merged_is_followed(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        hands = XeroHands(one, simulator)
        customer = await at_work(one)
        loser = hands.contact(customer)["ContactID"]
        survivor = hands.books.put_contact({"Name": "Their own card of the same company"})["ContactID"]
        simulator.merge(survivor, loser)
        await heard(one, simulator.notice(WEBHOOK_KEY, ("CONTACT", loser, "UPDATE")))
        assert hands.contact(customer)["ContactID"] == survivor
        await swept(one)
        assert [one.contested.field for one in known(one).conflicts] == []


async def test_a_contact_that_was_archived_is_a_question(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        hands = XeroHands(one, simulator)
        customer = await at_work(one)
        made = list(hands.made)
        simulator.archive(hands.contact(customer)["ContactID"])
        await swept(one)
        (question,) = known(one).questions
        assert b"Somebody deleted the Contacts" in question
        assert hands.made == made


async def test_an_invoice_whose_number_was_written_over_is_not_made_twice(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):

        def write_over(bill: str) -> None:
            simulator.correct("Invoices", bill, InvoiceNumber="PO-4711")

        hands = XeroHands(one, simulator)
        await ledger_hands.a_bill_without_its_key_is_never_made_twice(hands, write_over)
