"""What Salesforce can answer, and the one thing each answer means: the corpus of destination answers as a table."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from accordant.canonical.intents import Applied, RefusalClass, Refused
from accordant.connectors.salesforce import errors
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable
from tests.connectors.salesforce.outbound_kit import ACCOUNT, Script, a_teller, a_write, connect, customers, said

OK: dict[str, Any] = {"id": "001000000000001AAA", "success": True, "errors": [], "created": True}
HTML = b"<html><body>Please log in</body></html>"
JSON = "Content-Type: application/json"


def error(code: str, message: str = "so it is") -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message}]


def row(code: str, message: str = "so it is", *fields: str) -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def headers_then_cut(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.close()


async def half_a_body_then_cut(writer: asyncio.StreamWriter) -> None:
    writer.write(said(200, [OK], JSON)[:-10])
    await writer.drain()
    writer.close()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    for byte in said(200, [OK], JSON) * 2:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


LOST: dict[str, bytes | Script] = {
    "200 with a login page": said(200, HTML, "Content-Type: text/html"),
    "200 and nothing": said(200),
    "200 with the error of a call": said(200, error("UNKNOWN_EXCEPTION")),
    "200 with an object": said(200, OK),
    "200 with too few results": said(200, []),
    "200 with too many results": said(200, [OK, OK]),
    "200 and a result that says nothing": said(200, [{}]),
    "200 and a result that is null": said(200, [None]),
    "success without an id": said(201, [{"success": True, "errors": []}]),
    "202, then nothing": said(202),
    "202 with results": said(202, [OK]),
    "204": said(204),
    "moved to the cloud's metadata": said(302, b"", "Location: http://169.254.169.254/latest"),
    "half the JSON": said(200, b'[{"id": "0010000000', JSON),
    "a length too short": said(200, [OK], JSON, length=20),
    "a length too long": said(200, [OK], JSON, length=4000),
    "not UTF-8": said(200, b'[{"id":"\xff\xfe","success":true}]', JSON),
    "broken gzip": said(200, gzip.compress(b"[]")[:-6] + b"broken", "Content-Encoding: gzip"),
    "500": said(500, error("UNKNOWN_EXCEPTION")),
    "502": said(502, HTML),
    "503": said(503, error("SERVER_UNAVAILABLE")),
    "504": said(504),
    "refused as unknown by Salesforce itself": said(400, error("UNKNOWN_EXCEPTION")),
    "408": said(408),
    "cut without a word": cut,
    "cut in the headers": headers_then_cut,
    "cut in the body": half_a_body_then_cut,
    "silence": hang,
    "a byte now and then": drop_by_drop,
}


@pytest.mark.parametrize("told", LOST.values(), ids=LOST.keys())
async def test_a_write_may_have_been_carried_out(told: bytes | Script) -> None:
    async with a_teller(told) as (teller, outbound):
        with pytest.raises(AnswerLost):
            await outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1")])
        assert len(teller.requests) == 1  # it is never sent again unasked


WHOLE_REFUSALS: dict[str, tuple[bytes, RefusalClass, str]] = {
    "400 in plain text": (said(400, b"Bad Message"), RefusalClass.BUSINESS_RULE, "HTTP_400"),
    "400 and nothing": (said(400), RefusalClass.BUSINESS_RULE, "HTTP_400"),
    "no such object": (said(404, error("NOT_FOUND")), RefusalClass.BUSINESS_RULE, "NOT_FOUND"),
    "409": (said(409, error("DUPLICATE_VALUE")), RefusalClass.BUSINESS_RULE, "DUPLICATE_VALUE"),
    "412": (said(412, error("PRECONDITION_FAILED")), RefusalClass.BUSINESS_RULE, "PRECONDITION_FAILED"),
    "413": (said(413), RefusalClass.BUSINESS_RULE, "HTTP_413"),
    "422": (said(422), RefusalClass.BUSINESS_RULE, "HTTP_422"),
    "unreadable row": (said(400, error("JSON_PARSER_ERROR")), RefusalClass.DATA_QUALITY, "JSON_PARSER_ERROR"),
    "no such field": (said(400, error("INVALID_FIELD")), RefusalClass.DATA_QUALITY, "INVALID_FIELD"),
    "a code of next year": (said(400, error("SOMETHING_NEW")), RefusalClass.BUSINESS_RULE, "SOMETHING_NEW"),
}


@pytest.mark.parametrize(("told", "cause", "code"), WHOLE_REFUSALS.values(), ids=WHOLE_REFUSALS.keys())
async def test_the_whole_call_is_refused(told: bytes, cause: RefusalClass, code: str) -> None:
    async with a_teller(told) as (_, outbound):
        [result] = await outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1")])
        assert isinstance(result.outcome, Refused)
        assert (result.outcome.cause, result.outcome.code) == (cause, code)
        assert result.outcome.message.startswith("Salesforce refused this Account: ")


NOTHING_DONE: dict[str, tuple[bytes, type[AccordantError], float | None]] = {
    "429 in seconds": (said(429, b"", "Retry-After: 7"), RateLimited, 7.0),
    "429 until a date": (
        said(429, b"", "Date: Sat, 14 Mar 2026 09:00:00 GMT", "Retry-After: Sat, 14 Mar 2026 09:01:30 GMT"),
        RateLimited,
        90.0,
    ),
    "429 and 0": (said(429, b"", "Retry-After: 0"), RateLimited, 0.0),
    "429 and a negative time": (said(429, b"", "Retry-After: -5"), RateLimited, None),
    "429 and a very long time": (said(429, b"", "Retry-After: 1000000000"), RateLimited, 3600.0),
    "429 and nonsense": (said(429, b"", "Retry-After: soon"), RateLimited, None),
    "429 without a time": (said(429), RateLimited, None),
    "daily limit": (
        said(403, error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")),
        RateLimited,
        errors.DAILY_PAUSE_S,
    ),
    "calls at once": (
        said(403, error("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")),
        RateLimited,
        errors.CONCURRENT_PAUSE_S,
    ),
    "daily limit with a time": (
        said(403, error("REQUEST_LIMIT_EXCEEDED"), "Retry-After: 42"),
        RateLimited,
        42.0,
    ),
    "locked as a whole": (said(400, error("UNABLE_TO_LOCK_ROW")), TargetUnavailable, None),
    "right lost": (said(403, error("API_DISABLED_FOR_ORG")), AuthorizationExpired, None),
    "403 without a reason": (said(403), AuthorizationExpired, None),
    "401 for ever": (said(401, error("INVALID_SESSION_ID")), AuthorizationExpired, None),
    "session ended with a 403 for ever": (said(403, error("INVALID_SESSION_ID")), AuthorizationExpired, None),
}


@pytest.mark.parametrize(("told", "kind", "pause"), NOTHING_DONE.values(), ids=NOTHING_DONE.keys())
async def test_nothing_was_carried_out(told: bytes, kind: type[AccordantError], pause: float | None) -> None:
    async with a_teller(told) as (_, outbound):
        with pytest.raises(kind) as caught:
            await outbound.write(ACCOUNT, customers(3))
        assert getattr(caught.value, "retry_after_s", None) == pause


async def test_nobody_listens() -> None:
    outbound = connect("http://127.0.0.1:9")
    with pytest.raises(TargetUnavailable):
        await outbound.write(ACCOUNT, customers(1))
    await outbound.close()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_session_that_ends_in_the_middle_is_renewed_once(status: int) -> None:
    async with a_teller(said(status, error("INVALID_SESSION_ID")), said(200, [OK])) as (teller, outbound):
        [result] = await outbound.write(ACCOUNT, customers(1))
        assert result.outcome == Applied(target_id=OK["id"], created=True)
        assert teller.tokens == 2


async def test_row_seven_of_two_hundred_is_refused_alone() -> None:
    listed: list[dict[str, Any]] = [dict(OK, id=f"001{n:015d}") for n in range(200)]
    listed[6] = row("DUPLICATES_DETECTED", "Use one of these records?")
    async with a_teller(said(200, listed)) as (_, outbound):
        results = await outbound.write(ACCOUNT, customers(200))
        refused = [place for place, result in enumerate(results) if isinstance(result.outcome, Refused)]
        assert refused == [6]
        assert isinstance(results[7].outcome, Applied)
        assert results[7].outcome.target_id == f"001{7:015d}"


READS: dict[str, tuple[bytes | Script, type[AccordantError]]] = {
    "200 with a login page": (said(200, HTML), TargetUnavailable),
    "200 with a list": (said(200, []), TargetUnavailable),
    "no more pages though there are": (said(200, {"records": [], "done": False}), TargetUnavailable),
    "the same page for ever": (
        said(200, {"records": [], "done": False, "nextRecordsUrl": "/services/data/v59.0/query/01g"}),
        TargetUnavailable,
    ),
    "cursor forgotten": (said(400, error("INVALID_QUERY_LOCATOR")), TargetUnavailable),
    "query timed out": (said(400, error("QUERY_TIMEOUT")), TargetUnavailable),
    "no such field": (said(400, error("INVALID_FIELD", "No such column 'X__c'")), RejectedError),
    "no such object": (said(400, error("INVALID_TYPE")), RejectedError),
    "address too long": (said(414), RejectedError),
    "daily limit": (said(403, error("REQUEST_LIMIT_EXCEEDED")), RateLimited),
    "right lost": (said(403, error("USER_NOT_ENABLED_FOR_API")), AuthorizationExpired),
    "row without an id": (said(200, {"records": [{"Billing_Customer_Id__c": "cus_1"}], "done": True}), RejectedError),
    "a record where an amount is mapped": (
        said(
            200,
            {"records": [{"Id": "1", "Billing_Customer_Id__c": "cus_1", "Billing_MRR__c": {"of": 1}}], "done": True},
        ),
        RejectedError,
    ),
}


@pytest.mark.parametrize(("told", "kind"), READS.values(), ids=READS.keys())
async def test_reading_says_what_is_wrong(told: bytes | Script, kind: type[AccordantError]) -> None:
    async with a_teller(told) as (_, outbound):
        with pytest.raises(kind):
            await outbound.read(ACCOUNT, ["cus_1"])


@pytest.mark.parametrize(
    ("held", "told"), [("many", "many"), (True, True), ("1200", "1200.00"), ("1,200.00", "1,200.00")]
)
async def test_a_value_of_another_type_is_told_as_it_stands(held: object, told: object) -> None:
    """One strange value in a retyped field must not keep its neighbors from being read."""
    page = {"records": [{"Id": "001", "Billing_Customer_Id__c": "cus_1", "Billing_MRR__c": held}], "done": True}
    async with a_teller(said(200, page)) as (_, outbound):
        assert (await outbound.read(ACCOUNT, ["cus_1"]))["cus_1"].fields["Billing_MRR__c"] == told


@pytest.mark.parametrize("following", ["//example.com/x", "https://example.com/services/data/x", "/secur/x", "", 7])
async def test_a_next_page_elsewhere_is_not_fetched(following: object) -> None:
    page = {"records": [], "done": False, "nextRecordsUrl": following}
    async with a_teller(said(200, page)) as (teller, outbound):
        with pytest.raises(TargetUnavailable):
            await outbound.read(ACCOUNT, ["cus_1"])
        assert len(teller.requests) == 1


@pytest.mark.parametrize("body", [[], {}, {"fields": None}, b"<html>"])
async def test_a_description_that_cannot_be_read(body: object) -> None:
    async with a_teller(said(200, body)) as (_, outbound):
        with pytest.raises(TargetUnavailable):
            await outbound.describe("Account")


async def test_what_is_no_field_is_left_out_of_a_description() -> None:
    async with a_teller(said(200, {"fields": [None, {}, {"name": "Name"}]})) as (_, outbound):
        assert [field.name for field in await outbound.describe("Account")] == ["Name"]


async def test_a_read_that_breaks_off_is_tried_again() -> None:
    page = {"records": [{"Id": "001", "Billing_Customer_Id__c": "cus_1", "Name": "EXAMPLE-1"}], "done": True}
    async with a_teller(cut, said(200, page)) as (teller, outbound):
        assert (await outbound.read(ACCOUNT, ["cus_1"]))["cus_1"].fields["Name"] == "EXAMPLE-1"
        assert len(teller.requests) == 2


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("UNABLE_TO_LOCK_ROW", RefusalClass.TRANSIENT),
        ("SERVER_UNAVAILABLE", RefusalClass.TRANSIENT),
        ("REQUEST_LIMIT_EXCEEDED", RefusalClass.TRANSIENT),
        ("STRING_TOO_LONG", RefusalClass.DATA_QUALITY),
        ("INVALID_EMAIL_ADDRESS", RefusalClass.DATA_QUALITY),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", RefusalClass.DATA_QUALITY),
        ("REQUIRED_FIELD_MISSING", RefusalClass.DATA_QUALITY),
        ("INVALID_FIELD", RefusalClass.DATA_QUALITY),
        ("NUMBER_OUTSIDE_VALID_RANGE", RefusalClass.DATA_QUALITY),
        ("JSON_PARSER_ERROR", RefusalClass.DATA_QUALITY),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", RefusalClass.BUSINESS_RULE),
        ("DUPLICATES_DETECTED", RefusalClass.BUSINESS_RULE),
        ("DUPLICATE_VALUE", RefusalClass.BUSINESS_RULE),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", RefusalClass.BUSINESS_RULE),
        ("INSUFFICIENT_ACCESS_OR_READONLY", RefusalClass.BUSINESS_RULE),
        ("ENTITY_IS_DELETED", RefusalClass.BUSINESS_RULE),
        ("INVALID_SESSION_ID", RefusalClass.AUTHORIZATION),
        ("API_DISABLED_FOR_ORG", RefusalClass.AUTHORIZATION),
        ("A_CODE_NOBODY_KNOWS", RefusalClass.BUSINESS_RULE),
    ],
)
def test_classes_of_codes(code: str, cause: RefusalClass) -> None:
    assert errors.classify(code) is cause


def test_no_code_is_of_two_classes() -> None:
    assert len(errors._CLASS_OF) == sum(len(codes) for codes in errors._CODES.values())


def test_a_refusal_tells_a_person_what_to_do() -> None:
    faults = errors.read_faults(
        [
            {"statusCode": "STRING_TOO_LONG", "message": "Plan: data value too large.", "fields": ["Plan__c"]},
            {"statusCode": "INVALID_EMAIL_ADDRESS", "message": "Email: invalid.", "fields": ["Email__c"]},
            "nonsense",
            {"message": "no code"},
        ]
    )
    refused = errors.refused("Account", faults, key_field="Key__c")
    assert refused.fields == ("Plan__c", "Email__c")
    assert refused.message == (
        "Salesforce refused this Account: Plan: data value too large; Email: invalid. "
        "Correct the value at its source or the mapping of the field, then redrive it."
    )


def test_two_writers_in_one_moment_are_tried_again() -> None:
    """Both were taken for the first; the record exists now, so trying again updates it."""
    raced = errors.Fault("DUPLICATE_VALUE", "duplicate value found: Key__c duplicates value on record with id: 001")
    assert errors.refused("Account", (raced,), key_field="Key__c").cause is RefusalClass.TRANSIENT
    assert errors.refused("Account", (raced,), key_field="Other__c").cause is RefusalClass.BUSINESS_RULE


def test_a_limit_in_a_row_names_its_time() -> None:
    limited = errors.Fault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    assert errors.refused("Account", (limited,), key_field="K").retry_after_s == errors.DAILY_PAUSE_S


def test_a_refusal_without_a_reason_waits_for_a_person() -> None:
    refused = errors.refused("Account", (), key_field="K")
    assert (refused.cause, refused.code) == (RefusalClass.BUSINESS_RULE, "UNNAMED")
