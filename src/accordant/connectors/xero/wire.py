"""Xero's JSON and ours: amounts are decimals, never floats; instants come as milliseconds in .NET's spelling, in UTC.
Guarantees that a body of somebody else is told apart. Source: Xero's own OpenAPI, version 16.1.0 (``x-is-msdate``).
Next: api.py, which sends them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = Any
Row: TypeAlias = dict[str, Any]

_DOT_NET = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER: msgspec.json.Decoder[Json] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Json) -> bytes:
    """JSON bytes; days as text, amounts as numbers with the places they have."""
    return _ENCODER.encode(value)


def decode(body: bytes) -> Json:
    """The value of an answer. Raises msgspec.DecodeError, and nothing else."""
    try:
        return _DECODER.decode(body)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{len(body)} bytes that are no JSON") from error


def moment(text: str | None) -> datetime | None:
    """An instant: ``/Date(1439434356790)/`` is UTC whatever offset stands behind it. None where there is none."""
    found = _DOT_NET.fullmatch(text or "")
    return None if found is None else _EPOCH + timedelta(milliseconds=int(found[1]))


def day(text: str | None) -> date | None:
    """A day, in .NET's spelling or as ``2026-01-31``. None where there is none."""
    at = moment(text)
    if at is not None:
        return at.date()
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def amount(value: Json) -> Decimal:
    """An amount; nothing is zero."""
    return Decimal(value or 0)


def quoted(text: str) -> str:
    """A text inside a filter. Xero knows no escape, so that what would end it is left out: it then finds nothing."""
    return '"' + text.replace('"', "").replace("\\", "") + '"'
