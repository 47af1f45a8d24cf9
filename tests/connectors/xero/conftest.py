"""A stand-in of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.connectors.xero.kit import Books, some_books


@pytest.fixture
async def one() -> AsyncIterator[Books]:
    async with some_books() as made:
        yield made
