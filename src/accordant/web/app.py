"""The front: deliveries go straight to the door, everything else to the console behind it.

The door stands before the web framework, not inside it: routing a delivery through the framework cost a quarter of the
intake on the reference machine (docs/explanation/performance.md).
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from accordant.web.webhooks import PREFIX, Door, Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Any]
#: The framework types its application more narrowly than ASGI itself does.
AnyApplication = Callable[[Any, Any, Any], Any]


def front(door: Door, console: AnyApplication, health: Callable[[], Mapping[str, Any]]) -> Application:
    """The ASGI application of a hub. ``health`` is asked for ``/health``: 200 while the store answers, else 503."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await console(scope, receive, send)
        elif scope["path"].startswith(PREFIX):
            await door(scope, receive, send)
        elif scope["path"] == "/health":
            await _health(health(), send)
        else:
            await console(scope, receive, send)

    return answer


async def _health(state: Mapping[str, Any], send: Send) -> None:
    status = 200 if state["status"] == "ok" else 503
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(state)})
