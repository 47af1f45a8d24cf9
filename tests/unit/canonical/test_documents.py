"""The lines of a ledger document are one text: the same for equal lines, whatever order a target gives them back in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Role
from accordant.canonical.documents import (
    STEP_OF_DOCUMENT,
    DocumentKind,
    DocumentLine,
    read_lines,
    sorted_lines,
    spell_lines,
)
from accordant.canonical.intents import STEP_OF_KIND

LINES = st.lists(
    st.builds(
        DocumentLine,
        account=st.sampled_from(["1200", "2400", "ä-1"]),
        role=st.none() | st.sampled_from(Role),
        debit=st.sampled_from(["0.00", "10.05"]),
        credit=st.sampled_from(["0.00", "3"]),
        party=st.none() | st.text(max_size=3),
    ),
    max_size=5,
)


@given(lines=LINES, data=st.data())
def test_lines_come_back_as_they_went_in_any_order(lines: list[DocumentLine], data: st.DataObject) -> None:
    text = spell_lines(lines)
    assert read_lines(text) == sorted_lines(lines)
    assert spell_lines(data.draw(st.permutations(lines))) == text
    assert spell_lines(read_lines(text)) == text


@pytest.mark.parametrize("text", ["", "{}", '[{"account":1}]', "[1]"])
def test_a_text_that_holds_no_lines_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_lines(text)


def test_every_kind_has_its_place_after_the_customer_and_a_cancellation_comes_last() -> None:
    assert set(STEP_OF_DOCUMENT) == set(DocumentKind)
    assert min(STEP_OF_DOCUMENT.values()) > max(STEP_OF_KIND.values())
    assert max(STEP_OF_DOCUMENT, key=STEP_OF_DOCUMENT.__getitem__) is DocumentKind.REVERSAL
    assert STEP_OF_DOCUMENT[DocumentKind.PAYMENT] > STEP_OF_DOCUMENT[DocumentKind.INVOICE]
