"""Tryton's own tax report has what the books have of each tax code, to the cent, and Tryton computes none of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from accordant.canonical.books import Role
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc
from tests.connectors.tryton.company import DEFERRED, RECEIVABLE, TAX
from tests.connectors.tryton.kit import (
    INVOICE,
    MOVE,
    a_customer,
    billed,
    connect,
    invoice,
    line,
    move,
    put,
    refusal,
    turned,
)
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.tax_report import RATES, Reported, keep_taxes, tax_report
from tests.connectors.tryton.test_documents import a_draft

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
BOOKS = {"company": 1, "language": "en"}


@pytest.fixture
async def erp(tryton: Tryton, rpc: Rpc) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton)
    if not await rpc.find("account.tax", [["name", "in", list(RATES)]], ["name"]):
        await keep_taxes(rpc)
    yield made
    await made.close()


async def report(rpc: Rpc, day: date) -> dict[str, Reported]:
    period = await rpc.find("account.period", [["start_date", "=", day.replace(day=1)]], ["name"], context=BOOKS)
    return await tax_report(rpc, [period[0]["id"]])


async def test_a_bill_that_rounds_its_tax_elsewhere_is_reported_as_it_was_billed(erp: TrytonOutbound, rpc: Rpc) -> None:
    """19 % of 49.00 are 9.31. Billing rounded three lines and said 9.32: that is owed, and that is returned."""
    party, day = await a_customer(erp, "cus_tax"), date(2026, 2, 5)
    held = await put(erp, INVOICE, "jrn_tax", invoice(billed(party, "49.00", "9.32"), party=party, day=day))
    assert held.target_id.startswith("account.invoice,")
    assert await report(rpc, day) == {"DE19": Reported(base=4_900, tax=932)}
    note = invoice(billed(party, "-12.25", "-2.33"), party=party, day=day, settles="jrn_tax")
    await put(erp, INVOICE, "jrn_tax_cn", note)
    assert await report(rpc, day) == {"DE19": Reported(base=3_675, tax=699)}


async def test_in_another_currency_the_report_has_the_amounts_of_the_books(erp: TrytonOutbound, rpc: Rpc) -> None:
    party, day = await a_customer(erp, "cus_tax_usd"), date(2026, 4, 5)
    bill = (
        line(RECEIVABLE, "100.01", Role.RECEIVABLE, party=party, original="119.00"),
        line(DEFERRED, "-84.04", Role.DEFERRED_REVENUE, party=party, original="-100.00", tax_code="DE19"),
        line(TAX, "-15.97", Role.SALES_TAX, tax_code="DE19", original="-19.00"),
    )
    held = await put(erp, INVOICE, "jrn_tax_usd", invoice(bill, party=party, day=day, currency="USD"))
    assert held.target_id.startswith("account.move,")
    assert await report(rpc, day) == {"DE19": Reported(base=8_404, tax=1_597)}
    back = move(turned(bill), reverses="jrn_tax_usd", day=day, currency="USD")
    await put(erp, MOVE, "jrn_tax_usd_r", back)
    assert await report(rpc, day) == {}


async def test_what_a_customer_owes_the_tax_of_is_reported_without_any(erp: TrytonOutbound, rpc: Rpc) -> None:
    party, day = await a_customer(erp, "cus_rc"), date(2026, 5, 5)
    lines = (
        line(RECEIVABLE, "100.00", Role.RECEIVABLE, party=party),
        line(DEFERRED, "-100.00", Role.DEFERRED_REVENUE, party=party, tax_code="DE-RC"),
    )
    held = await put(erp, INVOICE, "jrn_rc", invoice(lines, party=party, day=day))
    assert held.target_id.startswith("account.invoice,")
    assert await report(rpc, day) == {"DE-RC": Reported(base=10_000, tax=0)}
    await put(erp, MOVE, "jrn_rc_r", move(turned(lines), reverses="jrn_rc", day=day))
    assert await report(rpc, day) == {}


async def test_a_draft_that_a_crash_left_of_such_a_bill_is_posted(erp: TrytonOutbound, rpc: Rpc) -> None:
    """On a draft Tryton lists the tax of nothing, which is no line of the bill."""
    party = await a_customer(erp, "cus_rc_draft")
    lines = (
        line(RECEIVABLE, "100.00", Role.RECEIVABLE, party=party),
        line(DEFERRED, "-100.00", Role.DEFERRED_REVENUE, party=party, tax_code="DE-RC"),
    )
    bill = invoice(lines, party=party)
    draft = await a_draft(erp, rpc, "jrn_rc_draft", bill)
    held = (await erp.read(INVOICE, ["jrn_rc_draft"]))["jrn_rc_draft"]
    assert held.fields == {**erp.canonical(INVOICE, bill), "state": "draft"}
    assert (await put(erp, INVOICE, "jrn_rc_draft", bill)).target_id == f"account.invoice,{draft}"


async def test_a_tax_that_would_add_an_amount_stands_on_no_line_of_a_bill(erp: TrytonOutbound, rpc: Rpc) -> None:
    """So little was credited that its tax is nothing; a tax of 19 % on its line would make one out of it."""
    party, day = await a_customer(erp, "cus_little"), date(2026, 6, 5)
    lines = (
        line(RECEIVABLE, "-0.02", Role.RECEIVABLE, party=party),
        line(DEFERRED, "0.02", Role.DEFERRED_REVENUE, party=party, tax_code="DE19"),
    )
    held = await put(erp, INVOICE, "jrn_little", invoice(lines, party=party, day=day))
    assert held.target_id.startswith("account.move,")
    assert await report(rpc, day) == {"DE19": Reported(base=-2, tax=0)}


async def test_a_code_that_tryton_does_not_have_is_left_out_and_one_that_two_have_is_refused(
    erp: TrytonOutbound, rpc: Rpc
) -> None:
    party, day = await a_customer(erp, "cus_code"), date(2026, 7, 5)
    lines = (
        line(RECEIVABLE, "11.90", Role.RECEIVABLE, party=party),
        line(DEFERRED, "-10.00", Role.DEFERRED_REVENUE, party=party, tax_code="FR20"),
        line(TAX, "-1.90", Role.SALES_TAX, tax_code="FR20"),
    )
    await put(erp, INVOICE, "jrn_code", invoice(lines, party=party, day=day))
    assert await report(rpc, day) == {}
    twice = [{"name": "FR20", "description": "FR20", "type": "none", "company": 1} for _ in range(2)]
    made = await rpc.call("account.tax", "create", twice, context={"company": 1})
    refused = await refusal(erp, INVOICE, "jrn_code_2", invoice(lines, party=party, day=day))
    assert refused.code == "TAX_AMBIGUOUS"
    assert "FR20" in refused.message
    await rpc.call("account.tax", "delete", made, context={"company": 1})
