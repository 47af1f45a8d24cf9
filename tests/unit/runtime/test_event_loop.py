"""How a server process runs: cycles are looked for rarely while it does, and as before once it has ended."""

import gc

import pytest

from accordant.runtime.event_loop import run


async def _thresholds() -> tuple[int, int, int]:
    return gc.get_threshold()


async def _fails() -> None:
    raise ValueError("planted")


def test_a_server_collects_rarely_and_leaves_the_process_as_it_was() -> None:
    before = gc.get_threshold()
    young, middle, _ = run(_thresholds())
    assert young >= 10 * before[0]
    assert middle >= before[1]
    assert gc.get_threshold() == before


def test_a_server_that_fails_leaves_the_process_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="planted"):
        run(_fails())
    assert gc.get_threshold() == before
