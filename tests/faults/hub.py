"""The product in processes of its own, as a drill starts, kills and stops them. Next: `nursery.py`, their origin."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.faults.nursery import Order, Told

#: Bounds against a hang, not measures: a shared machine may stand still for minutes.
START_S_MAX = 600.0
_LOOK_EVERY_S = 0.01
_UP = b"Accordant is"


class Nursery:
    """Where a site's processes come from: one that has loaded the product already, with the site's own environment."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._orders = asyncio.Lock()

    async def bear(self, order: Order, environ: Mapping[str, str]) -> tuple[int, asyncio.Future[int]]:
        """Start one; its process id, and its exit code (or minus its signal) once it has one."""
        async with self._orders:
            if self._process is None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.faults.nursery",
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=dict(environ),
                )  # fmt: skip
                self._listening = asyncio.create_task(self._listen(self._process))
            assert self._process.stdin is not None
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            pid = await self._born.get()
        return pid, self._ends[pid]

    async def close(self) -> None:
        """Nobody will be started any more. Whoever still runs is not ended by this."""
        if self._process is not None and self._listening is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
            await self._listening

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = msgspec.json.decode(line, type=Told)
            if told.code is None:
                self._ends[told.pid] = asyncio.get_running_loop().create_future()
                self._born.put_nowait(told.pid)
            else:
                self._ends.pop(told.pid).set_result(told.code)


class HubProcess:
    """One process of the product: `accordant serve` in some roles."""

    def __init__(
        self, name: str, words: Sequence[str], environ: Mapping[str, str], log: Path, nursery: Nursery
    ) -> None:
        self.name = name
        self.environ = environ
        self.log = log
        self._said = log.with_suffix(".said")
        self._order = Order(words=("serve", *words), said=str(self._said), log=str(log))
        self._nursery = nursery
        self._pid = 0
        self._end: asyncio.Future[int] | None = None

    @property
    def pid(self) -> int:
        """Its process id. Raises: AssertionError when it does not run."""
        assert self.runs, f"{self.name} ended by itself, if it ever began: {self.tail()}"
        return self._pid

    @property
    def runs(self) -> bool:
        return self._end is not None and not self._end.done()

    def tail(self) -> str:
        """The last it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.exists() else ""

    async def start(self) -> float:
        """Run until it says that it is up; the seconds that took."""
        began = time.monotonic()
        self._said.unlink(missing_ok=True)
        self._pid, self._end = await self._nursery.bear(self._order, self.environ)
        async with asyncio.timeout(START_S_MAX):
            while not (self._said.exists() and _UP in self._said.read_bytes()):
                assert self.runs, f"{self.name} ended before it was up: {self.tail()}"
                await asyncio.sleep(_LOOK_EVERY_S)
        return time.monotonic() - began

    async def kill(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._end is not None
        await self._end

    async def terminate(self, within_s: float) -> tuple[int | None, float]:
        """SIGTERM; its exit code, or None where it had to be killed after ``within_s``, and the seconds it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        assert self._end is not None
        # Counted in looks: a machine that stood still for a minute gave it no time to stop.
        for _ in range(round(within_s / _LOOK_EVERY_S)):
            if self._end.done():
                return self._end.result(), time.monotonic() - began
            await asyncio.sleep(_LOOK_EVERY_S)
        await self.kill()
        return None, time.monotonic() - began
