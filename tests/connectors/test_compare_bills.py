"""Every bill at its source, in the hub, in its books and in a Xero at once: a unit planted at any of them is found."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from accordant.canonical.entities import Invoice, decode_entity, encode_entity
from accordant.kernel.money import Money
from accordant.operations.reconcile import Reconciliation
from accordant.ports.reconcile import Cause, DiscrepancyKind
from accordant.store.schema import entity, ledger_bill
from accordant.web.bill_walk import compare_bills_of
from tests.cli.kit import Terminal
from tests.connectors.ledger_story import Company, live_two_months
from tests.connectors.xero.test_story import a_company_on_xero


async def compared(one: Company) -> Reconciliation:
    one.clock.move(seconds=1)
    return await compare_bills_of(one.hub, "stripe", actor="Ada")


def told(found: Reconciliation) -> set[tuple[str, str | None, Cause]]:
    assert {each.kind for each in found.shown} <= {DiscrepancyKind.BILL}
    return {(each.record, each.field, each.cause) for each in found.shown}


def a_bill(one: Company) -> dict[str, Any]:
    """One that is paid, and was not corrected."""
    rows = one.stripe.account.book.table("invoice").values()
    return next(row for row in rows if row["status"] == "paid" and row["total"] > 0)


async def test_two_months_of_bills_agree_everywhere_and_what_is_on_its_way_is_no_finding(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, _):
        live_two_months(one)
        await one.post()
        found = await compared(one)
        assert found.shown == ()
        assert found.is_clean
        assert found.run.records == len(one.stripe.account.book.table("invoice"))
        one.stripe.advance(31 * 86_400)
        one.take_in()
        waiting = await compared(one)
        assert waiting.shown == ()
        assert waiting.in_flight > 0
        one.process()
        written = await compared(one)
        assert written.shown == ()
        assert written.in_flight > 0
        await one.post()
        assert (await compared(one)).in_flight == 0


async def test_a_unit_at_the_source_is_found_and_nothing_else(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, _):
        live_two_months(one)
        await one.post()
        row = a_bill(one)
        ref = f"stripe:invoice/{row['id']}"
        row["total"] += 1
        found = told(await compared(one))
        assert {name for name, _, _ in found} == {ref}
        assert {("source.total", Cause.SAID_OTHERWISE), ("source.total", Cause.NOT_ITS_SUM)} <= {
            (field, cause) for _, field, cause in found
        }
        row["total"] -= 1
        row["amount_remaining"] += 1
        found = told(await compared(one))
        assert {name for name, _, _ in found} == {ref}
        assert (ref, "source.open", Cause.SAID_OTHERWISE) in found
        assert (ref, "source.open", Cause.NOT_ITS_SUM) in found


async def test_a_unit_in_the_hub_or_its_books_is_found(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, _):
        live_two_months(one)
        await one.post()
        ref = f"stripe:invoice/{a_bill(one)['id']}"
        with one.hub.database.write_unaudited() as connection:
            kept = connection.execute(select(entity.c.state).where(entity.c.ref == ref)).scalar_one()
            bill = decode_entity(kept)
            assert isinstance(bill, Invoice)
            more = msgspec.structs.replace(bill, tax=Money((bill.tax.amount_minor if bill.tax else 0) + 1, "EUR"))
            connection.execute(update(entity).where(entity.c.ref == ref).values(state=encode_entity(more)))
        found = told(await compared(one))
        assert {(ref, "hub.tax", Cause.SAID_OTHERWISE), (ref, "hub.total", Cause.NOT_ITS_SUM)} <= found
        with one.hub.database.write_unaudited() as connection:
            connection.execute(update(entity).where(entity.c.ref == ref).values(state=kept))
            connection.execute(
                update(ledger_bill).where(ledger_bill.c.ref == ref).values(open_minor=1, open_books_minor=1)
            )
        found = told(await compared(one))
        assert {(ref, "books.open", Cause.SAID_OTHERWISE), (ref, "books.open", Cause.NOT_ITS_SUM)} <= found
        assert {name for name, _, _ in found} == {ref}


async def test_a_cent_by_hand_or_a_document_that_is_gone_at_the_erp_is_found(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        live_two_months(one)
        await one.post()
        ref = f"stripe:invoice/{a_bill(one)['id']}"
        with one.hub.database.read() as connection:
            key = connection.execute(select(ledger_bill.c.entry_id).where(ledger_bill.c.ref == ref)).scalar_one()
        row = next(row for row in simulator.books.tables["Invoices"].values() if row["InvoiceNumber"] == key)
        line = row["LineItems"][0]
        line["UnitAmount"] = Decimal(str(line["UnitAmount"])) + Decimal("0.01")
        line["LineAmount"] = Decimal(str(line["LineAmount"])) + Decimal("0.01")
        found = told(await compared(one))
        assert {name for name, _, _ in found} == {ref}
        assert any((field or "").startswith("erp.") for _, field, _ in found)
        simulator.books.tables["Invoices"] = {
            name: one for name, one in simulator.books.tables["Invoices"].items() if one is not row
        }
        assert told(await compared(one)) == {(ref, "erp.total", Cause.NOT_WRITTEN)}


async def test_the_command_tells_where_a_bill_is_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal(capsys, monkeypatch)
    async with a_company_on_xero(tmp_path) as (one, _):
        live_two_months(one)
        await one.post()
        terminal.use(one.settings)
        for name, value in one.erp.variables.items():
            monkeypatch.setenv(name, value)
        said = await terminal.ask("reconcile", "--bills", "stripe", "--json")
        assert (said.code, said.json["comparison"]["findings"]) == (0, [])
        row = a_bill(one)
        row["amount_remaining"] += 1
        said = await terminal.ask("reconcile", "--bills", "stripe", "--as", "Ada")
        assert said.code == 1
        assert "source.open" in " ".join(said.out.split())
        said = await terminal.ask("reconcile", "accounts", "--bills", "stripe")
        assert said.code == 2
        assert "Bills are compared by themselves" in said.err
