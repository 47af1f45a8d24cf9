"""The one strict reading of a provider's JSON: what two parsers could read differently is refused, with its place.
Guarantees: UTF-8, no repeated key, no float (decimals are Decimal), integers of 64 bits, bounded depth, storable text.
The usual body is read in one quick pass that proves itself; whatever leaves a doubt is read again, with care.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from accordant.kernel.errors import RejectedError

DEPTH_MAX = 100
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
DECIMAL_EXPONENT_MAX = 308  # beyond it the number is infinite or zero to everybody who reads JSON into doubles

#: A JSON object as decoded; it does not leave the connector.
JsonObject = dict[str, Any]

_LONG_NUMBER = b"0" * 19
_DIGITS_ALIKE = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 32 for byte in range(256))
#: NUL, half of a surrogate pair, and a quote that does not look like one.
_DOUBTFUL_ESCAPE = re.compile(rb"\\u(?:00(?:00|22)|[dD][89a-fA-F])")
# Possessive, and an open string runs to the end: no body makes this look at a byte more than once.
_NOT_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)|[^\[\]{}"]++', re.DOTALL)
_OPENING = frozenset(b"[{")


class PayloadMalformed(RejectedError):
    """The body is not JSON that everybody reads the same way.

    ``where`` is a path inside the body, or ``byte N`` where it cannot even be read.
    """

    remedy = "The bytes are kept; nothing was taken from them."

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


def decode_strict(body: bytes) -> object:
    """The value that ``body`` spells: dict, list, str, int, Decimal, bool or None; never a float.

    Raises: PayloadMalformed for anything but one JSON text in UTF-8 without byte order mark, and for repeated keys
    (also those that differ by escapes only), NaN, Infinity, numbers beyond the range of a double, integers
    beyond 64 bits signed, more than DEPTH_MAX levels, lone surrogates and NUL in text.
    """
    # A text with few brackets cannot be deep, whatever they enclose.
    if body.count(b"{") + body.count(b"[") > DEPTH_MAX:
        _check_depth(body)
    if _LONG_NUMBER in body.translate(_DIGITS_ALIKE) or (b"\\" in body and _DOUBTFUL_ESCAPE.search(body)):
        return _decode_carefully(body)
    try:
        value: object = _QUICK.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_carefully(body)
    if type(value) is dict and _spells_alike(value, body):
        return value
    return _decode_carefully(body)


def _spells_alike(value: JsonObject, body: bytes) -> bool:
    """Whether the value, spelled out again, has as many quotes as the body: then no pair of it was lost.

    Every text begins and ends with one, and one inside a text is written in both: each pair has two at least.
    """
    return _SPELL(value).count(b'"') == body.count(b'"')


def _decode_carefully(body: bytes) -> object:
    """The reading that defines the others: it sees every pair and every number, and says what is wrong where."""
    text = _as_text(body)
    try:
        value: object = _CAREFUL.decode(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise PayloadMalformed(f"The body is not JSON: {error.msg}.", where=f"byte {offset}") from None
    if _DOUBTFUL_ESCAPE.search(body):
        _check_text(value, "")
    return value


def decode_object(body: bytes) -> JsonObject:
    """As ``decode_strict``, for a body that must be a JSON object. Raises: PayloadMalformed."""
    value = decode_strict(body)
    if type(value) is not dict:
        raise PayloadMalformed("The body is JSON, but not an object.", where="byte 0")
    return value


def _as_text(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadMalformed("The body is not UTF-8.", where=f"byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise PayloadMalformed("The body starts with a byte order mark.", where="byte 0")
    return text


def _check_depth(body: bytes) -> None:
    depth = 0
    for bracket in _NOT_BRACKETS.sub(b"", body):
        depth += 1 if bracket in _OPENING else -1
        if depth > DEPTH_MAX:
            raise PayloadMalformed(f"The body is nested deeper than {DEPTH_MAX} levels.")


def _check_text(value: object, path: str) -> None:
    """Refuse text that cannot be stored; only called when an escape says that there may be some."""
    if type(value) is str:
        if "\x00" in value:
            raise PayloadMalformed("A text holds NUL.", where=path)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PayloadMalformed("A text holds half of a surrogate pair.", where=path) from None
    elif type(value) is dict:
        for key, item in value.items():
            _check_text(key, path)
            _check_text(item, f"{path}.{key}" if path else key)
    elif type(value) is list:
        for index, item in enumerate(value):
            _check_text(item, f"{path}[{index}]")


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        # ``add`` answers None, so the first key met a second time is the one that comes out.
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PayloadMalformed("A key is there twice.", where=repeated)
    return made


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise PayloadMalformed("A number has an exponent that no reader can hold.", where=text[:40]) from None
    if number and abs(number.adjusted()) > DECIMAL_EXPONENT_MAX:
        raise PayloadMalformed("A number is beyond the range that every reader can hold.", where=text[:40])
    return number


def _integer(text: str) -> int:
    if len(text) <= 20:
        number = int(text)
        if INTEGER_MIN <= number <= INTEGER_MAX:
            return number
    raise PayloadMalformed("An integer has more than 64 bits.", where=text[:40])


def _constant(text: str) -> NoReturn:
    raise PayloadMalformed(f"{text} is no JSON number.", where=text)


_QUICK = msgspec.json.Decoder(float_hook=_decimal)
_SPELL = msgspec.json.Encoder(decimal_format="number").encode
_CAREFUL = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_constant=_constant, parse_int=_integer
)
