"""A store with every table, on SQLite and on PostgreSQL, new for each test."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from accordant.store.engine import Database


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A migrated, empty store."""
    with closing(Database(store_url)) as opened:
        yield opened
