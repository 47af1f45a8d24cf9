"""What the simulator needs of the application, and how it is run: one step at a time, without threads or waiting.

The application is the hub itself; only its store, its clock and the world outside are given to it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from accordant.canonical.charter import Charter
from accordant.kernel.clock import Clock
from accordant.kernel.errors import InvariantBroken
from accordant.pipeline.receive import Connection
from accordant.ports.connector import Inbound, Outbound, Reader
from accordant.ports.epochs import Marker, Note
from accordant.ports.inbox import Inbox
from accordant.store.memory_store import MemoryDatabase

Result = TypeVar("Result")


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Everything outside of one application: systems by their names in the charter."""

    inbounds: Mapping[str, Inbound]
    connections: Mapping[str, Connection]
    readers: Mapping[str, Reader]
    outbounds: Mapping[str, Outbound]
    marker: Marker


class Application(Protocol):
    """The hub as the simulator drives it. Everything raises as the hub does."""

    charter: Charter

    @property
    def inbox(self) -> Inbox:
        """Room 2."""
        ...

    @property
    def connections(self) -> Mapping[str, Connection]:
        """What the door admits."""
        ...

    def take_turn(self) -> int:
        """Rooms 3 to 6, for this machine's share of the lanes."""
        ...

    def deliver_round(self, target: str) -> Coroutine[Any, Any, int]:
        """Rooms 7 and 8."""
        ...

    def reread_round(self) -> Coroutine[Any, Any, int]:
        """Ask owners of objects in doubt."""
        ...

    def enforce_charter(self, *, actor: str = "accordant") -> bool:
        """Put the charter into force."""
        ...

    @property
    def lane_token(self) -> int:
        """Under which token this machine has its lanes; 0 before it has any."""
        ...

    def replay_all(self, name: str) -> int:
        """Walk everything once more under a name, or go on with it; how many writes were planned because of it."""
        ...

    def say(self, key: str, day: date) -> bool:
        """A person orders a small entry of that day in the books, under a key; whether it is posted by now."""
        ...

    def open_incident(self, title: str, actor: str) -> object:
        """A recovery begins."""
        ...

    def go_on_with_incident(self, actor: str) -> Coroutine[Any, Any, object]:
        """Work on its step, and go on to the next, or close it, where the exit holds."""
        ...

    def is_incident_open(self) -> bool:
        """Whether a recovery is under way."""
        ...

    def pause(self, flow: str, actor: str, reason: str) -> None:
        """Throw a switch."""
        ...

    def resume(self, flow: str, actor: str, reason: str = "Resumed.") -> None:
        """Release a switch."""
        ...

    def reconcile(self, flow: str, *, actor: str) -> Coroutine[Any, Any, Any]:
        """Compare a flow with its target; the answer's ``run.id`` names the comparison."""
        ...

    def repair(self, run_id: str, *, actor: str) -> object:
        """Plan writes for what a comparison found."""
        ...


class StartApplication(Protocol):
    """Starts the application anew, as a process starts."""

    def __call__(
        self,
        charter: Charter,
        database: MemoryDatabase,
        *,
        clock: Clock,
        lease_clock: Clock,
        randomness: random.Random,
        outside: Outside,
    ) -> Application:
        """A fresh application on a store that may hold anything. ``lease_clock`` is the store's own time."""
        ...


class InlineLoop(asyncio.SelectorEventLoop):
    """Runs coroutines that never really wait: what they would do in a thread is done on the spot."""

    def __init__(self) -> None:
        super().__init__()
        # Time-outs ask which task they are in. There is one, which never runs: it only stands for what is driven.
        self._stand_in = self.create_task(_nothing())
        self._depth = 0

    def run_in_executor(
        self, _executor: object, func: Callable[..., Result], *args: object
    ) -> "asyncio.Future[Result]":
        """Do it now. Raises in here whatever ``func`` raises."""
        future: asyncio.Future[Result] = self.create_future()
        future.set_result(partial(func, *args)())
        return future

    def drive(self, step: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end; may be called while another is being driven. Raises InvariantBroken where it would wait."""
        with self._entered():
            try:
                step.send(None)
            except StopIteration as done:
                result: Result = done.value
                return result
            finally:
                step.close()
        raise InvariantBroken("A step waited for something that never comes in the simulator.")

    def close(self) -> None:
        """Let go of everything."""
        self.run_until_complete(self._stand_in)
        super().close()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """As if this loop ran the stand-in's task; these four are made for those who write loops."""
        before = asyncio._get_running_loop()  # noqa: SLF001
        asyncio._set_running_loop(self)  # noqa: SLF001
        if not self._depth:
            asyncio.tasks._enter_task(self, self._stand_in)  # noqa: SLF001
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                asyncio.tasks._leave_task(self, self._stand_in)  # noqa: SLF001
            asyncio._set_running_loop(before)  # noqa: SLF001


async def _nothing() -> None:
    """Never runs before the loop closes."""


class SkewedClock:
    """The clock of one machine: the world's, and what somebody set it wrong by.

    With ``tick_s`` it goes on by that whenever somebody looks at it, for work that takes time by its nature.
    """

    def __init__(self, world: Clock) -> None:
        self.skew_s = 0.0
        self.tick_s = 0.0
        self._world = world

    def __call__(self) -> datetime:
        self.skew_s += self.tick_s
        return self._world() + timedelta(seconds=self.skew_s)


class KeptMark:
    """`ports.epochs.Marker` of an installation: outside of its store, so that no restore brings an old one back."""

    def __init__(self) -> None:
        self._note: Note | None = None

    @staticmethod
    def alone() -> AbstractContextManager[None]:
        """See the port: in a schedule one machine looks at a time."""
        return nullcontext()

    def read(self) -> Note | None:
        """See the port."""
        return self._note

    def write(self, note: Note) -> None:
        """See the port."""
        self._note = note
