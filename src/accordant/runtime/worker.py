"""Loops that run a step again and again: at once while there is work, after a pause or a wake-up when there is none.

The only place that catches what nobody expected: it is logged with its trace for us, counted, and the loop goes on
after a growing pause. A step that needs isolation inside (a batch, a lane) uses `shielded`.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
import structlog

from accordant.kernel.errors import AccordantError, TransientError

Result = TypeVar("Result")

_PAUSE_AFTER_ERROR_S = 0.2
_PAUSE_MAX_S = 10.0

_log = structlog.get_logger("runtime")


def shielded(step: Callable[[], Result]) -> Result | str:
    """Run ``step``; what went wrong in words, when it failed for a reason that another try would not cure."""
    try:
        return step()
    except TransientError:
        raise
    except AccordantError as error:
        return str(error)
    except Exception as error:
        _log.exception("a step failed")
        return f"{type(error).__name__}: {error}"


class Failed(msgspec.Struct, frozen=True):
    """A step that did not come to its end, and why, in words."""

    reason: str


async def guarded(step: Callable[[], Awaitable[Result]]) -> Result | Failed:
    """Run ``step`` as a job of its own: whatever goes wrong is answered, so that it can be remembered and told."""
    try:
        return await step()
    except AccordantError as error:
        return Failed(str(error))
    except Exception as error:
        _log.exception("a job failed")
        return Failed(f"{type(error).__name__}: {error}")


class Loop:
    """Runs ``step`` in a thread of its own. ``step`` returns whether it found work."""

    def __init__(self, name: str, step: Callable[[], bool], *, idle_s: float) -> None:
        self.name = name
        #: How often the step failed in a row; 0 while it works.
        self.failures = 0
        self._step = step
        self._idle_s = idle_s
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work: look now."""
        if not self._wake.is_set():  # to set it takes a lock, and a crowd wakes the loop thousands of times a second
            self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Finish the running step, then end."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:  # a process with another role never started it
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                found = self._step()
                self.failures = 0
            except Exception as error:
                self.failures += 1
                _tell(self.name, self.failures, error)
                self._stop.wait(_pause(self.failures))
                continue
            if not found:
                self._wake.wait(self._idle_s)


class AsyncLoop:
    """Runs ``step`` as a task of the event loop. ``step`` returns whether it found work."""

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], *, idle_s: float) -> None:
        self.name = name
        self.failures = 0
        self._step = step
        self._idle_s = idle_s
        self._wake = asyncio.Event()
        self._halt = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start the task in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """There may be work: look now. Callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def stop(self, timeout_s: float) -> None:
        """Finish the running step, then end; cut it off after ``timeout_s``."""
        self._stopping = True
        self._halt.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                found = await self._step()
                self.failures = 0
            except Exception as error:
                self.failures += 1
                _tell(self.name, self.failures, error)
                await _nap(self._halt, _pause(self.failures))
                continue
            if not found:
                await _nap(self._wake, self._idle_s)


def _tell(name: str, failures: int, error: Exception) -> None:
    """What was expected is a line; what nobody expected comes with its trace."""
    if isinstance(error, TransientError):
        _log.warning("a round is tried again", loop=name, failures=failures, reason=error.message)
    else:
        _log.error("a round failed", loop=name, failures=failures, exc_info=error)


async def _nap(alarm: asyncio.Event, timeout_s: float) -> None:
    """Wait for the alarm, at most ``timeout_s``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await alarm.wait()


def _pause(failures: int) -> float:
    return min(_PAUSE_MAX_S, _PAUSE_AFTER_ERROR_S * 2.0 ** min(failures - 1, 10))
