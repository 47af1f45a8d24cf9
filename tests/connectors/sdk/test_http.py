"""The shared HTTP client against a small server that misbehaves on request: what is raised says what is known."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from accordant.connectors.sdk.addresses import AddressForbidden, AddressPolicy
from accordant.connectors.sdk.http import CORRELATION_HEADER, Exchange, HttpClient, Timeouts
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable
from accordant.ports.last_word import WriteForbidden, last_word

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
LOCAL = AddressPolicy(allow_loopback=True)
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def client(url: str, *, slept: list[float] | None = None, **more: Any) -> HttpClient:
    """A client in whose world pauses take no time."""
    pauses = [] if slept is None else slept

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)

    arguments: dict[str, Any] = {"rate_per_s": 1000.0, "addresses": LOCAL, "sleep": no_sleep, **more}
    return HttpClient(url, clock=lambda: NOW, **arguments)


async def outcome(handler: Handler, method: str = "GET", **more: Any) -> Any:
    async with server(handler) as url:
        http = client(url, **more)
        try:
            return await http.send(method, "/v1/x")
        finally:
            await http.close()


def answering(status: int, headers: Mapping[str, str] | None = None, text: str = "{}") -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=text)

    return handler


async def broken_off(request: web.Request) -> web.Response:
    assert request.transport is not None
    await request.read()
    request.transport.abort()
    return web.Response()


async def silent(request: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("handler", "read_error", "write_error"),
    [
        (answering(500), TargetUnavailable, AnswerLost),
        (answering(503, {"Retry-After": "7"}), TargetUnavailable, AnswerLost),
        (answering(302, {"Location": "http://169.254.169.254/"}), TargetUnavailable, AnswerLost),
        (answering(303, {"Location": "/elsewhere"}), TargetUnavailable, AnswerLost),
        (answering(429, {"Retry-After": "7"}), RateLimited, RateLimited),
        (answering(401), AuthorizationExpired, AuthorizationExpired),
        (broken_off, TargetUnavailable, AnswerLost),
        (silent, TargetUnavailable, AnswerLost),
        (cut_short, TargetUnavailable, AnswerLost),
    ],
    ids=["500", "503", "302", "303", "429", "401", "broken-off", "silent", "cut-short"],
)
async def test_a_failure_says_what_is_known(handler: Handler, read_error: type, write_error: type) -> None:
    quick = Timeouts(connect_s=0.3, silence_s=0.1, total_s=0.3)
    with pytest.raises(read_error) as read:
        await outcome(handler, "GET", timeouts=quick)
    assert type(read.value) is read_error
    with pytest.raises(write_error) as write:
        await outcome(handler, "POST", timeouts=quick)
    assert type(write.value) is write_error


@pytest.mark.parametrize("status", [200, 201, 204, 400, 402, 403, 404, 409, 412, 422])
async def test_other_answers_are_the_connector_s_to_judge(status: int) -> None:
    answer = await outcome(answering(status, {"X-Thing": "1"}), "POST")
    assert (answer.status, answer.headers["x-thing"]) == (status, "1")


async def test_nothing_was_sent_when_nobody_listens() -> None:
    async with server(answering(200)) as url:
        pass
    http = client(url)
    with pytest.raises(TargetUnavailable):
        await http.send("POST", "/v1/x")
    await http.close()


async def test_a_redirect_is_not_followed() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/second"})

    with pytest.raises(TargetUnavailable):
        await outcome(handler, read_attempts_max=1)
    assert seen == ["/v1/x"]


@pytest.mark.parametrize(("method", "calls"), [("GET", 3), ("POST", 1), ("PATCH", 1), ("DELETE", 1)])
async def test_only_reads_are_repeated_and_not_for_ever(method: str, calls: int) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.Response(status=503)

    slept: list[float] = []
    with pytest.raises((TargetUnavailable, AnswerLost)):
        await outcome(handler, method, slept=slept)
    assert len(seen) == calls
    assert len(slept) == calls - 1


async def test_a_write_that_was_refused_for_its_rate_is_the_courier_s_to_repeat() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.Response(status=429, headers={"Retry-After": "0"})

    with pytest.raises(RateLimited):
        await outcome(handler, "POST")
    assert seen == ["POST"]


async def test_a_read_recovers() -> None:
    statuses = iter([503, 429, 200])

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=next(statuses), text="fine")

    assert (await outcome(handler)).body == b"fine"


async def test_a_long_pause_is_the_caller_s_decision() -> None:
    slept: list[float] = []
    with pytest.raises(RateLimited) as raised:
        await outcome(answering(429, {"Retry-After": "60"}), slept=slept)
    assert raised.value.retry_after_s == 60
    assert slept == []


async def test_credentials_are_renewed_once_for_a_401() -> None:
    asked: list[Mapping[str, str] | None] = []
    seen: list[str] = []

    async def authorize(*, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        asked.append(refused)
        return {"Authorization": "Bearer new" if refused else "Bearer old"}

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(status=200 if seen[-1] == "Bearer new" else 401)

    assert (await outcome(handler, "POST", authorize=authorize)).status == 200
    assert asked == [None, {"Authorization": "Bearer old"}]
    assert seen == ["Bearer old", "Bearer new"]
    seen.clear()
    with pytest.raises(AuthorizationExpired):
        await outcome(answering(401), "POST", authorize=authorize)


async def test_credentials_that_another_process_renewed_may_have_ended_too_and_are_renewed_once_more() -> None:
    asked: list[Mapping[str, str] | None] = []

    async def authorize(*, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        asked.append(refused)
        return {"Authorization": f"Bearer {len(asked)}"}

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers["Authorization"] == "Bearer 3" else 401)

    assert (await outcome(handler, "POST", authorize=authorize)).status == 200
    assert asked == [None, {"Authorization": "Bearer 1"}, {"Authorization": "Bearer 2"}]
    asked.clear()
    with pytest.raises(AuthorizationExpired):
        await outcome(answering(401), "POST", authorize=authorize)
    assert len(asked) == 3, "and not for ever"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_an_answer_over_the_limit_is_dropped(packed: bool) -> None:
    plain = b"0" * 300_000

    async def handler(request: web.Request) -> web.Response:
        if packed:
            return web.Response(body=gzip.compress(plain), headers={"Content-Encoding": "gzip"})
        return web.Response(body=plain)

    with pytest.raises(TargetUnavailable, match="more than 100000 bytes"):
        await outcome(handler, answer_bytes_max=100_000, read_attempts_max=1)
    with pytest.raises(AnswerLost, match="more than 100000 bytes"):
        await outcome(handler, "POST", answer_bytes_max=100_000)
    assert len((await outcome(handler, answer_bytes_max=300_000)).body) == 300_000


async def test_every_exchange_is_recorded_without_credentials() -> None:
    exchanges: list[Exchange] = []
    async with server(answering(200, {"X-A": "1"}, "[1]")) as url:
        http = client(url, recorder=exchanges.append, headers={"Authorization": "Bearer sk_live_1", "X-B": "2"})
        await http.send(
            "POST",
            "/v1/a%2Fb?z=0",
            query=[("q", "a b"), ("expand[]", "c")],
            body=b"a=1",
            content_type="application/x-www-form-urlencoded",
            correlation_id="trace-1é\r\nX-Evil: 1",
        )
        await http.close()
    (exchange,) = exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/a%2Fb")
    assert exchange.query == "z=0&q=a+b&expand%5B%5D=c"
    assert (exchange.request_body, exchange.status, exchange.body) == (b"a=1", 200, b"[1]")
    assert exchange.content_type == "application/x-www-form-urlencoded"
    assert exchange.request_headers[CORRELATION_HEADER] == "trace-1X-Evil:1"
    assert exchange.request_headers["X-B"] == "2"
    assert "sk_live_1" not in repr(exchange) + repr(http)


@pytest.mark.parametrize("path", ["v1/x", "/v1/../x", "/v1/a b", "/v1/\n", "/v1/é", "/v1/#x", "/./x"])
async def test_a_path_that_is_not_encoded_is_our_own_mistake(path: str) -> None:
    http = client("http://127.0.0.1:1")
    with pytest.raises(InvariantBroken):
        await http.send("GET", path)
    await http.close()


async def test_our_own_rate_is_kept() -> None:
    clock = [0.0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    async with server(answering(200)) as url:
        http = HttpClient(
            url,
            clock=lambda: NOW,
            rate_per_s=10,
            burst=2,
            addresses=LOCAL,
            monotonic=lambda: clock[0],
            sleep=sleep,
        )
        for _ in range(12):
            await http.send("GET", "/")
        await http.close()
    assert clock[0] == pytest.approx(1.0)
    assert len(slept) == 10


@pytest.mark.parametrize(("method", "arrives"), [("POST", False), ("PATCH", False), ("GET", True)])
async def test_a_write_that_is_forbidden_while_it_waits_for_its_turn_is_not_sent(method: str, arrives: bool) -> None:
    arrived: list[str] = []
    forbidden: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        arrived.append(request.method)
        return web.json_response({})

    async def sleep(seconds: float) -> None:
        forbidden.append(True)

    def word() -> None:
        if forbidden:
            raise WriteForbidden

    async with server(handler) as url:
        http = HttpClient(
            url, clock=lambda: NOW, rate_per_s=1, burst=1, addresses=LOCAL, monotonic=lambda: 0.0, sleep=sleep
        )
        with last_word(word):
            await http.send("PUT", "/")
            if arrives:
                await http.send(method, "/")
            else:
                with pytest.raises(WriteForbidden):
                    await http.send(method, "/")
        await http.send("DELETE", "/")
        await http.close()
    assert arrived == ["PUT", *([method] if arrives else []), "DELETE"], "outside nobody has a word"


async def test_a_write_that_is_repeated_with_new_credentials_is_asked_about_again() -> None:
    words: list[bool] = []

    def word() -> None:
        words.append(True)
        if len(words) > 1:
            raise WriteForbidden

    async def authorize(*, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        return {"Authorization": "new" if refused else "old"}

    with last_word(word), pytest.raises(WriteForbidden):
        await outcome(answering(401), "POST", authorize=authorize)
    assert len(words) == 2


async def test_a_queue_longer_than_the_limit_is_refused() -> None:
    async def sleep(seconds: float) -> None:
        return

    async with server(answering(200)) as url:
        http = HttpClient(
            url, clock=lambda: NOW, rate_per_s=0.05, burst=1, addresses=LOCAL, monotonic=lambda: 0.0, sleep=sleep
        )
        for _ in range(2):
            await http.send("GET", "/")
        with pytest.raises(RateLimited):
            await http.send("GET", "/")
        await http.close()


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:9", "https://127.1:9", "https://0x7f000001:9", "https://2130706433:9", "https://localhost:9"],
)
async def test_an_inner_address_is_refused_when_connecting(url: str) -> None:
    http = client(url, addresses=AddressPolicy())
    with pytest.raises(AddressForbidden):
        await http.send("POST", "/")
    await http.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
async def test_a_write_whose_used_connection_breaks_is_sent_once(method: str) -> None:
    """The library below would send a PUT and a DELETE again by itself on a connection that was used before."""
    arrived: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        await request.read()
        arrived.append(request.method)
        if request.method != "GET":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = HttpClient(
        f"http://127.0.0.1:{runner.addresses[0][1]}",
        clock=lambda: datetime(2026, 3, 14, tzinfo=UTC),
        rate_per_s=1_000,
        addresses=AddressPolicy(allow_loopback=True),
    )
    try:
        await client.send("GET", "/warm")
        with pytest.raises(AnswerLost):
            await client.send(method, "/thing", body=None if method == "DELETE" else b"{}")
    finally:
        await client.close()
        await runner.cleanup()
    assert arrived == ["GET", method]
