"""Listening on an address: uvicorn serves on the loop it finds, leaves signals to us and drains when told.

Next: `wire.py` for its connections, `server.py` for what is served.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from uvicorn.config import Config
from uvicorn.server import Server

from accordant.kernel.errors import ConfigurationError
from accordant.web.wire import KEEP_ALIVE_S, Wire

#: How often connections are looked at for requests that do not come to an end.
_LOOK_S = 0.25
#: A page that stays open (the live feed) does not keep the process from ending for longer than this.
_GRACE_S = 5
#: Connections that may wait to be accepted (the system cuts it down to its own bound).
_BACKLOG = 4096


class _Server(Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's own business."""
        yield


class Listener:
    """One listening address. ``application`` is served; its ``door`` attribute takes the deliveries, or is None."""

    def __init__(self, application: Callable[[Any, Any, Any], Any], *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = _Server(
            Config(
                application,
                http=Wire,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                backlog=_BACKLOG,
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Returns when it listens. Raises ConfigurationError where the address cannot be taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            bound = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"Nothing can listen on {self._host}:{self._port}: {error.strerror}.",
                remedy="Free the port, or choose another with ACCORDANT_PORT.",
            ) from None
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.001)
        self._look_round()

    def _look_round(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Wire):
                connection.look_at_clock(now)
        self._look = loop.call_later(_LOOK_S, self._look_round)

    async def stop(self, timeout_s: float) -> None:
        """Take no new connection, answer what was asked, end."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=timeout_s)
        if self._look is not None:
            self._look.cancel()
