"""Room 1, the door: an HTTP request becomes bytes and headers, within limits of size, time and rate.

Nothing is parsed here. A 2xx leaves only after the event is on disk; a body we can never use is refused once, with a
4xx, and never with a 5xx, since providers switch an endpoint off after days of failures. Next: `pipeline/receive.py`.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection, receive
from accordant.ports.connector import SignatureInvalid
from accordant.ports.inbox import Arrival, Reception

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

PREFIX = "/webhooks/"
BODY_BYTES_MAX = 1024 * 1024
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
    """The ASGI application for ``/webhooks/{connection}``. ``submit`` returns once the arrival is on disk."""

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

    async def __call__(self, scope: Scope, receive_message: Receive, send: Send) -> None:
        """Take one delivery and answer it."""
        name = str(scope["path"]).removeprefix(PREFIX)
        try:
            reception = await self._admit(name, scope, receive_message)
        except _Refused as refusal:
            self._count_refusal(name, refusal)
            await _refused(send, refusal)
            return
        self.answers[name, reception.value] += 1
        if reception is Reception.NEW:
            self._on_received()
        await _accepted(send, reception)

    async def _admit(self, name: str, scope: Scope, receive_message: Receive) -> Reception:
        connection = self._connections().get(name)
        if connection is None:
            raise _Refused(404, "unknown connection")
        if scope["method"] != "POST":
            raise _Refused(405, "only POST is accepted")
        headers = _headers(scope)
        body = await self._patience.read(headers, receive_message)
        now = self._clock()
        try:
            arrival = receive(connection=connection, headers=headers, body=body, now=now)
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


def _headers(scope: Scope) -> dict[str, str]:
    """Header names in lower case; of a header sent twice both values are kept, joined by a comma, as HTTP has it."""
    headers: dict[str, str] = {}
    size = 0
    for raw_name, raw_value in scope["headers"]:
        size += len(raw_name) + len(raw_value)
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")  # ASGI has names in lower case
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if size > HEADER_BYTES_MAX:
        raise _Refused(431, f"{size} bytes of headers")
    return headers


class _Patience:
    """Cuts off senders whose body does not come. One timer watches them all: one each cost a tenth of the intake."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._is_armed = False

    async def read(self, headers: Mapping[str, str], receive_message: Receive) -> bytes:
        """The whole body, or a refusal when it is too large or does not arrive in time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  ASGI applications run in tasks
        loop = asyncio.get_running_loop()
        self._since[task] = loop.time()
        if not self._is_armed:
            self._is_armed = True
            loop.call_later(_LOOK_S, self._look, loop)
        try:
            return await _body(headers, receive_message)
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


async def _body(headers: Mapping[str, str], receive_message: Receive) -> bytes:
    """The whole body, within its size. Compressed bodies are refused: no provider we connect to sends them."""
    if headers.get("content-encoding", "identity") != "identity":
        raise _Refused(415, "compressed body")
    if not headers.get("content-type", "application/json").startswith(_ALLOWED_TYPES):
        raise _Refused(415, f"content type {headers.get('content-type')!r}")
    declared = headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:12]) > BODY_BYTES_MAX:
        raise _Refused(413, f"{declared[:12]} bytes announced")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive_message()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the sender hung up in the middle of the body")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise _Refused(413, "more than the limit was sent")
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else bytes(chunk)
        chunks.append(chunk)


_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_STARTED = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
_TAKEN = {
    reception: {"type": "http.response.body", "body": b'{"status":"%s"}' % reception.value.encode()}
    for reception in Reception
}


async def _accepted(send: Send, reception: Reception) -> None:
    await send(_STARTED)
    await send(_TAKEN[reception])


async def _refused(send: Send, refusal: _Refused) -> None:
    headers = _HEADERS
    if refusal.retry_after_s is not None:
        headers = [*_HEADERS, (b"retry-after", str(max(1, math.ceil(refusal.retry_after_s))).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"status":"%s"}' % _PHRASES[refusal.status].encode()})
