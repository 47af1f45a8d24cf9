"""The hold of a courier on what it writes: short leases, renewed before any write that could outlast them.

A lease that ran out under a write would let another courier make the same write: a refused settlement comes too late
for that. So no write begins with less of its lease left than it may take. Next: `pipeline/deliver.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.ports.outbox import LeasedIntent, Outbox, Verdict

#: What a courier that died had in hand is free for the next one after this.
LEASE = timedelta(seconds=26)
#: A write is given up as unanswered after this; no lease may end before it.
WRITE_MAX = timedelta(seconds=20)

_log = structlog.get_logger("courier")


class Hold:
    """The leases of one round. ``clock`` is the clock of leases; ``since`` its reading before they were taken."""

    def __init__(self, outbox: Outbox, leased: Sequence[LeasedIntent], *, since: datetime, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._since = since
        self._ours = {one.intent.id: one for one in leased}

    async def still_ours(self, batch: Sequence[LeasedIntent]) -> frozenset[str]:
        """The ids of those that stay ours for as long as a write may take; the others somebody else writes.

        Raises TransientError when the store cannot say.
        """
        if not timedelta() <= self._clock() - self._since <= LEASE - WRITE_MAX:
            await self.renew()
        return frozenset(one.intent.id for one in batch) & self._ours.keys()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Prolong what is ours again and again, while one call lasts longer than a lease."""

        async def go_on() -> None:
            while True:
                await asyncio.sleep((LEASE - WRITE_MAX).total_seconds())
                with suppress(TransientError):  # the next one comes before the lease ends
                    await self.renew()

        renewing = asyncio.create_task(go_on())
        try:
            yield
        finally:
            renewing.cancel()

    async def renew(self) -> None:
        """Prolong all that are still ours, and forget the others. Raises TransientError when the store cannot."""
        began = self._clock()
        kept = await asyncio.to_thread(self._outbox.renew, tuple(self._ours.values()), lease_until=began + LEASE)
        if lost := len(self._ours) - len(kept):
            _log.warning("writes were taken over by another courier", count=lost)
        self._ours = {name: one for name, one in self._ours.items() if name in kept}
        self._since = began

    def ours_of(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts on what was ours at the last look."""
        return [one for one in verdicts if one.leased.intent.id in self._ours]
