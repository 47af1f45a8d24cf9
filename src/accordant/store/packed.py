"""A column of many rows as one binary array of PostgreSQL, for the statements of `bulk.py`.

The driver asks of every single value how it is written; a column of ours is of one type, so it is packed in one go.
"""

import struct
from collections.abc import Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Text
from sqlalchemy.sql.type_api import TypeEngine

# Dimensions, whether one is null, the type of an element, how many there are, the number of the first.
_HEAD = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_NUMBERS = {"bigint": struct.Struct(">iq"), "integer": struct.Struct(">ii")}
_BOOLEANS = {True: b"\x00\x00\x00\x01\x01", False: b"\x00\x00\x00\x01\x00", None: _NULL}
#: PostgreSQL's number of each type that a column of ours has, and of an array of it.
_OIDS = {"bigint": (20, 1016), "integer": (23, 1007), "text": (25, 1009), "bytea": (17, 1001), "boolean": (16, 1000)}


class Packed:
    """An array as it is sent."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


#: The driver goes by the class of a value: the arrays of each type have one of their own.
_CLASSES: dict[str, type[Packed]] = {
    name: type(f"Packed{name.capitalize()}", (Packed,), {"__slots__": ()}) for name in _OIDS
}


@cache
def make_known() -> None:
    """Let the driver know of packed arrays, before it opens its first connection."""
    import psycopg  # noqa: PLC0415  a hub on SQLite does without, and starts the sooner

    for name, (_, number) in _OIDS.items():

        class PackedDumper(psycopg.adapt.Dumper):
            format = psycopg.pq.Format.BINARY
            oid = number

            def dump(self, obj: Packed) -> bytes:
                return obj.data

        psycopg.adapters.register_dumper(_CLASSES[name], PackedDumper)


def name_of(column_type: TypeEngine[Any]) -> str:
    """PostgreSQL's name of a column's type. Raises TypeError for one that no table of ours has."""
    match column_type:
        case BigInteger():
            return "bigint"
        case Integer():
            return "integer"
        case Text():
            return "text"
        case LargeBinary():
            return "bytea"
        case Boolean():
            return "boolean"
        case _:
            raise TypeError(f"no array type for {column_type!r}")


def pack(name: str, values: Sequence[Any]) -> Packed | list[Any]:
    """``values``, each of the type or None, as one array. Numbers too large stay a list: the database refuses."""
    has_null = None in values
    try:
        body = _body(name, values, has_null=has_null)
    except struct.error:
        return list(values)
    oid, _ = _OIDS[name]
    head = _HEAD.pack(1, has_null, oid, len(values), 1) if values else _HEAD.pack(0, 0, oid, 0, 0)[:12]
    return _CLASSES[name](head + body)


def _body(name: str, values: Sequence[Any], *, has_null: bool) -> bytes:
    if name == "boolean":
        return b"".join([_BOOLEANS[value] for value in values])
    number = _NUMBERS.get(name)
    if number is not None:
        write, size = number.pack, number.size - _LENGTH.size
        if has_null:
            return b"".join([_NULL if value is None else write(size, value) for value in values])
        return b"".join(map(write, repeat(size), values))
    length = _LENGTH.pack
    if has_null:
        spelled = [None if value is None else value.encode() if name == "text" else value for value in values]
        return b"".join([_NULL if one is None else length(len(one)) + one for one in spelled])
    texts = [value.encode() for value in values] if name == "text" else values
    return b"".join(chain.from_iterable(zip(map(length, map(len, texts)), texts, strict=True)))
