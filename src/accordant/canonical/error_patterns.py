"""Error patterns: one name for the same refusal of a thousand records. What is particular to one record is left out.

A pattern is known by its key; people give it a name and a remedy, which is shown wherever it is met again.
"""

import re
from datetime import datetime

import msgspec

from accordant.canonical.intents import Refused, WriteReceipt
from accordant.kernel.hashing import digest

KEY_LENGTH = 12

# What tells one record's refusal from another's: quoted values, addresses, and identifiers with digits.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\S+@\S+|\b[\w-]*\d[\w-]{4,}\b|\b\d+\b")


_RECEIPTS = msgspec.json.Decoder(WriteReceipt)


class ErrorPattern(msgspec.Struct, frozen=True):
    """The same thing going wrong again. ``text`` says it: the system, the vendor's word for it, the message."""

    key: str
    text: str


class KnownPattern(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern that a person has described: what it is called, and what is to be done when it is met."""

    key: str
    text: str
    name: str
    remedy: str
    named_by: str
    named_at: datetime


def pattern_of(reason: str, *, system: str = "", code: str = "") -> ErrorPattern:
    """The pattern of a reason. ``code`` is the vendor's own word for it and comes first, since messages are reworded.

    Where a code is given twice, in the message too, it is told once.
    """
    told = _PARTICULAR.sub("…", reason).strip()
    parts = [part for part in (system, code if not told.startswith(code) else "", told) if part]
    text = ": ".join(parts)
    return ErrorPattern(digest(text.encode("utf-8", "surrogatepass")).hex()[:KEY_LENGTH], text)


def refusal_code(receipt: bytes) -> str:
    """The target's own word for a refusal, from a stored receipt; empty where it gave none or did not refuse."""
    outcome = _RECEIPTS.decode(receipt).outcome
    return outcome.code if isinstance(outcome, Refused) else ""
