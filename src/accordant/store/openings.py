"""Releases on SQL: insert-only, each of one content of one record."""

from collections.abc import Iterable

from sqlalchemy import Connection

from accordant.canonical.openings import Release
from accordant.kernel.clock import to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.owed import owe
from accordant.store.schema_openings import opening_release

_COLUMNS = ("record", "content", "actor", "reason", "released_at")


class SqlOpeningBook:
    """`ports.openings.OpeningBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, release: Release, *, root_id: str, entry: AuditEntry) -> None:
        """See the port."""
        row = (release.record, release.content, release.actor, release.reason, to_micros(release.released_at))
        with self._database.write() as connection:
            bulk.insert(connection, opening_release, _COLUMNS, [row])
            owe(connection, [root_id], now=release.released_at)
            audit.append(connection, [entry], now=release.released_at)


def read_releases(connection: Connection, records: Iterable[str]) -> dict[str, frozenset[str]]:
    """The contents that persons let be opened, by record."""
    found: dict[str, set[str]] = {}
    for record, content in bulk.select_by_keys(connection, opening_release, ("record", "content"), "record", records):
        found.setdefault(record, set()).add(content)
    return {record: frozenset(contents) for record, contents in found.items()}
