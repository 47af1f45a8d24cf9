"""Zendesk's refusals: each of its shapes read, each class with a next step, and the unknown left to a person."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.intents import RefusalClass
from accordant.connectors.zendesk.errors import classify, read_fault, refused


@pytest.mark.parametrize(
    ("status", "body", "cause", "code", "said"),
    [
        (
            422,
            {
                "error": "RecordInvalid",
                "description": "Record validation errors",
                "details": {"name": [{"description": "Name: A has already been taken", "error": "DuplicateValue"}]},
            },
            RefusalClass.BUSINESS_RULE,
            "NAME_TAKEN",
            "Name: A has already been taken",
        ),
        (
            422,
            {"error": "RecordInvalid", "details": {"external_id": [{"error": "DuplicateValue"}]}},
            RefusalClass.BUSINESS_RULE,
            "KEY_TAKEN",
            "external_id: DuplicateValue",
        ),
        (
            422,
            {
                "error": "RecordInvalid",
                "details": {"mrr": [{"description": "mrr: is bad", "error": "InvalidValue"}]},
            },
            RefusalClass.DATA_QUALITY,
            "InvalidValue",
            "mrr: is bad",
        ),
        (404, {"error": "RecordNotFound", "description": "Not found"}, RefusalClass.BUSINESS_RULE, "GONE", "Not found"),
        (409, {"error": "DatabaseConflict"}, RefusalClass.TRANSIENT, "DatabaseConflict", "DatabaseConflict"),
        (
            400,
            {"errors": [{"code": "QueryError", "title": "Invalid type"}]},
            RefusalClass.BUSINESS_RULE,
            "QueryError",
            "Invalid type",
        ),
        (
            422,
            {"error": {"title": "Bad", "message": "No such thing"}},
            RefusalClass.BUSINESS_RULE,
            "HTTP_422",
            "Bad No such thing",
        ),
        (400, "nothing of ours", RefusalClass.DATA_QUALITY, "HTTP_400", "status 400 without a reason"),
    ],
)
def test_each_shape_has_its_class_and_its_next_step(
    status: int, body: object, cause: RefusalClass, code: str, said: str
) -> None:
    fault = read_fault(status, msgspec.json.encode(body))
    assert classify(fault) == (cause, code)
    told = refused("the organization 'cus_1'", fault, fields=("name",))
    assert said in told.message
    assert told.message.startswith("Zendesk did not take the organization 'cus_1': ")
    assert told.message.endswith((".", "!"))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode))
def test_no_body_is_too_strange(body: bytes) -> None:
    assert read_fault(418, body).message
