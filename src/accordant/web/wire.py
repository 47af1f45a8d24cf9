"""The connections of the server: uvicorn's, with a way of its own for deliveries, which need no task and no framework.

Limits that only the connection can see are held here: how long a request may take, and how long its head and body may
be. Answers leave in the order of the requests. Next: `webhooks.py` for what is admitted, `app.py` for everything else.
"""

import asyncio
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import unquote

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from accordant.web import webhooks
from accordant.web.webhooks import Answer, Door

PREFIX = b"/webhooks/"
#: Connections served at once; who comes beyond them is told to come back.
CONNECTIONS_MAX = 12_000
#: How long a connection may be silent between two requests: longer than the proxies before us keep theirs.
KEEP_ALIVE_S = 75
#: A sender whose body we do not want may still be writing: we listen for so long, or it would not read our answer.
_LINGER_S = 1.0
_NEVER_WAITED_FOR = asyncio.Event()
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = structlog.get_logger("door")


class Delivery(RequestResponseCycle):
    """One request to the door and its answer, where uvicorn keeps a cycle of a request of the framework."""

    def __init__(self, *, name: str, method: str, headers: dict[str, str], keep_alive: bool) -> None:
        # Not the parent's: a delivery is answered by a call and not by a task, of which it keeps the means.
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = keep_alive
        self.message_event = _NEVER_WAITED_FOR
        self.name = name
        self.method = method
        self.headers = headers
        self.chunks: list[bytes] = []
        self.size = 0
        #: Whether its bytes are counted among those of large bodies, and how many were.
        self.is_large = not 0 <= _announced(headers) <= webhooks.SMALL_BYTES_MAX
        self.held = 0
        self.is_whole = False
        #: Everything asked before it on this connection has its answer.
        self.is_turn = False
        self.asks_to_go_on = False
        self.refusal: Answer | None = None


class Wire(HttpToolsProtocol):
    """One connection. The application of its ``config`` has the ``door``, or None where no deliveries are taken."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door: Door | None = config.loaded_app.door
        #: The delivery whose bytes are arriving.
        self._delivery: Delivery | None = None
        self._reads_head = False
        self._head_bytes = 0
        self._is_deaf = False
        self._is_idle = False
        #: Since when the request that arrives is awaited, or the next one; 0.0 while nothing is.
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connected."""
        super().connection_made(transport)
        if len(self.server_state.connections) > CONNECTIONS_MAX:
            self._hang_up(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        if self._is_deaf:
            return
        goes_on = self._reads_head
        super().data_received(data)
        if goes_on and self._reads_head:
            self._head_bytes += len(data)
            if self._head_bytes > webhooks.HEADER_BYTES_MAX:
                self._hang_up(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._delivery = None
        self._reads_head, self._head_bytes, self._is_idle = True, 0, False
        self._since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is there: a delivery is looked at, anything else is the framework's."""
        self._reads_head = False
        if self._is_deaf:
            return
        name = None if self._door is None else connection_named(self.url)
        if name is None or self._door is None:
            self._since = 0.0
            self._leave_to_framework()
            return
        headers, size = _as_text(self.headers)
        delivery = self._begin(name, headers)
        delivery.refusal = self._door.look(name, delivery.method, headers, size)
        if delivery.refusal is not None and (delivery.refusal.status == 413 or delivery.asks_to_go_on):
            self._refuse(delivery, delivery.refusal)
        elif delivery.is_turn and delivery.asks_to_go_on:
            self.transport.write(_CONTINUE)

    def _leave_to_framework(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        # What a delivery has no use for is made only now: uvicorn makes it, empty, where a request begins.
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _begin(self, name: str, headers: dict[str, str]) -> Delivery:
        delivery = Delivery(
            name=name,
            method=self.parser.get_method().decode("latin-1"),
            headers=headers,
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
        )
        delivery.asks_to_go_on = self.expect_100_continue
        delivery.is_turn = not self._is_answering()
        self.cycle, self._delivery = delivery, delivery
        if not delivery.is_turn:
            self.flow.pause_reading()
            self.pipeline.appendleft((delivery, self.app))
        return delivery

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        delivery = self._delivery
        if delivery is None:
            if not self._is_deaf:
                super().on_body(body)
            return
        delivery.size += len(body)
        if delivery.response_complete or self._door is None:
            return
        if delivery.size > webhooks.BODY_BYTES_MAX:
            refusal = delivery.refusal or self._door.cut_off(delivery.name, 413, "more than the limit was sent")
            self._refuse(delivery, refusal)
        elif delivery.refusal is None:
            self._keep(delivery, self._door, body)

    def _keep(self, delivery: Delivery, door: Door, body: bytes) -> None:
        delivery.chunks.append(body)
        if delivery.is_large:
            delivery.held += len(body)
            refusal = door.hold(delivery.name, len(body))
            if refusal is not None:
                self._refuse(delivery, refusal)

    def _let_go(self, delivery: Delivery) -> None:
        delivery.chunks = []
        if delivery.held and self._door is not None:
            self._door.let_go(delivery.held)
            delivery.held = 0

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._since = 0.0
        delivery = self._delivery
        if delivery is None:
            if not self._is_deaf:
                super().on_message_complete()
        elif not delivery.response_complete:
            delivery.is_whole = True
            if delivery.is_turn:
                self._take(delivery)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401  as uvicorn has it
        """The next of several requests has its turn."""
        if not isinstance(cycle, Delivery):
            super()._start_asgi_task(cycle, app)
            return
        cycle.is_turn = True
        if cycle.is_whole:
            self._take(cycle)
        else:
            self._since = self.loop.time()
            if cycle.asks_to_go_on:
                self.transport.write(_CONTINUE)

    def _take(self, delivery: Delivery) -> None:
        if delivery.refusal is not None:
            self._answer(delivery, delivery.refusal)
            return
        assert self._door is not None  # noqa: S101  there is no delivery without it
        chunks = delivery.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._let_go(delivery)
        try:
            self._door.take(delivery.name, delivery.headers, body, partial(self._answer, delivery))
        except Exception:
            _log.exception("a delivery met a defect", connection=delivery.name)
            self._answer(delivery, self._door.fail(delivery.name))

    def _answer(self, delivery: Delivery, answer: Answer) -> None:
        if delivery.response_complete or self._is_deaf or self.transport.is_closing():
            return
        delivery.response_complete = True
        self.transport.write(self._spelled(answer, delivery, closes=not delivery.keep_alive))
        if not delivery.keep_alive:
            self.transport.close()
        elif self.pipeline or self.flow.read_paused:
            self.on_response_complete()
        elif self._since == 0.0:  # else the next request is arriving already
            self._is_idle, self._since = True, self.loop.time()

    def _refuse(self, delivery: Delivery, answer: Answer) -> None:
        """Refuse before the request is whole. Where others wait for their answers none is given: it would be theirs."""
        delivery.response_complete = True
        self._let_go(delivery)
        if delivery.is_turn:
            self._part(self._spelled(answer, delivery, closes=True))
        else:
            self._is_deaf = True
            self.transport.close()

    def _hang_up(self, start: bytes) -> None:
        """Refuse what is not even a request yet."""
        self._part(start + b"content-length: 0\r\nconnection: close\r\n\r\n")

    def _part(self, last: bytes) -> None:
        self._is_deaf, self._since = True, 0.0
        self.transport.write(last)
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _spelled(self, answer: Answer, delivery: Delivery, *, closes: bool) -> bytes:
        parts = [answer.head]
        parts += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]  # the date
        parts.append(b"connection: close\r\n\r\n" if closes else b"\r\n")
        if delivery.method != "HEAD":
            parts.append(answer.body)
        return b"".join(parts)

    def look_at_clock(self, now: float) -> None:
        """End what takes too long. ``now`` is the loop's time in seconds."""
        waited = now - self._since
        if self._since == 0.0 or self.transport.is_closing():
            return
        if self._is_idle:
            if waited > KEEP_ALIVE_S:
                self.transport.close()
            return
        delivery = self._delivery
        if waited <= webhooks.BODY_SECONDS_MAX or (delivery is None and self._is_answering()):
            return
        if delivery is None:
            self._hang_up(b"HTTP/1.1 408 Request Timeout\r\n")
        elif delivery.is_turn and self._door is not None:
            self._refuse(delivery, self._door.cut_off(delivery.name, 408, "the request did not arrive in time"))

    def _is_answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # before the first request there is none
        return cycle is not None and not cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side went away."""
        delivery = self._delivery
        if delivery is not None and self._door is not None and not (delivery.is_whole or delivery.response_complete):
            self._door.cut_off(delivery.name, 400, "the sender hung up in the middle of the body")
        for one in (delivery, *(cycle for cycle, _ in self.pipeline)):
            if isinstance(one, Delivery):
                self._let_go(one)
        super().connection_lost(exc)


@lru_cache(maxsize=256)
def connection_named(url: bytes) -> str | None:
    """The name of the connection a request's target stands for; None where it is no delivery."""
    if not url.startswith(b"/"):  # a proxy may send the whole address
        url = httptools.parse_url(url).path or b""
    if not url.startswith(PREFIX):
        return None
    name = url[len(PREFIX) :].partition(b"?")[0].decode("latin-1")
    return unquote(name) if "%" in name else name


def _announced(headers: dict[str, str]) -> int:
    """The length of the body the sender announced, in bytes; -1 where it did not: a body in chunks says nothing."""
    length = headers.get("content-length", "")
    return int(length[:12]) if length.isascii() and length.isdigit() else -1


def _as_text(given: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], int]:
    """Headers by name, and their size in bytes: of one sent twice both values, joined by a comma, as HTTP has it."""
    headers: dict[str, str] = {}
    size = 0
    for key, raw in given:
        size += len(key) + len(raw)
        name, value = key.decode("latin-1"), raw.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers, size
