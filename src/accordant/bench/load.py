"""The sender of the benchmarks: signed deliveries on keep-alive connections, bare enough to cost little.

`flood` keeps every connection busy (closed loop); `trickle` sends at a given rate whatever the answers do (open loop).
"""

import asyncio
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from accordant.connectors.stripe.simulator_history import HistoryEvent

_ANSWER_BYTES = 65_536
#: Silence is counted in looks of a second: a machine that stood still for a minute has not been silent.
_SILENT_LOOKS_MAX = 60
_LOOK_S = 1.0


def requests(events: Sequence[HistoryEvent], *, host: str, port: int, secret: str, at: int) -> list[bytes]:
    """Whole HTTP requests, signed at ``at`` (Unix seconds), ready to be written."""
    head = f"POST /webhooks/stripe HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
    return [
        f"{head}stripe-signature: {event.signature(at, secret)}\r\ncontent-length: {len(event.body)}\r\n\r\n".encode()
        + event.body
        for event in events
    ]


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """What a flood took, in seconds: in all, of this process's processor, and each delivery from send to answer."""

    elapsed_s: float
    client_cpu_s: float
    latencies_s: list[float]


class _Line:
    """One connection of the flood: what was sent when, and what came back of its answer so far."""

    __slots__ = ("buffer", "sent_at", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.buffer = b""
        self.sent_at = 0.0


def flood(batch: Sequence[bytes], *, host: str, port: int, connections: int) -> Flood:
    """Send everything over ``connections`` at once, each sending its next when the last was answered.

    Plain sockets in one thread: the sender shares the machine with the server, and what it costs the server lacks.

    Raises RuntimeError on any refusal, ConnectionError when a connection is lost or silent.
    """
    lines = [_Line(socket.create_connection((host, port))) for _ in range(min(connections, len(batch)))]
    with selectors.DefaultSelector() as selector:
        try:
            for line in lines:
                line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(line.socket, selectors.EVENT_READ, line)
            return _flood(selector, lines, batch)
        finally:
            for line in lines:
                line.socket.close()


def _flood(selector: selectors.BaseSelector, lines: Sequence[_Line], batch: Sequence[bytes]) -> Flood:
    now = time.perf_counter
    waiting = iter(batch)
    latencies: list[float] = []
    refused: list[str] = []
    started, cpu = now(), time.process_time()
    for line, request in zip(lines, waiting, strict=False):
        line.sent_at = now()
        line.socket.sendall(request)
    silent_looks = 0
    while len(latencies) < len(batch):
        ready = selector.select(_LOOK_S)
        silent_looks = 0 if ready else silent_looks + 1
        if silent_looks > _SILENT_LOOKS_MAX:
            raise ConnectionError(f"{len(latencies)} of {len(batch)} deliveries were answered, then there was silence")
        for key, _ in ready:
            line = key.data
            status = _answer(line)
            if status is None:
                continue
            moment = now()
            latencies.append(moment - line.sent_at)
            if status != b"200":
                refused.append(status.decode())
            request = next(waiting, b"")
            if request:
                line.sent_at = moment
                line.socket.sendall(request)
    elapsed, cpu = now() - started, time.process_time() - cpu
    if refused:
        raise RuntimeError(f"{len(refused)} of {len(batch)} deliveries were refused: {sorted(set(refused))}")
    return Flood(elapsed_s=elapsed, client_cpu_s=cpu, latencies_s=latencies)


def _answer(line: _Line) -> bytes | None:
    """The status of the answer once it is whole; None while some of it is missing. Raises ConnectionError."""
    data = line.socket.recv(_ANSWER_BYTES)
    if not data:
        raise ConnectionError("a connection was lost")
    buffer = line.buffer + data if line.buffer else data
    length = whole_length(buffer)
    if length is None or len(buffer) < length:
        line.buffer = buffer
        return None
    line.buffer = buffer[length:]
    return buffer[9:12]


def whole_length(buffer: bytes) -> int | None:
    """How many bytes an answer that begins like this has in all; None while its head is not whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    mark = buffer.lower().find(b"content-length:", 0, end)
    if mark < 0:
        return end + 4
    return end + 4 + int(buffer[mark + 15 : buffer.find(b"\r\n", mark)])


class _Sender(asyncio.Protocol):
    """One connection of the trickle. Tells the feed of each answer."""

    def __init__(self, feed: "_Feed") -> None:
        self._feed = feed
        self._buffer = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  said for the type checker
        self.transport = transport
        self._feed.ready(self)

    def send(self, request: bytes) -> None:
        assert self.transport is not None  # noqa: S101
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        length = whole_length(self._buffer)
        if length is None or len(self._buffer) < length:
            return
        status = self._buffer[9:12].decode()
        self._buffer = self._buffer[length:]
        self._feed.answered(self, status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._feed.lost(exc)


class _Feed:
    """Knows which connections are free, and when everything was answered."""

    def __init__(self, total: int) -> None:
        self.failures: list[str] = []
        # Each connection in its turn: the door lets one go that has not spoken for long.
        self.idle: deque[_Sender] = deque()
        self.some_idle = asyncio.Event()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = total

    def ready(self, sender: _Sender) -> None:
        self.idle.append(sender)
        self.some_idle.set()

    def answered(self, sender: _Sender, status: str) -> None:
        self._left -= 1
        if status != "200":
            self.failures.append(status)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)
        self.ready(sender)

    def lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"a connection was lost: {error}"))


async def trickle(batch: list[bytes], *, host: str, port: int, connections: int, per_second: int) -> list[float]:
    """Send at a steady rate; the wall-clock moment each was sent, in order. Raises RuntimeError on any refusal."""
    feed = _Feed(len(batch))
    loop = asyncio.get_running_loop()
    senders = [(await loop.create_connection(lambda: _Sender(feed), host, port))[1] for _ in range(connections)]
    sent_at: list[float] = []
    started = loop.time()
    for number, request in enumerate(batch):
        wait = started + number / per_second - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        while not feed.idle:
            feed.some_idle.clear()
            await feed.some_idle.wait()
        sent_at.append(time.time())
        feed.idle.popleft().send(request)
    await feed.done
    for sender in senders:
        if sender.transport is not None:
            sender.transport.close()
    if feed.failures:
        raise RuntimeError(
            f"{len(feed.failures)} of {len(batch)} deliveries were refused: {sorted(set(feed.failures))}"
        )
    return sent_at
