"""Only what differs is written, and nothing that was not mentioned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.intents import FieldChange, WireValue
from accordant.mapping.difference import difference

records = st.dictionaries(
    st.sampled_from("abcdef"), st.none() | st.booleans() | st.integers(0, 2) | st.text(max_size=2)
)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, {"b": "2", "a": "1", "c": None}, [("a", None, "1"), ("b", None, "2")]),
        ({}, {"a": None}, []),
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, [("a", "1", "2")]),
        ({"a": "1"}, {"a": None}, [("a", "1", None)]),
        ({"a": None}, {"a": "1"}, [("a", None, "1")]),
        ({"a": "1", "b": "2"}, {"a": "1"}, []),  # not mentioned, not touched
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 0}, {"a": False}, [("a", 0, False)]),
        ({"a": "1"}, {"a": 1}, [("a", "1", 1)]),
    ],
)
def test_difference(
    before: dict[str, WireValue] | None, after: dict[str, WireValue], changes: list[tuple[str, WireValue, WireValue]]
) -> None:
    assert difference(before, after) == tuple(FieldChange(*change) for change in changes)


@given(records, records)
def test_writing_the_difference_makes_the_record_and_then_nothing_differs(
    before: dict[str, WireValue], after: dict[str, WireValue]
) -> None:
    changes = difference(before, after)
    assert [change.field for change in changes] == sorted({change.field for change in changes})
    held = before | {change.field: change.after for change in changes}
    assert difference(held, after) == ()
    assert all(held[field] == before[field] for field in before.keys() - after.keys())
