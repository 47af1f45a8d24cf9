"""Tryton's JSON and ours: amounts and days travel as tagged objects, never as floats or as text.
Guarantees that what is encoded and decoded again is equal, and that a body of somebody else is told apart.
Source of the tags: trytond's protocols/jsonrpc.py, version 8.2. Next: rpc.py, which sends them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

#: A decoded value of Tryton's: JSON, with Decimal, date and aware datetime where it tagged them.
Json: TypeAlias = Any

_TAG = "__class__"
_DECODER: msgspec.json.Decoder[Json] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Json) -> bytes:
    """JSON bytes of a call. Amounts are Decimal, days date; anything else has to be plain JSON."""
    return msgspec.json.encode(_tagged(value))


def decode(body: bytes) -> Json:
    """The value of an answer. Raises msgspec.DecodeError, and nothing else."""
    try:
        return _untagged(_DECODER.decode(body))
    except (UnicodeDecodeError, RecursionError, InvalidOperation, KeyError, TypeError, ValueError) as error:
        if isinstance(error, msgspec.DecodeError):
            raise
        raise msgspec.DecodeError(f"{len(body)} bytes that are no JSON of Tryton's: {type(error).__name__}") from error


def _tagged(value: Json) -> Json:
    match value:
        case Decimal():
            return {_TAG: "Decimal", "decimal": f"{value:f}"}
        case datetime():  # before date, of which it is one
            moment = value.astimezone(UTC)
            day = {"year": moment.year, "month": moment.month, "day": moment.day}
            time = {"hour": moment.hour, "minute": moment.minute, "second": moment.second}
            return {_TAG: "datetime", **day, **time, "microsecond": moment.microsecond}
        case date():
            return {_TAG: "date", "year": value.year, "month": value.month, "day": value.day}
        case dict():
            return {name: _tagged(part) for name, part in value.items()}
        case list() | tuple():
            return [_tagged(part) for part in value]
        case _:
            return value


def _untagged(value: Json) -> Json:
    match value:
        case {"__class__": "Decimal", "decimal": str(digits)}:
            return Decimal(digits)
        case {"__class__": "datetime"}:
            day = (int(value["year"]), int(value["month"]), int(value["day"]))
            time = (int(value["hour"]), int(value["minute"]), int(value["second"]), int(value["microsecond"]))
            return datetime(*day, *time, tzinfo=UTC)  # Tryton keeps instants in UTC, naive
        case {"__class__": "date"}:
            return date(int(value["year"]), int(value["month"]), int(value["day"]))
        case dict():
            return {name: _untagged(part) for name, part in value.items()}
        case list():
            return [_untagged(part) for part in value]
        case _:
            return value
