"""Xero's refusals in the hub's words: which class one is of, and what a person reads.
Guarantees that a refusal nobody has seen yet waits for a person and is never tried for ever.
Source: the error schema of Xero's own OpenAPI, version 16.1.0, and its messages as people report them. Next: api.py.
"""

from __future__ import annotations

import re

import msgspec

from accordant.canonical.intents import KEY_REUSED, RefusalClass, Refused
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

PERIOD_CLOSED = "PERIOD_CLOSED"
NAME_TAKEN = "NAME_TAKEN"
_VALUE = (
    r"not a valid (account )?code|could not be found|is (mandatory|required)|must (be|not)|cannot exceed|"
    r"not (of )?valid|does not (match|balance)|not an ACTIVE"
)
_KINDS: tuple[tuple[re.Pattern[str], RefusalClass, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), cause, code)
    for pattern, cause, code in (
        (r"lock date|financial year.* locked", RefusalClass.BUSINESS_RULE, PERIOD_CLOSED),
        (r"idempotency", RefusalClass.BUSINESS_RULE, KEY_REUSED),
        (r"contact name must be unique", RefusalClass.BUSINESS_RULE, NAME_TAKEN),
        (r"must be unique|already (assigned|exists)", RefusalClass.TRANSIENT, ALREADY_THERE),
        (r"exceeds the amount outstanding|amount.* greater than", RefusalClass.TRANSIENT, "PAID_MEANWHILE"),
        (_VALUE, RefusalClass.DATA_QUALITY, "VALUE_REFUSED"),
    )
)  # fmt: skip
_NEXT_STEP = next_steps("Xero", "organisation", "Give the app of this connection the scope it lacks, then redrive it.")


class XeroRefused(CallRefused):
    """Xero said no to a call; the code of its fault is its own type, ``ValidationException`` mostly."""

    remedy = "Give the app of this connection the scopes of its manifest, and look at its tenant_id."

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"Xero refused a call: {fault.message.rstrip('.')}.", fault)


def read_fault(status: int, body: bytes) -> Fault:
    """The refusal of a call. The sentences are in the elements; what stands above says only that there are some."""
    try:
        told: Json = decode(body)
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict):
        return unreasoned(status, body)
    elements = told.get("Elements")
    words = [
        str(one.get("Message"))
        for element in (elements if isinstance(elements, list) else [])
        if isinstance(element, dict)
        for one in element.get("ValidationErrors") or []
        if isinstance(one, dict) and one.get("Message")
    ]
    general = told.get("Message") or told.get("Detail") or told.get("Title") or f"status {status}"
    return Fault(str(told.get("Type") or f"HTTP_{status}"), one_line(" ".join(words) or str(general)))


def classify(fault: Fault) -> tuple[RefusalClass, str]:
    """Why a write was refused, and the code it goes by. What nobody has seen yet is a business rule: a person looks."""
    if fault.code in {"HTTP_403", "Forbidden"}:
        return RefusalClass.AUTHORIZATION, "NOT_ALLOWED"
    for pattern, cause, code in _KINDS:
        if pattern.search(fault.message):
            return cause, code
    return RefusalClass.BUSINESS_RULE, "REFUSED"


def refused(place: str, fault: Fault, *, fields: tuple[str, ...] = ()) -> Refused:
    """The refusal of one record; ``place`` names it for a person."""
    said = f"Xero refused {place}: {fault.message.rstrip('.')}"
    return refused_record(said, classify(fault), _NEXT_STEP, fields)
