"""A sender of many events that are sent once each: what was answered 2xx is noted by it, and nobody repeats the rest.

What the stand-in or a storm repeats may be back before anybody looks for it; what is poured never comes twice.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from accordant.bench.load import whole_length
from accordant.connectors.stripe.simulator_events import sign
from accordant.connectors.stripe.simulator_versions import PINNED
from accordant.demo.company import WEBHOOK_SECRET
from accordant.demo.stage import HOST

CONNECTIONS = 32
#: Where nobody listens, or somebody says "come back": the next try comes after this.
_PAUSE_S = 0.02
_LOOK_EVERY_S = 0.2
_PIECE = 65_536


class _Line:
    """One connection: whose answer it waits for, and what of it has come."""

    __slots__ = ("buffer", "event_id", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.event_id = ""
        self.buffer = b""


class Pour:
    """Sends events nobody else sends, to a hub that may be gone at any moment. ``acked``: ids answered with 200.

    They are of a type that the hub keeps and does not read, so that hundreds of thousands of them cost little.
    """

    def __init__(self, port: int) -> None:
        self.acked: list[str] = []
        self.unanswered = 0
        self._port = port
        self._numbers = iter(range(1, 1_000_000_000))

    def pour(self, count: int, *, seconds_max: float) -> int:
        """Send until ``count`` more were acknowledged; how many were, fewer only when the time was over. Blocks."""
        enough, deadline = len(self.acked) + count, time.monotonic() + seconds_max
        with selectors.DefaultSelector() as selector:
            try:
                while len(self.acked) < enough and time.monotonic() < deadline:
                    self._connect(selector)
                    for key, _ in selector.select(_LOOK_EVERY_S):
                        self._hear(selector, key.data)
            finally:
                for line in _lines(selector):
                    line.socket.close()
        return len(self.acked) - enough + count

    def _connect(self, selector: selectors.BaseSelector) -> None:
        """Open the connections that are missing, and send on each."""
        for _ in range(CONNECTIONS - len(selector.get_map())):
            try:
                connected = socket.create_connection((HOST, self._port), timeout=1.0)
            except OSError:
                time.sleep(_PAUSE_S)
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line(connected)
            selector.register(connected, selectors.EVENT_READ, line)
            self._send(selector, line)

    def _send(self, selector: selectors.BaseSelector, line: _Line) -> None:
        line.event_id = f"evt_poured_{next(self._numbers):09d}"
        try:
            line.socket.sendall(_request(line.event_id, self._port))
        except OSError:
            self._lose(selector, line)

    def _hear(self, selector: selectors.BaseSelector, line: _Line) -> None:
        piece = b""
        with suppress(OSError):
            piece = line.socket.recv(_PIECE)
        if not piece:
            self._lose(selector, line)
            return
        line.buffer += piece
        length = whole_length(line.buffer)
        if length is None or len(line.buffer) < length:
            return
        status, line.buffer = line.buffer[9:12], line.buffer[length:]
        if status == b"200":
            self.acked.append(line.event_id)
        else:
            self.unanswered += 1
            time.sleep(_PAUSE_S)
        self._send(selector, line)

    def _lose(self, selector: selectors.BaseSelector, line: _Line) -> None:
        self.unanswered += 1
        selector.unregister(line.socket)
        line.socket.close()


def _lines(selector: selectors.BaseSelector) -> Iterator[_Line]:
    return (key.data for key in list(selector.get_map().values()))


def _request(event_id: str, port: int) -> bytes:
    at = int(time.time())
    body = (
        f'{{"id":"{event_id}","object":"event","api_version":"{PINNED}","created":{at},"livemode":false,'
        f'"pending_webhooks":1,"request":{{"id":null,"idempotency_key":null}},"type":"coupon.created",'
        f'"data":{{"object":{{"id":"{event_id[4:]}","object":"coupon","livemode":false}}}}}}'
    ).encode()
    return (
        f"POST /webhooks/stripe HTTP/1.1\r\nhost: {HOST}:{port}\r\ncontent-type: application/json\r\n"
        f"stripe-signature: {sign(body, at, (WEBHOOK_SECRET,))}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
