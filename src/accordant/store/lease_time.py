"""The clock of leases, which no step of a wall clock moves: the machine's own on SQLite, the database's on PostgreSQL.

Whoever shares a SQLite file shares the machine. Processes of several machines agree on the database's time only; it is
asked now and then, and counted on by the machine's own clock in between.
"""

import threading
import time
from datetime import datetime

from sqlalchemy import text

from accordant.kernel.clock import from_micros
from accordant.store.engine import Database

#: Two machines drift apart by less than a millisecond in this time.
_ASK_EVERY_MICROS = 10_000_000
#: Counts while the machine sleeps, where the system has such a clock: a lease runs out during a nap.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def uptime_micros() -> int:
    """Microseconds since the machine was started; every process of the machine reads the same."""
    return time.monotonic_ns() // 1000 if _UPTIME is None else time.clock_gettime_ns(_UPTIME) // 1000


class LeaseTime:
    """The time to compare the ends of leases with. Never shown to a person: on SQLite it counts from the last boot."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._ahead = 0
        self._asked_at: int | None = None

    def __call__(self) -> datetime:
        """Now. Raises StoreUnavailable when it has to be asked and the database does not answer."""
        up = uptime_micros()
        if self._database.is_sqlite:
            return from_micros(up)
        with self._guard:
            if self._asked_at is None or up - self._asked_at >= _ASK_EVERY_MICROS:
                self._ahead, self._asked_at = self._ask(), up
            return from_micros(uptime_micros() + self._ahead)

    def _ask(self) -> int:
        """How far the database's clock is ahead of the uptime. A slow answer makes it look behind, never ahead."""
        with self._database.read() as connection:
            query = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            there = int(connection.execute(query).scalar_one())
        return there - uptime_micros()
