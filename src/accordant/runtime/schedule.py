"""Jobs that run by the clock: each once a tick, in one process, whoever of them comes first.

A job is known by its name and holds a lease of that name while it runs. Ticks that passed while nobody was there are
made up for once. A job that failed is tried again after a pause, until its tick is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

import msgspec

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.kernel.ticks import last_tick
from accordant.ports.jobs import JobBook
from accordant.runtime.renewal import renewed
from accordant.runtime.worker import Failed, guarded

#: A lease that nobody renews is free after this; a running job renews it three times as often.
LEASE = timedelta(minutes=3)
#: A job that failed is left alone for this long.
RETRY_PAUSE = timedelta(minutes=10)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do by the clock. ``run`` answers with a sentence about what it came to."""

    name: str
    schedule: str
    run: Callable[[], Awaitable[str]]


class JobLeases(Protocol):
    """Who may run a job."""

    def acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int:
        """Take the lease, or renew it. Raises TransientError while another process has it."""
        ...

    def release(self, name: str, *, token: int) -> None:
        """Give it back."""
        ...


async def run_due(jobs: Sequence[Job], *, book: JobBook, leases: JobLeases, zone: tzinfo, clock: Clock) -> int:
    """Run every job whose tick has come, one after another; how many ran."""
    ran = 0
    for job in jobs:
        if await asyncio.to_thread(_due_tick, job, book, zone, clock()) is None:
            continue
        name = f"job/{job.name}"
        try:
            token = await asyncio.to_thread(leases.acquire, name, ttl=LEASE, now=clock())
        except TransientError:
            continue  # another process is at it
        try:
            # Whoever had the lease before us may have done it.
            tick = await asyncio.to_thread(_due_tick, job, book, zone, clock())
            if tick is not None:
                await _run(job, tick, book=book, leases=leases, clock=clock)
                ran += 1
        finally:
            await asyncio.to_thread(leases.release, name, token=token)
    return ran


def _due_tick(job: Job, book: JobBook, zone: tzinfo, now: datetime) -> datetime | None:
    """The tick the job has to run for now, or None."""
    state = book.state(job.name)
    if state is None:
        book.enter(job.name, now=now)
        return None
    tick = last_tick(job.schedule, at=now, zone=zone)
    if tick <= state.ticked_at:
        return None
    failed_at = state.finished_at if state.outcome == "failed" else None
    return None if failed_at is not None and now - failed_at < RETRY_PAUSE else tick


async def _run(job: Job, tick: datetime, *, book: JobBook, leases: JobLeases, clock: Clock) -> None:
    before = await asyncio.to_thread(book.state, job.name)
    assert before is not None  # noqa: S101  it was due, so it is known
    started = msgspec.structs.replace(before, started_at=clock(), finished_at=None, outcome=None, told=None)
    await asyncio.to_thread(book.keep, started)
    async with renewed(lambda: leases.acquire(f"job/{job.name}", ttl=LEASE, now=clock()), ttl=LEASE):
        answer = await guarded(job.run)
    failed = isinstance(answer, Failed)
    state = msgspec.structs.replace(
        started,
        ticked_at=before.ticked_at if failed else tick,
        finished_at=clock(),
        outcome="failed" if failed else "done",
        told=answer.reason if isinstance(answer, Failed) else answer,
    )
    await asyncio.to_thread(book.keep, state)
