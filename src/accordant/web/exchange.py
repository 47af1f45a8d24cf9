"""One HTTP exchange as the server hands it over: granian's own interface (RSGI), in types, since granian has none.

Only what the door and the console's bridge use is written down. Next: `webhooks.py`, `bridge.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Protocol

from granian import rsgi

#: The other side went away.
ProtocolClosed: type[Exception] = rsgi.ProtocolClosed  # type: ignore[attr-defined]  # granian re-exports it untyped

Headers = list[tuple[str, str]]


class HeaderList(Protocol):
    """Headers as they were sent: names in lower case, one pair for each time a header was sent."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Every pair."""
        ...


class Scope(Protocol):
    """What is known of a request before its body. ``path`` is decoded, ``server`` and ``client`` are host:port."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> HeaderList:
        """The headers."""
        ...


class Body(Protocol):
    """The body of a request: awaited as a whole, or chunk by chunk, of which the last may be empty."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body. Raises ProtocolClosed when the sender hangs up before its end."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks as they come; they also end when the sender hangs up."""
        ...


class Stream(Protocol):
    """An answer that is sent piece by piece; it ends when nobody holds it any more."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a piece. Raises ProtocolClosed when the reader went away."""
        ...


class Exchange(Body, Protocol):
    """A request's body and the way to answer it, once."""

    async def client_disconnect(self) -> None:
        """Wait until the other side goes away."""
        ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in one piece."""
        ...

    def response_stream(self, status: int, headers: Headers) -> Stream:
        """Begin an answer in pieces."""
        ...
