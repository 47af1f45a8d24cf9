"""Opening the database and running one transaction in it. SQLite: WAL, `synchronous=FULL`, writers `BEGIN IMMEDIATE`.

A transaction that reads first and then writes fails on SQLite at once, whatever the busy timeout; a commit at
`synchronous=NORMAL` is not on disk when it returns. Writers of one process queue on a lock of our own.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.pool import QueuePool

from accordant.kernel.errors import ConfigurationError, TransientError
from accordant.store.guard import guarded, watch
from accordant.store.packed import make_known

_BUSY_TIMEOUT_MS = 10_000
_POOL_SIZE = 10
#: States of PostgreSQL that pass and that its driver does not count among the operational ones: it takes no writes
#: just now (a standby, or made read-only), or it ends our connection because it stops.
_PASSING = frozenset({"25006", "57P01", "57P02", "57P03"})
#: How every connection to PostgreSQL is opened. A plan made for the empty table of the first day would be kept while
#: the table grows to millions.
POSTGRES_SESSION: dict[str, Any] = {
    "prepare_threshold": 2,
    "application_name": "accordant",
    "options": "-c plan_cache_mode=force_custom_plan",
}
#: Prepared statements of one SQLite connection: `bulk` has up to 66 sizes of each of its inserts.
_STATEMENTS_KEPT = 1024


class StoreUnavailable(TransientError):
    """The database cannot be reached or written just now."""


class _Queue:
    """A lock that is handed over in the order of asking: a thread that commits all the time must not starve the others.

    A plain lock goes to whoever runs when it is released, which is the thread that released it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Database:
    """A database and its transactions; thread-safe."""

    def __init__(self, url: str, *, is_scratch: bool = False) -> None:
        """Open ``url``: ``sqlite:////path/file.db`` or ``postgresql://user@host/name``.

        ``is_scratch``: nobody keeps it, so that no line of an audit trail has to stand for what changes in it.

        Raises: ConfigurationError for another kind.
        """
        parsed = make_url(url)
        match parsed.get_backend_name():
            case "sqlite":
                self.engine = _open_sqlite(url)
            case "postgresql":
                self.engine = _open_postgres(url)
            case other:
                raise ConfigurationError(
                    f"The store {other!r} is not supported.",
                    remedy="Set ACCORDANT_STORE to a sqlite:/// or postgresql:// address.",
                )
        self._is_scratch = is_scratch
        if not is_scratch:
            watch(self.engine)
        self._writers = _Queue() if self.is_sqlite else None
        # PostgreSQL needs no transaction around a lone statement: two round trips saved on every read.
        self._alone = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_sqlite(self) -> bool:
        """True for the embedded default."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: one snapshot on SQLite, one view a statement on PostgreSQL. Raises StoreUnavailable."""
        with translated(), self._alone.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that only reads, for what is too much for one answer. Raises StoreUnavailable."""
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, survives_power_loss: bool = True) -> Iterator[Connection]:
        """A write transaction: commits when the block ends, rolls back when it raises.

        Without ``survives_power_loss`` the commit does not wait for the disk: the end of the process cannot undo it,
        that of the machine may, for it and nothing before it. Only for what is redone then as if it had never been.
        Raises: StoreUnavailable, UnauditedChange where governed state would change without its line in the trail.
        """
        with self._begun(waits_for_disk=survives_power_loss) as connection:
            if self._is_scratch:
                yield connection
                return
            with guarded(connection):
                yield connection

    @contextmanager
    def write_unaudited(self) -> Iterator[Connection]:
        """A write transaction that nobody counts: for the making of tables and of what measurements and tests read."""
        with self._begun(waits_for_disk=True) as connection:
            yield connection

    @contextmanager
    def _begun(self, *, waits_for_disk: bool) -> Iterator[Connection]:
        with translated():
            if self._writers is None:
                with self.engine.begin() as connection:
                    if not waits_for_disk:
                        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                    yield connection
                return
            with self._writers, self.engine.connect() as connection:
                connection = connection.execution_options(accordant_writes=True)  # noqa: PLW2901
                with nullcontext() if waits_for_disk else _unsynced(connection), connection.begin():
                    yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _unsynced(connection: Connection) -> Iterator[None]:
    """SQLite takes this setting outside of transactions only. The log is written in order: what is synced later, by
    any connection, takes this along.
    """
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        raw.execute("PRAGMA synchronous=FULL")


@contextmanager
def translated() -> Iterator[None]:
    """What the driver says of a store that is away, in our words. Raises StoreUnavailable."""
    try:
        yield
    except PendingRollbackError as error:
        raise StoreUnavailable("The connection to the store broke in a transaction.", retry_after_s=1.0) from error
    except PoolExhausted as error:
        raise StoreUnavailable("Every connection to the store is in use.", retry_after_s=1.0) from error
    except OperationalError as error:
        raise StoreUnavailable(f"The store is not available: {_first_line(error)}", retry_after_s=1.0) from error
    except DBAPIError as error:
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _PASSING:
            raise StoreUnavailable(f"The store went away: {_first_line(error)}", retry_after_s=1.0) from error
        raise


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__


def _open_sqlite(url: str) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=_POOL_SIZE,
        connect_args={"check_same_thread": False, "cached_statements": _STATEMENTS_KEPT},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:  # noqa: ANN401  the driver's own class
        # The driver must not open transactions by itself: we say which kind.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "cache_size=-65536",
            "wal_autocheckpoint=4000",
            "temp_store=MEMORY",
            # Without it INSERT OR REPLACE removes a row past the triggers that keep the past unchanged.
            "recursive_triggers=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("accordant_writes", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        # It takes no lock and cannot fail: past the machinery, which would cost as much as the query that follows.
        raw: Any = connection.connection.dbapi_connection
        raw.execute("BEGIN")

    return engine


def _open_postgres(url: str) -> Engine:
    make_known()
    address = make_url(url).set(drivername="postgresql+psycopg")
    return create_engine(address, pool_size=_POOL_SIZE, pool_pre_ping=False, connect_args=POSTGRES_SESSION)
