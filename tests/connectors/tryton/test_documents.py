"""What the books hold stands in a real Tryton, to the cent: bills, payments, entries, and what cancels them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from accordant.canonical.books import Role
from accordant.canonical.intents import Applied, RefusalClass, Refused
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc
from tests.connectors.tryton import hands
from tests.connectors.tryton.company import BANK, CLEARING, DEFERRED, FEES, FX, RECEIVABLE, REVENUE
from tests.connectors.tryton.kit import (
    INVOICE,
    MOVE,
    a_customer,
    billed,
    connect,
    invoice,
    line,
    move,
    paid,
    put,
    refusal,
    send,
    turned,
)
from tests.connectors.tryton.server import Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
BOOKS = {"company": 1, "language": "en"}


@pytest.fixture
async def erp(tryton: Tryton) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton)
    yield made
    await made.close()


async def state_of(rpc: Rpc, key: str) -> dict[str, Any]:
    """A native invoice as an accountant sees it."""
    rows = await rpc.find(
        "account.invoice", [["reference", "=", key]], ["state", "number", "amount_to_pay", "total_amount"]
    )
    assert len(rows) == 1, f"{key} is there {len(rows)} times"
    return rows[0]


async def owes(rpc: Rpc, party: str) -> Decimal:
    """What Tryton says a customer owes."""
    rows = await rpc.find("party.party", [["code", "=", party]], ["receivable"], context=BOOKS)
    return Decimal(rows[0]["receivable"])


async def test_an_invoice_is_posted_as_tryton_s_own_and_paid(erp: TrytonOutbound, rpc: Rpc) -> None:
    await a_customer(erp, "cus_paid")
    held = await put(erp, INVOICE, "jrn_paid", invoice(billed("cus_paid", "100.00", "19.00"), party="cus_paid"))
    assert held.target_id.startswith("account.invoice,")
    posted = await state_of(rpc, "jrn_paid")
    assert (posted["state"], posted["amount_to_pay"]) == ("posted", Decimal("119.00"))
    assert posted["number"].startswith("INV/2026/")
    assert await owes(rpc, "cus_paid") == Decimal("119.00")
    await put(erp, MOVE, "jrn_paid_1", move(paid("cus_paid", "50.00"), settles="jrn_paid"))
    assert (await state_of(rpc, "jrn_paid"))["amount_to_pay"] == Decimal("69.00")
    await put(erp, MOVE, "jrn_paid_2", move(paid("cus_paid", "69.00"), settles="jrn_paid"))
    assert (await state_of(rpc, "jrn_paid"))["state"] == "paid"
    assert await owes(rpc, "cus_paid") == 0
    again = await send(erp, MOVE, "jrn_paid_2", move(paid("cus_paid", "69.00"), settles="jrn_paid"))
    assert isinstance(again, Applied)
    assert not again.created


async def test_a_credit_note_lowers_a_bill_and_what_is_left_is_paid(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_credit")
    await put(erp, INVOICE, "jrn_credit", invoice(billed(party, "200.00", "38.00"), party=party, due_date="2026-04-04"))
    note = invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_credit", description="EXAMPLE-1-CN")
    held = await put(erp, INVOICE, "jrn_credit_cn", note)
    assert held.target_id.startswith("account.invoice,")
    credited = await state_of(rpc, "jrn_credit_cn")
    assert credited["number"].startswith("CN/2026/")
    assert (await state_of(rpc, "jrn_credit"))["amount_to_pay"] == Decimal("178.50")
    assert await owes(rpc, party) == Decimal("178.50")
    await put(erp, MOVE, "jrn_credit_pay", move(paid(party, "178.50"), settles="jrn_credit"))
    assert {(await state_of(rpc, key))["state"] for key in ("jrn_credit", "jrn_credit_cn")} == {"paid"}


async def test_a_void_cancels_the_invoice_in_tryton_too(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_void")
    lines = billed(party, "100.00", "19.00")
    await put(erp, INVOICE, "jrn_void", invoice(lines, party=party))
    void = await put(erp, MOVE, "jrn_void_r", move(turned(lines), reverses="jrn_void", day=date(2026, 3, 9)))
    assert void.target_id.startswith("account.invoice,")
    assert (await state_of(rpc, "jrn_void"))["state"] == "cancelled"
    assert await owes(rpc, party) == 0
    # The books hold the bill and what cancelled it: to them the first is as posted as ever, and nobody's edit.
    held = (await erp.read(INVOICE, ["jrn_void"]))["jrn_void"]
    assert held.fields["state"] == "posted"


async def test_a_payment_that_is_taken_back_opens_the_bill_again(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_back")
    await put(erp, INVOICE, "jrn_back", invoice(billed(party, "100.00", "19.00"), party=party))
    lines = paid(party, "119.00")
    await put(erp, MOVE, "jrn_back_p", move(lines, settles="jrn_back"))
    assert (await state_of(rpc, "jrn_back"))["state"] == "paid"
    await put(erp, MOVE, "jrn_back_r", move(turned(lines), reverses="jrn_back_p"))
    reopened = await state_of(rpc, "jrn_back")
    assert (reopened["state"], reopened["amount_to_pay"]) == ("posted", Decimal("119.00"))
    assert await owes(rpc, party) == Decimal("119.00")
    await put(erp, MOVE, "jrn_back_p2", move(lines, settles="jrn_back"))
    assert (await state_of(rpc, "jrn_back"))["state"] == "paid"


async def test_a_bill_in_dollars_stands_at_the_rate_of_the_books(erp: TrytonOutbound, rpc: Rpc) -> None:
    """Tryton would compute an invoice at its own rate, so the books' own move is written, and paid all the same."""
    party = await a_customer(erp, "cus_dollar")
    bill = (
        line(RECEIVABLE, "100.01", Role.RECEIVABLE, party=party, original="119.00"),
        line(DEFERRED, "-84.04", Role.DEFERRED_REVENUE, party=party, product="pro", original="-100.00"),
        line("2200", "-15.97", Role.SALES_TAX, tax_code="DE19", original="-19.00"),
    )
    fields = invoice(bill, party=party, currency="USD", description="EXAMPLE-1-0007")
    held = await put(erp, INVOICE, "jrn_usd", fields)
    assert held.target_id.startswith("account.move,")
    assert await owes(rpc, party) == Decimal("100.01")
    payment = (
        line(CLEARING, "98.20", Role.CLEARING, processor="stripe", original="119.00"),
        line(FX, "1.81", Role.FX_REALISED),
        line(RECEIVABLE, "-100.01", Role.RECEIVABLE, party=party, original="-119.00"),
    )
    await put(erp, MOVE, "jrn_usd_p", move(payment, settles="jrn_usd", currency="USD"))
    assert await owes(rpc, party) == 0
    owed = await rpc.find(
        "account.move.line", [["party.code", "=", party], ["account.code", "=", RECEIVABLE]], ["reconciliation"]
    )
    assert all(one["reconciliation"] for one in owed)


async def test_a_closed_period_refuses_with_its_reason_and_nothing_is_left(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_closed")
    period = await rpc.find("account.period", [["start_date", "=", date(2026, 1, 1)]], ["name"], context=BOOKS)
    await rpc.call("account.period", "close", [period[0]["id"]], context=BOOKS)
    lines = billed(party, "100.00", "19.00")
    for spec, key, fields in (
        (INVOICE, "jrn_closed", invoice(lines, party=party, day=date(2026, 1, 31))),
        (MOVE, "jrn_closed_m", move(paid(party, "119.00"), day=date(2026, 1, 31))),
    ):
        refused = await refusal(erp, spec, key, fields)
        assert (refused.cause, refused.code) == (RefusalClass.BUSINESS_RULE, "PERIOD_CLOSED")
        assert period[0]["name"] in refused.message
    missing = await refusal(erp, MOVE, "jrn_1999", move(paid(party, "1.00"), day=date(1999, 1, 1)))
    assert missing.code == "PERIOD_CLOSED"
    await rpc.call("account.period", "reopen", [period[0]["id"]], context=BOOKS)
    await put(erp, INVOICE, "jrn_closed", invoice(lines, party=party, day=date(2026, 1, 31)))


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"lines": "9999"}, "ACCOUNT_UNKNOWN", "9999"),
        ({"company": "Nobody Ltd"}, "COMPANY_UNKNOWN", "Nobody Ltd"),
        ({"party": "cus_nobody"}, "PARTY_UNKNOWN", "cus_nobody"),
        ({"settles": "jrn_nothing"}, "DOCUMENT_UNKNOWN", "jrn_nothing"),
        ({"company": None}, "FIELD_MISSING", "company"),
        ({"date": None}, "FIELD_MISSING", "date"),
    ],
)
async def test_what_tryton_does_not_know_is_named(
    erp: TrytonOutbound, change: dict[str, str | None], code: str, named: str
) -> None:
    party = await a_customer(erp, "cus_unknown")
    fields = invoice(billed(party, "10.00", "1.90"), party=party) | change
    if (account := change.get("lines")) is not None:
        wrong = (line(RECEIVABLE, "10.00", Role.RECEIVABLE, party=party), line(account, "-10.00", Role.REVENUE))
        fields = invoice(wrong, party=party)
    refused = await refusal(erp, INVOICE, "jrn_unknown", fields)
    assert (refused.cause, refused.code) == (RefusalClass.DATA_QUALITY, code)
    assert named in refused.message


async def test_a_company_that_is_not_shown_to_our_user_takes_nothing(erp: TrytonOutbound, rpc: Rpc) -> None:
    """Tryton makes the move, and shows it to nobody who looks for it: it would be made again and again."""
    currency = await rpc.find("currency.currency", [["code", "=", "EUR"]], ["code"])
    party = await rpc.call("party.party", "create", [{"name": "Example Two", "addresses": [["create", [{}]]]}])
    made = await rpc.call("company.company", "create", [{"party": party[0], "currency": currency[0]["id"]}])
    users = await rpc.find("res.user", [["login", "=", rpc.user]], ["login"])
    mine = [users[0]["id"]]
    await rpc.call("res.user", "write", mine, {"companies": [["add", made]], "company_filter": "one"})
    cash = (line(BANK, "1.00", Role.BANK), line(CLEARING, "-1.00", Role.CLEARING))
    refused = await refusal(erp, MOVE, "jrn_hidden", move(cash, company="Example Two"))
    assert refused.code == "COMPANY_HIDDEN"
    assert "company filter to All" in refused.message
    await rpc.call("res.user", "write", mine, {"company_filter": "all"})
    # Now it is looked for, and what is missing is said: it has no chart of accounts.
    assert (await refusal(erp, MOVE, "jrn_hidden", move(cash, company="Example Two"))).code == "ACCOUNT_UNKNOWN"


async def test_what_tryton_does_not_post_leaves_no_draft(erp: TrytonOutbound, rpc: Rpc) -> None:
    off_by_a_cent = (line(BANK, "10.00", Role.BANK), line(CLEARING, "-9.99", Role.CLEARING))
    refused = await refusal(erp, MOVE, "jrn_off", move(off_by_a_cent))
    assert refused.cause is RefusalClass.BUSINESS_RULE
    assert await rpc.find("account.move", [["state", "=", "draft"]], ["description"]) == []


async def test_a_posted_document_is_not_changed(erp: TrytonOutbound) -> None:
    party = await a_customer(erp, "cus_fixed")
    await put(erp, INVOICE, "jrn_fixed", invoice(billed(party, "100.00", "19.00"), party=party))
    outcome = await send(erp, INVOICE, "jrn_fixed", invoice(billed(party, "101.00", "19.19"), party=party))
    assert isinstance(outcome, Refused)
    assert (outcome.cause, outcome.code) == (RefusalClass.BUSINESS_RULE, "DOCUMENT_POSTED")
    assert "lines" in outcome.fields


async def test_a_draft_that_a_crash_left_is_posted_and_not_made_again(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_draft")
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    draft = await a_draft(erp, rpc, "jrn_draft", bill)
    before = (await erp.read(INVOICE, ["jrn_draft"]))["jrn_draft"]
    assert before.fields == {**erp.canonical(INVOICE, bill), "state": "draft"}
    after = await put(erp, INVOICE, "jrn_draft", bill)
    assert after.target_id == before.target_id == f"account.invoice,{draft}"


async def test_what_people_cancel_in_tryton_is_noticed(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_hand")
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    held = await put(erp, INVOICE, "jrn_hand", bill)
    await hands.refund(rpc, int(held.target_id.partition(",")[2]), date(2026, 3, 9))
    seen = (await erp.read(INVOICE, ["jrn_hand"]))["jrn_hand"]
    assert seen.fields["state"] == "cancelled"
    where = await erp.whereabouts(INVOICE, [held.target_id])
    assert where[held.target_id].deleted
    outcome = await send(erp, INVOICE, "jrn_hand", bill)
    assert isinstance(outcome, Refused)
    assert outcome.code == "CANCELLED_BY_HAND"


async def a_draft(erp: TrytonOutbound, rpc: Rpc, key: str, bill: dict[str, Any]) -> int:
    """What a crash between making and posting leaves: a copy of a bill as a draft, under a key of its own."""
    await put(erp, INVOICE, f"{key}_model", bill)
    model = await rpc.find("account.invoice", [["reference", "=", f"{key}_model"]], ["number"], context=BOOKS)
    (copied,) = await rpc.call("account.invoice", "copy", [model[0]["id"]], {}, context=BOOKS)
    days = dict.fromkeys(("invoice_date", "accounting_date", "payment_term_date"), date(2026, 3, 5))
    await rpc.call("account.invoice", "write", [copied], {"reference": key, **days}, context=BOOKS)
    return int(copied)


async def test_a_draft_that_somebody_changed_is_not_posted(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_edited")
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    draft = await a_draft(erp, rpc, "jrn_edited", bill)
    (part,) = await rpc.find("account.invoice.line", [["invoice", "=", draft]], ["unit_price"], context=BOOKS)
    change = {"lines": [["write", [part["id"]], {"unit_price": Decimal("90.00")}]]}
    await rpc.call("account.invoice", "write", [draft], change, context=BOOKS)
    outcome = await send(erp, INVOICE, "jrn_edited", bill)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.fields) == ("DOCUMENT_POSTED", ("lines",))
    assert (await state_of(rpc, "jrn_edited"))["state"] == "draft"


async def test_a_draft_that_somebody_deleted_is_made_once_more(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await a_customer(erp, "cus_deleted")
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    draft = await a_draft(erp, rpc, "jrn_deleted", bill)
    await rpc.call("account.invoice", "delete", [draft], context=BOOKS)
    assert await erp.whereabouts(INVOICE, [f"account.invoice,{draft}"]) == {}
    held = await put(erp, INVOICE, "jrn_deleted", bill)
    assert held.target_id != f"account.invoice,{draft}"
    assert len(await rpc.find("account.invoice", [["reference", "=", "jrn_deleted"]], ["state"], context=BOOKS)) == 1


async def test_every_document_is_listed_under_its_object(erp: TrytonOutbound) -> None:
    party = await a_customer(erp, "cus_listed")
    lines = billed(party, "10.00", "1.90")
    await put(erp, INVOICE, "jrn_listed", invoice(lines, party=party))
    await put(erp, MOVE, "jrn_listed_r", move(turned(lines), reverses="jrn_listed"))
    entry = (
        line(BANK, "97.00", Role.BANK),
        line(FEES, "3.00", Role.PROCESSING_FEES),
        line(CLEARING, "-100.00", Role.CLEARING),
    )
    await put(erp, MOVE, "jrn_listed_e", move(entry))
    recognised = (
        line(DEFERRED, "5.00", Role.DEFERRED_REVENUE, party=party),
        line(REVENUE, "-5.00", Role.REVENUE, product="pro"),
    )
    await put(erp, MOVE, "jrn_listed_s", move(recognised))
    invoices = {key: held async for key, held in erp.keys(INVOICE) if key.startswith("jrn_listed")}
    moves = {key: held async for key, held in erp.keys(MOVE) if key.startswith("jrn_listed")}
    assert set(invoices) == {"jrn_listed"}
    assert set(moves) == {"jrn_listed_r", "jrn_listed_e", "jrn_listed_s"}
    assert moves["jrn_listed_s"].fields == erp.canonical(MOVE, move(recognised))


async def test_a_bill_of_yesterday_is_numbered_after_the_last_and_stands_in_its_own_period(
    erp: TrytonOutbound, rpc: Rpc
) -> None:
    """Tryton numbers by day and never back; the books care for the period. So is a void that comes late."""
    party = await a_customer(erp, "cus_late")
    lines = billed(party, "10.00", "1.90")
    await put(erp, INVOICE, "jrn_late_1", invoice(lines, party=party, day=date(2027, 5, 20)))
    held = await put(erp, INVOICE, "jrn_late_2", invoice(lines, party=party, day=date(2027, 2, 3)))
    assert held.target_id.startswith("account.invoice,")
    rows = await rpc.find("account.invoice", [["reference", "=", "jrn_late_2"]], ["move.date", "move.period.name"])
    assert rows[0]["move."]["date"] == date(2027, 2, 3)
    void = await put(erp, MOVE, "jrn_late_r", move(turned(lines), reverses="jrn_late_2", day=date(2027, 2, 4)))
    assert void.target_id.startswith("account.move,")
    assert (await state_of(rpc, "jrn_late_2"))["amount_to_pay"] == 0
    assert await owes(rpc, party) == Decimal("11.90")
