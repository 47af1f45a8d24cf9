"""A stand-in of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.connectors.quickbooks.kit import Books, some_books


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Books]:
    async with some_books(tmp_path) as made:
        yield made
