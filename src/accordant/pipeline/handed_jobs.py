"""A job handed to a target outlives whoever waits for it: it is noted before it can begin, and ended if he is gone.

True when you leave `end_those_left`: no job of a courier that is gone writes behind the back of what is decided now.
Next: `deliver.py`, which hands jobs over.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.pipeline.hold import LEASE
from accordant.ports.connector import BulkOutbound, NoteJob
from accordant.ports.handed_jobs import HandedJobs

#: Nobody waits for a job of which nothing was heard for so long. Shorter than the leases of what it writes: whoever
#: takes these over finds the job among those that are left.
WAITS = LEASE / 2
#: How often who waits for a job says so.
BEAT = WAITS / 4

_log = structlog.get_logger("courier")


class JobKeeper:
    """Notes the jobs of one process and ends those of others. ``clock`` is the clock of leases."""

    def __init__(self, book: HandedJobs, clock: Clock, *, beat: timedelta = BEAT) -> None:
        self._book = book
        self._clock = clock
        self._beat = beat.total_seconds()

    @asynccontextmanager
    async def waiting(self, target: str) -> AsyncIterator[NoteJob]:
        """While this lasts somebody waits for the jobs that are noted. They are over only if it ends well."""
        jobs: list[str] = []
        is_over = asyncio.Event()

        async def note(job: str) -> None:
            await asyncio.to_thread(self._note, target, job)
            jobs.append(job)

        async def go_on() -> None:
            while not is_over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._beat):
                        await is_over.wait()
                        return
                for job in jobs:
                    with suppress(TransientError):  # the next one comes before it runs out
                        await asyncio.to_thread(self._note, target, job)

        renewing = asyncio.create_task(go_on())
        try:
            yield note
        finally:
            # Not cancelled: a note that is under way in its thread would go on, and bring back what is over.
            is_over.set()
            await renewing
        for job in jobs:
            await asyncio.to_thread(self._book.over, target, job)

    async def end_those_left(self, target: str, outbound: BulkOutbound) -> None:
        """End what nobody waits for any more. Raises as a call to the target: then nothing else may be written."""
        for job in await asyncio.to_thread(self._left, target):
            _log.warning("a job that nobody waits for is ended", target=target, job=job)
            await outbound.end_job(job)
            await asyncio.to_thread(self._book.over, target, job)

    def _left(self, target: str) -> tuple[str, ...]:
        return self._book.left(target, at=self._clock())

    def _note(self, target: str, job: str) -> None:
        self._book.note(target, job, until=self._clock() + WAITS)
