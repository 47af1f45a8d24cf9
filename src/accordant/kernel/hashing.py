"""One canonical form of a value, one digest of it: what idempotency, compare-and-set and the audit chain stand on.

The form is RFC 8785 restricted to what we store: no floats, keys sorted by code point, no white space, UTF-8.
"""

import hashlib
from typing import Any

import msgspec

from accordant.kernel.errors import InvariantBroken

_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="string")


def canonical_json(value: Any) -> bytes:  # noqa: ANN401  any JSON-shaped value or Struct is meant
    """Canonical bytes of a JSON-shaped value or Struct. Raises InvariantBroken when it holds a float."""
    if _holds_float(value):
        raise InvariantBroken("A float reached the canonical form: amounts are integers or decimals.")
    return _ENCODER.encode(value)


def digest(data: bytes) -> bytes:
    """SHA-256 of ``data``: 32 bytes."""
    return hashlib.sha256(data).digest()


def fingerprint(value: Any) -> str:  # noqa: ANN401
    """Hexadecimal SHA-256 of the canonical form: equal values, equal fingerprints."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _holds_float(value: Any) -> bool:  # noqa: ANN401
    kind = type(value)
    if kind is str or kind is int:
        return False
    if isinstance(value, dict):
        return any(_holds_float(item) for item in value.values()) or any(isinstance(key, float) for key in value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_float(item) for item in value)
    if isinstance(value, msgspec.Struct):
        return any(_holds_float(getattr(value, name)) for name in value.__struct_fields__)
    return isinstance(value, float)
