"""Group commit: many callers wait, a thread stores what they brought in one commit, all are answered after the fsync.

The thread takes what has gathered while the last commit ran: a lone caller pays one commit, a crowd shares one. A store
with several writers may be given several threads, so that one group is stored while the next one gathers.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from accordant.kernel.errors import InvariantBroken, TransientError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: One commit takes at most this many; more would make the first wait for the last.
GROUP_MAX = 512
#: A group of this size is a crowd: the next one waits this long, in seconds, for as many to come together.
CROWD = 16
LINGER_S = 0.002


class QueueFull(TransientError):
    """More is waiting to be stored than the configured bound; the sender should come back in a moment."""


class Stopping(TransientError):
    """The process is shutting down; the sender should come back in a moment."""


class GroupCommit(Generic[Item, Answer]):
    """Stores items in groups.

    ``store`` runs in ``hands`` threads of its own, at once, and answers each item in order, or raises.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        waiting_max: int,
        loop: asyncio.AbstractEventLoop,
        hands: int = 1,
    ) -> None:
        #: Commits made, and items in them, since the start.
        self.commits = 0
        self.committed = 0
        self._store = store
        self._waiting_max = waiting_max
        self._loop = loop
        self._queue: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"group-commit-{number}", daemon=True) for number in range(hands)
        ]

    def start(self) -> None:
        """Start the storing threads."""
        for thread in self._threads:
            thread.start()

    async def submit(self, item: Item) -> Answer:
        """Wait until ``item`` is stored. Raises QueueFull, Stopping, or what ``store`` raised."""
        if len(self._queue) >= self._waiting_max:
            raise QueueFull(retry_after_s=1.0)
        future: asyncio.Future[Answer] = self._loop.create_future()
        with self._wake:
            if self._stopping:
                raise Stopping(retry_after_s=2.0)
            self._queue.append((item, future))
            if len(self._queue) == 1:  # whoever comes later joins a group that is already called for
                self._wake.notify()
        return await future

    def stop(self) -> None:
        """Store what waits, then end the threads; blocks until they have."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        crowd = 0
        while True:
            with self._wake:
                while not self._queue and not self._stopping:
                    self._wake.wait()
                if not self._queue:
                    return
                if crowd >= CROWD and len(self._queue) < crowd and not self._stopping:
                    # Under load a moment's patience doubles the group; a lone caller never waits.
                    self._wake.wait(LINGER_S)
                    if not self._queue:  # another hand took them meanwhile
                        continue
                group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_MAX))]
            crowd = len(group)
            self._commit(group)

    def _commit(self, group: list[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        try:
            stored = self._store([item for item, _ in group])
            if len(stored) != len(group):
                raise InvariantBroken(f"The store answered {len(stored)} of {len(group)} items.")
            answers: Sequence[Answer] | Exception = stored
            self.commits += 1
            self.committed += len(group)
        except Exception as error:  # noqa: BLE001  whoever waits must be told, whatever went wrong
            answers = error
        self._loop.call_soon_threadsafe(_answer, [future for _, future in group], answers)


def _answer(futures: list["asyncio.Future[Answer]"], answers: "Sequence[Answer] | Exception") -> None:
    for index, future in enumerate(futures):
        if future.done():  # the caller went away meanwhile; what it brought is stored all the same
            continue
        if isinstance(answers, Exception):
            future.set_exception(answers)
        else:
            future.set_result(answers[index])
