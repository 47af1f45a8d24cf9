"""Every refusal of a write that Stripe documents, and what it means: again, by a person, never, or in doubt."""

from __future__ import annotations

import json

import pytest

from accordant.canonical.intents import KEY_REUSED, KEY_SPENT, RefusalClass, Refused
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable
from tests.connectors.stripe.outbound_kit import CUSTOMER, Account, an_account, answering, writes


def said(status: int, *, headers: dict[str, str] | None = None, **error: str) -> tuple[int, str, dict[str, str]]:
    body = {"error": {"type": "invalid_request_error", "message": "No.", **error}}
    return status, json.dumps(body), {"Request-Id": "req_1", **(headers or {})}


RULE, QUALITY, AGAIN = RefusalClass.BUSINESS_RULE, RefusalClass.DATA_QUALITY, RefusalClass.TRANSIENT


@pytest.mark.parametrize(
    ("answer", "cause", "code"),
    [
        (said(400, code="email_invalid", param="email"), QUALITY, "email_invalid"),
        (said(400, code="parameter_unknown", param="name"), QUALITY, "parameter_unknown"),
        (said(400, code="resource_missing", param="customer"), RULE, "resource_missing"),
        (said(404, code="resource_missing", param="id"), RULE, "resource_missing"),
        (said(400), RULE, "invalid_request_error"),
        (said(402, type="card_error", code="card_declined", decline_code="insufficient_funds"), RULE, "card_declined"),
        (said(400, type="idempotency_error"), RULE, KEY_REUSED),
        (said(409, headers={"Stripe-Should-Retry": "false"}, code="conflict"), RULE, "conflict"),
        (said(500, headers={"Idempotent-Replayed": "true"}, type="api_error"), AGAIN, KEY_SPENT),
    ],
)
async def test_a_refusal_of_one_record(answer: tuple[int, str, dict[str, str]], cause: RefusalClass, code: str) -> None:
    async with answering(answer) as outbound:
        (result,) = await outbound.write(CUSTOMER, writes("a"))
    assert isinstance(result.outcome, Refused)
    assert (result.outcome.cause, result.outcome.code) == (cause, code)
    assert "req_1" in result.outcome.message
    assert result.request_id == "req_1"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(429, code="rate_limit"), RateLimited),
        (said(429, code="lock_timeout"), RateLimited),
        (said(400, code="lock_timeout"), RateLimited),
        (said(409, type="idempotency_error", code="idempotency_key_in_use"), AnswerLost),
        (said(409, code="conflict"), TargetUnavailable),
        (said(424), TargetUnavailable),
        (said(400, headers={"Stripe-Should-Retry": "true"}), TargetUnavailable),
        (said(401), AuthorizationExpired),
        (said(403), AuthorizationExpired),
        (said(500, type="api_error"), AnswerLost),
        (said(503), AnswerLost),
        ((200, "no json", {}), AnswerLost),
        ((200, '{"id": "cus_1", "object": "charge"}', {}), AnswerLost),
        ((200, '{"object": "customer"}', {}), AnswerLost),
        ((302, "", {"Location": "https://elsewhere.example"}), AnswerLost),
    ],
)
async def test_what_is_not_about_one_record_is_an_error_of_the_call(
    answer: tuple[int, str, dict[str, str]], error: type[Exception]
) -> None:
    async with answering(answer) as outbound:
        with pytest.raises(error):
            await outbound.write(CUSTOMER, writes("a"))


async def test_the_field_that_is_to_blame_is_named_as_the_mapping_names_it() -> None:
    async with answering(said(400, code="parameter_invalid", param="address[city]")) as outbound:
        (write,) = writes("a")
        write = type(write)(key="a", fields={"name": "a", "address.city": "x"}, idempotency_key="k")
        (result,) = await outbound.write(CUSTOMER, [write])
    assert isinstance(result.outcome, Refused)
    assert result.outcome.fields == ("address.city",)


async def test_a_failure_that_stripe_keeps_under_a_key_is_known_for_what_it_is() -> None:
    async with an_account() as account:
        account.simulator.fail_next("error_after_commit", method="POST", path="/v1/customers")
        with pytest.raises(AnswerLost):
            await account.put(CUSTOMER, "001A", {"name": "Acme"})
        again = await account.put(CUSTOMER, "001A", {"name": "Acme"})
        assert isinstance(again.outcome, Refused)
        assert again.outcome.code == KEY_SPENT
        assert len(account.held("customer")) == 1


async def test_a_write_whose_first_try_still_runs_is_in_doubt() -> None:
    async with an_account() as account:
        account.simulator.fail_next("slow", method="POST", path="/v1/customers", delay_s=0.8)
        with pytest.raises(AnswerLost):
            await account.put(CUSTOMER, "001A", {"name": "Acme"})
        with pytest.raises(AnswerLost, match="under way"):
            await account.put(CUSTOMER, "001A", {"name": "Acme"})


async def test_no_message_and_no_recorded_call_holds_the_key_of_the_account() -> None:
    async with an_account() as account:
        await told_nothing_of(account, "sk_test")


async def told_nothing_of(account: Account, secret: str) -> None:
    account.simulator.door.api_key = "sk_test_another"
    with pytest.raises(AuthorizationExpired) as told:
        await account.put(CUSTOMER, "001A", {"name": "Acme"})
    assert secret not in str(told.value)
    assert secret not in repr(account.outbound)
    assert account.calls
    assert all(secret not in str(call.request_headers) for call in account.calls)
