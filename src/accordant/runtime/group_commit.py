"""Group commit: many callers wait, one thread stores what they brought in one commit, all are answered after the fsync.

The thread takes what has gathered while the last commit ran: a lone caller pays one commit, a crowd shares one.
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
    """Stores items in groups. ``store`` runs in a thread of its own and answers each item in order, or raises."""

    def __init__(
        self, store: Callable[[Sequence[Item]], Sequence[Answer]], *, waiting_max: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._store = store
        self._waiting_max = waiting_max
        self._loop = loop
        self._queue: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Start the storing thread."""
        self._thread.start()

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
        """Store what waits, then end the thread; blocks until it has."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

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
                group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_MAX))]
            crowd = len(group)
            self._commit(group)

    def _commit(self, group: list[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        try:
            stored = self._store([item for item, _ in group])
            if len(stored) != len(group):
                raise InvariantBroken(f"The store answered {len(stored)} of {len(group)} items.")
            answers: Sequence[Answer] | Exception = stored
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
