"""Names of things, derived from what they are: the same cause gets the same id, so a repeat is recognized by it.

An id reads ``<prefix>_<26 characters>``: 130 bits of SHA-256 in Crockford's base32, without look-alike letters.
"""

import hashlib
import zlib
from typing import NewType

EntityId = NewType("EntityId", str)
IntentId = NewType("IntentId", str)
BusinessEventId = NewType("BusinessEventId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
# Two letters at a time, the lower five bits first.
_PAIRS = tuple(_ALPHABET[pair & 31] + _ALPHABET[pair >> 5] for pair in range(1024))
_LOWEST_BITS = range(0, 5 * _LENGTH, 10)
# A separator that no identifier may contain keeps ("ab", "c") and ("a", "bc") apart.
_SEPARATOR = "\x1f"


def derived_id(prefix: str, *parts: str) -> str:
    """The id of the thing that ``parts`` describe, for example ``derived_id("acc", "stripe", "cus_1")``."""
    raw = hashlib.sha256(_SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(raw[:17], "big")
    return f"{prefix}_{''.join([_PAIRS[number >> low & 1023] for low in _LOWEST_BITS])}"


def partition_of(lane: str, partitions: int) -> int:
    """The partition, from 0 to ``partitions`` - 1, that a lane belongs to: stable across processes and versions.

    CRC-32 spreads names evenly, and it is asked for every event at the door; nobody gains by choosing a partition.
    """
    return zlib.crc32(lane.encode("utf-8", "surrogatepass")) % partitions
