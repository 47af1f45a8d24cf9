"""A store that lives in memory: emptied, copied and put back within a millisecond, with a moment at every transaction.

For the simulator: the same tables and the same SQL as a file, without a disk. What a disk does is proved elsewhere.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from typing import NamedTuple, cast

from sqlalchemy import Connection

from accordant.kernel.errors import InvariantBroken
from accordant.store.engine import Database, translated
from accordant.store.guard import guarded
from accordant.store.memory_connection import LeanConnection
from accordant.store.migrate import migrate


class Moment(StrEnum):
    """Where something may happen to a transaction that writes."""

    BEFORE_BEGIN = "before a transaction"
    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit"


class MemoryDatabase(Database):
    """A database that says at each moment of a writing transaction what it is about to do.

    ``at_moment`` may raise: before the commit everything is rolled back, after it everything stays. Once it is held,
    all of it is one connection of one thread, and one transaction that is thrown away in the end: a commit is the
    release of a savepoint, and to begin anew costs neither tables nor prepared statements.
    """

    at_moment: Callable[[Moment], None] | None = None
    _held: Connection | None = None
    _raw: sqlite3.Connection
    _is_writing = False

    def hold(self) -> sqlite3.Connection:
        """From now on there is this connection only; no transaction may be open."""
        self._held = LeanConnection(self.engine)
        self._held.begin()
        self._held.lean()
        self._raw = cast("sqlite3.Connection", self._held.connection.driver_connection)
        return self._raw

    def read(self) -> AbstractContextManager[Connection]:  # type: ignore[override]  # it is entered, and no more
        """See ``Database.read``. Raises InvariantBroken within a write: elsewhere it would see another state."""
        if self._held is None:
            return super().read()
        if self._is_writing:
            raise InvariantBroken("A read was begun within a write transaction of the same step.")
        return nullcontext(self._held)

    def snapshot(self) -> AbstractContextManager[Connection]:  # type: ignore[override]
        """See ``Database.snapshot``: nobody else writes meanwhile."""
        return self.read()

    @contextmanager
    def write(self, *, survives_power_loss: bool = True) -> Iterator[Connection]:
        """See ``Database.write``."""
        held = self._held
        if held is None:
            with super().write(survives_power_loss=survives_power_loss) as connection:
                yield connection
            return
        self._tell(Moment.BEFORE_BEGIN)
        with self._begun(waits_for_disk=survives_power_loss), guarded(held):
            yield held
            self._tell(Moment.BEFORE_COMMIT)
        self._tell(Moment.AFTER_COMMIT)

    @contextmanager
    def _begun(self, *, waits_for_disk: bool) -> Iterator[Connection]:
        held = self._held
        if held is None:
            with super()._begun(waits_for_disk=waits_for_disk) as connection:
                yield connection
            return
        raw = self._raw
        raw.execute("SAVEPOINT step")
        self._is_writing = True
        try:
            with translated():
                yield held
        except BaseException:
            raw.execute("ROLLBACK TO step")
            raise
        finally:
            self._is_writing = False
            raw.execute("RELEASE step")

    def close(self) -> None:
        """See ``Database.close``."""
        if self._held is not None:
            self._held.close()
        super().close()

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


# Of two conditions on one state the first is that of an index, which is taken only where the query shows it.
_AT_WORK = """
SELECT 'received', min(due_at) FROM inbox_work
    WHERE state = 'received' AND lane NOT IN (SELECT lane FROM parked_lane) HAVING count(*) > 0
UNION ALL SELECT 'owed', min(since_at) FROM owed_decision HAVING count(*) > 0
UNION ALL SELECT 'awaiting_reread', min(due_at) FROM inbox_work
    WHERE state <> 'processed' AND state = 'awaiting_reread' AND lane NOT IN (SELECT lane FROM parked_lane)
    HAVING count(*) > 0
UNION ALL SELECT 'target:' || target, min(due_at) FROM write_intent
    WHERE state IN ('pending', 'leased', 'uncertain') AND lane NOT IN (SELECT lane FROM parked_lane) GROUP BY target
"""


class Backup:
    """What a store held at one moment."""

    def __init__(self, copy: sqlite3.Connection) -> None:
        self.copy = copy


class MemoryStore:
    """One migrated store in memory, gone when it is closed."""

    def __init__(self) -> None:
        self.database = MemoryDatabase("sqlite://")
        # The pool of connections hands out this one, and keeps it: a store in memory is its only connection.
        migrate(self.database)
        self._holder = self.database.hold()
        self._holder.execute("COMMIT")
        self._empty = sqlite3.connect(":memory:")
        self._holder.backup(self._empty)
        self._holder.execute("BEGIN")
        self._is_put_back = False

    def backup(self) -> Backup:
        """A copy of everything that is committed now; no transaction may be open."""
        copy = sqlite3.connect(":memory:")
        copy.deserialize(self._holder.serialize())
        return Backup(copy)

    def restore(self, backup: Backup) -> None:
        """Hold again what was held then; no transaction may be open."""
        self._put_back(backup.copy)
        self._is_put_back = True

    def clear(self) -> None:
        """Hold nothing but empty tables."""
        if self._is_put_back:
            self._put_back(self._empty)
            self._is_put_back = False
            return
        self._holder.execute("ROLLBACK")
        self._holder.execute("BEGIN")

    def _put_back(self, copy: sqlite3.Connection) -> None:
        self._holder.execute("ROLLBACK")
        copy.backup(self._holder)
        self._holder.execute("BEGIN")

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
        """Changes with everything that a worker does to the events in its lanes.

        The tries of an event that was answered before begin anew with its reading, which is nobody's lane.
        """
        query = (
            "SELECT count(settled_at), ifnull(sum(settled_at), 0), "
            "ifnull(sum(CASE WHEN settled_at IS NULL THEN attempts END), 0) FROM inbox_work"
        )
        found: tuple[int, ...] = self._holder.execute(query).fetchone()
        return found

    def close(self) -> None:
        """Let go of everything."""
        self.database.close()
        self._empty.close()
