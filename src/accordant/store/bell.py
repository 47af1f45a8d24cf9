"""A bell between the processes of one store: who stored work rings, who sleeps hears it and looks.

A ring may be lost and says nothing but "look": every loop also looks by itself now and then. PostgreSQL carries the
ring (LISTEN and NOTIFY); SQLite counts the commits of others, which costs next to nothing to ask.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Protocol

import psycopg
from sqlalchemy import PoolProxiedConnection, make_url
from sqlalchemy.exc import SQLAlchemyError

from accordant.store.engine import Database, StoreUnavailable

_CHANNEL = "accordant_bell"
_RING = f"NOTIFY {_CHANNEL}"
#: A crowd of rings is one: nobody need look more often than this.
_REST_S = 0.01
#: How often the commits of others are counted on SQLite.
_COUNT_S = 0.02

_Line = psycopg.Connection[tuple[object, ...]]


class Bell(Protocol):
    """Obligations: a ring is heard by every other process that waits, unless the store goes away meanwhile."""

    def ring(self) -> None:
        """Tell the others that there may be work. Raises StoreUnavailable."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Whether somebody rang within ``timeout_s``; asked by one thread. Raises StoreUnavailable."""
        ...

    def close(self) -> None:
        """Let go of the store; nobody may wait any more."""
        ...


def bell_of(database: Database) -> Bell:
    """The bell of a store."""
    return _CommitBell(database) if database.is_sqlite else _NotifyBell(database)


class _CommitBell:
    """Every commit of another connection rings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = threading.Event()
        # The count of commits belongs to one connection, so that one is kept.
        self._ear: PoolProxiedConnection | None = None
        self._seen = 0

    def ring(self) -> None:
        """The commit itself was the ring."""

    def wait(self, timeout_s: float) -> bool:
        return _translated(lambda: self._count(timeout_s))

    def _count(self, timeout_s: float) -> bool:
        if self._ear is None:
            self._ear = self._database.engine.raw_connection()
        cursor = self._ear.cursor()
        deadline = time.monotonic() + timeout_s
        while not self._closed.is_set():
            cursor.execute("PRAGMA data_version")
            row = cursor.fetchone()
            seen, self._seen = self._seen, int(row[0]) if row else 0
            if self._seen != seen:
                return True
            if time.monotonic() >= deadline:
                break
            self._closed.wait(_COUNT_S)
        return False

    def close(self) -> None:
        self._closed.set()
        if self._ear is not None:
            self._ear.close()


class _NotifyBell:
    """NOTIFY on one channel, outside the transactions that store the work: inside, it would make them wait in line."""

    def __init__(self, database: Database) -> None:
        self._url = make_url(database.engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._closed = threading.Event()
        self._ear: _Line | None = None
        #: Who rings and who listens are two threads, so they have a connection each.
        self._hand: _Line | None = None

    def ring(self) -> None:
        try:
            if self._hand is None:
                # A ring that a power cut takes back is one that nobody is left to hear: it need not wait for the disk.
                self._hand = self._connect("-c synchronous_commit=off")
            self._hand.execute(_RING)
        except psycopg.Error as error:
            hand, self._hand = self._hand, None
            if hand is not None:
                hand.close()
            raise _away(error) from error
        self._closed.wait(_REST_S)

    def _connect(self, options: str = "") -> _Line:
        return psycopg.connect(self._url, autocommit=True, application_name="accordant bell", options=options)

    def wait(self, timeout_s: float) -> bool:
        return _translated(lambda: self._listen(timeout_s))

    def _listen(self, timeout_s: float) -> bool:
        fresh = self._ear is None
        try:
            if self._ear is None:
                self._ear = self._connect()
                self._ear.execute(f"LISTEN {_CHANNEL}")
            heard = any(True for _ in self._ear.notifies(timeout=timeout_s, stop_after=1))
        except psycopg.Error:
            self._hang_up()
            raise
        # What was rung before we listened is not heard: look once.
        return heard or fresh

    def _hang_up(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()

    def close(self) -> None:
        self._closed.set()
        self._hang_up()
        if self._hand is not None:
            self._hand.close()


def _translated(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (psycopg.Error, sqlite3.Error, SQLAlchemyError) as error:
        raise _away(error) from error


def _away(error: Exception) -> StoreUnavailable:
    reason = str(error).strip().splitlines()
    return StoreUnavailable(f"The store went away: {reason[0] if reason else 'no reason given'}")
