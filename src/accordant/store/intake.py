"""The inbox's fast lane for the door: groups of new deliveries are stored without a thread waiting for the server.

On PostgreSQL the statement goes out on the door's own loop, on connections of its own, and the next group is prepared
while the server writes this one. SQLite writes in the process itself: there a thread does it. Next: `inbox.py`.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import make_url

from accordant.ports.inbox import Arrival, Reception
from accordant.store.engine import POSTGRES_SESSION, Database
from accordant.store.inbox import INSERT_ON_POSTGRES, SqlInbox

_Line = psycopg.AsyncConnection[tuple[object, ...]]


class Intake(Protocol):
    """Obligations: as `ports.inbox.Inbox.accept`, awaited on one loop; up to ``lines`` groups at the same time."""

    lines: int

    async def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        """Store a group; what became of each, once it is on disk. Raises StoreUnavailable, ConcurrentChange."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


def intake_of(database: Database, inbox: SqlInbox) -> Intake:
    """The fast lane into ``inbox``."""
    return _ThreadIntake(inbox) if database.is_sqlite else _SocketIntake(database, inbox)


class _ThreadIntake:
    lines = 1

    def __init__(self, inbox: SqlInbox) -> None:
        self._inbox = inbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-commit")

    async def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._inbox.accept, arrivals)

    async def close(self) -> None:
        self._thread.shutdown(wait=False)


class _SocketIntake:
    #: One group is written while the next one is prepared.
    lines = 2

    def __init__(self, database: Database, inbox: SqlInbox) -> None:
        self._inbox = inbox
        self._url = make_url(database.engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._idle: list[_Line] = []

    async def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        values = self._inbox.for_postgres(arrivals)
        if values is not None and await self._insert(values):
            return (Reception.NEW,) * len(arrivals)
        # One of them is known already, the key of the month has to be made, or the server went away and may or may not
        # have stored them: that takes a look, which finds or says what is the matter.
        return await asyncio.to_thread(self._inbox.accept, arrivals)

    async def _insert(self, values: tuple[bytes, str, str]) -> bool:
        """Whether all of it was new and is stored. It is a transaction by itself, in one round trip."""
        try:
            line = self._idle.pop() if self._idle else await self._connect()
        except psycopg.Error:
            return False
        try:
            # Neither table decides anything: no line of the audit trail has to stand for them.
            await line.execute(INSERT_ON_POSTGRES, values)
        except psycopg.Error:
            return False
        else:
            return True
        finally:
            # One that was interrupted in the middle is never used again: its answer could be taken for the next one's.
            if line.info.transaction_status is TransactionStatus.IDLE:
                self._idle.append(line)
            else:
                await line.close()

    async def _connect(self) -> _Line:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, **POSTGRES_SESSION)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()
