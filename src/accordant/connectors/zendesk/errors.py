"""Zendesk's refusals in the hub's words. A refusal nobody has seen yet waits for a person and is never tried for ever.
Source: https://developer.zendesk.com/api-reference/introduction/requests/. Next: api.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.plain_json import Json, Row, decode
from accordant.connectors.sdk.refusals import CallRefused, Fault, one_line, refused_record, unreasoned

NAME_TAKEN, KEY_TAKEN, GONE = "NAME_TAKEN", "KEY_TAKEN", "GONE"
_DUPLICATE = "DuplicateValue"
#: What a field is refused for, and what happens next. Anything else is a rule of the account.
_CLASS_OF = {
    "BlankValue": RefusalClass.DATA_QUALITY,
    "HTTP_400": RefusalClass.DATA_QUALITY,
    "HTTP_413": RefusalClass.DATA_QUALITY,
    "InvalidFormat": RefusalClass.DATA_QUALITY,
    "InvalidValue": RefusalClass.DATA_QUALITY,
    "ValueTooLong": RefusalClass.DATA_QUALITY,
    # Two agents changed one record in the same moment; nothing of ours was kept.
    "DatabaseConflict": RefusalClass.TRANSIENT,
    "HTTP_409": RefusalClass.TRANSIENT,
    "Unavailable": RefusalClass.TRANSIENT,
}
_NEXT_STEP = {
    RefusalClass.TRANSIENT: "It is tried again by itself.",
    RefusalClass.DATA_QUALITY: "Correct the value at its source, the mapping of the field or the field in Zendesk, "
    "then redrive it.",
    RefusalClass.BUSINESS_RULE: "A rule of this account stands against it: ask its administrator, then redrive it.",
    RefusalClass.AUTHORIZATION: "Give the agent of this connection the right.",
}


class ZendeskRefused(CallRefused):
    """Zendesk said no to a call."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"Zendesk refused it: {fault.message}.", fault)


def read_fault(status: int, body: bytes) -> Fault:
    """The refusal of a call. What is said of a field comes first, since that names the place."""
    try:
        told = decode(body)
    except msgspec.DecodeError:
        return unreasoned(status, body)
    if not isinstance(told, dict):
        return unreasoned(status, body)
    found = [*_of_fields(told), *_of_call(status, told)]
    if not found:
        return unreasoned(status, body)
    return Fault(found[0][0], one_line("; ".join(dict.fromkeys(said for _, said in found))).rstrip("."))


def classify(fault: Fault) -> tuple[RefusalClass, str]:
    """Why a write was refused, and by which code of ours or Zendesk's."""
    if fault.code == f"{_DUPLICATE}:name":
        return RefusalClass.BUSINESS_RULE, NAME_TAKEN
    if fault.code == f"{_DUPLICATE}:external_id":
        return RefusalClass.BUSINESS_RULE, KEY_TAKEN
    if fault.code in {"RecordNotFound", "HTTP_404"}:
        return RefusalClass.BUSINESS_RULE, GONE
    kind = fault.code.partition(":")[0]
    return _CLASS_OF.get(kind, RefusalClass.BUSINESS_RULE), kind


def refused(what: str, fault: Fault, *, fields: tuple[str, ...]) -> Refused:
    """The hub's refusal of one record."""
    return refused_record(f"Zendesk did not take {what}: {fault.message}", classify(fault), _NEXT_STEP, fields)


def _of_fields(told: Row) -> Iterator[tuple[str, str]]:
    """Each ``details`` entry, as (kind:field, sentence)."""
    details = told.get("details")
    for name, faults in details.items() if isinstance(details, dict) else ():
        for fault in faults if isinstance(faults, list) else ():
            if isinstance(fault, dict):
                kind = fault.get("error") or "InvalidValue"
                yield f"{kind}:{name}", one_line(str(fault.get("description") or f"{name}: {kind}"))


def _of_call(status: int, told: Row) -> Iterator[tuple[str, str]]:
    said: Json = told.get("error")
    if isinstance(said, dict):  # as the authorization service has it: a title and a message
        yield f"HTTP_{status}", one_line(f"{said.get('title', '')} {said.get('message', '')}")
    elif said and not told.get("details"):
        yield (
            str(said).split()[0] if status == 404 else _kind(status, str(said)),
            one_line(f"{said} {told.get('description') or ''}"),
        )
    for one in told.get("errors") or () if isinstance(told.get("errors"), list) else ():
        if isinstance(one, dict):
            yield str(one.get("code") or f"HTTP_{status}"), one_line(str(one.get("title") or one.get("detail") or ""))


def _kind(status: int, said: str) -> str:
    """Zendesk's own word, or the status where it said a sentence."""
    return said if said.isalpha() else f"HTTP_{status}"
