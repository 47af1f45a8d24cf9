"""The front: deliveries go straight to the door, questions about the process to the observer, the rest to the console.

On the server's own interface, before the framework (decision 0016). Next: `webhooks.py`, `observe.py`, `bridge.py`.
"""

from collections.abc import Awaitable, Callable

from accordant.web.bridge import AsgiApplication, carry
from accordant.web.exchange import Exchange, Scope
from accordant.web.observe import Observer
from accordant.web.webhooks import PREFIX, Door

Application = Callable[[Scope, Exchange], Awaitable[None]]


def front(door: Door, console: AsgiApplication, observer: Observer) -> Application:
    """What the server runs for a hub."""

    async def answer(scope: Scope, exchange: Exchange) -> None:
        if scope.path.startswith(PREFIX):
            answered = await door.take(scope, exchange)
            exchange.response_bytes(answered.status, answered.headers, answered.body)
        elif not await observer.answer(scope, exchange):
            await carry(console, scope, exchange)

    return answer


def back(observer: Observer) -> Application:
    """What a process without a door answers: questions about itself."""

    async def answer(scope: Scope, exchange: Exchange) -> None:
        if not await observer.answer(scope, exchange):
            exchange.response_bytes(404, [("content-type", "text/plain")], b"Here are /health and /metrics only.\n")

    return answer
