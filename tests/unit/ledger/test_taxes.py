"""Tax in the books: included in the price, on top of it, or owed by the customer."""

from __future__ import annotations

from datetime import UTC, date
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Grain
from accordant.canonical.entities import Invoice
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, some_books
from tests.unit.ledger.test_draft import Story, a_bill, balances, rate_of, usd


def including(minor: int, tax: int, *, off: int = 0) -> Invoice:
    """A bill of one line whose price has the tax in it."""
    bill = a_bill(minor, off=off)
    line = msgspec.structs.replace(bill.lines[0], included_tax_minor=tax)
    return msgspec.structs.replace(bill, lines=(line,), tax=usd(tax))


def read(bill: Invoice, reverse_code: str | None) -> Draft:
    setting = Setting(
        books={"billing": msgspec.structs.replace(some_books(), tax_codes=frozenset({"NY", "EU-RC"}))},
        tax_codes={"billing": "NY"},
        reverse_codes={"billing": reverse_code},
        zone=UTC,
        grain=Grain.DAY,
        grains={},
        rate_of=rate_of,
        recorded_at=RECORDED,
    )
    story = Story().bill(bill)
    history = History(events=tuple(story.events), objects=story.objects, products={"price_1": "pro"})
    return draft(history, setting, before_on=date(2027, 12, 31))


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
