"""Each value means what is written, whatever another reader of YAML makes of it; no bytes bring the reader down."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.store.charter_yaml import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "refused"),
        ("'NO'", "NO"),
        ("12:30:45", "12:30:45"),
        ("2026-03-14", "2026-03-14"),
        ("-12", -12),
        ("0", 0),
        ("true", True),
        ("~", None),
        ("1.2.3", "1.2.3"),
        (".5", "refused"),
        (".inf", "refused"),
        ("007", "refused"),
        ("'007'", "007"),
        ("1e", "1e"),
        ("|\n  text\n", "text\n"),
        ("env:NAME", "env:NAME"),
    ],
)
def test_what_a_value_means(text: str, value: object) -> None:
    document = read_yaml(f"a: {text}".encode(), "a.yaml")
    if value == "refused":
        assert len(document.defects) == 1
    else:
        assert (document.value, document.defects) == ({"a": value}, ())
        assert type(document.value) is dict


def test_a_key_is_text_as_it_is_written() -> None:
    assert read_yaml(b"no: Norway\n1: one\ntrue: flag", "a.yaml").value == {"no": "Norway", "1": "one", "true": "flag"}


@given(st.binary(max_size=200) | st.text(alphabet="a:-[]{}&*!<>'\"#|\n \t?~1.", max_size=80).map(str.encode))
def test_no_bytes_bring_the_reader_down(raw: bytes) -> None:
    for defect in read_yaml(raw, "a.yaml").defects:
        assert defect.line >= 1


names = st.text(alphabet="abcxyz_ .-'\"#:&*äß7", min_size=1, max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | names | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, min_size=1, max_size=4))
def test_what_json_says_is_read_as_it_is(source: dict[str, Any]) -> None:
    """JSON is YAML in which nothing is left to guess, so it must come back as it went."""
    document = read_yaml(json.dumps(source).encode(), "a.yaml")
    assert (document.value, document.defects) == (source, ())
