"""The one HTTP client of all connectors: rate, time-outs, sizes, addresses, credentials and recording in one place.
Guarantees that a failure says what is known of the call: nothing was carried out, or a write may have been.
No redirect is followed and no write is sent twice; next: a connector's reader.py or outbound.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from yarl import URL

from accordant.connectors.sdk.addresses import REFUSAL_MARK, AddressForbidden, AddressPolicy
from accordant.connectors.sdk.rates import TokenBucket, parse_http_date, parse_retry_after
from accordant.kernel.clock import Clock
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable
from accordant.ports.last_word import ask_last_word

ANSWER_BYTES_MAX = 64 * 1024 * 1024
QUEUE_S_MAX = 30.0  # longer than this behind our own rate is no longer a short wait: the caller decides
READ_PAUSE_S_MAX = 5.0
CONNECTIONS_MAX = 32
RENEWALS_MAX = 2
CORRELATION_HEADER = "X-Correlation-Id"
CORRELATION_LENGTH_MAX = 128
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_CHUNK_BYTES = 64 * 1024


class Authorize(Protocol):
    """Gives the headers that prove who we are."""

    async def __call__(self, *, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        """Headers for the next call. ``refused`` are the ones just answered with 401, None on the first try.

        Renew only when ``refused`` is still what you would give: many calls may be refused at once.
        Raises: AuthorizationExpired, TargetUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Units: seconds. ``connect_s`` until connected, ``silence_s`` between two bytes, ``total_s`` in all."""

    connect_s: float = 5.0
    silence_s: float = 20.0
    total_s: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()
PUBLIC_ONLY = AddressPolicy()


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: any status but 401, 429 and 3xx, and 5xx unless asked for. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer, for contract checks and diagnosis. Credentials are left out.

    ``query`` is the encoded query string without its question mark; ``path`` starts at the host's root.
    """

    method: str
    path: str
    query: str
    content_type: str | None
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes


Recorder = Callable[[Exchange], None]


class HttpClient:
    """Calls one system. Make it anywhere, use it inside one event loop, ``close`` it there."""

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        rate_per_s: float,
        burst: int | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        headers: Mapping[str, str] | None = None,
        authorize: Authorize | None = None,
        recorder: Recorder | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        read_attempts_max: int = 3,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        connections_max: int = CONNECTIONS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``base_url`` may hold a path prefix. Raises AddressForbidden when it may not be called.

        ``rate_per_s`` and ``burst`` (default: one second's worth) limit this client; ``read_attempts_max`` bounds how
        often a call that only reads is tried in all, ``connections_max`` how many are under way at once.
        """
        self._base = addresses.check_url(base_url)
        self._host = (urlsplit(self._base).hostname or "").lower()
        self._clock = clock
        self._bucket = TokenBucket(rate_per_s=rate_per_s, burst=burst or max(1, int(rate_per_s)), monotonic=monotonic)
        self._timeouts = timeouts
        self._headers = dict(headers or {})
        self._authorize = authorize
        self._recorder = recorder
        self._addresses = addresses
        self._read_attempts_max = max(1, read_attempts_max)
        self._answer_bytes_max = answer_bytes_max
        self._connections_max = connections_max
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"HttpClient({self._base})"  # headers hold credentials

    async def close(self) -> None:
        """Release connections; the next call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        writes: bool | None = None,
        correlation_id: str = "",
        gives_failures: bool = False,
    ) -> HttpAnswer:
        """Make one call. ``path`` starts with ``/``, percent-encoded, under the base address; it may hold a query.

        ``writes`` says whether the call changes anything (default: every method but GET and HEAD). A call that only
        reads is repeated a few times; a write is sent once, or once more after a 401, which proves that it was refused.
        ``gives_failures``: an answer of 5xx is given back, for a caller who knows what its headers say of the write.

        Raises: RateLimited (429, or our own rate is used up for longer than QUEUE_S_MAX), TargetUnavailable (nothing
        was sent, or the call only reads), WriteForbidden (nothing was sent: the policy changed while a write waited for
        its turn), AnswerLost (a write that may have been carried out: connection lost, time out, 3xx, 5xx, or an answer
        over the size limit), AuthorizationExpired (401 twice), AddressForbidden.
        """
        call = _Call(
            method=method,
            url=self._url(path, query),
            body=body,
            content_type=content_type,
            headers=self._call_headers(headers, content_type, correlation_id),
            writes=method not in {"GET", "HEAD"} if writes is None else writes,
            gives_failures=gives_failures,
        )
        attempts = 1 if call.writes else self._read_attempts_max
        for attempt in range(1, attempts + 1):
            try:
                return await self._authorized(call)
            except (RateLimited, TargetUnavailable) as error:
                pause = error.retry_after_s if error.retry_after_s is not None else 0.25 * 2**attempt
                if attempt == attempts or pause > READ_PAUSE_S_MAX:
                    raise
                await self._sleep(pause)
        raise InvariantBroken("A read ended without an answer and without an error.")

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        bare, _, inline = path.partition("?")
        printable = all("!" <= letter <= "~" for letter in path)
        if not path.startswith("/") or not printable or "#" in path or not {".", ".."}.isdisjoint(bare.split("/")):
            raise InvariantBroken(f"The path {path!r} of a call is not an encoded absolute path.")
        encoded = "&".join(part for part in (inline, urlencode(list(query))) if part)
        return URL(f"{self._base}{bare}" + (f"?{encoded}" if encoded else ""), encoded=True)

    def _call_headers(
        self, extra: Mapping[str, str] | None, content_type: str | None, correlation_id: str
    ) -> dict[str, str]:
        headers = {**self._headers, **(extra or {})}
        if content_type is not None:
            headers["Content-Type"] = content_type
        safe = "".join(letter for letter in correlation_id if "!" <= letter <= "~")[:CORRELATION_LENGTH_MAX]
        if safe:
            headers[CORRELATION_HEADER] = safe
        return headers

    async def _authorized(self, call: _Call) -> HttpAnswer:
        """Send with credentials. A 401 renews them: it proves that nothing was carried out, even of a write.

        Twice at most: the first time may give what another process renewed, which can have ended since.
        """
        proof = await self._authorize(refused=None) if self._authorize else {}
        answer = await self._once(call, proof)
        for _ in range(RENEWALS_MAX):
            if answer.status != 401 or self._authorize is None:
                break
            proof = await self._authorize(refused=proof)
            answer = await self._once(call, proof)
        if answer.status == 401:
            raise AuthorizationExpired(f"{self._host} no longer accepts the credentials of this connection (401).")
        self._judge_status(call, answer)
        return answer

    def _judge_status(self, call: _Call, answer: HttpAnswer) -> None:
        if answer.status == 429:
            raise RateLimited(f"{self._host} asks to be called less often (429).", retry_after_s=self._pause(answer))
        if answer.status >= 500 and call.gives_failures:
            return
        if answer.status >= 500 or 300 <= answer.status < 400:
            raise self._failure(call, f"answered with status {answer.status}", sent=True, pause=self._pause(answer))

    def _pause(self, answer: HttpAnswer) -> float | None:
        now = parse_http_date(answer.headers.get("date")) or self._clock()
        return parse_retry_after(answer.headers.get("retry-after"), now=now)

    def _failure(
        self, call: _Call, what: str, *, sent: bool, pause: float | None = None
    ) -> AnswerLost | TargetUnavailable:
        """What is known of a call that failed: a write whose bytes may have left has lost its answer."""
        if sent and call.writes:
            return AnswerLost(f"{self._host} {what}; the write may have been carried out.", retry_after_s=pause)
        return TargetUnavailable(f"{self._host} {what}.", retry_after_s=pause)

    async def _once(self, call: _Call, proof: Mapping[str, str]) -> HttpAnswer:
        await self._wait_turn()
        if call.writes:
            ask_last_word()
        progress = SimpleNamespace(sent=False)
        try:
            async with self._open().request(
                call.method,
                call.url,
                data=call.body,
                headers={**call.headers, **proof},
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                body = await self._bounded(call, response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                answer = HttpAnswer(status=response.status, headers=headers, body=body)
        except aiohttp.ClientConnectorError as error:
            if REFUSAL_MARK in str(error):
                raise AddressForbidden(f"The address of {self._host} may not be called: {error.os_error}.") from None
            raise self._failure(call, "cannot be reached", sent=False) from error
        except aiohttp.InvalidURL as error:
            raise AddressForbidden(f"The address of {self._host} may not be called: it is not canonical.") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise self._failure(call, f"took no call within {self._timeouts.connect_s:g} s", sent=False) from error
        except TimeoutError as error:
            raise self._failure(call, "did not answer in time", sent=progress.sent) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(call, f"broke off the call ({type(error).__name__})", sent=progress.sent) from error
        self._record(call, answer)
        return answer

    async def _wait_turn(self) -> None:
        waiting = self._bucket.wait_s()
        if waiting > QUEUE_S_MAX:
            raise RateLimited(f"Too many calls wait for {self._host}.", retry_after_s=waiting)
        pause = self._bucket.take()
        if pause > 0:
            await self._sleep(pause)

    async def _bounded(self, call: _Call, response: aiohttp.ClientResponse) -> bytes:
        """The body, decompressed, up to the limit: beyond it the connection is dropped."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._answer_bytes_max:
                response.close()
                raise self._failure(call, f"answered with more than {self._answer_bytes_max} bytes", sent=True)
            chunks.append(chunk)
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max, socket_factory=self._addresses.socket_factory(self._host)
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeouts.total_s,
                    sock_connect=self._timeouts.connect_s,
                    sock_read=self._timeouts.silence_s,
                ),
                trace_configs=[trace],
                trust_env=False,
            )
            # It would send a PUT or a DELETE again by itself where a connection breaks that was used before, and there
            # is no argument that forbids it. Whether a write goes out twice is not a library's to decide.
            self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _record(self, call: _Call, answer: HttpAnswer) -> None:
        if self._recorder is None:
            return
        shown = {name: value for name, value in call.headers.items() if name.lower() not in _SECRET_HEADERS}
        self._recorder(
            Exchange(
                method=call.method,
                path=call.url.raw_path,
                query=call.url.raw_query_string,
                content_type=call.content_type,
                request_headers=shown,
                request_body=call.body or b"",
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
            )
        )


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: URL
    body: bytes | None
    content_type: str | None
    headers: Mapping[str, str]
    writes: bool
    gives_failures: bool


async def _note_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """Called just before the first byte leaves: from here on a write may be carried out."""
    context.trace_request_ctx.sent = True
