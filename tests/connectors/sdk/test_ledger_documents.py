"""What every ERP is given of a document: facts behind a text come back as they went, and no words of a person do."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.documents import spell_lines
from accordant.connectors.sdk.ledger_documents import (
    FIELDS,
    Unusable,
    ValueUnreadable,
    amount_of,
    canonical,
    desired,
    plain,
    read_tag,
    sides,
    tag,
    untagged,
)
from tests.connectors.ledger_kit import billed, invoice

FACTS = st.dictionaries(
    st.sampled_from(("role", "product", "tax_code", "settles", "original")),
    st.text(min_size=1, max_size=30),
    min_size=1,
)


@given(FACTS, st.text(alphabet=st.characters(exclude_characters="[]"), max_size=30))
def test_facts_behind_a_text_come_back_and_the_text_too(facts: dict[str, str], words: str) -> None:
    text = f"{words} {tag(facts)}"
    assert read_tag(text) == facts
    assert untagged(text) == words.rstrip()


@pytest.mark.parametrize(
    "text", [None, "", "Consulting", "[as agreed]", "[role=] and more", "a [role=x] in the middle"]
)
def test_what_a_person_wrote_tells_nothing(text: str | None) -> None:
    assert read_tag(text) == {}


@given(st.integers(-(10**12), 10**12), st.sampled_from(("EUR", "JPY", "BHD")))
def test_an_amount_has_one_side_and_the_places_of_its_currency(minor: int, currency: str) -> None:
    exponent = {"EUR": 2, "JPY": 0, "BHD": 3}[currency]
    value = Decimal(minor).scaleb(-exponent)
    told = sides(value, currency)
    assert Decimal(told["debit"]) - Decimal(told["credit"]) == value
    assert "0" in {told["debit"].replace(".", "").strip("0") or "0", told["credit"].replace(".", "").strip("0") or "0"}
    assert plain(value, currency) == f"{value:.{exponent}f}"


def test_more_places_than_the_currency_has_are_kept_so_that_they_differ() -> None:
    assert plain(Decimal("1.005"), "EUR") == "1.005"


def test_lines_are_spelled_one_way_and_a_due_day_that_is_the_day_is_none() -> None:
    lines = billed("cus_1", "100.00", "19.00")
    fields = invoice(tuple(reversed(lines)), party="cus_1", due_date="2026-03-05")
    known = canonical("Invoices", fields, takes=tuple(FIELDS), mapped=tuple(fields))
    assert (known["due_date"], known["lines"]) == (None, spell_lines(lines))
    wanted = desired("jrn_1", known)
    assert sum(map(amount_of, wanted.lines)) == 0
    assert wanted.parties == {"cus_1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"date": "5 March"}, "a day"),
        ({"lines": "[1]"}, "Lines"),
        ({"colour": "red"}, "colour"),
        ({"company": 7}, "text"),
    ],
)
def test_a_value_of_another_kind_is_named(change: dict[str, str], said: str) -> None:
    fields = invoice(billed("cus_1", "1.00", "0.19"), party="cus_1") | change
    with pytest.raises(ValueUnreadable, match=said):
        canonical("Invoices", fields, takes=tuple(FIELDS), mapped=tuple(fields))


@pytest.mark.parametrize("name", ["company", "date", "currency", "lines"])
def test_without_these_there_is_no_document(name: str) -> None:
    with pytest.raises(Unusable) as refused:
        desired("jrn_1", invoice(billed("cus_1", "1.00", "0.19"), party="cus_1") | {name: None})
    assert refused.value.refusal.fields == (name,)
