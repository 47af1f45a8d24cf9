"""One round of rooms 7 and 8 for one target: lease, deliver, settle. One batch a round; lanes are independent.

A target that is not working at all is left alone for a growing while (a circuit breaker), and its intents lose no
attempt.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from accordant.canonical.charter import CourierPart, MappingPart
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, TransientError
from accordant.pipeline.contest import Umpire
from accordant.pipeline.deliver import Delivered, OpenGate, deliver
from accordant.pipeline.hold import LEASE, Hold
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.pipeline.settle import Pause, settle
from accordant.ports.conflicts import ConflictBook, Found
from accordant.ports.connector import Outbound, bulk_of
from accordant.ports.outbox import LeasedIntent, LeaseLost, Outbox, Verdict

#: Intents leased in one round.
ROUND_MAX = 1000


#: Called between taking something up and sending it, with the newest stamp of its causes.
KeepMark = Callable[[datetime | None], Awaitable[None]]


async def nothing_kept(_said_to: datetime | None) -> None:
    """There is no note outside of the store."""


class Breaker:
    """How long a target is left alone.

    Opens at the first call that fails as a whole, closes at the first that works.
    """

    def __init__(self, pause: Pause) -> None:
        self.failures = 0
        self.reason: str | None = None
        self._pause = pause
        self._closed: tuple[datetime, datetime] | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether the target is left alone now. Before it began to be, a clock was set back: that ends it."""
        return self._closed is not None and self._closed[0] <= now < self._closed[1]

    def learn(self, results: tuple[Delivered, ...], now: datetime) -> None:
        """Count an outage, or end one."""
        outages = [one for one in results if one.outage]
        if outages:
            self.failures += 1
            self.reason = outages[0].stopped
            asked = max((one.wait_s or 0.0 for one in outages), default=0.0)
            self._closed = now, now + self._pause(self.failures, asked or None)
        elif any(one.outcome is not None for one in results):
            self.failures, self.reason, self._closed = 0, None, None


async def courier(
    *,
    target: str,
    outbox: Outbox,
    outbound: Outbound,
    mappings: Mapping[str, MappingPart],
    umpires: Mapping[str, Umpire],
    conflicts: ConflictBook,
    recognizer: Recognizer,
    settings: CourierPart,
    resting_flows: Callable[[], frozenset[str]],
    open_gate: OpenGate,
    breaker: Breaker,
    pause: Pause,
    clock: Clock,
    lease_clock: Clock,
    requests: Requests,
    keep_mark: KeepMark = nothing_kept,
) -> int:
    """Deliver what is due; how many intents were leased. Raises TransientError when the store cannot go on.

    ``lease_clock`` is what leases run out by, which no step of ``clock`` moves; ``keep_mark`` notes outside of the
    store that something is about to go out, and the newest stamp of its causes.
    """
    now = clock()
    if breaker.is_open(now):
        return 0
    # One job takes more than a round of calls: where there is a backlog, it is taken up as far as a job goes.
    bulky = bulk_of(outbound)
    limit = ROUND_MAX if bulky is None else bulky.bulk.records_max
    claim = partial(_claim, outbox, target, limit, now=now, lease_clock=lease_clock, resting_flows=resting_flows)
    since, leased = await asyncio.to_thread(claim)
    if not leased:
        return 0
    await keep_mark(max((one.said_at for one in leased if one.said_at is not None), default=None))
    hold = Hold(outbox, leased, since=since, clock=lease_clock)

    async def keep(found: Sequence[Found]) -> None:
        if found:
            await asyncio.to_thread(conflicts.note, found)

    results = await _jobs_ended(target, outbound, requests, leased) or await deliver(
        leased,
        outbound=outbound,
        mappings=mappings,
        umpires=umpires,
        open_gate=open_gate,
        recognizer=recognizer,
        keep=keep,
        still_ours=hold.still_ours,
        kept=hold.kept,
        requests=requests,
        now=now,
    )
    settled_at = clock()
    breaker.learn(results, settled_at)
    verdicts = [settle(one, courier=settings, pause=pause, now=settled_at) for one in results]
    await _settle(outbox, verdicts, hold, settled_at)
    return len(leased)


async def _jobs_ended(
    target: str, outbound: Outbound, requests: Requests, leased: Sequence[LeasedIntent]
) -> tuple[Delivered, ...] | None:
    """None once no job of a courier that is gone can write any more; else that the target is left alone for a while."""
    bulky = bulk_of(outbound)
    if bulky is None:
        return None
    try:
        await requests.jobs.end_those_left(target, bulky)
    except AccordantError as error:
        wait_s = error.retry_after_s if isinstance(error, TransientError) else None
        stopped = f"A job of before has to end first: {error}"
        return tuple(Delivered(leased=one, outcome=None, stopped=stopped, outage=True, wait_s=wait_s) for one in leased)
    return None


def _claim(
    outbox: Outbox,
    target: str,
    limit: int,
    *,
    now: datetime,
    lease_clock: Clock,
    resting_flows: Callable[[], frozenset[str]],
) -> tuple[datetime, tuple[LeasedIntent, ...]]:
    """What is due, leased, and when the leases began; all that asks the store for it in one thread."""
    since = lease_clock()
    leased = outbox.claim(
        target=target,
        limit=limit,
        now=now,
        lease_now=since,
        lease_until=since + LEASE,
        paused_flows=resting_flows(),
    )
    return since, leased


async def _settle(outbox: Outbox, verdicts: Sequence[Verdict], hold: Hold, now: datetime) -> None:
    """Store the verdicts. Where a round lasted too long, those that another courier took over are its business now."""
    try:
        await asyncio.to_thread(partial(outbox.settle, verdicts, now=now))
    except LeaseLost:
        await hold.renew()
        await asyncio.to_thread(partial(outbox.settle, hold.ours_of(verdicts), now=now))
