"""A stand-in's socket: real HTTP on loopback, faults on request, and what a vendor's own words are left to each.
Guarantees that a call is carried out before its answer is lost, or not at all, as the fault says.
Next: a connector's ``simulator.py``.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from accordant.connectors.sdk.faults import Fault, FaultList

_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``path`` is without its query, header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back; ``body`` is JSON to be, with Decimal as numbers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class StandIn(ABC):
    """One vendor behind one port."""

    def __init__(self, *, middlewares: Iterable[Any] = ()) -> None:
        """``middlewares`` goes to the aiohttp application: a contract judge in tests."""
        self.faults = FaultList()
        self.url = ""
        self.calls: list[Call] = []
        self._middlewares = tuple(middlewares)
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Carry out one call."""

    @abstractmethod
    def refusal(self, fault: Fault) -> Answer:
        """How the vendor says what a fault orders it to say: busy, too many calls, a session that is over, an error."""

    def fault(self, kind: str, **options: Any) -> Fault:  # noqa: ANN401  the options of a fault
        """Order a fault: ``faults.KINDS`` names them, ``Fault`` the options."""
        return self.faults.add(Fault(kind, **options))

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base address. Port 0 takes a free one."""
        app = web.Application(middlewares=self._middlewares)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, reuse_address=True).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.path,
            # Not ``query_string``: that is decoded already, and "%ac" in a question would be decoded once more.
            query=dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        fault = self.faults.strike(call.method, call.path)
        if fault is None:
            return self._carried_out(call)
        if fault.kind in {"error_before", "busy", "too_many", "expired"}:
            return _response(self.refusal(fault))
        if fault.kind in {"slow", "timeout_before"}:
            await asyncio.sleep(fault.seconds)
        if fault.kind in {"reset_before", "timeout_before"}:
            return _cut(request)
        answer = self._carried_out(call)
        if fault.kind == "timeout_after":
            await asyncio.sleep(fault.seconds)
        if fault.kind in {"reset_after", "timeout_after"}:
            return _cut(request)
        if fault.kind == "error_after":
            return _response(self.refusal(fault))
        if fault.kind == "html":
            return web.Response(text="<html><body>Please log in</body></html>", content_type="text/html")
        if fault.kind == "truncated" and isinstance(answer.body, bytes):
            half = answer.body[: max(1, len(answer.body) // 2)]
            return web.Response(status=answer.status, body=half, content_type="application/json")
        return answer

    def _carried_out(self, call: Call) -> web.Response:
        self.calls.append(call)
        return _response(self.answer(call))


def _response(answer: Answer) -> web.Response:
    body = b"" if answer.body is None else _JSON.encode(answer.body)
    return web.Response(
        status=answer.status, body=body, headers=dict(answer.headers), content_type="application/json", charset="utf-8"
    )


def _cut(request: web.Request) -> web.Response:
    """Break the connection off without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
