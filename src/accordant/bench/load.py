"""The sender of the benchmarks: signed deliveries on keep-alive connections, bare enough to cost little.

`flood` keeps every connection busy (closed loop); `trickle` sends at a given rate whatever the answers do (open loop).
"""

import asyncio
import time
from collections.abc import Sequence

from accordant.connectors.stripe.simulator_history import HistoryEvent


def requests(events: Sequence[HistoryEvent], *, host: str, port: int, secret: str, at: int) -> list[bytes]:
    """Whole HTTP requests, signed at ``at`` (Unix seconds), ready to be written."""
    head = f"POST /webhooks/stripe HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
    return [
        f"{head}stripe-signature: {event.signature(at, secret)}\r\ncontent-length: {len(event.body)}\r\n\r\n".encode()
        + event.body
        for event in events
    ]


class _Sender(asyncio.Protocol):
    """One connection. Calls ``answered`` with the status after each answer."""

    def __init__(self, feed: "_Feed") -> None:
        self._feed = feed
        self._buffer = b""
        self._sent_at = 0.0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  said for the type checker
        self.transport = transport
        self._feed.ready(self)

    def send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        assert self.transport is not None  # noqa: S101
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._feed.answered(self, int(head[9:12]), time.perf_counter() - self._sent_at)

    def connection_lost(self, exc: Exception | None) -> None:
        self._feed.lost(exc)


class _Feed:
    """Hands requests to connections and gathers answers."""

    def __init__(self, waiting: list[bytes]) -> None:
        self.waiting = waiting
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.idle: list[_Sender] = []
        self.some_idle = asyncio.Event()
        self.closed_loop = True
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._total = len(waiting)

    def ready(self, sender: _Sender) -> None:
        if self.closed_loop and self.waiting:
            sender.send(self.waiting.pop())
        else:
            self.idle.append(sender)
            self.some_idle.set()

    def answered(self, sender: _Sender, status: int, seconds: float) -> None:
        self.latencies.append(seconds)
        if status != 200:
            self.failures.append(str(status))
        if len(self.latencies) >= self._total and not self.done.done():
            self.done.set_result(None)
            return
        self.ready(sender)

    def lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"a connection was lost: {error}"))


async def flood(batch: list[bytes], *, host: str, port: int, connections: int) -> tuple[float, list[float]]:
    """Send everything over ``connections`` at once; (seconds in all, latency of each).

    Raises RuntimeError on any refusal.
    """
    feed = _Feed(list(reversed(batch)))
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    senders = [(await loop.create_connection(lambda: _Sender(feed), host, port))[1] for _ in range(connections)]
    await feed.done
    elapsed = time.perf_counter() - started
    _close(senders)
    if feed.failures:
        raise RuntimeError(
            f"{len(feed.failures)} of {len(batch)} deliveries were refused: {sorted(set(feed.failures))}"
        )
    return elapsed, feed.latencies


async def trickle(batch: list[bytes], *, host: str, port: int, connections: int, per_second: int) -> list[float]:
    """Send at a steady rate; the wall-clock moment each was sent, in order. Raises RuntimeError on any refusal."""
    feed = _Feed([])
    feed.closed_loop = False
    feed._total = len(batch)  # noqa: SLF001  the same module's own class
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
        feed.idle.pop().send(request)
    await feed.done
    _close(senders)
    if feed.failures:
        raise RuntimeError(
            f"{len(feed.failures)} of {len(batch)} deliveries were refused: {sorted(set(feed.failures))}"
        )
    return sent_at


def _close(senders: Sequence[_Sender]) -> None:
    for sender in senders:
        if sender.transport is not None:
            sender.transport.close()
