"""The refusals of QuickBooks Online in the hub's words: which class a code is of, and what a person reads.
Guarantees that a code nobody has seen yet waits for a person and is never tried for ever.
Source of the codes: Intuit's list of common errors. Next: api.py.
"""

from __future__ import annotations

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.plain_json import Json, decode
from accordant.connectors.sdk.refusals import (
    CallRefused,
    Fault,
    next_steps,
    one_line,
    refused_record,
    unreasoned,
)
from accordant.ports.connector import ALREADY_THERE

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
_NEXT_STEP = next_steps(
    "QuickBooks", "company", "Look at the subscription of this company and the rights of who connected it."
)


class QuickBooksRefused(CallRefused):
    """QuickBooks said no to a call; the code of its fault is Intuit's."""

    remedy = "Connect the app to the company of the setting realm_id with the scope com.intuit.quickbooks.accounting."

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"QuickBooks refused a call ({fault.code}): {fault.message.rstrip('.')}.", fault)


def read_fault(status: int, body: bytes) -> Fault:
    """The first error of a refused call."""
    try:
        told: Json = decode(body)
    except msgspec.DecodeError:
        told = None
    fault = (told.get("Fault") or told.get("fault")) if isinstance(told, dict) else None
    errors = (fault.get("Error") or fault.get("error")) if isinstance(fault, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return unreasoned(status, body)
    first = errors[0]
    words = dict.fromkeys(str(first.get(name) or first.get(name.lower()) or "") for name in ("Message", "Detail"))
    return Fault(str(first.get("code") or f"HTTP_{status}"), one_line(": ".join(filter(None, words)) or "no reason"))


def classify(fault: Fault) -> tuple[RefusalClass, str]:
    """Why a write was refused, and the code it goes by. What nobody has seen yet is a business rule: a person looks."""
    return _CODES.get(fault.code, (RefusalClass.BUSINESS_RULE, "REFUSED"))


def refused(place: str, fault: Fault, *, fields: tuple[str, ...] = ()) -> Refused:
    """The refusal of one record; ``place`` names it for a person."""
    said = f"QuickBooks refused {place}: {fault.message.rstrip('.')} ({fault.code})"
    return refused_record(said, classify(fault), _NEXT_STEP, fields)
