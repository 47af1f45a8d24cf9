"""Keeps a lease while something is done under it: renewed three times as often as it would run out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from accordant.kernel.errors import TransientError


@asynccontextmanager
async def renewed(renew: Callable[[], object], *, ttl: timedelta) -> AsyncIterator[None]:
    """Call ``renew`` in a thread, every third of ``ttl``, until the block ends.

    A TransientError of it is passed over: the next one comes before the lease ends.
    """

    async def go_on() -> None:
        while True:
            await asyncio.sleep(ttl.total_seconds() / 3)
            with suppress(TransientError):
                await asyncio.to_thread(renew)

    renewing = asyncio.create_task(go_on())
    try:
        yield
    finally:
        renewing.cancel()
