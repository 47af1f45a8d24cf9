"""A stand-in for VIES on loopback. It answers the fixed numbers as the Commission's own test service does, and others
by what a test says is registered.

A development aid: nothing of it is proof that the Commission's service behaves so today.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn
from accordant.connectors.vies.register import PATH
from accordant.kernel.clock import Clock

#: The numbers of the Commission's test service, with any country, and the code each is answered with.
CODES = {
    "201": "INVALID_INPUT",
    "202": "INVALID_REQUESTER_INFO",
    "300": "SERVICE_UNAVAILABLE",
    "301": "MS_UNAVAILABLE",
    "302": "TIMEOUT",
    "400": "VAT_BLOCKED",
    "401": "IP_BLOCKED",
    "500": "GLOBAL_MAX_CONCURRENT_REQ",
    "501": "GLOBAL_MAX_CONCURRENT_REQ_TIME",
    "600": "MS_MAX_CONCURRENT_REQ",
    "601": "MS_MAX_CONCURRENT_REQ_TIME",
}
VALID, INVALID = "100", "200"


class ViesSimulator(StandIn):
    """``registered`` are numbers with their country; ``down`` are countries and the code they are answered with."""

    def __init__(self, *, now: Clock) -> None:
        super().__init__()
        self._now = now
        self._consultations = 0
        self.registered: dict[str, tuple[str, str]] = {}
        self.down: dict[str, str] = {}

    def answer(self, call: Call) -> Answer:
        """See the base."""
        if (call.method, call.path) != ("POST", PATH):
            return _refused("NOT_FOUND", 404)
        try:
            asked = msgspec.json.decode(call.body, type=dict[str, str])
        except msgspec.MsgspecError:
            return _refused("INVALID_INPUT", 400)
        country, number = asked.get("countryCode", ""), asked.get("vatNumber", "")
        code = CODES.get(number) or self.down.get(country) or self.down.get("*")
        return self._said(asked, country, number) if code is None else _refused(code, 200)

    def refusal(self, fault: Fault) -> Answer:
        """See the base."""
        return _refused("SERVICE_UNAVAILABLE", 429 if fault.kind == "too_many" else 500)

    def _said(self, asked: dict[str, str], country: str, number: str) -> Answer:
        name, address = self.registered.get(country + number, ("", ""))
        is_valid = number == VALID or (country + number) in self.registered
        body: dict[str, Any] = {
            "countryCode": country,
            "vatNumber": number,
            "requestDate": _spelled(self._now()),
            "valid": is_valid,
            "requestIdentifier": self._consultation() if asked.get("requesterNumber") else "",
            "name": (name or "John Doe") if is_valid else "---",
            "address": (address or "123 Main St, Anytown, UK") if is_valid else "---",
        }
        return Answer(200, body)

    def _consultation(self) -> str:
        self._consultations += 1
        return f"WAPIAAAA{self._consultations:08d}"


def _refused(code: str, status: int) -> Answer:
    return Answer(status, {"actionSucceed": False, "errorWrappers": [{"error": code}]})


def _spelled(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
