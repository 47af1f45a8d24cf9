"""Restores as they are kept, the mark that every dispatch leaves in the store, and the note of it outside of the store.

The note is what a backup does not bring back: a store whose mark is behind it was put back. Next: `outbox.py`, which
counts the mark on, `operations/epoch_watch.py`, which compares.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from fcntl import LOCK_EX, flock
from pathlib import Path

import msgspec
from sqlalchemy import Connection, bindparam, select, text, update

from accordant.canonical.intents import WriteIntent
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.errors import ConfigurationError, TransientError
from accordant.ports.audit import AuditEntry
from accordant.ports.epochs import NEVER_RESTORED, Epoch, Mark, Note
from accordant.store import audit
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import hub_fact, restore_epoch, write_intent

_MARK = "dispatch mark"
_MARK_ON = text(
    "INSERT INTO hub_fact (name, value, updated_at) VALUES (:name, '1', :at) ON CONFLICT (name) DO UPDATE SET "
    "value = CAST(CAST(hub_fact.value AS BIGINT) + 1 AS TEXT), updated_at = excluded.updated_at"
)
_READ_MARK = select(hub_fact.c.value, hub_fact.c.updated_at).where(hub_fact.c.name == _MARK)
_NEWEST = select(restore_epoch).order_by(restore_epoch.c.id.desc()).limit(1)
_RECONCILED = (
    update(restore_epoch)
    .where(restore_epoch.c.id == bindparam("epoch"), restore_epoch.c.reconciled_at.is_(None))
    .values(reconciled_at=bindparam("at"), body=bindparam("counts"))
)
_INTENTS = msgspec.json.Decoder(WriteIntent)
_ENCODER = msgspec.json.Encoder(order="sorted")


def mark_on(connection: Connection, at: int) -> None:
    """Something is taken up for dispatch: the mark grows, in the same transaction."""
    connection.execute(_MARK_ON, {"name": _MARK, "at": at})


class SqlEpochBook:
    """`ports.epochs.EpochBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> tuple[Epoch, Mark]:
        """See the port."""
        with self._database.read() as connection:
            mark = connection.execute(_READ_MARK).one_or_none()
            epoch = _newest(connection)
        return epoch, Mark(0, 0) if mark is None else Mark(int(mark.value), mark.updated_at)

    def begin(self, *, declared_by: str, reason: str, entry: AuditEntry, said_to: datetime | None = None) -> Epoch:
        """See the port."""
        with self._database.write() as connection:
            newest = _newest(connection)
            if newest.is_open:
                return newest
            connection.execute(
                restore_epoch.insert().values(
                    declared_by=declared_by,
                    reason=reason,
                    noticed_at=to_micros(entry.at),
                    said_to=None if said_to is None else to_micros(said_to),
                )
            )
            with bookkeeping(connection):
                mark_on(connection, to_micros(entry.at))
            raise_alert(connection, kind="store.restored", subject="store", body=reason, at=entry.at)
            audit.append(connection, [entry], now=entry.at)
            return _newest(connection)

    def open_intents(self) -> tuple[WriteIntent, ...]:
        """See the port."""
        query = select(write_intent.c.body).where(
            text("write_intent.state IN ('pending', 'leased', 'uncertain')"), write_intent.c.shadow.is_(False)
        )
        with self._database.read() as connection:
            return tuple(_INTENTS.decode(body) for body in connection.execute(query).scalars())

    def reconcile(self, epoch: Epoch, counts: Mapping[str, int], *, entry: AuditEntry) -> Epoch:
        """See the port. Of several processes that compared, one tells."""
        values = {"epoch": epoch.number, "at": to_micros(entry.at), "counts": _ENCODER.encode(dict(counts))}
        with self._database.write() as connection:
            if connection.execute(_RECONCILED, values).rowcount:
                audit.append(connection, [entry], now=entry.at)
            return _newest(connection)


def _newest(connection: Connection) -> Epoch:
    row = connection.execute(_NEWEST).one_or_none()
    if row is None:
        return NEVER_RESTORED
    return Epoch(
        number=row.id,
        noticed_at=from_micros(row.noticed_at),
        reconciled_at=_moment(row.reconciled_at),
        said_to=_moment(row.said_to),
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


class MarkUnreachable(TransientError):
    """The note outside of the store cannot be read or written now; nothing is dispatched until it can."""


class FileMarker:
    """`ports.epochs.Marker` in a file of the installation's home, written beside it and moved into its place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See the port: a lock on a file beside the note, which the system takes back from a process that dies."""
        path = self._path.with_suffix(".lock")
        try:
            file = path.open("ab")
        except OSError as error:
            raise MarkUnreachable(f"{path} cannot be opened now: {error.strerror}.", retry_after_s=1.0) from error
        with file:
            flock(file, LOCK_EX)
            yield

    def read(self) -> Note | None:
        """See the port. Raises MarkUnreachable while the disk does not give it, ConfigurationError for another file."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Note)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MarkUnreachable(f"{self._path} cannot be read now: {error.strerror}.", retry_after_s=1.0) from error
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{self._path} cannot be read: {error}.",
                remedy="It tells whether the store was restored. Remove it, and run `accordant restored` if it was.",
            ) from error

    def write(self, note: Note) -> None:
        """See the port. Raises MarkUnreachable while the disk does not take it: nothing may go out without it."""
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise MarkUnreachable(
                f"{self._path} cannot be written now: {error.strerror}.", retry_after_s=1.0
            ) from error
