"""The front: deliveries go straight to the door, everything else to the console behind it.

The door stands before the web framework, and on the server's own interface (RSGI) rather than on ASGI: the framework
cost a quarter of the intake, ASGI's messages another part (docs/explanation/performance.md). Next: `webhooks.py` for
the door, `bridge.py` for the console.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from accordant.web.bridge import AsgiApplication, carry
from accordant.web.exchange import Exchange, Scope
from accordant.web.webhooks import PREFIX, Door

Application = Callable[[Scope, Exchange], Awaitable[None]]


def front(door: Door, console: AsgiApplication, health: Callable[[], Mapping[str, Any]]) -> Application:
    """What the server runs for a hub. ``health`` is asked for ``/health``: 200 while all is well, else 503."""

    async def answer(scope: Scope, exchange: Exchange) -> None:
        if scope.path.startswith(PREFIX):
            answered = await door.take(scope, exchange)
            exchange.response_bytes(answered.status, answered.headers, answered.body)
        elif scope.path == "/health":
            _say_health(health(), exchange)
        else:
            await carry(console, scope, exchange)

    return answer


def _say_health(state: Mapping[str, Any], exchange: Exchange) -> None:
    status = 200 if state["status"] == "ok" else 503
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    exchange.response_bytes(status, headers, msgspec.json.encode(state))
