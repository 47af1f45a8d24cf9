"""The strict decoder: corpus B1 as far as bytes go, and the quick reading held against the careful one."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.connectors.sdk import decode
from accordant.connectors.sdk.decode import PayloadMalformed, decode_object, decode_strict

REFUSED: tuple[tuple[str, bytes, str], ...] = (
    ("empty", b"", "byte 0"),
    ("white space only", b"  \n", "byte 3"),
    ("trailing bytes", b'{"a":1} x', "byte 8"),
    ("two texts", b'{"a":1}{"a":1}', "byte 7"),
    ("cut in a key", b'{"am', "byte 1"),
    ("cut in a string", b'{"a":"b', "byte 5"),
    ("cut in a list", b'{"a":[1,', "byte 8"),
    ("cut in a literal", b'{"a":tru', "byte 5"),
    ("key twice", b'{"amount":1,"amount":2}', "amount"),
    ("key twice, equal value", b'{"amount":1,"amount":1}', "amount"),
    ("key twice, deeper", b'{"x":[{"amount":1,"b":2,"amount":2}]}', "amount"),
    ("key twice, space before the colon", b'{"amount" :1,"amount"\n: 2}', "amount"),
    ("key twice, differing by an escape", b'{"amount":1,"\\u0061mount":2}', "amount"),
    ("key twice, hidden by a text", b'{"a":1,"a":2,"t":"x\\":y"}', "a"),
    ("key twice, hidden by spelled-out quotes", b'{"a":1,"a":2,"t":"\\u0022\\u0022"}', "a"),
    ("empty key twice", b'{"":1,"":2}', ""),
    ("NaN", b'{"a":NaN}', "NaN"),
    ("Infinity", b'{"a":Infinity}', "Infinity"),
    ("-Infinity", b'{"a":-Infinity}', "-Infinity"),
    ("1e999", b'{"a":1e999}', "1e999"),
    ("-1e999", b'{"a":-1e999}', "-1e999"),
    ("1e-400", b'{"a":1e-400}', "1e-400"),
    ("exponent of many digits", b'{"a":1e99999999999999999999}', "1e99999999999999999999"),
    ("2**63", b'{"a":9223372036854775808}', "9223372036854775808"),
    ("-2**63-1", b'{"a":-9223372036854775809}', "-9223372036854775809"),
    ("2**64", b'{"a":18446744073709551616}', "18446744073709551616"),
    ("4301 digits", b'{"a":' + b"9" * 4301 + b"}", "9" * 40),
    ("leading zero", b'{"a":01}', "byte 6"),
    ("plus sign", b'{"a":+1}', "byte 5"),
    ("bare point", b'{"a":.5}', "byte 5"),
    ("hexadecimal", b'{"a":0x10}', "byte 6"),
    ("single quotes", b"{'a':1}", "byte 1"),
    ("comment", b'{"a":1}// x', "byte 7"),
    ("trailing comma", b'{"a":1,}', "byte 7"),
    ("depth 101", b"[" * 101 + b"]" * 101, ""),
    ("depth 501 of objects", b'{"a":' * 501 + b"1" + b"}" * 501, ""),
    ("depth 100,000", b"[" * 100_000, ""),
    ("depth behind texts", b'["]]]]\\"]",' * 200 + b"1" + b"]" * 200, ""),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "byte 0"),
    ("UTF-16 without mark", '{"a":1}'.encode("utf-16-le"), "byte 1"),
    ("UTF-32", '{"a":1}'.encode("utf-32"), "byte 0"),
    ("byte order mark", b'\xef\xbb\xbf{"a":1}', "byte 0"),
    ("bad UTF-8", b'{"a":"\xff"}', "byte 6"),
    ("overlong", b'{"a":"\xc0\xaf"}', "byte 6"),
    ("surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}', "byte 6"),
    ("lone high surrogate", b'{"a":{"b":["x\\ud800"]}}', "a.b[0]"),
    ("lone low surrogate", b'{"a":"\\uDC00x"}', "a"),
    ("surrogates in the wrong order", b'{"a":"\\udc00\\ud83d"}', "a"),
    ("lone surrogate in a key", b'{"a":{"\\ud800":1}}', "a"),
    ("NUL as an escape", b'{"a":{"name":"x\\u0000"}}', "a.name"),
    ("NUL as a byte", b'{"a":"x\x00"}', "byte 7"),
    ("control character", b'{"a":"\n"}', "byte 6"),
    ("bad escape", b'{"a":"\\x41"}', "byte 6"),
)


@pytest.mark.parametrize(("body", "where"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_two_readers_could_read_differently_is_refused(body: bytes, where: str) -> None:
    with pytest.raises(PayloadMalformed) as raised:
        decode_strict(body)
    assert raised.value.where == where or (where.startswith("byte") and raised.value.where.startswith("byte"))
    assert raised.value.message


ACCEPTED: tuple[tuple[bytes, object], ...] = (
    (b'{"a":9007199254740993.01}', {"a": Decimal("9007199254740993.01")}),
    (b'{"a":9223372036854775807,"b":-9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}),
    (b'{"a":9007199254740993}', {"a": 2**53 + 1}),
    (b'{"a":-0}', {"a": 0}),
    (b'{"a":1e2}', {"a": Decimal("1E+2")}),
    (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
    (b'{"a":"00000000000000000000"}', {"a": "0" * 20}),
    (b'{"a":1234567890123456789012.5}', {"a": Decimal("1234567890123456789012.5")}),
    (b'{"t":"x\\":y","u":"z\\" :1"}', {"t": 'x":y', "u": 'z" :1'}),
    (b'{"t":"\\u0022","u":"\\\\u0022"}', {"t": '"', "u": "\\u0022"}),
    (b'{"a" : 1 ,\n\t"b"\r\n:2}', {"a": 1, "b": 2}),
    (b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100)),
    (b'{"x":[[{"a":1}],{"a":2}],"a":3}', {"x": [[{"a": 1}], {"a": 2}], "a": 3}),
    (b"null", None),
    (b'"x"', "x"),
)


def test_a_byte_order_mark_is_called_what_it_is() -> None:
    with pytest.raises(PayloadMalformed, match="byte order mark"):
        decode_strict(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize(("body", "value"), ACCEPTED)
def test_exact_values_come_out(body: bytes, value: object) -> None:
    assert decode_strict(body) == value


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b"true"])
def test_an_object_is_asked_for(body: bytes) -> None:
    with pytest.raises(PayloadMalformed):
        decode_object(body)


def _outcome(body: bytes, read: object) -> object:
    try:
        return read(body)  # type: ignore[operator]
    except PayloadMalformed as error:
        return error.message, error.where


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text() | st.decimals(allow_nan=False).map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=5), ascii_only=st.booleans(), indent=st.booleans())
def test_the_quick_reading_equals_the_careful_one(value: object, ascii_only: bool, indent: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1 if indent else None)
    body = text.encode("utf-8", "surrogatepass")
    assert _outcome(body, decode_strict) == _outcome(body, decode._decode_carefully)


@given(
    cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 12), st.binary(max_size=6)), max_size=3),
    ending=st.sampled_from(['"a":1', '"a" : 1', '"\\u0061":2', '"b":"\\":"']),
)
def test_mutations_never_get_past_the_careful_reading(cuts: list[tuple[int, int, bytes]], ending: str) -> None:
    body = b'{"id":"evt_1","a":[1,2.50,{"b":"x\\":y","c":null}],"d":{"e":true,"f":"\\u00e9"},' + ending.encode() + b"}"
    for start, length, put in cuts:
        body = body[:start] + put + body[start + length :]
    assert _outcome(body, decode_strict) == _outcome(body, decode._decode_carefully)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_the_one_error(body: bytes) -> None:
    _outcome(body, decode_strict)


def test_no_float_ever_comes_out() -> None:
    def floats(value: object) -> bool:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return isinstance(value, float) or any(floats(item) for item in inner)

    assert not floats(decode_strict(b'{"a":[0.1,{"b":1e5}],"c":-0.0}'))


def test_an_endless_open_string_is_looked_at_once() -> None:
    # Quadratic reading of this one would take minutes.
    with pytest.raises(PayloadMalformed):
        decode_strict(b"{" * 99 + b'{["' + b'\\"' * 500_000)
