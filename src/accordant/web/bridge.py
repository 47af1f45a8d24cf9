"""The console's framework speaks ASGI, the server hands over requests in its own interface (RSGI): one to the other.

Bodies are handed on chunk by chunk, so the framework's limits hold; an answer in one piece is sent in one call, one in
pieces (the live feed) as a stream that ends when the reader goes away.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from accordant.web.exchange import Exchange, Headers, ProtocolClosed, Scope, Stream

#: The framework types its application more narrowly than ASGI itself does.
AsgiApplication = Callable[[Any, Any, Any], Any]

_ASGI = {"version": "3.0", "spec_version": "2.3"}


async def carry(application: AsgiApplication, scope: Scope, exchange: Exchange) -> None:
    """Answer one request by an ASGI application."""
    messages = _Messages(exchange, declared=_declared(scope))
    try:
        await application(_asgi_scope(scope), messages.receive, messages.send)
    finally:
        messages.close()


def _asgi_scope(scope: Scope) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": quote(scope.path).encode(),
        "root_path": "",
        "query_string": scope.query_string.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "server": _address(scope.server),
        "client": _address(scope.client),
        "state": {},
    }


def _declared(scope: Scope) -> int:
    """The length of the body the sender announced, in bytes; 0 where it did not."""
    length = dict(scope.headers.items()).get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class _Messages:
    """One request and its answer as ASGI messages."""

    def __init__(self, exchange: Exchange, declared: int) -> None:
        self._exchange = exchange
        self._missing = declared
        self._chunks = aiter(exchange)
        self._is_read = False
        self._start: dict[str, Any] = {}
        self._stream: Stream | None = None
        self._left: asyncio.Future[None] | None = None

    async def receive(self) -> dict[str, Any]:
        """The next part of the body; once it is read, word that the reader went away."""
        if self._is_read:
            await self._gone()
            return {"type": "http.disconnect"}
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            if self._missing > 0:  # a sender that hung up ends the chunks as one that is done
                return {"type": "http.disconnect"}
            chunk, self._is_read = b"", True
        self._missing -= len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": not self._is_read}

    async def send(self, message: dict[str, Any]) -> None:
        """Send the answer, or the next piece of it. Raises ConnectionResetError when the reader went away."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self._stream is None and is_last:
            self._exchange.response_bytes(self._start["status"], _as_text(self._start), body)
            return
        if self._stream is None:
            self._stream = self._exchange.response_stream(self._start["status"], _as_text(self._start))
        if body:
            try:
                await self._stream.send_bytes(body)
            except ProtocolClosed:
                raise ConnectionResetError("The reader went away.") from None

    async def _gone(self) -> None:
        if self._left is None:
            self._left = asyncio.ensure_future(self._exchange.client_disconnect())
        await asyncio.shield(self._left)

    def close(self) -> None:
        """Wait for the reader no longer."""
        if self._left is not None:
            self._left.cancel()


def _as_text(start: dict[str, Any]) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
