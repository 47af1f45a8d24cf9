"""The HTTP door of the Stripe stand-in: keys, versions, idempotency, rate limit, faults, answers.

Loopback only, for development and tests. The `/_sim/` side is in `simulator_control.py`.
"""

import asyncio
import base64
import hashlib
import json
from collections import deque
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from accordant.connectors.stripe.simulator_commands import Commands
from accordant.connectors.stripe.simulator_params import Params, unfold
from accordant.connectors.stripe.simulator_reading import Reading
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import CURRENT, PINNED

IDEMPOTENCY_S = 86_400
KEY_CHARACTERS_MAX = 255
MOVED_AT = "2025-03-31"  # the release that moved periods to items and `invoice.subscription` to `invoice.parent`
FAULTS = ("rate_limit", "server_error", "error_after_commit", "timeout", "timeout_after_commit", "slow")
_NOT_STORED = frozenset(("resource_missing", "parameter_missing", "parameter_unknown", "parameter_invalid_integer"))


@dataclass(slots=True)
class Fault:
    """What the next matching requests suffer. `method` and `path` narrow it; empty means every one."""

    kind: str
    times: int = 1
    method: str = ""
    path: str = ""
    retry_after_s: int = 1
    delay_s: float = 0.2

    def strikes(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in ("", method) and path.startswith(self.path)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    request_id: str
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: bytes
    answer: _Answer
    until: int


class Door:
    """One account's API over HTTP. `requests_per_s` limits it by a sliding second of real time; None is no limit."""

    def __init__(self, book: Book, commands: Commands, reading: Reading, *, api_key: str) -> None:
        self.book = book
        self.commands = commands
        self.reading = reading
        self.api_key = api_key
        self.requests_per_s: int | None = None
        self.faults: list[Fault] = []
        self.request_count = 0
        self._kept: dict[str, _Kept] = {}
        self._in_flight: set[str] = set()
        self._recent: deque[float] = deque()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The one handler of `/v1/...`."""
        self.request_count += 1
        request_id = self.book.new_id("req")
        version = ""
        try:
            self._check_key(request)
            version = self._version(request.headers.get("Stripe-Version"))
            self._check_rate()
            raw = await request.text()
            return await self._guarded(request, raw, version, request_id)
        except SimulatedRefusal as refusal:
            return self._response(_refused(refusal, request_id), version, request)

    # checks

    def _check_key(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given).decode().split(":", 1)[0]
            except ValueError:
                given = ""
        if not given:
            raise SimulatedRefusal(401, "You did not provide an API key.")
        if given != self.api_key:
            raise SimulatedRefusal(401, f"Invalid API Key provided: {given[:8]}***{given[-4:]}")

    def _version(self, given: str | None) -> str:
        if given is None:
            return self.book.api_version
        day = given[:10]
        if len(day) != 10 or day[4] != "-" or not day.replace("-", "").isdigit():
            raise SimulatedRefusal(400, f"Invalid Stripe API version: {given}")
        return PINNED if day < MOVED_AT else CURRENT

    def _check_rate(self) -> None:
        if self.requests_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_s:
            raise _RateRefusal(1)
        self._recent.append(now)

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if fault.strikes(request.method, request.path):
                fault.times -= 1
                self.faults = [one for one in self.faults if one.times > 0]
                return fault
        return None

    # the work

    async def _guarded(self, request: web.Request, raw: str, version: str, request_id: str) -> web.StreamResponse:
        fault = self._fault(request)
        if fault is not None:
            await self._suffer_before(fault, request)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        fingerprint = hashlib.sha256(f"{request.path_qs}\n{raw}".encode()).digest()
        kept = self._remembered(key, fingerprint)
        if kept is not None:
            return self._response(kept.answer, version, request, replayed=True)
        answer = self._perform(request, raw, version, request_id, key)
        if fault is not None and fault.kind == "error_after_commit":
            answer = _refused(_server_refusal(), request_id)
        if key is not None and self._is_worth_keeping(answer):
            self._kept[key] = _Kept(fingerprint, answer, self.book.now + IDEMPOTENCY_S)
        if fault is not None and fault.kind == "timeout_after_commit":
            await self._hang_up(request, fault.delay_s)
        if fault is not None and fault.kind == "slow":
            self._in_flight.add(key or "")
            await asyncio.sleep(fault.delay_s)
            self._in_flight.discard(key or "")
        return self._response(answer, version, request)

    async def _suffer_before(self, fault: Fault, request: web.Request) -> None:
        if fault.kind == "rate_limit":
            raise _RateRefusal(fault.retry_after_s)
        if fault.kind == "server_error":
            raise _server_refusal()
        if fault.kind == "timeout":
            await self._hang_up(request, fault.delay_s)

    @staticmethod
    async def _hang_up(request: web.Request, delay_s: float) -> None:
        """The caller never hears back: wait a little, then cut the line."""
        await asyncio.sleep(delay_s)
        if request.transport is not None:
            request.transport.abort()
        raise SimulatedRefusal(500, "The line is cut; nobody reads this.", kind="api_error")

    def _remembered(self, key: str | None, fingerprint: bytes) -> _Kept | None:
        if key is None:
            return None
        if len(key) > KEY_CHARACTERS_MAX:
            raise SimulatedRefusal(400, "Idempotency keys are at most 255 characters long.", kind="idempotency_error")
        if key in self._in_flight:
            raise SimulatedRefusal(
                409,
                "There is currently another in-progress request using this Idempotency Key.",
                code="idempotency_key_in_use",
                kind="idempotency_error",
            )
        kept = self._kept.get(key)
        if kept is None or kept.until <= self.book.now:
            self._kept.pop(key, None)
            return None
        if kept.fingerprint != fingerprint:
            raise SimulatedRefusal(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return kept

    @staticmethod
    def _is_worth_keeping(answer: _Answer) -> bool:
        """Stripe remembers what it began to do, success or not; a request it could not read is not remembered."""
        if answer.status < 400 or answer.status >= 500 or answer.status == 402:
            return True
        code = json.loads(answer.body)["error"].get("code")
        return answer.status == 400 and code not in _NOT_STORED

    def _perform(self, request: web.Request, raw: str, version: str, request_id: str, key: str | None) -> _Answer:
        try:
            pairs = list(request.query.items()) + parse_qsl(raw, keep_blank_values=True)
            given = Params(unfold(pairs))
            with self.book.request(request_id, key):
                found = self._find(request.method, request.path, given, version)
        except SimulatedRefusal as refusal:
            return _refused(refusal, request_id)
        return _Answer(200, json.dumps(found, indent=2).encode(), request_id)

    def _find(self, method: str, path: str, given: Params, version: str) -> Record:
        expand = given.words("expand")
        if method == "GET":
            found = self.reading.page(path, given, version) or self.reading.one(path, version, expand)
        else:
            command = self.commands.find(method, path)
            found = None if command is None else self.reading.shown(command[0](command[1], given), version, expand)
        if found is None:
            raise SimulatedRefusal(
                404,
                f"Unrecognized request URL ({method}: {path}). The stand-in may not know it, or Stripe does not.",
            )
        return found

    def _response(
        self, answer: _Answer, version: str, request: web.Request, *, replayed: bool = False
    ) -> web.StreamResponse:
        headers = {"Request-Id": answer.request_id, "Stripe-Version": version or self.book.api_version}
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            headers["Idempotency-Key"] = key
            headers["Original-Request"] = answer.request_id
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if answer.status == 429:
            headers["Retry-After"] = str(answer.retry_after_s)
            headers["Stripe-Rate-Limited-Reason"] = "global-rate"
        if answer.status in (409, 429) or answer.status >= 500:
            headers["Stripe-Should-Retry"] = "true"
        return web.Response(status=answer.status, body=answer.body, headers=headers, content_type="application/json")


def _refused(refusal: SimulatedRefusal, request_id: str) -> _Answer:
    body = json.dumps({"error": refusal.body}, indent=2).encode()
    return _Answer(refusal.status, body, request_id, getattr(refusal, "retry_after_s", 1))


class _RateRefusal(SimulatedRefusal):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__(429, "Request rate limit exceeded.", code="rate_limit")
        self.retry_after_s = retry_after_s


def _server_refusal() -> SimulatedRefusal:
    return SimulatedRefusal(500, "An unknown error occurred", kind="api_error")
