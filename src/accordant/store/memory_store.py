"""A store that lives in memory: emptied, copied and put back within a millisecond, with a moment at every transaction.

For the simulator: the same tables and the same SQL as a file, without a disk. What a disk does is proved elsewhere.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection

from accordant.store.engine import Database
from accordant.store.migrate import migrate


class Moment(StrEnum):
    """Where something may happen to a transaction that writes."""

    BEFORE_BEGIN = "before a transaction"
    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit"


class MemoryDatabase(Database):
    """A database that says at each moment of a writing transaction what it is about to do.

    ``at_moment`` may raise: before the commit everything is rolled back, after it everything stays.
    """

    at_moment: Callable[[Moment], None] | None = None

    @contextmanager
    def write(self, *, survives_power_loss: bool = True) -> Iterator[Connection]:
        """See ``Database.write``."""
        self._tell(Moment.BEFORE_BEGIN)
        with super().write(survives_power_loss=survives_power_loss) as connection:
            yield connection
            self._tell(Moment.BEFORE_COMMIT)
        self._tell(Moment.AFTER_COMMIT)

    def _tell(self, moment: Moment) -> None:
        if self.at_moment is not None:
            self.at_moment(moment)


class AtWork(NamedTuple):
    """What a store has in front of its workers now: whether events wait, whether owners have to be asked, and the
    targets with a write that is due. ``is_over``: nothing waits, not even for later.
    """

    events: bool
    rereads: bool
    targets: frozenset[str]
    is_over: bool


_AT_WORK = """
SELECT 'received', min(due_at) FROM inbox_work
    WHERE state = 'received' AND lane NOT IN (SELECT lane FROM parked_lane) HAVING count(*) > 0
UNION ALL SELECT 'owed', min(since_at) FROM owed_decision HAVING count(*) > 0
UNION ALL SELECT 'awaiting_reread', min(due_at) FROM inbox_work
    WHERE state = 'awaiting_reread' AND lane NOT IN (SELECT lane FROM parked_lane) HAVING count(*) > 0
UNION ALL SELECT 'target:' || target, min(due_at) FROM write_intent
    WHERE state IN ('pending', 'leased', 'uncertain') AND lane NOT IN (SELECT lane FROM parked_lane) GROUP BY target
"""


class Backup:
    """What a store held at one moment."""

    def __init__(self, copy: sqlite3.Connection) -> None:
        self.copy = copy


class MemoryStore:
    """One migrated store in memory, gone when it is closed. ``name`` is its own among the stores of this process."""

    def __init__(self, name: str) -> None:
        place = f"file:accordant-{name}?mode=memory&cache=shared"
        # A store in memory is there for as long as somebody holds it open.
        self._holder = sqlite3.connect(place, uri=True)
        self.url = f"sqlite:///{place}&uri=true"
        self.database = MemoryDatabase(self.url)
        migrate(self.database)
        self._empty = self.backup()

    def backup(self) -> Backup:
        """A copy of everything that is committed now."""
        copy = sqlite3.connect(":memory:")
        self._holder.backup(copy)
        return Backup(copy)

    def restore(self, backup: Backup) -> None:
        """Hold again what was held then; no transaction may be open."""
        backup.copy.backup(self._holder)

    def clear(self) -> None:
        """Hold nothing but empty tables."""
        self.restore(self._empty)

    def look(self, micros: int) -> AtWork:
        """What there is to do at a moment, in microseconds, without asking the application."""
        due = dict(self._holder.execute(_AT_WORK).fetchall())
        now = {name for name, at in due.items() if at <= micros}
        return AtWork(
            events=not now.isdisjoint({"received", "owed"}),
            rereads="awaiting_reread" in now,
            targets=frozenset(name.removeprefix("target:") for name in now if name.startswith("target:")),
            is_over=not due,
        )

    def progress(self) -> tuple[int, ...]:
        """Changes with everything that a worker does to the events in its lanes."""
        query = "SELECT count(settled_at), ifnull(sum(settled_at), 0), sum(attempts) FROM inbox_work"
        found: tuple[int, ...] = self._holder.execute(query).fetchone()
        return found

    def close(self) -> None:
        """Let go of everything."""
        self.database.close()
        self._empty.copy.close()
        self._holder.close()
