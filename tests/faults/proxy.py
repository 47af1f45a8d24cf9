"""A TCP proxy for HTTP on loopback that spoils a message at a chosen place: what networks do, on request.

It reads just enough of HTTP to know where in an exchange it is. Everything else passes byte for byte.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

HOST = "127.0.0.1"
#: Where an exchange can break, in the order of its bytes, and what else can go wrong with one.
PLACES = (
    "connect", "request head", "request body", "request sent", "answer head", "answer body", "close",
    "half open", "slow", "wrong answer",
)  # fmt: skip
_SLOW_S = 0.3
_CHUNK = 64 * 1024
_NONSENSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 29\r\n\r\n<html>maintenance page</html>"
_WRITES = (b"POST ", b"PATCH ")


class Spoilt(Exception):
    """This connection ends here."""


class Proxy:
    """Leads to ``port``. ``chance`` of the exchanges that ``picks`` accepts are spoilt, each at a place in turn."""

    def __init__(self, port: int, *, seed: int, picks: Callable[[bytes], bool] = lambda _head: True) -> None:
        self.fired: Counter[str] = Counter()
        self.exchanges = 0
        self.chance = 0.0
        self.hang_s = 1.0
        self.places: tuple[str, ...] = PLACES
        self.port = 0
        self._upstream = port
        self._picks = picks
        self._dice = random.Random(seed)
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; the address that leads through."""
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=4 * 1024 * 1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://{HOST}:{self.port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(HOST, self._upstream, limit=4 * 1024 * 1024)
            while True:
                await self._exchange(reader, writer, answers, upstream)
        except (Spoilt, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, upstream):
                if one is not None:
                    with suppress(Exception):
                        one.transport.abort()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        place = self._place(head)
        self._break(place, "connect")
        if place == "request head":
            upstream.write(head[: len(head) // 2])
            await upstream.drain()
        self._break(place, "request head")
        body = await reader.readexactly(_length(head))
        if place == "request body":
            upstream.write(head + body[: len(body) // 2])
            await upstream.drain()
        self._break(place, "request body")
        upstream.write(head + body)
        await upstream.drain()
        answer = await answers.readuntil(b"\r\n\r\n")
        payload = await _payload(answers, answer)
        # The other side has answered: what was asked is done, and nobody has told the one who asked.
        self._break(place, "request sent")
        await self._answer(place, writer, answer, payload)
        if place == "close":
            self._break(place, "close")

    async def _answer(self, place: str, writer: asyncio.StreamWriter, answer: bytes, payload: bytes) -> None:
        if place == "half open":
            self.fired[place] += 1
            await asyncio.sleep(self.hang_s)
            raise Spoilt
        if place == "wrong answer":
            self.fired[place] += 1
            writer.write(_NONSENSE)
            await writer.drain()
            return
        if place == "answer head":
            writer.write(answer[: len(answer) // 2])
        if place == "answer body":
            writer.write(answer + payload[: len(payload) // 2])
        await writer.drain()
        self._break(place, "answer head", "answer body")
        if place == "slow":
            self.fired[place] += 1
            for part in (answer[:7], answer[7:], payload):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(_SLOW_S / 3)
            return
        writer.write(answer + payload)
        await writer.drain()

    def _place(self, head: bytes) -> str:
        self.exchanges += 1
        if not self._picks(head) or self._dice.random() >= self.chance:
            return ""
        self._turn += 1
        return self.places[self._turn % len(self.places)]

    def _break(self, place: str, *here: str) -> None:
        if place in here:
            self.fired[place] += 1
            raise Spoilt


def is_write(head: bytes) -> bool:
    """Whether a request changes something; asking for a token does not count."""
    return head.startswith(_WRITES) and b"/oauth2/" not in head.split(b"\r\n", 1)[0]


def _length(head: bytes) -> int:
    value = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
    return int(value or 0)


async def _payload(answers: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head.lower():
        return await answers.readexactly(_length(head))
    whole = b""
    while True:
        line = await answers.readuntil(b"\r\n")
        chunk = await answers.readexactly(int(line.split(b";")[0], 16) + 2)
        whole += line + chunk
        if line.strip() == b"0":
            return whole
