"""The refusals of QuickBooks Online in the hub's words: which class a code is of, and what a person reads.
Guarantees that a code nobody has seen yet waits for a person and is never tried for ever.
Source of the codes: Intuit's list of common errors. Next: api.py.
"""

from __future__ import annotations

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.plain_json import Json, decode
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import ALREADY_THERE

MESSAGE_CHARS_MAX = 500
PERIOD_CLOSED, NAME_TAKEN, STALE, GONE = "PERIOD_CLOSED", "NAME_TAKEN", "CHANGED_MEANWHILE", "GONE"
STALE_CODE, THROTTLED_CODE, NOT_FOUND_CODE = "5010", "3001", "610"
_CODES: dict[str, tuple[RefusalClass, str]] = {
    STALE_CODE: (RefusalClass.TRANSIENT, STALE),
    NOT_FOUND_CODE: (RefusalClass.TRANSIENT, GONE),
    "6140": (RefusalClass.TRANSIENT, ALREADY_THERE),
    "6240": (RefusalClass.BUSINESS_RULE, NAME_TAKEN),
    "6210": (RefusalClass.BUSINESS_RULE, PERIOD_CLOSED),
    "6540": (RefusalClass.BUSINESS_RULE, "DEPOSITED"),
    "6000": (RefusalClass.BUSINESS_RULE, "REFUSED"),
    "6190": (RefusalClass.AUTHORIZATION, "SUBSCRIPTION_ENDED"),
    "120": (RefusalClass.AUTHORIZATION, "NOT_ALLOWED"),
    "2020": (RefusalClass.DATA_QUALITY, "VALUE_MISSING"),
    "2050": (RefusalClass.DATA_QUALITY, "VALUE_TOO_LONG"),
    "2170": (RefusalClass.DATA_QUALITY, "VALUE_REFUSED"),
    "2500": (RefusalClass.DATA_QUALITY, "REFERENCE_UNKNOWN"),
    "4000": (RefusalClass.DATA_QUALITY, "QUERY_REFUSED"),
}
_NEXT_STEP = {
    RefusalClass.TRANSIENT: "It is tried again by itself.",
    RefusalClass.DATA_QUALITY: "Correct the value at its source, its mapping or the row it needs in QuickBooks, then "
    "redrive it.",
    RefusalClass.BUSINESS_RULE: "A rule of this company stands against it: ask its accountant, then redrive it.",
    RefusalClass.AUTHORIZATION: "Look at the subscription of this company and the rights of who connected it.",
}


class Fault(msgspec.Struct, frozen=True):
    """One refusal in Intuit's words, by its code; ``HTTP_400`` and the like where the body says none."""

    code: str
    message: str


class QuickBooksRefused(RejectedError):
    """QuickBooks said no to a call, and carried nothing of it out."""

    remedy = "Connect the app to the company of the setting realm_id with the scope com.intuit.quickbooks.accounting."

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"QuickBooks refused a call ({fault.code}): {fault.message.rstrip('.')}.")
        self.fault = fault


def read_fault(status: int, body: bytes) -> Fault:
    """The first error of a refused call."""
    try:
        told: Json = decode(body)
    except msgspec.DecodeError:
        told = None
    fault = (told.get("Fault") or told.get("fault")) if isinstance(told, dict) else None
    errors = (fault.get("Error") or fault.get("error")) if isinstance(fault, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        said = " ".join(body[:200].decode("utf-8", "replace").split())
        return Fault(f"HTTP_{status}", f"status {status} without a reason" + (f": {said}" if said else ""))
    first = errors[0]
    words = dict.fromkeys(str(first.get(name) or first.get(name.lower()) or "") for name in ("Message", "Detail"))
    return Fault(str(first.get("code") or f"HTTP_{status}"), _one_line(": ".join(filter(None, words)) or "no reason"))


def classify(fault: Fault) -> tuple[RefusalClass, str]:
    """Why a write was refused, and the code it goes by. What nobody has seen yet is a business rule: a person looks."""
    return _CODES.get(fault.code, (RefusalClass.BUSINESS_RULE, "REFUSED"))


def refused(place: str, fault: Fault, *, fields: tuple[str, ...] = ()) -> Refused:
    """The refusal of one record; ``place`` names it for a person."""
    cause, code = classify(fault)
    said = fault.message.rstrip(".")
    message = f"QuickBooks refused {place}: {said} ({fault.code}). {_NEXT_STEP[cause]}"
    return Refused(cause=cause, code=code, message=message, fields=fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS_MAX]
