"""Ledger documents into QuickBooks: each becomes a document of its own with the very lines, and is read back equal."""

from __future__ import annotations

from datetime import date

import pytest

from accordant.canonical.books import Role
from accordant.canonical.documents import spell_lines
from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.quickbooks.records import number_of
from accordant.ports.connector import RecordWrite
from tests.connectors.ledger_kit import (
    CLEARING,
    DEFERRED,
    RECEIVABLE,
    REVENUE,
    TAX,
    billed,
    invoice,
    line,
    move,
    paid,
    put,
    refusal,
    send,
    turned,
)
from tests.connectors.quickbooks.kit import BILL, CUSTOMER, ENTRY, Books

KEY = "jrn_5k3m8x2v9q7w4e6r1t0y8n2p4z"


async def a_bill(one: Books, key: str = KEY) -> str:
    party = await one.a_customer("cus_1")
    await put(one.erp, BILL, key, invoice(billed(party, "100.00", "19.00"), party=party, due_date="2026-04-04"))
    return party


async def test_a_bill_is_an_invoice_and_its_payment_a_payment(one: Books) -> None:
    party = await a_bill(one)
    (made,) = one.rows("Invoice")
    assert made["DocNumber"] == number_of(KEY) == KEY[4:25]
    assert (made["CustomerMemo"]["value"], made["PrivateNote"]) == ("EXAMPLE-1", KEY)
    assert one.balance() == {RECEIVABLE: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles=KEY))
    assert [str(row["Balance"]) for row in one.rows("Invoice")] == ["0.00"]
    assert one.balance() == {CLEARING: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}
    assert [len(one.rows(name)) for name in ("Payment", "JournalEntry")] == [1, 0]


async def test_without_a_service_for_an_account_a_bill_is_a_journal_that_names_its_customer(one: Books) -> None:
    one.simulator.books.tables["Item"].clear()
    party = await a_bill(one)
    assert [len(one.rows(name)) for name in ("Invoice", "JournalEntry")] == [0, 1]
    assert one.balance() == {RECEIVABLE: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}
    assert one.owed() == {f"Customer {party} ({party})": "119.00"}


async def test_a_credit_note_lowers_the_bill_and_what_is_left_is_paid(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles=KEY))
    assert [str(row["Balance"]) for row in one.rows("CreditMemo")] == ["0.00"]
    await put(one.erp, ENTRY, "jrn_rest", move(paid(party, "59.50"), settles=KEY))
    assert [str(row["Balance"]) for row in one.rows("Invoice")] == ["0.00"]
    assert one.balance() == {CLEARING: "59.50", DEFERRED: "-50.00", TAX: "-9.50"}


async def test_more_than_is_open_stays_the_customers(one: Books) -> None:
    party = await a_bill(one)
    for key in ("jrn_paid", "jrn_again"):
        await put(one.erp, ENTRY, key, move(paid(party, "119.00"), settles=KEY))
    assert [len(one.rows(name)) for name in ("Payment", "JournalEntry")] == [1, 1]
    assert set(one.owed().values()) == {"-119.00"}


async def test_a_void_is_a_credit_on_the_day_of_the_books_and_closes_the_bill(one: Books) -> None:
    party = await a_bill(one)
    lines = turned(billed(party, "100.00", "19.00"))
    await put(one.erp, ENTRY, "jrn_void", move(lines, day=date(2026, 4, 2), reverses=KEY))
    assert one.balance() == {}
    assert [str(row["Balance"]) for row in one.rows("Invoice")] == ["0.00"]
    assert (await one.erp.read(BILL, [KEY]))[KEY].fields["state"] == "posted"


async def test_a_payment_that_is_taken_back_opens_what_is_owed_again(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles=KEY))
    await put(one.erp, ENTRY, "jrn_back", move(turned(paid(party, "119.00")), reverses="jrn_paid"))
    assert set(one.owed().values()) == {"119.00"}
    assert one.balance() == {RECEIVABLE: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}


async def test_a_bill_in_dollars_is_a_journal_in_the_amounts_of_the_books(one: Books) -> None:
    party = await one.a_customer("cus_1")
    lines = (
        line(RECEIVABLE, "92.57", Role.RECEIVABLE, original="100.00", party=party),
        line(DEFERRED, "-92.57", Role.DEFERRED_REVENUE, original="-100.00", party=party, product="pro"),
    )
    await put(one.erp, BILL, "jrn_dollar", invoice(lines, party=party) | {"currency": "USD"})
    money = (
        line(CLEARING, "91.11", Role.CLEARING, original="100.00", processor="stripe"),
        line("7000", "1.46", Role.FX_REALISED),
        line(RECEIVABLE, "-92.57", Role.RECEIVABLE, original="-100.00", party=party),
    )
    await put(one.erp, ENTRY, "jrn_money", move(money, settles="jrn_dollar") | {"currency": "USD"})
    assert one.balance() == {CLEARING: "91.11", "7000": "1.46", DEFERRED: "-92.57"}
    assert set(one.owed().values()) == {"0.00"}


async def test_a_write_off_by_journal_is_set_against_its_bill_once(one: Books) -> None:
    party = await a_bill(one)
    lines = (line("7000", "119.00", Role.BAD_DEBT), line(RECEIVABLE, "-119.00", Role.RECEIVABLE, party=party))
    for _ in range(2):
        await put(one.erp, ENTRY, "jrn_off", move(lines, settles=KEY))
    assert [str(row["Balance"]) for row in one.rows("Invoice")] == ["0.00"]
    assert len(one.rows("Payment")) == 1
    assert one.balance() == {"7000": "119.00", DEFERRED: "-100.00", TAX: "-19.00"}


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        ({"company": "Other Ltd"}, "COMPANY_UNKNOWN", "Other Ltd"),
        ({"lines": spell_lines(paid("cus_x", "1.00"))}, "PARTY_UNKNOWN", "cus_x"),
        ({"lines": spell_lines((line("9999", "1.00", Role.BANK), line(DEFERRED, "-1.00", Role.REVENUE)))},
         "ACCOUNT_UNKNOWN", "9999"),
        ({"settles": "jrn_nowhere"}, "DOCUMENT_UNKNOWN", "jrn_nowhere"),
        ({"date": None}, "FIELD_MISSING", "date"),
    ],
)  # fmt: skip
async def test_what_quickbooks_does_not_know_is_named_and_nothing_is_left(
    one: Books, spoil: dict[str, str | None], code: str, says: str
) -> None:
    lines = (line(DEFERRED, "1.00", Role.DEFERRED_REVENUE), line(REVENUE, "-1.00", Role.REVENUE))
    told = await refusal(one.erp, ENTRY, "jrn_1", move(lines) | spoil)
    assert (told.code, told.cause) == (code, RefusalClass.DATA_QUALITY)
    assert says in told.message
    assert one.simulator.books.made == []


async def test_closed_books_refuse_by_their_day_until_they_are_opened(one: Books) -> None:
    party = await one.a_customer("cus_1")
    fields = invoice(billed(party, "100.00", "19.00"), party=party)
    one.simulator.close_books(date(2026, 3, 31))
    told = await refusal(one.erp, BILL, "jrn_1", fields)
    assert (told.code, told.cause) == ("PERIOD_CLOSED", RefusalClass.BUSINESS_RULE)
    assert "2026-03-31" in told.message
    one.simulator.close_books(None)
    await put(one.erp, BILL, "jrn_1", fields)


async def test_what_people_void_is_noticed_and_not_made_again_and_what_they_delete_is_forgotten(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles=KEY))
    bill = (await one.erp.read(BILL, [KEY]))[KEY].target_id
    payment = (await one.erp.read(ENTRY, ["jrn_paid"]))["jrn_paid"].target_id
    books = one.simulator.books
    books.delete("Payment", payment.split(",")[1])
    books.void("Invoice", bill.split(",")[1])
    held = (await one.erp.read(BILL, [KEY]))[KEY]
    assert (held.fields["state"], held.target_id) == ("cancelled", bill)
    assert (await one.erp.whereabouts(BILL, [bill]))[bill].deleted
    assert await one.erp.whereabouts(ENTRY, [payment]) == {}
    record = RecordWrite(key=KEY, fields={"state": "posted"}, idempotency_key="again", target_id=bill)
    (told,) = await one.erp.write(BILL, [record])
    assert isinstance(told.outcome, Refused)
    assert told.outcome.code == "CANCELLED_BY_HAND"
    assert len(one.rows("Invoice")) == 1


async def test_what_people_change_is_told_and_left(one: Books) -> None:
    party = await a_bill(one)
    (bill,) = one.rows("Invoice")
    bill["Line"][0]["Amount"] += 1
    fields = invoice(billed(party, "100.00", "19.00"), party=party, due_date="2026-04-04")
    told = await send(one.erp, BILL, KEY, fields)
    assert isinstance(told, Refused)
    assert (told.code, told.fields) == ("DOCUMENT_POSTED", ("lines",))


async def test_every_document_is_listed_under_its_object(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles=KEY))
    await put(one.erp, ENTRY, "jrn_rest", move(paid(party, "59.50"), settles=KEY))
    lines = (line(DEFERRED, "5.00", Role.DEFERRED_REVENUE), line(REVENUE, "-5.00", Role.REVENUE, product="pro"))
    await put(one.erp, ENTRY, "jrn_earned", move(lines))
    assert sorted([key async for key, _ in one.erp.keys(BILL)]) == [KEY, "jrn_note"]
    assert sorted([key async for key, _ in one.erp.keys(ENTRY)]) == ["jrn_earned", "jrn_rest"]
    assert [key async for key, _ in one.erp.keys(CUSTOMER)] == [party]
