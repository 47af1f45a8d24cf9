"""Reads the files that a bank left in a folder: those that came since, and the one that holds a statement.
Guarantees that a file is never changed, and that one which came late is fetched although it is dated earlier.
Next: inbound.py, which says what they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from accordant.canonical.refs import ExternalRef
from accordant.connectors.camt053.inbound import BOOKED, STATEMENT
from accordant.connectors.camt053.statements import StatementUnreadable, read_statements
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import Page, TargetUnavailable

#: Files that are given at once.
PAGE = 50
FILE_BYTES_MAX = 32 * 1024 * 1024


class FolderReader:
    """Implements ``ports.connector.Reader`` and ``EventLister`` for a folder of statements."""

    def __init__(self, folder: Path, *, system: str, clock: Clock) -> None:
        self._folder = folder
        self._system = system
        self._clock = clock

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """See the port: the file that holds the statement. Raises RejectedError for an object that is not read."""
        asked_at = self._clock()
        if ref.object_type != STATEMENT:
            raise RejectedError(f"Of a bank only its statements are read, not {ref}.")
        return await asyncio.to_thread(self._holding, ref.id), asked_at

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port: each statement with the file that holds it, the file that came last first."""
        if object_type != STATEMENT:
            return
        asked_at = self._clock()
        for path in reversed(await asyncio.to_thread(self._came, created_since, None)):
            body = await asyncio.to_thread(_bytes_of, path)
            try:
                names = [one.external_id for one in read_statements(body)]
            except StatementUnreadable:
                continue  # the sweep takes it in, and there a person is told
            yield Page(
                objects=tuple((ExternalRef(self._system, STATEMENT, name), body) for name in names), read_at=asked_at
            )

    async def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """See the port. A file is of the moment it came into the folder, not of the day the bank wrote into it."""
        if undelivered or event_type not in {None, BOOKED}:
            return
        paths = await asyncio.to_thread(self._came, since, until)
        paths.reverse()
        for start in range(0, len(paths), PAGE):
            part = paths[start : start + PAGE]
            yield await asyncio.to_thread(_all_bytes, part)

    async def close(self) -> None:
        """Nothing is held open."""

    def _came(self, since: datetime | None, until: datetime | None) -> list[Path]:
        """Files by when they came, the first first. What leads out of the folder is not followed."""
        found: list[tuple[datetime, Path]] = []
        try:
            for path in self._folder.iterdir():
                if path.suffix.lower() == ".xml" and path.is_file() and not path.is_symlink():
                    # A copy may keep the time of its original; when it was put here, only the change of state says.
                    told = path.stat()
                    found.append((datetime.fromtimestamp(max(told.st_mtime, told.st_ctime), UTC), path))
        except OSError as error:
            raise TargetUnavailable(f"The folder of the bank's statements cannot be read: {error.strerror}.") from error
        inside = ((at, path) for at, path in found if (since is None or at >= since) and (until is None or at < until))
        return [path for _, path in sorted(inside)]

    def _holding(self, name: str) -> bytes:
        """The file that holds a statement, the latest if there are two; empty where none does."""
        for path in reversed(self._came(None, None)):
            body = _bytes_of(path)
            try:
                if any(one.external_id == name for one in read_statements(body)):
                    return body
            except StatementUnreadable:
                continue
        return b""


def _all_bytes(paths: Sequence[Path]) -> tuple[bytes, ...]:
    return tuple(_bytes_of(path) for path in paths)


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise RejectedError(
                f"The statement {path.name} has {size:,} bytes.",
                remedy=f"Take it out of the folder and ask the bank for daily statements; {FILE_BYTES_MAX:,} are read.",
            )
        return path.read_bytes()
    except OSError as error:
        raise TargetUnavailable(f"The statement {path.name} cannot be read: {error.strerror}.") from error
