"""Xero's refusals: each kind is of a class that says what happens next, and what nobody has seen waits for a person."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.intents import RefusalClass
from accordant.connectors.sdk.refusals import MESSAGE_CHARS_MAX
from accordant.connectors.xero.errors import classify, read_fault, refused

TRANSIENT, DATA, RULE, RIGHTS = (
    RefusalClass.TRANSIENT, RefusalClass.DATA_QUALITY, RefusalClass.BUSINESS_RULE, RefusalClass.AUTHORIZATION,
)  # fmt: skip


def validation(*sentences: str) -> bytes:
    elements = [{"InvoiceID": "x", "ValidationErrors": [{"Message": one} for one in sentences]}]
    told = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred"}
    return json.dumps({**told, "Elements": elements}).encode()


@pytest.mark.parametrize(
    ("status", "body", "cause", "code"),
    [
        (400, validation("The document cannot be before the organisation's lock date"), RULE, "PERIOD_CLOSED"),
        (400, validation("Invoice # must be unique."), TRANSIENT, "ALREADY_THERE"),
        (400, validation("Account code '999' is not a valid code for this document."), DATA, "VALUE_REFUSED"),
        (400, validation("Payment amount exceeds the amount outstanding"), TRANSIENT, "PAID_MEANWHILE"),
        (400, validation("The contact name A is already assigned. The contact name must be unique across all active"),
         RULE, "NAME_TAKEN"),
        (400, validation("Something nobody ever saw"), RULE, "REFUSED"),
        (403, b'{"Title": "Forbidden", "Detail": "AuthenticationUnsuccessful"}', RIGHTS, "NOT_ALLOWED"),
        (400, b'{"ErrorNumber": 16, "Type": "QueryParseException", "Message": "No property"}', RULE, "REFUSED"),
        (412, b"<html>Precondition</html>", RULE, "REFUSED"),
    ],
)  # fmt: skip
def test_each_kind_is_of_its_class(status: int, body: bytes, cause: RefusalClass, code: str) -> None:
    fault = read_fault(status, body)
    assert classify(fault) == (cause, code)
    told = refused("the document 'jrn_1'", fault)
    assert "'jrn_1'" in told.message
    assert told.message.endswith((".", "?"))


def test_every_sentence_is_told() -> None:
    assert read_fault(400, validation("One thing.", "And another.")).message == "One thing. And another."


@given(st.binary(max_size=300), st.integers(400, 499))
def test_whatever_comes_is_told_in_one_short_line(body: bytes, status: int) -> None:
    fault = read_fault(status, body)
    assert fault.message
    assert len(fault.message) <= MESSAGE_CHARS_MAX
    assert "\n" not in fault.message
    classify(fault)
