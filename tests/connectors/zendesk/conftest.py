"""A stand-in of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.connectors.zendesk.kit import Desk, a_desk


@pytest.fixture
async def one() -> AsyncIterator[Desk]:
    async with a_desk() as made:
        yield made
