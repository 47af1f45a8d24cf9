"""Group commit: many callers wait, what they brought is stored in one commit, all are answered after the fsync.

What gathers while one commit runs is the next one's: a lone caller pays one commit, a crowd shares one. All of it
happens on the loop; whether ``store`` waits for a thread or for a socket is its own business.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from accordant.kernel.errors import InvariantBroken, TransientError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Told = Callable[[Answer | Exception], None]

#: One commit takes at most this many; more would make the first wait for the last.
GROUP_MAX = 512
#: A group of this size is a crowd: the next one waits this long, in seconds, for half as many to come together.
CROWD = 16
LINGER_S = 0.002


class QueueFull(TransientError):
    """More is waiting to be stored than the configured bound; the sender should come back in a moment."""


class Stopping(TransientError):
    """The process is shutting down; the sender should come back in a moment."""


class GroupCommit(Generic[Item, Answer]):
    """Stores items in groups. To be made and used on one running loop.

    ``store`` answers each item of a group in order, or raises; up to ``hands`` groups are stored at the same time.
    """

    def __init__(
        self, store: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, waiting_max: int, hands: int = 1
    ) -> None:
        #: Commits made, and items in them, since the start.
        self.commits = 0
        self.committed = 0
        self._store = store
        self._waiting_max = waiting_max
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[Item, Told[Answer]]] = deque()
        self._hands = hands
        self._storing: set[asyncio.Task[None]] = set()
        self._crowd = 0
        #: Set while a group is about to be taken.
        self._called: asyncio.Handle | None = None
        self._stopping = False

    def hand_in(self, item: Item, told: Told[Answer]) -> None:
        """Have ``item`` stored; ``told`` is called on the loop with its answer, or with what ``store`` raised.

        Raises QueueFull, Stopping; then ``told`` is not called.
        """
        if len(self._queue) >= self._waiting_max:
            raise QueueFull(retry_after_s=1.0)
        if self._stopping:
            raise Stopping(retry_after_s=2.0)
        self._queue.append((item, told))
        if self._called is None and len(self._storing) < self._hands:
            self._call()

    def _call(self) -> None:
        """Take the next group in a moment: what this turn of the loop still reads belongs to it."""
        if self._crowd >= CROWD and len(self._queue) * 2 < self._crowd and not self._stopping:
            # Under load a moment's patience doubles the group; a lone caller never waits.
            self._called = self._loop.call_later(LINGER_S, self._take)
        else:
            self._called = self._loop.call_soon(self._take)

    def _take(self) -> None:
        self._called = None
        group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_MAX))]
        self._crowd = len(group)
        if group:
            task = self._loop.create_task(self._commit(group))
            self._storing.add(task)
            task.add_done_callback(self._go_on)

    def _go_on(self, task: "asyncio.Task[None]") -> None:
        self._storing.discard(task)
        if self._queue and self._called is None:
            self._call()

    async def _commit(self, group: list[tuple[Item, Told[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            stored = await self._store([item for item, _ in group])
            if len(stored) != len(group):
                raise InvariantBroken(f"The store answered {len(stored)} of {len(group)} items.")
            answers = stored
            self.commits += 1
            self.committed += len(group)
        except Exception as error:  # noqa: BLE001  whoever waits must be told, whatever went wrong
            answers = [error] * len(group)
        for (_, told), answer in zip(group, answers, strict=True):
            try:
                told(answer)
            except Exception as error:  # noqa: BLE001  one who cannot listen must not keep it from the others
                self._loop.call_exception_handler({"message": "An answer was not taken.", "exception": error})

    async def stop(self) -> None:
        """Take nothing new; return when everything that waited is stored and answered."""
        self._stopping = True
        while self._queue or self._storing:
            if self._storing:
                await asyncio.wait(self._storing)
            else:
                await asyncio.sleep(LINGER_S)
