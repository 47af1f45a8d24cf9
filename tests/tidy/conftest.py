"""Lets the parsed tree go when a file of tidy tests is done: whoever runs next in this process need not carry it."""

from collections.abc import Iterator

import pytest

from tests.tidy.source import modules_of


@pytest.fixture(scope="module", autouse=True)
def _tree_is_let_go() -> Iterator[None]:
    yield
    modules_of.cache_clear()
