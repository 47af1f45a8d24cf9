"""Loops: they run while there is work, wake when called, survive a failing step, and stop when told."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from accordant.kernel.errors import RejectedError, TransientError
from accordant.runtime.worker import AsyncLoop, Loop, shielded

_WAIT_S = 20.0
_LONG_S = 3600.0


@pytest.fixture(autouse=True)
def logs() -> Iterator[Sequence[Mapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


class Step:
    """A step that finds work as often as it is told to, and fails as often as it is told to."""

    def __init__(self, *, found: int = 0, fails: int = 0) -> None:
        self.found, self.fails, self.runs = found, fails, 0
        self.ran = threading.Semaphore(0)

    def __call__(self) -> bool:
        self.runs += 1
        try:
            if self.fails > 0:
                self.fails -= 1
                raise ValueError("a defect")
            self.found -= 1
            return self.found >= 0
        finally:
            self.ran.release()

    async def run(self) -> bool:
        return self()

    def wait(self, runs: int = 1) -> None:
        for _ in range(runs):
            assert self.ran.acquire(timeout=_WAIT_S)

    async def wait_async(self, runs: int = 1) -> None:
        await asyncio.to_thread(self.wait, runs)


# -- a loop in a thread ----------------------------------------------------------------------------------------------


def test_it_goes_on_without_a_pause_while_there_is_work() -> None:
    step = Step(found=50)
    loop = Loop("rooms", step, idle_s=_LONG_S)
    loop.start()
    step.wait(51)
    assert not step.ran.acquire(timeout=0.05)
    loop.stop(_WAIT_S)
    assert step.runs == 51


def test_a_wake_up_ends_the_pause() -> None:
    step = Step()
    loop = Loop("rooms", step, idle_s=_LONG_S)
    loop.start()
    for _ in range(3):
        step.wait()
        loop.wake()
    step.wait()
    loop.stop(_WAIT_S)
    assert step.runs == 4


def test_it_looks_again_by_itself() -> None:
    step = Step()
    loop = Loop("rooms", step, idle_s=0.001)
    loop.start()
    step.wait(5)
    loop.stop(_WAIT_S)


def test_it_survives_a_failing_step(logs: Sequence[Mapping[str, Any]]) -> None:
    step = Step(fails=2)
    loop = Loop("rooms", step, idle_s=_LONG_S)
    started = monotonic()
    loop.start()
    step.wait(3)
    # Two failures: a pause of 0.2 s, then one of 0.4 s.
    assert monotonic() - started >= 0.59
    loop.stop(_WAIT_S)
    assert loop.failures == 0
    assert [(entry["event"], entry["loop"], entry["failures"]) for entry in logs] == [
        ("a round failed", "rooms", 1),
        ("a round failed", "rooms", 2),
    ]


def test_stopping_does_not_wait_for_the_pause_after_a_failure() -> None:
    step = Step(fails=100)
    loop = Loop("rooms", step, idle_s=_LONG_S)
    loop.start()
    step.wait(4)  # the pause is 1.6 s by now
    started = monotonic()
    loop.stop(_WAIT_S)
    assert monotonic() - started < 1.0
    assert not loop._thread.is_alive()
    assert loop.failures == 4


def test_stopping_waits_for_the_running_step() -> None:
    entered, release, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> bool:
        entered.set()
        assert release.wait(_WAIT_S)
        done.set()
        return True

    loop = Loop("rooms", slow, idle_s=_LONG_S)
    loop.start()
    assert entered.wait(_WAIT_S)
    threading.Timer(0.1, release.set).start()
    loop.stop(_WAIT_S)
    assert done.is_set()
    assert not loop._thread.is_alive()


# -- a loop in the event loop ----------------------------------------------------------------------------------------


async def test_the_async_loop_goes_on_while_there_is_work() -> None:
    step = Step(found=50)
    loop = AsyncLoop("courier", step.run, idle_s=_LONG_S)
    loop.start()
    await step.wait_async(51)
    await loop.stop(_WAIT_S)
    assert step.runs == 51


async def test_a_wake_up_from_another_thread_ends_its_pause() -> None:
    step = Step()
    loop = AsyncLoop("courier", step.run, idle_s=_LONG_S)
    loop.start()
    await step.wait_async()
    await asyncio.to_thread(loop.wake)
    await step.wait_async()
    await loop.stop(_WAIT_S)
    assert step.runs == 2


async def test_a_wake_up_before_the_start_is_harmless() -> None:
    loop = AsyncLoop("courier", Step().run, idle_s=_LONG_S)
    loop.wake()
    await loop.stop(_WAIT_S)


async def test_the_async_loop_looks_again_by_itself() -> None:
    step = Step()
    loop = AsyncLoop("courier", step.run, idle_s=0.001)
    loop.start()
    await step.wait_async(5)
    await loop.stop(_WAIT_S)


async def test_the_async_loop_survives_a_failing_step(logs: Sequence[Mapping[str, Any]]) -> None:
    step = Step(fails=1)
    loop = AsyncLoop("courier", step.run, idle_s=_LONG_S)
    started = monotonic()
    loop.start()
    await step.wait_async(2)
    assert monotonic() - started >= 0.19
    await loop.stop(_WAIT_S)
    assert loop.failures == 0
    assert [(entry["loop"], entry["failures"]) for entry in logs] == [("courier", 1)]


async def test_stopping_the_async_loop_does_not_wait_for_the_pause_after_a_failure() -> None:
    step = Step(fails=100)
    loop = AsyncLoop("courier", step.run, idle_s=_LONG_S)
    loop.start()
    await step.wait_async(4)
    started = monotonic()
    await loop.stop(_WAIT_S)
    assert monotonic() - started < 1.0
    assert loop._task is not None
    assert loop._task.done()
    assert loop.failures == 4


async def test_a_step_that_does_not_end_is_cut_off() -> None:
    entered, cut = asyncio.Event(), asyncio.Event()

    async def stuck() -> bool:
        entered.set()
        try:
            await asyncio.sleep(_LONG_S)
        except asyncio.CancelledError:
            cut.set()
            raise
        return True

    loop = AsyncLoop("courier", stuck, idle_s=_LONG_S)
    loop.start()
    await entered.wait()
    await loop.stop(0.05)
    await asyncio.wait_for(cut.wait(), _WAIT_S)


# -- the shield ------------------------------------------------------------------------------------------------------


def test_the_shield_lets_results_and_passing_troubles_through() -> None:
    def away() -> int:
        raise TransientError("The store is away.")

    assert shielded(lambda: 7) == 7
    with pytest.raises(TransientError):
        shielded(away)


def test_the_shield_turns_a_defect_into_words(logs: Sequence[Mapping[str, Any]]) -> None:
    def refused() -> int:
        raise RejectedError("The amount is missing.")

    def broken() -> int:
        return 1 // 0

    assert shielded(refused) == "The amount is missing. " + RejectedError.remedy
    assert not logs
    assert str(shielded(broken)).startswith("ZeroDivisionError: ")
    assert [entry["event"] for entry in logs] == ["a step failed"]
