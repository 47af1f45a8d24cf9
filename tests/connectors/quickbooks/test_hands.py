"""What people do in QuickBooks by hand is noticed by webhook and by sweep alike, once, and only of what is ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.connectors.quickbooks.customers import key_of
from accordant.connectors.quickbooks.simulator import QuickBooksSimulator
from tests.connectors import ledger_hands
from tests.connectors.ledger_hands import (
    WEBHOOK_KEY,
    Hands,
    Notice,
    at_work,
    heard,
    known,
    outcomes,
    swept,
)
from tests.connectors.ledger_story import Company
from tests.connectors.quickbooks.test_story import a_company_on_quickbooks


class QuickBooksHands(Hands):
    """Somebody at QuickBooks' screen; its notices come in either spelling."""

    def __init__(self, one: Company, simulator: QuickBooksSimulator, *, cloud: bool = True) -> None:
        super().__init__(one)
        self.simulator = simulator
        self.books = simulator.books
        self.cloud = cloud

    def paid_bill(self) -> str:
        return next(one for one, row in self.books.tables["Invoice"].items() if not row["Balance"])

    def move_revenue(self, bill: str, account: str) -> str:
        """Another service posts to another account; a line without a service is a sum."""
        items = self.books.tables["Item"]
        service = next(one for one, row in items.items() if row["Name"] == account)
        lines, was = [], ""
        for line in self.books.tables["Invoice"][bill]["Line"]:
            if "SalesItemLineDetail" in line:
                was = items[line["SalesItemLineDetail"]["ItemRef"]["value"]]["Name"]
                detail = {**line["SalesItemLineDetail"], "ItemRef": {"value": service}}
                line = {**line, "SalesItemLineDetail": detail}  # noqa: PLW2901  the row of the stand-in stays as it is
            lines.append(line)
        self.simulator.correct("Invoice", bill, Line=lines)
        return was

    def touch(self, bill: str, word: str) -> None:
        self.simulator.correct("Invoice", bill, EmailStatus=word)

    def take_payment_back(self) -> str:
        payment = next(iter(self.books.tables["Payment"]))
        self.books.delete("Payment", payment)
        return f"Payment,{payment}"

    def customer(self, customer: str) -> dict[str, Any]:
        rows = self.books.tables["Customer"].values()
        return next(row for row in rows if key_of(row) == customer and row["Active"])

    def rename(self, customer: str, name: str) -> None:
        self.simulator.correct("Customer", self.customer(customer)["Id"], DisplayName=f"{name} ({customer})")

    def name_of(self, customer: str) -> str:
        return str(self.customer(customer)["DisplayName"])

    def make_foreign_bill(self) -> str:
        customer = self.books.put("Customer", {"DisplayName": "A client of theirs"})
        item = next(iter(self.books.tables["Item"]))
        line = {
            "DetailType": "SalesItemLineDetail",
            "Amount": "80.00",
            "SalesItemLineDetail": {"ItemRef": {"value": item}},
        }
        bill = self.books.put(
            "Invoice",
            {
                "DocNumber": "1001",
                "TxnDate": "2024-01-01",
                "DueDate": "2024-01-31",
                "CustomerRef": {"value": customer["Id"]},
                "Line": [line],
            },
        )
        return str(bill["Id"])

    def bill_notice(self, *bills: str) -> Notice:
        changes = [("Invoice", one, "Update") for one in bills]
        return self.simulator.notice(WEBHOOK_KEY, *changes, cloud=self.cloud)

    def customer_notice(self, customer: str) -> Notice:
        change = ("Customer", self.customer(customer)["Id"], "Update")
        return self.simulator.notice(WEBHOOK_KEY, change, cloud=self.cloud)

    @property
    def made(self) -> Sequence[Any]:
        return self.books.made

    @property
    def calls(self) -> int:
        return len(self.simulator.calls)


@pytest.mark.parametrize(("by_webhook", "cloud"), [(True, True), (True, False), (False, True)])
async def test_an_edit_by_hand_is_told_once(tmp_path: Path, by_webhook: bool, cloud: bool) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        await ledger_hands.an_edit_is_told_once(QuickBooksHands(one, simulator, cloud=cloud), by_webhook=by_webhook)


async def test_a_payment_that_was_deleted_is_told_and_only_a_person_has_it_made_again(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        hands = QuickBooksHands(one, simulator)
        await ledger_hands.what_was_taken_back_is_told_and_stays_away(hands)
        assert "Somebody deleted this document at quickbooks" in known(one).flags[0].why
        assert known(one).conflicts == ()


@pytest.mark.parametrize("cloud", [True, False])
async def test_a_deletion_and_a_void_are_told_by_notices_too(store_url: str, tmp_path: Path, cloud: bool) -> None:
    async with a_company_on_quickbooks(tmp_path, store=store_url) as (one, simulator):
        hands = QuickBooksHands(one, simulator, cloud=cloud)
        await at_work(one)
        first, second = list(hands.books.tables["Payment"])[:2]
        hands.books.delete("Payment", first)
        hands.books.void("Payment", second)
        changes = (("Payment", first, "Delete"), ("Payment", second, "Void"))
        await heard(one, simulator.notice(WEBHOOK_KEY, *changes, cloud=cloud))
        found = known(one)
        assert {flag.target_id: flag.kind for flag in found.flags} == {
            f"Payment,{first}": RedFlagKind.UNSOURCED_CHANGE,
            f"Payment,{second}": RedFlagKind.UNSOURCED_CHANGE,
        }
        (conflict,) = found.conflicts
        assert (conflict.contested.field, conflict.contested.target.value) == ("state", "cancelled")
        assert "took this document back" in conflict.contested.ruling.sentence
        said = [reason for _, reason in outcomes(one, "notice")]
        assert any("Somebody deleted" in reason for reason in said)
        assert any(reason.startswith("Somebody took") for reason in said)
        await swept(one)
        assert known(one) == found


async def test_a_renamed_customer_gets_its_name_back(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        await ledger_hands.a_customer_is_given_his_name_back(QuickBooksHands(one, simulator))


async def test_nobody_else_s_document_is_ever_looked_at(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        await ledger_hands.nobody_else_s_is_ever_looked_at(QuickBooksHands(one, simulator))


async def test_forged_late_and_disordered_notices_change_nothing(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        await ledger_hands.forged_late_and_disordered_notices_change_nothing(QuickBooksHands(one, simulator))


@pytest.mark.parametrize("cloud", [True, False])
async def test_a_customer_that_was_merged_away_is_a_question(tmp_path: Path, cloud: bool) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        hands = QuickBooksHands(one, simulator, cloud=cloud)
        customer = await at_work(one)
        loser = hands.customer(customer)["Id"]
        survivor = hands.books.put("Customer", {"DisplayName": "Their own card of the same company"})["Id"]
        simulator.merge(survivor, loser)
        made = list(hands.made)
        notice = simulator.notice(WEBHOOK_KEY, ("Customer", survivor, "Merge"), cloud=cloud, merged=loser)
        await heard(one, notice)
        (question,) = known(one).questions
        assert b"Somebody deleted the Customer" in question
        await swept(one)
        assert len(known(one).questions) == 1
        assert hands.made == made


async def test_a_customer_whose_key_was_taken_off_gets_it_back(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        hands = QuickBooksHands(one, simulator)
        customer = await at_work(one)
        row = hands.customer(customer)
        name = row["DisplayName"]
        simulator.correct("Customer", row["Id"], DisplayName="Without a key")
        change = ("Customer", row["Id"], "Update")
        await heard(one, simulator.notice(WEBHOOK_KEY, change, cloud=True))
        assert hands.customer(customer)["Id"] == row["Id"]
        assert hands.name_of(customer) == name


async def test_more_changes_than_one_answer_holds_are_all_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):
        hands = QuickBooksHands(one, simulator)
        await at_work(one)
        bill = hands.paid_bill()
        hands.move_revenue(bill, "4000")
        one.clock.move(minutes=1)
        for row in hands.books.tables["Invoice"].values():
            if row["Id"] != bill:
                hands.books.touch(row)
        simulator.changes_max = 1
        monkeypatch.setattr("accordant.connectors.quickbooks.api.CHANGES_MAX", 1)
        await swept(one)
        assert known(one).fields == [("Invoice", "lines", "posted")]


async def test_an_invoice_whose_note_was_written_over_is_not_made_twice(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path) as (one, simulator):

        def write_over(bill: str) -> None:
            simulator.correct("Invoice", bill, PrivateNote="Ordered by telephone", DocNumber="PO-4711")

        hands = QuickBooksHands(one, simulator)
        await ledger_hands.a_bill_without_its_key_is_never_made_twice(hands, write_over)
