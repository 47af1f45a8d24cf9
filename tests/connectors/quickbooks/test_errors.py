"""The refusals of QuickBooks: each code is of a class that says what happens next; an unknown one waits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.intents import RefusalClass
from accordant.connectors.quickbooks.errors import classify, read_fault, refused
from accordant.connectors.sdk.refusals import MESSAGE_CHARS_MAX

TRANSIENT, DATA, RULE, RIGHTS = (
    RefusalClass.TRANSIENT, RefusalClass.DATA_QUALITY, RefusalClass.BUSINESS_RULE, RefusalClass.AUTHORIZATION,
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "cause", "ours"),
    [
        ("5010", TRANSIENT, "CHANGED_MEANWHILE"), ("610", TRANSIENT, "GONE"), ("6140", TRANSIENT, "ALREADY_THERE"),
        ("6240", RULE, "NAME_TAKEN"), ("6210", RULE, "PERIOD_CLOSED"), ("6000", RULE, "REFUSED"),
        ("2500", DATA, "REFERENCE_UNKNOWN"), ("2050", DATA, "VALUE_TOO_LONG"), ("120", RIGHTS, "NOT_ALLOWED"),
        ("6190", RIGHTS, "SUBSCRIPTION_ENDED"), ("99999", RULE, "REFUSED"),
    ],
)  # fmt: skip
def test_each_code_is_of_its_class(code: str, cause: RefusalClass, ours: str) -> None:
    error = {"Message": "Said in short", "Detail": "Said at length", "code": code, "element": ""}
    body = json.dumps({"Fault": {"Error": [error], "type": "ValidationFault"}, "time": "2026-03-14"}).encode()
    fault = read_fault(400, body)
    assert classify(fault) == (cause, ours)
    told = refused("the document 'jrn_1'", fault)
    assert (told.cause, told.code) == (cause, ours)
    for part in ("'jrn_1'", "Said in short: Said at length", code):
        assert part in told.message


@given(st.binary(max_size=300), st.integers(400, 499))
def test_whatever_comes_is_told_in_one_short_line(body: bytes, status: int) -> None:
    fault = read_fault(status, body)
    assert fault.message
    assert len(fault.message) <= MESSAGE_CHARS_MAX
    assert "\n" not in fault.message
    classify(fault)
