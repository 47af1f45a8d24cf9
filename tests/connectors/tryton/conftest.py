"""The Tryton of a module's tests: skipped with its reason where there is none, a failure in CI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from accordant.connectors.tryton.rpc import Rpc
from tests.conftest import missing
from tests.connectors.tryton.server import Tryton, a_tryton, absent


@pytest.fixture(scope="module")
def tryton(postgres_server: str) -> Iterator[Tryton]:
    """A running Tryton with a company; its tests share it, each with customers of its own."""
    if (why := absent()) is not None:
        missing("Tryton", why)
    with a_tryton(postgres_server) as running:
        yield running


@pytest.fixture
async def rpc(tryton: Tryton) -> AsyncIterator[Rpc]:
    """A client of ours, for looking into Tryton as an accountant would."""
    client = tryton.rpc()
    yield client
    await client.close()
