"""What a load balancer and a monitoring system ask: is it alive, is it ready and if not why, and how is it doing.

``/health/live`` answers while the process does; ``/health/ready`` (and ``/health``) looks at the store, the charter and
the loops; ``/metrics`` holds the figures, which are for those who have the token wherever others can reach the port.
"""

import asyncio
import hmac
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.store.engine import Database
from accordant.views.load import Load, last_receipt, settled_since
from accordant.web.exposition import CONTENT_TYPE, Live, exposition

#: Sends one message of an answer, as ASGI has it.
Send = Callable[[Any], Awaitable[None]]

_NO_STORE = [("cache-control", "no-store")]
_JSON = [("content-type", "application/json"), *_NO_STORE]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process can do its work. ``status`` is ok or failing; ``problems`` are sentences for a person."""

    status: str
    problems: tuple[str, ...]
    store: str
    charter: str
    targets: dict[str, str]


class Observed(Protocol):
    """The process that is asked about."""

    def health(self, problem: str | None) -> Health:
        """Its health, given what is wrong with the store, if anything."""
        ...

    def load(self) -> Load:
        """What the store says."""
        ...

    def live(self, writes: Mapping[tuple[str, str, str], int], store_write_s: float) -> Live:
        """What the process knows, beside the two figures that were counted here."""
        ...

    def probe(self) -> None:
        """Make one small commit. Raises TransientError when the store cannot."""
        ...

    def doubt(self) -> str | None:
        """Why a commit of the store could be gone after a power cut. Raises TransientError when it cannot be asked."""
        ...


class Observer:
    """Answers the paths above for one process. ``is_open``: only this machine can reach the port."""

    def __init__(
        self, observed: Observed, *, database: Database, token: str | None, is_open: bool, clock: Clock
    ) -> None:
        self._observed = observed
        self._database = database
        self._token = token
        self._is_open = is_open
        self._clock = clock
        self._writes: Counter[tuple[str, str, str]] = Counter()
        self._last: int | None = None
        self._one_at_a_time = threading.Lock()

    async def answer(self, scope: Mapping[str, Any], send: Send) -> bool:
        """Answer the request if it is one of ours; whether it was."""
        match scope["path"]:
            case "/health/live":
                await respond(send, 200, _JSON, b'{"status":"alive"}')
            case "/health" | "/health/ready":
                found = await asyncio.to_thread(self._ready)
                await respond(send, 200 if found.status == "ok" else 503, _JSON, msgspec.json.encode(found))
            case "/metrics":
                await self._say_figures(scope, send)
            case _:
                return False
        return True

    def _ready(self) -> Health:
        try:
            self._timed_probe()
            # Somebody may have turned it off since the start, which refuses it.
            return self._observed.health(self._observed.doubt())
        except TransientError as error:
            return self._observed.health(error.message)

    def _timed_probe(self) -> float:
        began = time.perf_counter()
        self._observed.probe()
        return time.perf_counter() - began

    async def _say_figures(self, scope: Mapping[str, Any], send: Send) -> None:
        if not self._may_see(dict(scope["headers"]).get(b"authorization", b"")):
            text = b"The figures ask for the token of ACCORDANT_METRICS_TOKEN as a bearer token.\n"
            await respond(send, 401, [("www-authenticate", "Bearer"), *_NO_STORE], text)
            return
        try:
            text = await asyncio.to_thread(self._figures)
        except TransientError as error:
            await respond(send, 503, _NO_STORE, f"{error.message}\n".encode())
            return
        await respond(send, 200, [("content-type", CONTENT_TYPE), *_NO_STORE], text)

    def _may_see(self, authorization: bytes) -> bool:
        if self._token is None:
            return self._is_open
        return hmac.compare_digest(authorization, f"Bearer {self._token}".encode())

    def _figures(self) -> bytes:
        with self._one_at_a_time:  # two scrapes at once would count the same answers twice
            took_s = self._timed_probe()
            if self._last is None:
                self._last = last_receipt(self._database)
            settled = settled_since(self._database, self._last, now=self._clock())
            self._last = settled.last
            self._writes.update(settled.counts)
            return exposition(self._observed.load(), self._observed.live(self._writes, took_s))


async def respond(send: Send, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
    """Answer a request in one piece."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    pairs.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
