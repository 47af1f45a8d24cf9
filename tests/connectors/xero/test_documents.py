"""Ledger documents into Xero: each becomes a document of its own with the very lines, and is read back equal."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from accordant.canonical.books import Role
from accordant.canonical.documents import spell_lines
from accordant.canonical.intents import RefusalClass, Refused
from accordant.ports.connector import RecordWrite
from tests.connectors.ledger_kit import (
    BANK,
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
from tests.connectors.xero.kit import BILL, CONTACT, ENTRY, Books, some_books


def table(one: Books, name: str) -> list[dict[str, object]]:
    return list(one.simulator.books.tables[name].values())


async def a_bill(one: Books, key: str = "jrn_bill", net: str = "100.00", tax: str = "19.00") -> str:
    party = await one.a_customer(f"cus_{key}")
    await put(one.erp, BILL, key, invoice(billed(party, net, tax), party=party, due_date="2026-04-04"))
    return party


async def test_a_bill_is_an_invoice_and_its_payment_a_payment(one: Books) -> None:
    party = await a_bill(one)
    (made,) = table(one, "Invoices")
    assert (made["Status"], made["Total"], made["InvoiceNumber"]) == ("AUTHORISED", Decimal("119.00"), "jrn_bill")
    assert str(made["Reference"]) == "EXAMPLE-1"  # what a person looks for: billing's own number
    assert one.balance() == {RECEIVABLE: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles="jrn_bill"))
    assert [row["Status"] for row in table(one, "Payments")] == ["AUTHORISED"]
    assert [row["Status"] for row in table(one, "Invoices")] == ["PAID"]
    assert one.balance() == {CLEARING: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}
    assert one.simulator.books.owed() == {party: Decimal(0)}


async def test_the_same_again_writes_nothing(one: Books) -> None:
    party = await a_bill(one)
    fields = invoice(billed(party, "100.00", "19.00"), party=party, due_date="2026-04-04")
    before = list(one.simulator.books.made)
    held = (await one.erp.read(BILL, ["jrn_bill"]))["jrn_bill"]
    assert held.fields == one.erp.canonical(BILL, fields)
    assert one.simulator.books.made == before


async def test_a_credit_note_lowers_the_bill_and_what_is_left_is_paid(one: Books) -> None:
    party = await a_bill(one)
    note = invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill")
    await put(one.erp, BILL, "jrn_note", note)
    assert [row["RemainingCredit"] for row in table(one, "CreditNotes")] == [Decimal("0.00")]
    await put(one.erp, ENTRY, "jrn_rest", move(paid(party, "59.50"), settles="jrn_bill"))
    assert one.simulator.books.owed() == {party: Decimal(0)}
    assert one.balance() == {CLEARING: "59.50", DEFERRED: "-50.00", TAX: "-9.50"}


async def test_a_credit_note_on_a_paid_bill_is_a_journal(one: Books) -> None:
    lines = (
        line("4900", "40.00", Role.CONTRA_REVENUE, product="pro"),
        line("2460", "-40.00", Role.REFUND_LIABILITY, party="cus_1"),
    )
    await put(one.erp, BILL, "jrn_note", invoice(lines, party="cus_1", description="NOTE-1") | {"party": "cus_1"})
    assert len(table(one, "ManualJournals")) == 1
    assert one.balance() == {"4900": "40.00", "2460": "-40.00"}


async def test_more_than_is_open_stays_the_customers(one: Books) -> None:
    """Two payments of one bill, as when a customer pays twice: the second is a credit, not a refusal."""
    party = await a_bill(one)
    for key in ("jrn_paid", "jrn_again"):
        await put(one.erp, ENTRY, key, move(paid(party, "119.00"), settles="jrn_bill"))
    assert [len(table(one, name)) for name in ("Payments", "CreditNotes")] == [1, 1]
    assert one.simulator.books.owed() == {party: Decimal("-119.00")}
    assert one.balance()[CLEARING] == "238.00"


async def test_a_void_is_a_credit_note_on_the_day_of_the_books(one: Books) -> None:
    """Xero's own void would change the month in which the bill was written; the books cancel on the later day."""
    party = await a_bill(one)
    lines = turned(billed(party, "100.00", "19.00"))
    await put(one.erp, ENTRY, "jrn_void", move(lines, day=date(2026, 4, 2), reverses="jrn_bill"))
    assert one.balance() == {}
    assert one.simulator.books.owed() == {party: Decimal(0)}
    assert [row["Status"] for row in table(one, "Invoices")] == ["PAID"]
    assert (await one.erp.read(BILL, ["jrn_bill"]))["jrn_bill"].fields["state"] == "posted"


async def test_a_payment_that_is_taken_back_opens_what_is_owed_again(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles="jrn_bill"))
    await put(one.erp, ENTRY, "jrn_back", move(turned(paid(party, "119.00")), reverses="jrn_paid"))
    assert one.simulator.books.owed() == {party: Decimal("119.00")}
    assert one.balance() == {RECEIVABLE: "119.00", DEFERRED: "-100.00", TAX: "-19.00"}


async def test_recognition_is_a_journal_with_every_fact_of_its_lines(one: Books) -> None:
    lines = (
        line(DEFERRED, "31.25", Role.DEFERRED_REVENUE, party="cus_1", product="pro", tax_code="DE19"),
        line(REVENUE, "-31.25", Role.REVENUE, product="pro"),
    )
    await put(one.erp, ENTRY, "jrn_earned", move(lines))
    (made,) = table(one, "ManualJournals")
    assert made["Status"] == "POSTED"
    assert str(made["Narration"]).startswith("jrn_earned ")


async def test_a_bill_in_dollars_stands_in_the_amounts_of_the_books(one: Books) -> None:
    """Xero would translate at its own rate: cents of difference in every bill. What was agreed stands in the lines."""
    party = await one.a_customer("cus_dollar")
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
    assert one.simulator.books.owed() == {party: Decimal(0)}


async def test_products_are_options_of_a_tracking_category(one: Books) -> None:
    async with some_books(more={"tracking_product": "Product"}) as other:
        party = await other.a_customer("cus_1")
        fields = invoice(billed(party, "100.00", "19.00"), party=party)
        told = await refusal(other.erp, BILL, "jrn_1", fields)
        assert (told.code, "'pro'" in told.message) == ("TRACKING_UNKNOWN", True)
        other.simulator.books.tracking["Product"] = ["pro"]
        await put(other.erp, BILL, "jrn_1", fields)
        (made,) = table(other, "Invoices")
        tracked = [item.get("Tracking") for item in made["LineItems"]]  # type: ignore[attr-defined]
        assert sorted(filter(None, tracked), key=str) == [[{"Name": "Product", "Option": "pro"}]]


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        ({"company": "Other Ltd"}, "COMPANY_UNKNOWN", "Other Ltd"),
        ({"lines": spell_lines(paid("cus_x", "1.00"))[:-1] + "]"}, "PARTY_UNKNOWN", "cus_x"),
        ({"lines": spell_lines((line("9999", "1.00", Role.BANK), line(DEFERRED, "-1.00", Role.REVENUE)))},
         "ACCOUNT_UNKNOWN", "9999"),
        ({"lines": spell_lines((line(BANK, "1.00", Role.BANK), line(CLEARING, "-1.00", Role.CLEARING)))},
         "BANK_ACCOUNT", BANK),
        ({"settles": "jrn_nowhere"}, "DOCUMENT_UNKNOWN", "jrn_nowhere"),
        ({"date": None}, "FIELD_MISSING", "date"),
    ],
)  # fmt: skip
async def test_what_xero_does_not_know_is_named_and_nothing_is_left(
    one: Books, spoil: dict[str, str | None], code: str, says: str
) -> None:
    lines = (line(DEFERRED, "1.00", Role.DEFERRED_REVENUE), line(REVENUE, "-1.00", Role.REVENUE))
    told = await refusal(one.erp, ENTRY, "jrn_1", move(lines) | spoil)
    assert (told.code, told.cause) == (code, RefusalClass.DATA_QUALITY)
    assert says in told.message
    assert one.simulator.books.made == []


async def test_a_locked_month_refuses_by_its_day_until_it_is_opened(one: Books) -> None:
    party = await one.a_customer("cus_1")
    fields = invoice(billed(party, "100.00", "19.00"), party=party)
    one.simulator.lock(date(2026, 3, 31))
    told = await refusal(one.erp, BILL, "jrn_1", fields)
    assert (told.code, told.cause) == ("PERIOD_CLOSED", RefusalClass.BUSINESS_RULE)
    assert "2026-03-31" in told.message
    one.simulator.lock(date(2026, 2, 28))
    await put(one.erp, BILL, "jrn_1", fields)


async def test_what_people_take_back_in_xero_is_noticed_and_not_made_again(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles="jrn_bill"))
    books = one.simulator.books
    (payment,) = books.tables["Payments"]
    books.take_back("Payments", payment)
    (bill,) = books.tables["Invoices"]
    books.take_back("Invoices", bill)
    for spec, key in ((ENTRY, "jrn_paid"), (BILL, "jrn_bill")):
        held = (await one.erp.read(spec, [key]))[key]
        assert held.fields["state"] == "cancelled"
        assert (await one.erp.whereabouts(spec, [held.target_id]))[held.target_id].deleted
        told = await one.erp.write(spec, [_again(key, held.target_id)])
        assert isinstance(told[0].outcome, Refused)
        assert told[0].outcome.code == "CANCELLED_BY_HAND"
    assert [len(books.tables[name]) for name in ("Invoices", "Payments")] == [1, 1]


async def test_what_people_change_in_xero_is_told_and_left(one: Books) -> None:
    party = await a_bill(one)
    (bill,) = one.simulator.books.tables["Invoices"].values()
    bill["LineItems"][0]["AccountCode"] = REVENUE
    told = await send(
        one.erp, BILL, "jrn_bill", invoice(billed(party, "100.00", "19.00"), party=party, due_date="2026-04-04")
    )
    assert isinstance(told, Refused)
    assert (told.code, told.fields) == ("DOCUMENT_POSTED", ("lines",))


async def test_every_document_is_listed_under_its_object(one: Books) -> None:
    party = await a_bill(one)
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill"))
    await put(one.erp, ENTRY, "jrn_rest", move(paid(party, "59.50"), settles="jrn_bill"))
    await put(
        one.erp,
        ENTRY,
        "jrn_earned",
        move((line(DEFERRED, "5.00", Role.DEFERRED_REVENUE), line(REVENUE, "-5.00", Role.REVENUE))),
    )
    one.simulator.books.put_journal(
        {
            "Narration": "a person's own",
            "Date": "2026-03-05",
            "Status": "POSTED",
            "JournalLines": [
                {"LineAmount": "1.00", "AccountCode": REVENUE},
                {"LineAmount": "-1.00", "AccountCode": DEFERRED},
            ],
        }
    )
    assert sorted([key async for key, _ in one.erp.keys(BILL)]) == ["jrn_bill", "jrn_note"]
    assert sorted([key async for key, _ in one.erp.keys(ENTRY)]) == ["jrn_earned", "jrn_rest"]
    assert [key async for key, _ in one.erp.keys(CONTACT)] == [party]


def _again(key: str, target_id: str) -> RecordWrite:
    return RecordWrite(key=key, fields={"state": "posted"}, idempotency_key=f"again-{key}", target_id=target_id)
