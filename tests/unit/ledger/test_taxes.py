"""Tax in the books: included in the price, on top of it, or owed by the customer."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Grain, Role
from accordant.canonical.entities import CreditNote, Dispute, Invoice
from accordant.canonical.events import EventType
from accordant.ledger.draft import Draft
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, some_books
from tests.unit.ledger.test_draft import START, Story, a_bill, balances, rate_of, ref, usd


def including(minor: int, tax: int, *, off: int = 0) -> Invoice:
    """A bill of one line whose price has the tax in it."""
    bill = a_bill(minor, off=off)
    line = msgspec.structs.replace(bill.lines[0], included_tax_minor=tax)
    return msgspec.structs.replace(bill, lines=(line,), tax=usd(tax))


def a_setting(reverse_code: str | None) -> Setting:
    """Books with a code for what the customer owes, or without one."""
    return Setting(
        books={"billing": msgspec.structs.replace(some_books(), tax_codes=frozenset({"NY", "EU-RC"}))},
        tax_codes={"billing": "NY"},
        reverse_codes={"billing": reverse_code},
        zone=UTC,
        grain=Grain.DAY,
        grains={},
        rate_of=rate_of,
        recorded_at=RECORDED,
    )


def read(bill: Invoice, reverse_code: str | None) -> Draft:
    return Story().bill(bill).read(setting=a_setting(reverse_code))


@given(minor=st.integers(1, 10**7), tax=st.fractions(0, 1), off=st.fractions(0, 1))
def test_a_price_that_includes_tax_comes_apart_into_revenue_and_tax(minor: int, tax: Fraction, off: Fraction) -> None:
    taken = int((minor - 1) * off)
    included = int((minor - taken) * tax)
    found = balances(Story().bill(including(minor, included, off=taken)).read())
    assert found.get("2200", 0) == -included
    assert found.get("4000", 0) == -(minor - taken - included)
    assert found["1200"] == minor - taken


def test_under_reverse_charge_there_is_no_tax_and_its_code_is_kept() -> None:
    bill = msgspec.structs.replace(a_bill(9_000), reverse_charge=True)
    made = read(bill, "EU-RC")
    assert balances(made) == {"1200": 9_000, "4000": -9_000}
    issued = next(one for one in made.entries if one.cause.rule == "invoice_issued")
    assert [one.dimensions.get("tax_code") for one in issued.postings] == [None, "EU-RC"]


def test_without_a_code_for_it_a_bill_under_reverse_charge_is_held() -> None:
    made = read(msgspec.structs.replace(a_bill(9_000), reverse_charge=True), None)
    assert made.entries == ()
    assert "Add reverse_charge_code" in str(made.unposted[0].refusals[0])


#: What a return counts: the tax, and what it is computed on.
RETURNED = {Role.SALES_TAX, Role.DEFERRED_REVENUE, Role.CONTRA_REVENUE, Role.BAD_DEBT}


def taken_back(how: EventType, bill: Invoice) -> Story:
    """The whole of a bill given back or lost on its twentieth day."""
    story, whole = Story().bill(bill), bill.total
    match how:
        case EventType.CREDIT_APPROVED:
            note = CreditNote(
                external_id="cn_1",
                customer_id="cus_1",
                invoice_id="in_1",
                status="issued",
                total=whole,
                created_at=START,
            )
            return story.tell(how, ref("credit_note", "cn_1"), note, day=20)
        case EventType.DISPUTE_OPENED:
            story.pay(whole.amount_minor, day=5)
            dispute = Dispute(external_id="dp_1", status="needs_response", amount=whole, payment_id="ch_1")
            return story.tell(how, ref("dispute", "dp_1"), dispute, day=20, amount=whole)
        case _:
            return story.tell(how, ref("invoice", "in_1"), bill, day=20)


@pytest.mark.parametrize("how", [EventType.CREDIT_APPROVED, EventType.INVOICE_WRITTEN_OFF, EventType.DISPUTE_OPENED])
@pytest.mark.parametrize(("tax", "code"), [(1_900, "NY"), (0, "EU-RC"), (0, None)])
def test_what_is_taken_back_lowers_the_return_its_bill_stood_in(how: EventType, tax: int, code: str | None) -> None:
    bill = msgspec.structs.replace(a_bill(10_000, tax=tax), reverse_charge=code == "EU-RC")
    made = taken_back(how, bill).read(setting=a_setting("EU-RC"))
    assert made.unposted == ()
    sums = Counter[tuple[str, str | None]]()
    for entry in made.entries:
        for one in entry.postings if entry.cause.rule != "revenue_recognised" else ():
            if one.role in RETURNED:
                kind = "tax" if one.role is Role.SALES_TAX else "base"
                sums[kind, one.dimensions.get("tax_code")] += one.amount.amount_minor
    assert sums == ({("base", code): 0, ("tax", code): 0} if tax else {("base", code): 0})
