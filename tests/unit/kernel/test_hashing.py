"""One canonical form: equal values give equal bytes on every machine, and a float never gets in."""

from collections import OrderedDict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import canonical_json, digest, fingerprint
from accordant.kernel.money import Money


class Measure(msgspec.Struct, frozen=True):
    """A value that smuggles a float."""

    value: float | int


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(values)
def test_the_order_of_keys_does_not_matter_and_nothing_is_lost(value: Any) -> None:
    assert canonical_json(value) == canonical_json(reordered(value))
    assert fingerprint(value) == fingerprint(reordered(value))
    assert msgspec.json.decode(canonical_json(value)) == value


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ({"a": "é\n\u2028"}, '{"a":"é\\n\u2028"}'.encode()),
        (Money(5, "EUR"), b'{"amount_minor":5,"currency":"EUR"}'),
        ((1, 2), b"[1,2]"),
    ],
)
def test_the_canonical_form(value: Any, canonical: bytes) -> None:
    assert canonical_json(value) == canonical


def test_a_fingerprint_is_the_same_in_every_version_of_the_program() -> None:
    assert digest(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize(
    "value",
    [1.5, 0.0, {"a": 1.0}, [[1, (2.5,)]], {1.5}, {2.5: "a"}, OrderedDict(a=1.5), Measure(1.5), {"a": [Measure(1.5)]}],
)
def test_a_float_is_refused_wherever_it_hides(value: Any) -> None:
    with pytest.raises(InvariantBroken, match="float"):
        canonical_json(value)


def test_a_struct_without_floats_is_welcome() -> None:
    assert canonical_json(Measure(2)) == b'{"value":2}'
