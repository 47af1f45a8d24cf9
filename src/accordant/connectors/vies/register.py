"""Asks VIES about one number: `POST /check-vat-number` of the Commission's swagger_publicVAT.yaml 1.0.0.

An outage comes inside an answer of status 200. What is no plain yes or no of exactly this number is ``unknown``.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from accordant.canonical.vat import Remedy, VatAnswer, VatNumber, VatVerdict
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpAnswer, HttpClient, Timeouts
from accordant.kernel.clock import Clock
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable

ADDRESS = "https://ec.europa.eu/taxation_customs/vies/rest-api"
PATH = "/check-vat-number"
#: The register gives no figure for its limits; it says that one is reached. Calls a second.
RATE_PER_S = 2.0
#: It asks the member state's own register, which may take its time.
TIMEOUTS = Timeouts(connect_s=5.0, silence_s=25.0, total_s=30.0)
_ANSWER_BYTES_MAX = 256 * 1024
_TEXT_LENGTH_MAX = 500

#: Codes that are about the whole register or about us: the next country would get no answer either.
_EVERYWHERE = frozenset(
    {
        "SERVICE_UNAVAILABLE",
        "GLOBAL_MAX_CONCURRENT_REQ",
        "GLOBAL_MAX_CONCURRENT_REQ_TIME",
        "IP_BLOCKED",
        "INVALID_REQUESTER_INFO",
    }
)
#: Codes that no waiting mends: somebody has to correct the number or the requester, or write to the Commission.
_FOR_A_PERSON = frozenset({"VAT_BLOCKED", "IP_BLOCKED", "INVALID_INPUT", "INVALID_REQUESTER_INFO"})
#: Ours: no connection or no answer; an answer that says neither yes nor no; an answer about something else.
UNREACHABLE, UNREADABLE, OTHER_NUMBER = "UNREACHABLE", "UNREADABLE", "OTHER_NUMBER"
#: What the register writes where a member state gives no name or address away.
_NOT_GIVEN = "---"


class ViesRegister:
    """`ports.vat.VatRegister` on the Commission's service."""

    def __init__(
        self, *, requester: VatNumber | None, clock: Clock, address: str = ADDRESS, addresses: AddressPolicy
    ) -> None:
        """``requester`` is the company's own number: without it no consultation number comes back."""
        self._requester = requester
        self._client = HttpClient(
            address,
            clock=clock,
            rate_per_s=RATE_PER_S,
            timeouts=TIMEOUTS,
            addresses=addresses,
            read_attempts_max=1,  # whoever asks has a queue for each country, and knows better when to ask again
            answer_bytes_max=_ANSWER_BYTES_MAX,
        )

    async def ask(self, number: VatNumber, *, now: datetime) -> VatAnswer:
        """See the port."""
        question = {"countryCode": number.country, "vatNumber": number.number}
        if self._requester is not None:
            question |= {
                "requesterMemberStateCode": self._requester.country,
                "requesterNumber": self._requester.number,
            }
        requester = "" if self._requester is None else str(self._requester)
        try:
            answer = await self._client.send(
                "POST",
                PATH,
                body=msgspec.json.encode(question),
                content_type="application/json",
                headers={"Accept": "application/json"},
                writes=False,
                gives_failures=True,
            )
        except (AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable):
            # Not reached, too slow, sent elsewhere, refused with 401 or 429: nothing was said of the number.
            return _unanswered(number, UNREACHABLE, now, requester)
        return read_answer(number, answer, now=now, requester=requester)

    async def close(self) -> None:
        """See the port."""
        await self._client.close()


def vat_register(*, requester: VatNumber | None, clock: Clock, address: str, addresses: AddressPolicy) -> ViesRegister:
    """The register; ``address`` is the Commission's own where it is empty. Raises AddressForbidden."""
    return ViesRegister(requester=requester, clock=clock, address=address or ADDRESS, addresses=addresses)


def read_answer(asked: VatNumber, answer: HttpAnswer, *, now: datetime, requester: str) -> VatAnswer:
    """What an answer says of the number that was asked."""
    digest = sha256(answer.body).hexdigest()
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict):
        return _unanswered(asked, UNREADABLE, now, requester, digest)
    code = _refusal(said)
    if code is None and answer.status != 200:
        code = UNREADABLE
    if code is None and not isinstance(said.get("valid"), bool):
        code = UNREADABLE
    if code is None and not _is_about(asked, said):
        code = OTHER_NUMBER
    if code is not None:
        return _unanswered(asked, code, now, requester, digest)
    return VatAnswer(
        asked=asked,
        verdict=VatVerdict.VALID if said["valid"] else VatVerdict.INVALID,
        asked_at=now,
        requester=requester,
        consultation=_text(said, "requestIdentifier"),
        answered_on=_text(said, "requestDate"),
        name=_text(said, "name"),
        address=_text(said, "address"),
        digest=digest,
    )


def _refusal(said: Mapping[str, Any]) -> str | None:
    """Why there is no answer, in the register's word. It says so in either of two shapes, both with status 200.

    The second (``userError``) stands beside ``valid: false`` where a member state is down, which is no answer.
    """
    wrapped = said.get("errorWrappers")
    if said.get("actionSucceed") is False or wrapped:
        first = wrapped[0] if isinstance(wrapped, list) and wrapped else None
        code = first.get("error") if isinstance(first, dict) else None
        return _code(code)
    told = said.get("userError")
    if told is None:
        return None
    fits = {True: "VALID", False: "INVALID"}.get(said.get("valid") is True)
    return None if told == fits else _code(told)


def _code(told: object) -> str:
    """A code as it may be kept and shown; whatever else stands there is not readable."""
    is_code = isinstance(told, str) and 0 < len(told) <= 64 and told.replace("_", "").isalnum() and told.isascii()
    return str(told) if is_code else UNREADABLE


def _is_about(asked: VatNumber, said: Mapping[str, Any]) -> bool:
    return (said.get("countryCode"), said.get("vatNumber")) == (asked.country, asked.number)


def _unanswered(number: VatNumber, code: str, now: datetime, requester: str, digest: str = "") -> VatAnswer:
    return VatAnswer(
        asked=number,
        verdict=VatVerdict.UNKNOWN,
        asked_at=now,
        requester=requester,
        code=code,
        remedy=Remedy.PERSON if code in _FOR_A_PERSON else Remedy.TIME,
        everywhere=code in _EVERYWHERE or code == UNREACHABLE,
        digest=digest,
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    text = found.strip() if isinstance(found, str) else ""
    return "" if text == _NOT_GIVEN else text[:_TEXT_LENGTH_MAX]
