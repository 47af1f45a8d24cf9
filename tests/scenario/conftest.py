"""Stores of whole servers: a server refuses a PostgreSQL that does not wait for the disk, as those of other tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Pool, sqlite_template


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a store with every table and no row, once as SQLite and once as PostgreSQL, whose commits last."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(sqlite_template(), tmp_path / 'accordant.sqlite')}"
        return
    pool: Pool = request.getfixturevalue("postgres_pool")
    with pool.lend(request.node.name, durable=True) as url:
        yield url
