"""The door's connections on real sockets: answers in the order of the requests, and nobody can hold one for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.simulator_events import sign
from accordant.demo.stage import free_port
from accordant.kernel.errors import ConfigurationError
from accordant.pipeline.receive import Connection
from accordant.ports.inbox import Arrival, Reception
from accordant.web import webhooks, wire
from accordant.web.listen import Listener
from accordant.web.webhooks import BODY_BYTES_MAX, HEADER_BYTES_MAX, Door

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
SECRET = "whsec_EXAMPLE_signing_secret"
_WAIT_S = 10
Told = Callable[[Reception | Exception], None]


@dataclass
class House:
    """A listening door whose inbox answers when it is told to, beside an application that does so too."""

    port: int = field(default_factory=free_port)
    holds: bool = False
    arrivals: list[Arrival] = field(default_factory=list)
    waiting: list[Told] = field(default_factory=list)
    asked: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        connection = Connection(
            name="stripe", inbound=StripeInbound(live=None), secrets=(SECRET.encode(),), deliveries_per_s=10_000
        )
        self.may_answer.set()
        self.door = Door(lambda: {"stripe": connection}, self._hand_in, lambda: NOW, lambda: None)

    def _hand_in(self, arrival: Arrival, told: Told) -> None:
        self.arrivals.append(arrival)
        if arrival.envelope.external_id == "evt_defect":
            raise ZeroDivisionError("our own")
        if self.holds:
            self.waiting.append(told)
        else:
            told(Reception.NEW)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The application beside the door: remembers what it was asked."""
        body, goes_on = b"", True
        while goes_on:
            message = await receive()
            body, goes_on = body + message.get("body", b""), message.get("more_body", False)
        self.asked.append((scope["path"], dict(scope["headers"]).get(b"host", b""), body))
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"pages"})


class Line:
    """One connection to the house."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(_WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0))) if has_body else b""
        return int(head[0].split()[1]), headers, body

    async def status(self) -> int:
        return (await self.answer())[0]

    async def closed(self) -> bool:
        async with asyncio.timeout(_WAIT_S):
            return await self.reader.read(1) == b""


@asynccontextmanager
async def line(house: House, data: bytes = b"") -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(data)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Listener]:
    listener = Listener(house, host="127.0.0.1", port=house.port)
    await listener.start()
    try:
        yield listener
    finally:
        house.may_answer.set()
        await listener.stop(_WAIT_S)


def body(name: str = "evt_1") -> bytes:
    customer = {"id": "cus_1", "object": "customer"}
    event = {"id": name, "type": "customer.created", "created": 1773480413, "data": {"object": customer}}
    return json.dumps(event).encode()


def head(
    content: bytes, *more: str, target: str = "/webhooks/stripe", method: str = "POST", version: str = "1.1"
) -> bytes:
    signature = sign(content, int(NOW.timestamp()), (SECRET,))
    lines = [f"{method} {target} HTTP/{version}", "host: here", f"stripe-signature: {signature}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def delivery(name: str = "evt_1", *more: str, **how: str) -> bytes:
    content = body(name)
    return head(content, f"content-length: {len(content)}", *more, **how) + content


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(_WAIT_S):
        while not holds():  # noqa: ASYNC110  what is waited for happens in plain code
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused is listened to for a moment only."""
    monkeypatch.setattr(wire, "_LINGER_S", 0.05)


async def test_a_delivery_byte_by_byte_arrives_untouched_and_the_connection_is_kept() -> None:
    house = House()
    async with opened(house), line(house) as one:
        for byte in delivery():
            one.writer.write(bytes([byte]))
            await one.writer.drain()
        status, headers, said = await one.answer()
        assert (status, said) == (200, b'{"status":"new"}')
        assert headers["date"]
        assert house.arrivals[0].body == body()
        one.writer.write(delivery("evt_2"))
        assert await one.status() == 200
    assert [arrival.envelope.external_id for arrival in house.arrivals] == ["evt_1", "evt_2"]


async def test_chunks_are_one_body_and_a_header_sent_twice_keeps_both_values() -> None:
    house = House()
    content = body()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:1], content[1:50], content[50:]))
    data = head(content, "transfer-encoding: chunked", "x-word: one", "X-Word: two") + chunks + b"0\r\n\r\n"
    async with opened(house), line(house, data) as one:
        assert await one.status() == 200
    (arrival,) = house.arrivals
    assert arrival.body == content
    assert json.loads(arrival.headers)["x-word"] == "one,two"


@pytest.mark.parametrize("target", ["/webhooks/str%69pe", "/webhooks/stripe?x=1", "http://here/webhooks/stripe"])
async def test_other_spellings_of_the_target_are_understood(target: str) -> None:
    house = House()
    async with opened(house), line(house, delivery(target=target)) as one:
        assert await one.status() == 200


async def test_answers_leave_in_the_order_of_the_requests_whatever_is_stored_first() -> None:
    house = House(holds=True)
    page = b"GET /page HTTP/1.1\r\nhost: here\r\n\r\n"
    async with opened(house), line(house, delivery("evt_1") + page + delivery("evt_2") + delivery("no")) as one:
        await until(lambda: house.waiting)
        assert (len(house.waiting), house.asked) == (1, [])
        house.may_answer.clear()
        house.waiting.pop()(Reception.REPEAT)
        assert (await one.answer())[2] == b'{"status":"repeat"}'
        await until(lambda: house.asked)
        assert house.waiting == []
        house.may_answer.set()
        assert (await one.answer())[2] == b"pages"
        await until(lambda: house.waiting)
        house.waiting.pop()(Reception.CONFLICT)
        assert (await one.answer())[2] == b'{"status":"conflict"}'
        await until(lambda: house.waiting)
        house.waiting.pop()(Reception.NEW)
        assert (await one.answer())[2] == b'{"status":"new"}'


async def test_a_page_with_a_body_is_the_frameworks() -> None:
    house = House()
    async with opened(house), line(house, b"POST /form HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na=1") as one:
        assert (await one.answer())[2] == b"pages"
    assert house.asked == [("/form", b"h", b"a=1")]


@pytest.mark.parametrize("sent", [1, 40, -1])
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, sent: int) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.05)
    house = House()
    async with opened(house), line(house, delivery()[:sent]) as one:
        assert await one.status() == 408
        assert await one.closed()
    assert house.arrivals == []


async def test_who_says_nothing_does_not_hold_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(wire, "KEEP_ALIVE_S", 0.05)
    house = House()
    async with opened(house), line(house) as silent, line(house, delivery()) as idle:
        assert await silent.status() == 408
        assert await idle.status() == 200
        assert await idle.closed()


async def test_waiting_for_the_store_is_not_the_senders_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.05)
    house = House(holds=True)
    async with opened(house), line(house, delivery() + delivery("evt_2")[:40]) as one:
        await until(lambda: house.waiting)
        await asyncio.sleep(0.6)
        house.waiting.pop()(Reception.NEW)
        assert await one.status() == 200


async def test_who_hangs_up_in_the_middle_is_counted_and_no_delivery() -> None:
    house = House()
    async with opened(house):
        async with line(house, delivery()[:-1]) as one:
            await one.writer.drain()
        await until(lambda: house.door.answers)
    assert house.door.answers == {("stripe", "refused_400"): 1}
    assert house.arrivals == []


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_a_body_too_large_is_refused_and_one_of_exactly_the_limit_taken(framing: str) -> None:
    house = House()
    for extra, wanted in ((1, 413), (0, 200)):
        content = body() + b" " * (BODY_BYTES_MAX - len(body()) + extra)
        if framing == "chunked":
            data = head(content, "transfer-encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        else:
            data = head(content, f"content-length: {len(content)}") + content
        async with opened(house), line(house, data) as one:
            assert await one.status() == wanted
            if wanted == 413:
                assert await one.closed()
    assert len(house.arrivals) == 1


async def test_what_all_large_bodies_hold_together_is_bounded_and_small_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "LARGE_BYTES_MAX", 1_000_000)
    house = House()
    large = body() + b" " * 900_000
    whole = head(large, f"content-length: {len(large)}") + large
    half = whole[: len(whole) // 2]
    async with opened(house):
        async with line(house, half), line(house, half):
            await until(lambda: house.door._held > 800_000)
            async with line(house, whole) as third:
                status, headers, _ = await third.answer()
                assert (status, headers["retry-after"]) == (503, "5")
            async with line(house, delivery()) as small:
                assert await small.status() == 200
        await until(lambda: house.door._held == 0)
        async with line(house, whole) as again:
            assert await again.status() == 200
        assert house.door._held == 0


async def test_more_connections_than_the_bound_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONNECTIONS_MAX", 2)
    house = House()
    async with opened(house), line(house) as first, line(house):
        first.writer.write(delivery())
        assert await first.status() == 200
        async with line(house) as third:
            assert await third.status() == 503
            assert await third.closed()


async def test_the_refusal_of_a_later_request_is_not_taken_for_the_answer_to_an_earlier_one() -> None:
    house = House(holds=True)
    large = head(b"", f"content-length: {BODY_BYTES_MAX + 1}")
    async with opened(house), line(house, delivery("evt_1") + large) as one:
        assert await one.closed()
        house.waiting.pop()(Reception.NEW)
        assert await one.closed()


async def test_a_head_without_end_is_refused() -> None:
    house = House()
    async with opened(house), line(house, delivery()[:20]) as one:
        await asyncio.sleep(0.05)
        for _ in range(3):
            one.writer.write(b"x" * (HEADER_BYTES_MAX // 2))
            await asyncio.sleep(0.02)
        assert await one.status() == 431
        assert await one.closed()


async def test_what_is_no_http_is_told_so() -> None:
    house = House()
    async with opened(house), line(house, b"\x16\x03\x01\x02\x00\r\n\r\n") as one:
        assert await one.status() == 400
        assert await one.closed()


async def test_who_asks_before_sending_is_told_to_go_on_or_not_to() -> None:
    house = House()
    content = body()
    asks = (f"content-length: {len(content)}", "expect: 100-continue")
    async with opened(house):
        async with line(house, head(content, *asks)) as one:
            assert await one.status() == 100
            one.writer.write(content)
            assert await one.status() == 200
        async with line(house, head(content, *asks, target="/webhooks/nobody")) as one:
            assert await one.status() == 404
            assert await one.closed()


async def test_a_connection_ends_after_the_answer_where_the_sender_wants_it() -> None:
    house = House()
    async with opened(house):
        for data in (delivery("evt_1", "connection: close"), delivery("evt_2", version="1.0")):
            async with line(house, data) as one:
                status, headers, _ = await one.answer()
                assert (status, headers["connection"]) == (200, "close")
                assert await one.closed()


async def test_a_refused_request_leaves_the_connection_usable() -> None:
    house = House()
    async with opened(house), line(house, delivery(method="HEAD", target="/webhooks/stripe")) as one:
        status, headers, _ = await one.answer(has_body=False)
        assert (status, int(headers["content-length"]) > 0) == (405, True)
        one.writer.write(delivery(target="/webhooks/nobody"))
        assert await one.status() == 404
        one.writer.write(delivery("evt_defect"))
        assert await one.status() == 500
        one.writer.write(delivery("evt_2"))
        assert await one.status() == 200


async def test_stopping_answers_what_was_asked_and_takes_nobody_new() -> None:
    house = House(holds=True)
    listener = Listener(house, host="127.0.0.1", port=house.port)
    await listener.start()
    async with line(house) as idle, line(house, delivery()) as one:
        await until(lambda: house.waiting)
        stopping = asyncio.create_task(listener.stop(_WAIT_S))
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", house.port)
        house.waiting.pop()(Reception.NEW)
        status, headers, _ = await one.answer()
        assert (status, headers["connection"]) == (200, "close")
        await asyncio.wait_for(stopping, _WAIT_S)


async def test_an_address_that_is_taken_is_named_with_a_remedy() -> None:
    house = House()
    async with opened(house):
        with pytest.raises(ConfigurationError, match=f"{house.port}.*in use") as error:
            await Listener(house, host="127.0.0.1", port=house.port).start()
        assert error.value.remedy
