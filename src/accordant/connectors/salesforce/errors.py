"""Salesforce's refusals in the hub's words: which class a status code is of, and what a person reads.
Guarantees that a code nobody has seen yet waits for a person and is never tried for ever.
Source of the codes: the StatusCode and ExceptionCode lists of Salesforce's object reference. Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from accordant.canonical.intents import RECORD_ABOVE_MISSING, RefusalClass, Refused
from accordant.connectors.salesforce.wire import Json, decode

CONCURRENT_PAUSE_S = 30.0  # other calls of the same org must end first
DAILY_PAUSE_S = 900.0  # the allowance is of the last 24 hours and comes back bit by bit, so a day would be too long
MESSAGE_CHARS_MAX = 500
SESSION_CODES = frozenset({"INVALID_SESSION_ID", "INVALID_AUTH_HEADER"})
_NOT_FOUND = "Foreign key external ID"
LIMIT_CODES = frozenset({"REQUEST_LIMIT_EXCEEDED"})

_CODES: dict[RefusalClass, frozenset[str]] = {
    RefusalClass.TRANSIENT: frozenset(
        {
            "API_CURRENTLY_DISABLED",
            "QUERY_TIMEOUT",
            "REQUEST_LIMIT_EXCEEDED",
            "REQUEST_RUNNING_TOO_LONG",
            "SERVER_UNAVAILABLE",
            "UNABLE_TO_LOCK_ROW",
            "UNKNOWN_EXCEPTION",
        }
    ),
    RefusalClass.DATA_QUALITY: frozenset(
        {
            "FIELD_INTEGRITY_EXCEPTION",
            "INVALID_CROSS_REFERENCE_KEY",
            "INVALID_CURRENCY_ISO",
            "INVALID_EMAIL_ADDRESS",
            "INVALID_FIELD",
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "INVALID_ID_FIELD",
            "INVALID_INPUT",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "INVALID_TYPE",
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            "JSON_PARSER_ERROR",
            "MALFORMED_ID",
            "MALFORMED_QUERY",
            "MISSING_ARGUMENT",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "REQUIRED_FIELD_MISSING",
            "STRING_TOO_LONG",
        }
    ),
    RefusalClass.BUSINESS_RULE: frozenset(
        {
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "CANNOT_UPDATE_CONVERTED_LEAD",
            "CIRCULAR_DEPENDENCY",
            "DELETED",
            "DUPLICATES_DETECTED",
            "DUPLICATE_EXTERNAL_ID",
            "DUPLICATE_VALUE",
            "ENTITY_IS_DELETED",
            "ENTITY_IS_LOCKED",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "FIELD_FILTER_VALIDATION_EXCEPTION",
            "INACTIVE_OWNER_OR_USER",
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "NOT_FOUND",
            "STORAGE_LIMIT_EXCEEDED",
        }
    ),
    RefusalClass.AUTHORIZATION: frozenset(
        {
            "API_DISABLED_FOR_ORG",
            "CLIENT_NOT_ACCESSIBLE_FOR_USER",
            "INVALID_AUTH_HEADER",
            "INVALID_LOGIN",
            "INVALID_OPERATION_WITH_EXPIRED_PASSWORD",
            "INVALID_SESSION_ID",
            "ORG_LOCKED",
            "PASSWORD_LOCKOUT",
            "USER_NOT_ENABLED_FOR_API",
        }
    ),
}
_CLASS_OF: dict[str, RefusalClass] = {code: cause for cause, codes in _CODES.items() for code in codes}

_NEXT_STEP: dict[RefusalClass, str] = {
    RefusalClass.TRANSIENT: "It is tried again by itself.",
    RefusalClass.DATA_QUALITY: "Correct the value at its source or the mapping of the field, then redrive it.",
    RefusalClass.BUSINESS_RULE: "A rule of this org stands against it: ask its administrator, then redrive it.",
    RefusalClass.AUTHORIZATION: "Give the integration user of this connection the right, or renew its credentials.",
}


class Fault(msgspec.Struct, frozen=True):
    """One error in Salesforce's words, from a row of a collection or from a whole call."""

    code: str
    message: str
    fields: tuple[str, ...] = ()


def classify(code: str) -> RefusalClass:
    """Why a write was refused. A code that is not listed is a business rule, so that a person looks at it."""
    return _CLASS_OF.get(code, RefusalClass.BUSINESS_RULE)


def read_faults(rows: Json) -> tuple[Fault, ...]:
    """The errors in a list (``statusCode`` in a row, ``errorCode`` in a call); what is no error is left out."""
    if not isinstance(rows, list):
        return ()
    return tuple(fault for row in rows if (fault := _read_fault(row)) is not None)


def call_fault(status: int, body: bytes) -> Fault:
    """The first error of a refused call; where the body says none, one that names the status (``HTTP_400``)."""
    try:
        faults = read_faults(decode(body))
    except msgspec.DecodeError:
        faults = ()
    if faults:
        return faults[0]
    said = " ".join(body[:200].decode("utf-8", "replace").split())
    return Fault(f"HTTP_{status}", f"status {status} without a reason" + (f": {said}" if said else ""))


def refused(
    object_name: str, faults: Sequence[Fault], *, key_field: str, retry_after_s: float | None = None
) -> Refused:
    """The hub's refusal of one record. The first error decides; the others are told in the message.

    Two writers that create one record in the same moment are both taken for the first, and Salesforce refuses one with
    DUPLICATE_VALUE on the key itself: the record exists now, so trying again updates it.
    """
    first = faults[0] if faults else Fault("UNNAMED", "the record was not taken, without a reason")
    if _awaits_its_own_kind(object_name, first):
        said = first.message.strip().rstrip(".")
        return Refused(
            cause=RefusalClass.TRANSIENT,
            code=RECORD_ABOVE_MISSING,
            message=f"This {object_name} waits for the one above it, which Salesforce does not have yet ({said}). It "
            "goes out by itself as soon as that one is there; if it was refused, its own entry says why.",
            fields=first.fields,
        )
    raced = first.code == "DUPLICATE_VALUE" and key_field in first.message and "on record with id" in first.message
    cause = RefusalClass.TRANSIENT if raced else _class_of(first)
    named = tuple(dict.fromkeys(name for fault in faults for name in fault.fields))
    if first.code in LIMIT_CODES and retry_after_s is None:
        retry_after_s = limit_pause_s(first.message)
    return Refused(
        cause=cause,
        code=first.code,
        message=_sentence(object_name, faults or (first,), cause),
        fields=named,
        retry_after_s=retry_after_s,
    )


def _awaits_its_own_kind(object_name: str, fault: Fault) -> bool:
    """Whether it looks up a record of its own object that is not there yet: the one above it, on its way in a lane of
    its own. What other objects look up is written before them in one lane, so there it is no matter of time.
    """
    return fault.message.startswith(_NOT_FOUND) and fault.message.rstrip(".").endswith(f" in entity {object_name}")


def limit_pause_s(message: str) -> float:
    """Seconds to wait after a used-up limit: that of calls at once ends soon, the daily one does not."""
    return CONCURRENT_PAUSE_S if "concurrent" in message.lower() else DAILY_PAUSE_S


def _class_of(fault: Fault) -> RefusalClass:
    if fault.code in {"HTTP_401", "HTTP_403", "HTTP_407"}:
        return RefusalClass.AUTHORIZATION
    if fault.code in {"HTTP_408", "HTTP_425"}:
        return RefusalClass.TRANSIENT
    return classify(fault.code)


def _read_fault(row: Json) -> Fault | None:
    if not isinstance(row, dict):
        return None
    code = row.get("statusCode") or row.get("errorCode")
    if not isinstance(code, str) or not code:
        return None
    fields = row.get("fields")
    named = tuple(str(name) for name in fields) if isinstance(fields, list) else ()
    return Fault(code, str(row.get("message") or "no reason given")[:MESSAGE_CHARS_MAX], named)


def _sentence(object_name: str, faults: Sequence[Fault], cause: RefusalClass) -> str:
    said = "; ".join(fault.message.strip().rstrip(".") for fault in faults)[:MESSAGE_CHARS_MAX]
    if faults[0].message.startswith(_NOT_FOUND) and cause is not RefusalClass.TRANSIENT:
        return (
            f"Salesforce refused this {object_name}: the record it looks up is not there ({said}). "
            "Write that record first, then redrive this one."
        )
    return f"Salesforce refused this {object_name}: {said}. {_NEXT_STEP[cause]}"
