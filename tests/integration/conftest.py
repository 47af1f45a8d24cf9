"""A store with every table, on SQLite and on PostgreSQL, new for each test."""

from collections.abc import Iterator

import pytest

from accordant.store.engine import Database
from accordant.store.migrate import migrate


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A migrated, empty store."""
    opened = Database(store_url)
    migrate(opened)
    yield opened
    opened.close()
