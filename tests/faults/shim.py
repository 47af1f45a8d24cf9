"""The bad disk and the bad watch of one process: builds `shim.c`, hands out its environment, and steers it."""

from __future__ import annotations

import asyncio
import errno
import mmap
import shutil
import struct
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

WORDS = ("refuse", "countdown", "refused", "synced", "clock_ns", "frozen_ns", "sync_ns", "syncing")
#: How a disk can refuse: full, gone bad, or mounted for reading only.
REFUSALS = {"full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS}


def compiler() -> str | None:
    """The C compiler of this machine; without one these drills cannot run."""
    return shutil.which("cc") or shutil.which("gcc")


@cache
def library() -> Path:
    """The shim, built once a process."""
    program = compiler()
    assert program is not None, "no C compiler: install gcc for the drills of the disk and the clock"
    folder = Path(tempfile.mkdtemp(prefix="accordant-shim-"))
    folder.chmod(0o755)  # a database server runs as somebody else
    built = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([program, "-shared", "-fPIC", "-O2", "-Wall", "-o", built, source, "-ldl"], check=True)
    return built


class Shim:
    """One shim: give ``environment`` to the process, then steer."""

    def __init__(self, folder: Path, *, root: Path, shadow: Path | None = None, whole: bool = False) -> None:
        self.shadow = shadow
        self._path = folder / "shim.control"
        self._path.write_bytes(bytes(8 * len(WORDS)))
        self._path.chmod(0o666)
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * len(WORDS))
        self.environment = {
            "LD_PRELOAD": str(library()),
            "FAULTS_ROOT": str(root.resolve()),
            "FAULTS_CONTROL": str(self._path.resolve()),
        }
        if shadow is not None:
            shadow.mkdir(parents=True, exist_ok=True)
            self.environment["FAULTS_SHADOW"] = str(shadow.resolve())
        if whole:
            self.environment["FAULTS_WHOLE"] = "1"

    def read(self, word: str) -> int:
        value: int = struct.unpack_from("=q", self._map, 8 * WORDS.index(word))[0]
        return value

    def set(self, word: str, value: int) -> None:
        struct.pack_into("=q", self._map, 8 * WORDS.index(word), value)

    def refuse(self, how: str | None) -> None:
        """Every write fails like this from now on; None heals the disk."""
        self.set("refuse", REFUSALS[how] if how else 0)

    def fail_write(self, number: int) -> None:
        """The ``number``-th write or sync from now fails, once."""
        self.set("countdown", number)

    async def in_a_sync(self, timeout_s: float) -> bool:
        """Wait for a moment in which something is written and not synced yet; whether there was one."""
        deadline = time.monotonic() + timeout_s
        while self.read("syncing") <= 0:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0)
        return True

    def step_clock(self, seconds: float) -> None:
        """The process believes that it is this much later (or earlier); 0 sets its watch right."""
        self.set("frozen_ns", 0)
        self.set("clock_ns", int(seconds * 1e9))

    def freeze_clock(self) -> None:
        """The process's watch stands still."""
        self.set("frozen_ns", time.time_ns())
