"""The front: questions about the process go to the observer, the rest to the console, in the framework's interface.

Deliveries never come this far (decision 0021): the connection hands them to the door itself. Next: `wire.py`,
`observe.py`, `webhooks.py`.
"""

from collections.abc import Callable
from typing import Any

from accordant.web.observe import Observer, respond
from accordant.web.webhooks import Door

#: The framework types its application more narrowly than ASGI itself does.
AsgiApplication = Callable[[Any, Any, Any], Any]


class Front:
    """What a server runs: ``door`` for deliveries where there is one, ``api`` for other systems, the console for
    everything else.
    """

    def __init__(
        self,
        *,
        observer: Observer,
        door: Door | None = None,
        console: AsgiApplication | None = None,
        api: AsgiApplication | None = None,
    ) -> None:
        self.door = door
        self._observer = observer
        self._console = console
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI is dictionaries
        """Answer one request."""
        if await self._observer.answer(scope, send):
            return
        if self._api is not None and scope.get("path", "").startswith("/api/"):
            await self._api(scope, receive, send)
            return
        if self._console is not None:
            await self._console(scope, receive, send)
            return
        await respond(send, 404, [("content-type", "text/plain")], b"Here are /health and /metrics only.\n")
