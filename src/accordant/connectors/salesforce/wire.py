"""Salesforce's JSON: numbers without floats, and instants as it spells them; the rest is as the sdk has it.
Guarantees that a body of somebody else is told apart. Next: outbound.py, which puts the values into records.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.connectors.sdk.values import instant, to_json

# A decoded JSON value; a number with a fraction is a Decimal.
Json: TypeAlias = Any

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER: msgspec.json.Decoder[Json] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Json) -> bytes:
    """JSON bytes; a Decimal becomes a JSON number with exactly its digits."""
    return _ENCODER.encode(value)


def decode(body: bytes) -> Json:
    """The value of JSON bytes, fractions as Decimal. Raises msgspec.DecodeError, and nothing else."""
    try:
        return _DECODER.decode(body)
    except (UnicodeDecodeError, RecursionError, InvalidOperation) as error:
        raise msgspec.DecodeError(f"{len(body)} bytes that are no JSON of ours: {type(error).__name__}") from error


def to_salesforce(kind: FieldType, value: WireValue) -> Json:
    """What stands in the request for a wire value; a lookup's external id is text. Raises ValueUnreadable."""
    held = to_json(kind, value)
    if kind is not FieldType.INSTANT or held is None:
        return held
    return instant(held).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
