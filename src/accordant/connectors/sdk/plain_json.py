"""JSON of a vendor that spells amounts as numbers: decimals both ways, never floats.
Guarantees that the same value is the same bytes. Next: a connector's ``wire.py``, which adds its own spellings.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

#: A decoded value: JSON with Decimal instead of floats; it does not leave the connector.
Json: TypeAlias = Any
Row: TypeAlias = dict[str, Any]

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
_DECODER: msgspec.json.Decoder[Json] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Json) -> bytes:
    """JSON bytes; amounts as numbers with the places they have."""
    return _ENCODER.encode(value)


def decode(body: bytes) -> Json:
    """The value of an answer. Raises msgspec.DecodeError, and nothing else."""
    try:
        return _DECODER.decode(body)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{len(body)} bytes that are no JSON") from error


def amount(value: Json) -> Decimal:
    """An amount; nothing is zero."""
    return Decimal(value or 0)
