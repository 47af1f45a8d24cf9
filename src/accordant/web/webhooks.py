"""Room 1, the door: an HTTP request becomes bytes and headers, within limits of size, time and rate.

Nothing is parsed here. A 2xx leaves only after the event is on disk; a body we can never use is refused once, with a
4xx, and never with a 5xx, since providers switch an endpoint off after days of failures. Next: `pipeline/receive.py`.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection, receive
from accordant.ports.connector import SignatureInvalid
from accordant.ports.inbox import Arrival, Reception
from accordant.web.exchange import Body, HeaderList, ProtocolClosed, Scope


class Answer(msgspec.Struct, frozen=True):
    """What the sender is told."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


PREFIX = "/webhooks/"
BODY_BYTES_MAX = 1024 * 1024
#: A body up to this is read in one piece, as almost every event is.
SMALL_BYTES_MAX = 16 * 1024
#: What all larger bodies that are being read may hold together: memory is ours to bound, not the senders'.
LARGE_BYTES_MAX = 64 * 1024 * 1024
#: A sender that takes longer than this to send one body is cut off.
BODY_SECONDS_MAX = 10.0
_LOOK_S = 0.25
HEADER_BYTES_MAX = 32 * 1024
_ALLOWED_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")

_log = structlog.get_logger("door")


class _Refused(Exception):
    """Answer with this status; the reason is for our log, the sender learns only the status."""

    def __init__(self, status: int, reason: str, *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Door:
    """Takes deliveries for ``/webhooks/{connection}``. ``submit`` returns once the arrival is on disk."""

    def __init__(
        self,
        connections: Callable[[], Mapping[str, Connection]],
        submit: Callable[[Arrival], Awaitable[Reception]],
        clock: Clock,
        on_received: Callable[[], None],
    ) -> None:
        self._connections = connections
        self._submit = submit
        self._clock = clock
        self._on_received = on_received
        self._windows: dict[str, tuple[int, int]] = {}
        self._patience = _Patience()
        #: Answers since the start, by (connection, what became of it): refusals are counted, not stored.
        self.answers: Counter[tuple[str, str]] = Counter()

    async def take(self, scope: Scope, body: Body) -> Answer:
        """Take one delivery; what to answer."""
        name = scope.path.removeprefix(PREFIX)
        try:
            reception = await self._admit(name, scope, body)
        except _Refused as refusal:
            self._count_refusal(name, refusal)
            return _refused(refusal)
        self.answers[name, reception.value] += 1
        if reception is Reception.NEW:
            self._on_received()
        return _TAKEN[reception]

    async def _admit(self, name: str, scope: Scope, body: Body) -> Reception:
        connection = self._connections().get(name)
        if connection is None:
            raise _Refused(404, "unknown connection")
        if scope.method != "POST":
            raise _Refused(405, "only POST is accepted")
        headers = _headers(scope.headers)
        content = await self._patience.read(headers, body)
        now = self._clock()
        try:
            arrival = receive(connection=connection, headers=headers, body=content, now=now)
        except SignatureInvalid as error:
            raise _Refused(401, error.message) from None
        # Counted after the proof: a stranger must not be able to use up a provider's rate.
        self._hold_rate(connection, int(now.timestamp()))
        try:
            return await self._submit(arrival)
        except TransientError as error:
            raise _Refused(503, error.message, retry_after_s=error.retry_after_s or 1.0) from None

    def _hold_rate(self, connection: Connection, second: int) -> None:
        window, count = self._windows.get(connection.name, (second, 0))
        count = count + 1 if window == second else 1
        self._windows[connection.name] = (second, count)
        if count > connection.deliveries_per_s:
            raise _Refused(429, f"more than {connection.deliveries_per_s} deliveries a second", retry_after_s=1.0)

    def _count_refusal(self, name: str, refusal: _Refused) -> None:
        known = name if name in self._connections() else "unknown"
        self.answers[known, f"refused_{refusal.status}"] += 1
        count = self.answers[known, f"refused_{refusal.status}"]
        # Sampled: the first ones, then every thousandth, so that a flood of forgeries cannot flood the log.
        if count <= 10 or count % 1000 == 0:
            _log.warning(
                "delivery refused", connection=known, status=refusal.status, reason=refusal.reason, count=count
            )


_PHRASES = {
    400: "bad request",
    401: "signature not accepted",
    404: "no such connection",
    405: "method not allowed",
    408: "request timeout",
    413: "body too large",
    415: "content type not accepted",
    429: "too many deliveries",
    431: "headers too large",
    503: "try again later",
}


def _headers(given: HeaderList) -> dict[str, str]:
    """Header names in lower case; of a header sent twice both values are kept, joined by a comma, as HTTP has it."""
    headers: dict[str, str] = {}
    size = 0
    for name, value in given.items():
        size += len(name) + len(value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if size > HEADER_BYTES_MAX:
        raise _Refused(431, f"{size} bytes of headers")
    return headers


class _Patience:
    """Reads bodies within time and memory. One timer watches all senders: one each cost a tenth of the intake."""

    def __init__(self) -> None:
        self._held = 0
        self._since: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._is_armed = False

    async def read(self, headers: Mapping[str, str], body: Body) -> bytes:
        """The whole body, or a refusal when it is too large or does not arrive in time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  the server runs each request in a task
        loop = asyncio.get_running_loop()
        self._since[task] = loop.time()
        if not self._is_armed:
            self._is_armed = True
            loop.call_later(_LOOK_S, self._look, loop)
        try:
            return await self._content(headers, body)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise _Refused(408, "the body did not arrive in time") from None
        finally:
            del self._since[task]
            self._overdue.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        limit = loop.time() - BODY_SECONDS_MAX
        for task, since in self._since.items():
            if since < limit and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._is_armed = bool(self._since)
        if self._is_armed:
            loop.call_later(_LOOK_S, self._look, loop)

    async def _content(self, headers: Mapping[str, str], body: Body) -> bytes:
        """The whole body, within its size. Compressed bodies are refused: no provider we connect to sends them."""
        if headers.get("content-encoding", "identity") != "identity":
            raise _Refused(415, "compressed body")
        if not headers.get("content-type", "application/json").startswith(_ALLOWED_TYPES):
            raise _Refused(415, f"content type {headers.get('content-type')!r}")
        declared = headers.get("content-length", "")
        if not (declared.isascii() and declared.isdigit()):
            return await self._gathered(body)  # a body that comes in chunks does not say how long it will be
        size = int(declared[:12])
        if size > BODY_BYTES_MAX:
            raise _Refused(413, f"{declared[:12]} bytes announced")
        try:
            content = await body() if size <= SMALL_BYTES_MAX else await self._gathered(body)
        except ProtocolClosed:
            content = b""
        if len(content) != size:
            raise _Refused(400, "the sender hung up in the middle of the body")
        return content

    async def _gathered(self, body: Body) -> bytes:
        """Chunk by chunk, so that what all senders together make us hold can be counted and refused."""
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in body:
                chunks.append(chunk)
                size += len(chunk)
                self._held += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise _Refused(413, "more than the limit was sent")
                if self._held > LARGE_BYTES_MAX:
                    raise _Refused(503, "large bodies fill the memory they may have", retry_after_s=5.0)
            return b"".join(chunks)
        finally:
            self._held -= size


_HEADERS = [("content-type", "application/json"), ("cache-control", "no-store")]
_TAKEN = {reception: Answer(200, _HEADERS, b'{"status":"%s"}' % reception.value.encode()) for reception in Reception}


def _refused(refusal: _Refused) -> Answer:
    headers = _HEADERS
    if refusal.retry_after_s is not None:
        headers = [*_HEADERS, ("retry-after", str(max(1, math.ceil(refusal.retry_after_s))))]
    return Answer(refusal.status, headers, b'{"status":"%s"}' % _PHRASES[refusal.status].encode())
