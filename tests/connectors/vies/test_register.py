"""The register of tax numbers: every answer of the Commission's test service, in its contract, and nothing guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from accordant.canonical.vat import Remedy, VatNumber, VatVerdict
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpAnswer
from accordant.connectors.vies.register import ViesRegister, read_answer
from accordant.connectors.vies.simulator import CODES, ViesSimulator

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
OURS = VatNumber("DE", "136695976")
DIGITS = VatNumber("AT", "100")
EVERYWHERE = {
    "IP_BLOCKED", "INVALID_REQUESTER_INFO", "SERVICE_UNAVAILABLE", "GLOBAL_MAX_CONCURRENT_REQ",
    "GLOBAL_MAX_CONCURRENT_REQ_TIME",
}  # fmt: skip
PERSONS = {"VAT_BLOCKED", "IP_BLOCKED", "INVALID_INPUT", "INVALID_REQUESTER_INFO"}


@asynccontextmanager
async def asked(*, requester: VatNumber | None = OURS) -> AsyncIterator[tuple[ViesSimulator, ViesRegister]]:
    """The stand-in, and the register that asks it."""
    vies = ViesSimulator(now=lambda: NOW)
    await vies.start()
    loopback = AddressPolicy(allow_loopback=True, only_loopback=True)
    asking = ViesRegister(requester=requester, clock=lambda: NOW, address=vies.url, addresses=loopback)
    try:
        yield vies, asking
    finally:
        await asking.close()
        await vies.stop()


async def test_yes_and_no_are_answers_with_their_evidence() -> None:
    async with asked() as (vies, asking):
        yes = await asking.ask(DIGITS, now=NOW)
        no = await asking.ask(VatNumber("FR", "200"), now=NOW)
    assert (yes.verdict, yes.consultation, yes.name) == (VatVerdict.VALID, "WAPIAAAA00000001", "John Doe")
    assert (yes.requester, yes.answered_on, yes.remedy) == ("DE136695976", "2026-12-01T09:00:00.000Z", None)
    assert len(yes.digest) == 64
    assert (no.verdict, no.name, no.address, no.remedy) == (VatVerdict.INVALID, "", "", None)
    sent = msgspec.json.decode(vies.calls[0].body)
    assert sent == {
        "countryCode": "AT", "vatNumber": "100", "requesterMemberStateCode": "DE", "requesterNumber": "136695976",
    }  # fmt: skip


async def test_without_a_requester_there_is_no_consultation_number() -> None:
    async with asked(requester=None) as (_, asking):
        answer = await asking.ask(DIGITS, now=NOW)
    assert (answer.verdict, answer.consultation, answer.requester) == (VatVerdict.VALID, "", "")


@pytest.mark.parametrize(("number", "code"), CODES.items())
async def test_whatever_else_it_says_is_no_answer(number: str, code: str) -> None:
    async with asked() as (_, asking):
        answer = await asking.ask(VatNumber("IT", number), now=NOW)
    assert (answer.verdict, answer.code) == (VatVerdict.UNKNOWN, code)
    assert answer.remedy is (Remedy.PERSON if code in PERSONS else Remedy.TIME)
    assert answer.everywhere is (code in EVERYWHERE)


@pytest.mark.parametrize(
    "kind", ["error_before", "error_after", "reset_before", "reset_after", "html", "truncated", "too_many", "expired"]
)
async def test_no_failure_on_the_way_is_an_answer(kind: str) -> None:
    async with asked() as (vies, asking):
        vies.fault(kind)
        answer = await asking.ask(DIGITS, now=NOW)
        assert (answer.verdict, answer.remedy) == (VatVerdict.UNKNOWN, Remedy.TIME)
        assert (await asking.ask(DIGITS, now=NOW)).verdict is VatVerdict.VALID


async def test_nobody_there_is_no_answer() -> None:
    async with asked() as (vies, asking):
        await vies.stop()
        answer = await asking.ask(DIGITS, now=NOW)
    assert (answer.verdict, answer.code, answer.everywhere) == (VatVerdict.UNKNOWN, "UNREACHABLE", True)


SAID: dict[str, Any] = {"countryCode": "AT", "vatNumber": "100", "valid": True}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({**SAID, "valid": "true"}, "UNREADABLE"),
        ({**SAID, "valid": 1}, "UNREADABLE"),
        ({**SAID, "valid": None}, "UNREADABLE"),
        ({"valid": True}, "OTHER_NUMBER"),
        ({**SAID, "vatNumber": "1000"}, "OTHER_NUMBER"),
        ({**SAID, "countryCode": "DE"}, "OTHER_NUMBER"),
        ({**SAID, "valid": False, "userError": "MS_UNAVAILABLE"}, "MS_UNAVAILABLE"),
        ({**SAID, "valid": False, "userError": "MS_MAX_CONCURRENT_REQ"}, "MS_MAX_CONCURRENT_REQ"),
        ({**SAID, "userError": "INVALID"}, "INVALID"),
        ({**SAID, "actionSucceed": False}, "UNREADABLE"),
        ({**SAID, "errorWrappers": [{"error": "<b>no</b>"}]}, "UNREADABLE"),
        ({**SAID, "errorWrappers": [{"error": "SOMETHING_NEW"}]}, "SOMETHING_NEW"),
        ({**SAID, "errorWrappers": "TIMEOUT"}, "UNREADABLE"),
        ([], "UNREADABLE"),
        (None, "UNREADABLE"),
        ("VALID", "UNREADABLE"),
    ],
)
def test_a_doubtful_answer_is_none(said: object, code: str) -> None:
    answer = HttpAnswer(status=200, headers={}, body=msgspec.json.encode(said))
    read = read_answer(DIGITS, answer, now=NOW, requester="")
    assert (read.verdict, read.code) == (VatVerdict.UNKNOWN, code)
    assert read.digest == sha256(answer.body).hexdigest()


def test_only_a_plain_yes_of_this_number_is_a_yes() -> None:
    for status, verdict in ((200, VatVerdict.VALID), (500, VatVerdict.UNKNOWN), (400, VatVerdict.UNKNOWN)):
        answer = HttpAnswer(status=status, headers={}, body=msgspec.json.encode(SAID))
        assert read_answer(DIGITS, answer, now=NOW, requester="").verdict is verdict
    for word, verdict in (("VALID", VatVerdict.VALID), ("INVALID", VatVerdict.INVALID)):
        body = msgspec.json.encode({**SAID, "valid": word == "VALID", "userError": word})
        answer = HttpAnswer(status=200, headers={}, body=body)
        assert read_answer(DIGITS, answer, now=NOW, requester="").verdict is verdict
