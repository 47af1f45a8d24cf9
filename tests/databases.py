"""Stores for tests: made once in a test process with every table, lent to one test after the other, emptied in between.

Making a PostgreSQL database anew for every test costs the server ten megabytes of log and a checkpoint each time. A
database whose tables a test has changed is thrown away. Next: `conftest.py`, whose fixtures lend.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from accordant.store.engine import Database
from accordant.store.migrate import migrate

CREATE_ATTEMPTS_MAX = 5
_FOLDER = TemporaryDirectory(prefix="accordant-template-")
GUESTS_LEAVE_WITHIN_MS = 5_000
#: So many rows gone leave so much dead that the next test would feel it.
VACUUM_FROM_ROWS = 2_000

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
#: Everything by which the tables of two databases can differ, and their version.
_SHAPE = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
  SELECT concat_ws('/', oid, relname, relnatts, relchecks, relhastriggers) AS part
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws('/', oid, tgname, tgenabled) FROM pg_trigger
  UNION ALL SELECT concat_ws('/', oid, proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT version_num FROM alembic_version
  UNION ALL SELECT concat_ws('/', setrole, setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS parts
"""
_START_AGAIN = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
_GUESTS = """
SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Kept:
    """A database with every table and no row, and how its tables look."""

    url: str
    tables: tuple[str, ...]
    shape: str


class Pool:
    """Databases of one test process on one server; as many as were ever lent at once."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: list[Kept] = []

    @contextmanager
    def lend(self, label: str, *, durable: bool = False) -> Iterator[str]:
        """The address of a database with every table, without a row, whose numbers begin at 1.

        ``durable``: its commits wait for the disk, as a server demands of its store.
        """
        kept = self._free.pop() if self._free else self._make(label)
        if durable:
            set_forgetful(kept.url, forgetful=False)
        try:
            yield kept.url
        finally:
            if durable:
                set_forgetful(kept.url, forgetful=True)
            if is_emptied(kept):
                self._free.append(kept)
            else:
                drop(self._server, kept.url)

    def close(self) -> None:
        """Drop what was made."""
        while self._free:
            drop(self._server, self._free.pop().url)

    def _make(self, label: str) -> Kept:
        url = create(self._server, label)
        with closing(Database(url)) as database:
            migrate(database)
        set_forgetful(url, forgetful=True)
        with psycopg.connect(url, autocommit=True) as connection:
            tables = tuple(row[0] for row in connection.execute(_TABLES))
            return Kept(url, tables, shape_of(connection))


@cache
def sqlite_template() -> Path:
    """A SQLite file with every table and no row, gone with the process; to copy, since to migrate each takes long."""
    path = Path(_FOLDER.name) / "accordant.sqlite"
    with closing(Database(f"sqlite:///{path}")) as database:
        migrate(database)
    return path


def open_store(url: str) -> Database:
    """The store that is there, or one with every table and no row."""
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        shutil.copy(sqlite_template(), path)
    if url.startswith("sqlite:///"):
        return Database(url)
    database = Database(url)
    migrate(database)
    return database


def set_forgetful(url: str, *, forgetful: bool) -> None:
    """Whether sessions that begin from now on wait for the disk: what a power cut takes from a test is of no use."""
    order = "SET synchronous_commit = off" if forgetful else "RESET synchronous_commit"
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} {}").format(name, sql.SQL(order)))


def is_emptied(kept: Kept) -> bool:
    """Send everybody away and remove every row; False where the tables are no longer what they were."""
    try:
        with psycopg.connect(kept.url, autocommit=True) as connection:
            connection.execute(_GUESTS, (GUESTS_LEAVE_WITHIN_MS,))
            if shape_of(connection) != kept.shape:
                return False
            for table in _delete_rows(connection, kept.tables):
                connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(table)))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return False
    return True


def _delete_rows(connection: psycopg.Connection, tables: tuple[str, ...]) -> list[str]:
    """The tables that had many."""
    gone = [sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in tables]
    # The triggers that keep the past unchanged hold for the product; the next test has another past.
    steps = [sql.SQL("SET LOCAL session_replication_role = replica"), *gone, sql.SQL(_START_AGAIN)]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(sql.SQL("; ").join(steps))
        counts = [cursor.rowcount]
        while cursor.nextset():
            counts.append(cursor.rowcount)
    return [table for table, count in zip(tables, counts[1:], strict=False) if count >= VACUUM_FROM_ROWS]


def shape_of(connection: psycopg.Connection) -> str:
    """What the tables, their triggers and their version are, as a digest."""
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])


def create(server: str, label: str) -> str:
    """The address of a new, empty database on ``server``; ``label`` is in its name."""
    slug = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[-20:]
    name = f"accordant_{slug}_{uuid.uuid4().hex[:12]}"
    # template0: nobody can be connected to it, so parallel workers do not wait for each other.
    _administer(server, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def drop(server: str, url: str) -> None:
    """Remove the database, even when somebody is still connected."""
    name = sql.Identifier(urlsplit(url).path.removeprefix("/"))
    _administer(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def _administer(server: str, statement: sql.Composed) -> None:
    for attempt in range(1, CREATE_ATTEMPTS_MAX + 1):
        try:
            with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
                connection.execute(statement)
        except psycopg.errors.ObjectInUse:  # another worker is copying the same template at this moment
            if attempt == CREATE_ATTEMPTS_MAX:
                raise
            time.sleep(0.1 * attempt)
        else:
            return
