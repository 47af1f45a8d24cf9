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
Told = Callable[[Answer | Exception], None]

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
        self._queue: deque[tuple[Item, Told[Answer]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"group-commit-{number}", daemon=True) for number in range(hands)
        ]

    def start(self) -> None:
        """Start the storing threads."""
        for thread in self._threads:
            thread.start()

    def hand_in(self, item: Item, told: Told[Answer]) -> None:
        """Have ``item`` stored; ``told`` is called on the loop with its answer, or with what ``store`` raised.

        To be called on the loop. Raises QueueFull, Stopping; then ``told`` is not called.
        """
        if len(self._queue) >= self._waiting_max:
            raise QueueFull(retry_after_s=1.0)
        with self._wake:
            if self._stopping:
                raise Stopping(retry_after_s=2.0)
            self._queue.append((item, told))
            if len(self._queue) == 1:  # whoever comes later joins a group that is already called for
                self._wake.notify()

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

    def _commit(self, group: list[tuple[Item, Told[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            stored = self._store([item for item, _ in group])
            if len(stored) != len(group):
                raise InvariantBroken(f"The store answered {len(stored)} of {len(group)} items.")
            answers = stored
            self.commits += 1
            self.committed += len(group)
        except Exception as error:  # noqa: BLE001  whoever waits must be told, whatever went wrong
            answers = [error] * len(group)
        self._loop.call_soon_threadsafe(self._tell, group, answers)

    def _tell(self, group: list[tuple[Item, Told[Answer]]], answers: Sequence[Answer | Exception]) -> None:
        for (_, told), answer in zip(group, answers, strict=True):
            try:
                told(answer)
            except Exception as error:  # noqa: BLE001  one who cannot listen must not keep it from the others
                self._loop.call_exception_handler({"message": "An answer was not taken.", "exception": error})
