"""What Tryton can answer, and the one thing each answer means."""

from __future__ import annotations

from typing import Any

import pytest

from accordant.canonical.intents import RefusalClass
from accordant.connectors.tryton.errors import MESSAGE_CHARS_MAX, classify, read_fault, refused

RULE, DATA, LATER = RefusalClass.BUSINESS_RULE, RefusalClass.DATA_QUALITY, RefusalClass.TRANSIENT
MISSING = 'To continue, you must create a period for the date "05/05/2026" and company "Example GmbH".'
DOMAIN = 'The value "x" for field "Account" in record "1" is not valid according to its domain.'
NUMBER = 'To number the invoice "(18)", you must set an invoice date after "03/05/2026" because ...'
SIMILAR = ["UserWarning", ["0a1b.invoice_similar", "There is a similar one.", ""]]
CLOSED = 'To continue, you must reopen the period "2026-01" of company "Example GmbH" for the date "01/31/2026".'

JOURNAL = 'You cannot add/modify/delete lines on closed journal-period "Revenue - 2026-01".'


def user_error(message: str) -> list[Any]:
    return ["UserError", [message, "", None]]


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [
        (user_error(CLOSED), RULE, "PERIOD_CLOSED"),
        (user_error(MISSING), RULE, "PERIOD_CLOSED"),
        (user_error(JOURNAL), RULE, "PERIOD_CLOSED"),
        (user_error("The code on party must be unique."), LATER, "ALREADY_THERE"),
        (user_error(DOMAIN), DATA, "VALUE_REFUSED"),
        (user_error('You are not allowed to access "Account Move".'), RefusalClass.AUTHORIZATION, "NOT_ALLOWED"),
        (user_error('To post move "(1)", you must balance it.'), RULE, "REFUSED"),
        (user_error(NUMBER), LATER, "NUMBERED_MEANWHILE"),
        (["ConcurrencyException", "The record was modified."], LATER, "CHANGED_MEANWHILE"),
        (SIMILAR, RULE, "WARNING_INVOICE_SIMILAR"),
    ],
)  # fmt: skip
def test_a_refusal_is_of_one_class(error: list[Any], cause: RefusalClass, code: str) -> None:
    fault = read_fault(error)
    assert fault.is_undone
    assert classify(fault) == (cause, code)
    said = refused("the document 'jrn_1'", fault)
    assert said.message.startswith("Tryton refused the document 'jrn_1': ")
    assert said.message.count(".") >= 1


@pytest.mark.parametrize(
    "error",
    [
        ["could not serialize access", "Traceback ..."],
        ["'no.such.model'", ""],
        ["", ""],
        "a text",
        None,
        [],
        [{"a": 1}],
        ["UserErrors", ["not one of Tryton's"]],
    ],
)
def test_what_is_no_refusal_of_tryton_s_may_have_been_carried_out(error: Any) -> None:
    assert not read_fault(error).is_undone


def test_only_the_words_are_kept_of_what_may_be_a_description_of_the_whole_model() -> None:
    fault = read_fault(["UserError", ["Wrong. " * 1_000, "", [[["closed", "!=", True]], {"fields": "x" * 100_000}]]])
    assert len(fault.message) <= MESSAGE_CHARS_MAX
    assert "closed" not in fault.message
