"""Tryton's refusals in the hub's words: which class one is of, and what a person reads.
Guarantees that only what Tryton certainly undid counts as refused; anything else has lost its answer.
Source of the kinds: trytond's exceptions.py and protocols/jsonrpc.py, version 8.2. Next: rpc.py.
"""

from __future__ import annotations

import re

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.tryton.wire import Json
from accordant.ports.connector import ALREADY_THERE

MESSAGE_CHARS_MAX = 500
#: Tryton raises these inside the transaction of the call, which it then rolls back: nothing was carried out.
_UNDONE = frozenset({"UserError", "UserWarning", "ConcurrencyException", "LoginException"})
#: Said of a day whose period or fiscal year is closed or was never made (account/message.xml).
_PERIOD = re.compile(
    r"reopen the period|create a period|closed period|closed journal-period|fiscal ?year .*(closed|locked)",
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    r"not valid according to its domain|is required|too long|digits|not in the selection", re.IGNORECASE
)
_UNIQUE = re.compile(r"must be unique", re.IGNORECASE)
#: Another invoice of a later day was numbered between our look and our posting: the next look sees it.
_NUMBER = re.compile(r"to number the invoice .* invoice date after", re.IGNORECASE)
_RIGHTS = re.compile(r"not allowed to (access|modify|read|create|delete)", re.IGNORECASE)

PERIOD_CLOSED = "PERIOD_CLOSED"
_NEXT_STEP = {
    RefusalClass.TRANSIENT: "It is tried again by itself.",
    RefusalClass.DATA_QUALITY: "Correct the value at its source, its mapping or the row it needs in Tryton, then "
    "redrive it.",
    RefusalClass.BUSINESS_RULE: "A rule of this Tryton stands against it: ask its accountant, then redrive it.",
    RefusalClass.AUTHORIZATION: "Give the user of this connection the right, then redrive it.",
}


#: What mends a refusal of one code, where that is more than its class says.
_MENDED_BY = {
    PERIOD_CLOSED: "Reopen it there, and with a period each of its journals, which Tryton closes with it and leaves "
    "closed; then redrive it.",
}


class Fault(msgspec.Struct, frozen=True):
    """One error in Tryton's words. ``warning`` is the key under which a person may pass over a warning."""

    kind: str
    message: str
    warning: str | None = None

    @property
    def is_undone(self) -> bool:
        """Whether nothing of the call was carried out for certain."""
        return self.kind in _UNDONE


def read_fault(error: Json) -> Fault:
    """The error of an answer: a kind with its words, or whatever an exception had to say.

    Of the words only the sentences are kept: behind them Tryton may send a description of the whole model.
    """
    if not isinstance(error, list) or not error or not isinstance(error[0], str):
        return Fault("unreadable", _one_line(str(error)))
    kind, *rest = error
    if kind not in _UNDONE:
        return Fault("exception", _one_line(kind))
    words = rest[0] if rest and isinstance(rest[0], list) else rest
    said = [word for word in words[:3] if isinstance(word, str) and word]
    if kind == "UserWarning" and said:
        return Fault(kind, _one_line(". ".join(said[1:])), warning=said[0])
    return Fault(kind, _one_line(" ".join(said)) or kind)


def classify(fault: Fault) -> tuple[RefusalClass, str]:
    """Why a write was refused, and the code it goes by. What nobody has seen yet is a business rule: a person looks."""
    if fault.kind == "ConcurrencyException":
        return RefusalClass.TRANSIENT, "CHANGED_MEANWHILE"
    if fault.kind == "UserWarning":
        name = (fault.warning or "").rpartition(".")[2]
        return RefusalClass.BUSINESS_RULE, f"WARNING_{name}".upper()[:80]
    if _PERIOD.search(fault.message):
        return RefusalClass.BUSINESS_RULE, PERIOD_CLOSED
    if _RIGHTS.search(fault.message):
        return RefusalClass.AUTHORIZATION, "NOT_ALLOWED"
    if _UNIQUE.search(fault.message):
        return RefusalClass.TRANSIENT, ALREADY_THERE
    if _NUMBER.search(fault.message):
        return RefusalClass.TRANSIENT, "NUMBERED_MEANWHILE"
    if _DOMAIN.search(fault.message):
        return RefusalClass.DATA_QUALITY, "VALUE_REFUSED"
    return RefusalClass.BUSINESS_RULE, "REFUSED"


def refused(place: str, fault: Fault, *, fields: tuple[str, ...] = ()) -> Refused:
    """The refusal of one record; ``place`` names it for a person."""
    cause, code = classify(fault)
    said = fault.message.rstrip(".")
    mended_by = _MENDED_BY.get(code, _NEXT_STEP[cause])
    return Refused(cause=cause, code=code, message=f"Tryton refused {place}: {said}. {mended_by}", fields=fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS_MAX]
