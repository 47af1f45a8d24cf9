"""Rehearsals ordered from the console are held one by one, each in a process of its own: the door stays quick.

Whoever has the lease looks after them; one that was interrupted is taken up again. Next: `cli/rehearse.py`.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog

from accordant.bootstrap import Hub
from accordant.canonical.rehearsal import RehearsalTicket

_LEASE = "rehearsals"
_LEASE_TTL = timedelta(seconds=30)
_LOOK_S = 5.0
#: A process that fails without a word of its own is tried this often, then the order ends with that.
_TRIES_MAX = 3
_WORDS_MAX = 300
_log = structlog.get_logger("rehearser")


class Rehearser:
    """Holds the orders of one hub."""

    def __init__(self, hub: Hub, environment: Mapping[str, str]) -> None:
        self._hub = hub
        self._environment = environment
        self._tries: dict[str, int] = {}

    async def round(self) -> bool:
        """Hold the oldest order, if there is one and nobody else does; whether there was."""
        ticket = await asyncio.to_thread(self._hub.rehearsals.book.next_order)
        if ticket is None or not await asyncio.to_thread(self._is_ours):
            return False
        code, told = await self._hold(ticket)
        self._tries[ticket.id] = self._tries.get(ticket.id, 0) + 1
        if code and self._tries[ticket.id] >= _TRIES_MAX:
            problem = f"It could not be held: {told[-_WORDS_MAX:].strip() or f'its process ended with {code}.'}"
            await asyncio.to_thread(self._end, ticket, problem)
        return True

    def _is_ours(self) -> bool:
        return self._hub.leases.is_ours(_LEASE, ttl=_LEASE_TTL, now=self._hub.clock())

    def _end(self, ticket: RehearsalTicket, problem: str) -> None:
        self._hub.rehearsals.book.end(ticket.id, problem=problem, at=self._hub.clock())

    async def _hold(self, ticket: RehearsalTicket) -> tuple[int, str]:
        settings = self._hub.settings
        folder = settings.charter.absolute().parent / ticket.folder
        words = ("rehearse", "--ordered", ticket.id, "--charter", str(folder), "--home", str(_whole(settings.home)),
                 "--store", settings.store)  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "accordant", *words,
            env={**os.environ, **self._environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, told = await self._wait(process)
        except BaseException:
            # We are stopped: what it walked is kept, and the next start goes on from there.
            with suppress(ProcessLookupError):
                process.terminate()
            raise
        return process.returncode or 0, told.decode(errors="replace")

    async def _wait(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        """Until it ends, keeping the lease meanwhile."""
        talking = asyncio.ensure_future(process.communicate())
        while not (await asyncio.wait([talking], timeout=_LOOK_S))[0]:
            if not await asyncio.to_thread(self._is_ours):
                _log.warning("another process looks after rehearsals now")
                process.terminate()
        return talking.result()


def _whole(path: Path) -> Path:
    return path.absolute()
