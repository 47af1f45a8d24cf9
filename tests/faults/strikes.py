"""What strikes a running hub: each factory gives a function that strikes once, in the middle of a round's load.

A strike heals what it broke before it returns, and counts itself only if it really struck. Next: `drills.py`.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from accordant.demo.stage import HOST
from tests.faults.cluster import Cluster
from tests.faults.hub import START_S_MAX
from tests.faults.shim import REFUSALS, Shim
from tests.faults.site import Site

Strike = Callable[[int], Awaitable[None]]

#: The CRM answers this much after it has committed: the moment in which a crash leaves a write without its receipt.
ANSWER_AFTER_S = 0.03
#: A process that was told to stop is gone within this: the loops' own deadline and what follows it.
DRAIN_S_MAX = 30.0
#: Steps of a watch in seconds: within a signature's tolerance, beyond it, and over a day's end.
STEPS = (200.0, -200.0, 3_600.0, -3_600.0, 86_400.0, -86_400.0)
ROLES = ("door", "worker", "courier")
_DISK_BYTES = 48 * 1024 * 1024
_FEW_DESCRIPTORS = 8
#: Under load something is synced all the time.
_SYNC_S_MAX = 5.0
_LOOK_EVERY_S = 0.02
_KNOCKS = 40
#: Of so many strikes at a database one only makes it read-only.
_READ_ONLY_EVERY = 5


class Tally:
    """What a run has seen: faults that struck, what does not hold, and the worst of each measurement, in seconds."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self.faults: list[str] = []
        self.worst: dict[str, float] = {}

    def expect(self, *names: str) -> None:
        """These have to strike at least once."""
        for name in names:
            self.fired.setdefault(name, 0)

    def took(self, what: str, seconds: float) -> None:
        self.worst[what] = round(max(self.worst.get(what, 0.0), seconds), 2)


def killing(made: Site, tally: Tally, *, roles: Sequence[str]) -> Strike:
    """SIGKILL: of the one process there is, or of one (or all) of those that share the store.

    Every second strike waits for a write that the CRM has just committed and not answered yet.
    """
    victims = [*roles, "every process"] if len(roles) > 1 else list(roles)
    tally.expect(*(f"kill {name}" for name in victims), "kill right after a write")

    async def strike(number: int) -> None:
        if number % 2:
            made.committed.event.clear()
            async with asyncio.timeout(START_S_MAX):
                await made.committed.event.wait()
            tally.fired["kill right after a write"] += 1
        else:
            await asyncio.sleep(made.dice.uniform(0.02, 0.9))
        victim = victims[(number // 2) % len(victims)]
        for role in roles if victim == "every process" else (victim,):
            await made.process(role).kill()
        tally.fired[f"kill {victim}"] += 1
        await made.start(*roles)

    return strike


def draining(made: Site, tally: Tally) -> Strike:
    """SIGTERM, as a rolling restart sends it: the process ends by itself, with 0, within its deadline."""
    tally.expect("drain")

    async def strike(_number: int) -> None:
        await asyncio.sleep(made.dice.uniform(0.05, 0.6))
        code, took_s = await made.process("all").terminate(DRAIN_S_MAX)
        tally.took("slowest_stop_s", took_s)
        if code == 0:
            tally.fired["drain"] += 1
        else:
            tally.faults.append(f"a process told to stop ended with {code} after {took_s:.1f} s")
        await made.start("all")

    return strike


def crashing_database(made: Site, tally: Tally, server: Cluster, *, down_s_max: float) -> Strike:
    """PostgreSQL is stopped at once and started again; every fifth time it only takes no writes for a while."""
    tally.expect("database: immediate stop", "database: read-only")

    async def strike(number: int) -> None:
        pid = made.process("all").pid
        await asyncio.sleep(made.dice.uniform(0.1, 0.8))
        if number % _READ_ONLY_EVERY == 2:
            await asyncio.to_thread(server.set, "default_transaction_read_only", "on")
            await asyncio.sleep(made.dice.uniform(0.2, 0.6))
            await asyncio.to_thread(server.set, "default_transaction_read_only", "off")
            tally.fired["database: read-only"] += 1
        else:
            await asyncio.to_thread(server.stop)
            # Mostly short: the race is with those who come back at the same time.
            await asyncio.sleep(made.dice.triangular(0.0, down_s_max, 0.0))
            await asyncio.to_thread(server.start)
            tally.fired["database: immediate stop"] += 1
        await _resumes(made, tally, pid)

    return strike


def refusing_disk(made: Site, tally: Tally, shim: Shim) -> Strike:
    """The disk is full, broken or read-only for a while, or fails the Nth write from now."""
    kinds = [*REFUSALS, "one write"]
    tally.expect(*(f"disk: {kind}" for kind in kinds))

    async def strike(number: int) -> None:
        pid = made.process("all").pid
        await asyncio.sleep(made.dice.uniform(0.0, 0.4))
        before, how = shim.read("refused"), kinds[number % len(kinds)]
        if how == "one write":
            shim.fail_write(1 + number)
            await _until(lambda: shim.read("refused") > before, 20.0)
        else:
            shim.refuse(how)
            # The watch of a busy machine is no measure: it is over some time after something was refused.
            await _until(lambda: shim.read("refused") > before, 20.0)
            await asyncio.sleep(made.dice.uniform(0.1, 1.0))
            shim.refuse(None)
        tally.fired[f"disk: {how}"] += shim.read("refused") > before
        await _resumes(made, tally, pid)

    return strike


def filling_disk(made: Site, tally: Tally) -> Strike:
    """Somebody else fills the file system to its last byte, and empties it again."""
    tally.expect("disk filled")
    ballast = made.folder / "ballast"

    async def strike(_number: int) -> None:
        pid = made.process("all").pid
        await asyncio.sleep(made.dice.uniform(0.0, 0.5))
        refused = made.unanswered()
        _fill(ballast)
        await asyncio.sleep(made.dice.uniform(0.4, 1.2))
        ballast.unlink()
        tally.fired["disk filled"] += made.unanswered() > refused
        await _resumes(made, tally, pid)

    return strike


def cutting_power(made: Site, tally: Tally, shim: Shim) -> Strike:
    """The power goes: the process ends at once, and of the store only what was synced is left."""
    tally.expect("power cut", "power cut that forgot bytes")
    assert shim.shadow is not None
    shadow = shim.shadow

    async def strike(_number: int) -> None:
        # What was acknowledged just now is what a cut may take.
        known = made.answered()
        await _until(lambda: made.answered() > known, 60.0)
        await asyncio.sleep(made.dice.uniform(0.0, 0.5))
        await shim.in_a_sync(_SYNC_S_MAX)
        await made.process("all").kill()
        shim.set("syncing", 0)
        tally.fired["power cut that forgot bytes"] += _forget(made.folder, shadow)
        tally.fired["power cut"] += 1
        await made.start("all")

    return strike


def cutting_power_of(made: Site, tally: Tally, server: Cluster) -> Strike:
    """The power of the database's machine goes, and comes back; the hub lives on another one."""
    tally.expect("power cut", "power cut that forgot bytes")

    async def strike(_number: int) -> None:
        pid = made.process("all").pid
        await asyncio.sleep(made.dice.uniform(0.1, 0.9))
        await server.shim.in_a_sync(_SYNC_S_MAX)
        tally.fired["power cut that forgot bytes"] += await asyncio.to_thread(server.cut_power)
        tally.fired["power cut"] += 1
        await asyncio.to_thread(server.start)
        await _resumes(made, tally, pid)

    return strike


def turning_watch(made: Site, tally: Tally, shim: Shim, *, steps: Sequence[float] = STEPS) -> Strike:
    """The hub's watch jumps both ways by minutes, an hour and a day, or stands still; then somebody sets it right."""
    names = [*(f"watch {step:+.0f} s" for step in steps), "watch frozen"]
    tally.expect(*names)

    async def strike(number: int) -> None:
        await asyncio.sleep(made.dice.uniform(0.0, 0.4))
        which = number % len(names)
        if which == len(steps):
            shim.freeze_clock()
        else:
            shim.step_clock(steps[which])
        await asyncio.sleep(made.dice.uniform(0.3, 1.2))
        shim.step_clock(0.0)
        tally.fired[names[which]] += 1

    return strike


def starving(made: Site, tally: Tally) -> Strike:
    """The process may open nothing more, no connection and no file, while many knock."""
    tally.expect("no descriptors")

    async def strike(_number: int) -> None:
        pid = made.process("all").pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        await asyncio.sleep(made.dice.uniform(0.0, 0.4))
        # Below what is open already: whatever is closed cannot be opened again.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_FEW_DESCRIPTORS, usual[1]))
        crowd = [await _knock(made.port) for _ in range(_KNOCKS)]
        await asyncio.sleep(made.dice.uniform(0.3, 1.0))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
        for knocker in crowd:
            knocker.close()
        tally.fired["no descriptors"] += 1
        await _resumes(made, tally, pid)

    return strike


# -- what they are made of -------------------------------------------------------------------------------------------


async def _resumes(made: Site, tally: Tally, pid: int) -> None:
    """The same process has to come back by itself."""
    tally.took("slowest_recovery_s", await made.ready())
    if made.process("all").pid != pid:
        tally.faults.append("the hub did not live through it")


async def _until(seen: Callable[[], bool], timeout_s: float) -> None:
    # Counted in looks: a machine that stood still for a minute has not looked.
    for _ in range(round(timeout_s / _LOOK_EVERY_S)):
        if seen():
            return
        await asyncio.sleep(_LOOK_EVERY_S)
    assert seen(), f"not within {timeout_s} s"


def _fill(ballast: Path) -> None:
    for size in (256 * 1024, 1):
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))


def _forget(home: Path, shadow: Path) -> int:
    """Leave of the store only what was synced; whether that was less than what had been written."""
    forgotten = False
    for name in ("store.db", "store.db-wal"):
        kept, written = shadow / name, home / name
        if written.exists() and kept.exists():
            forgotten |= written.read_bytes() != kept.read_bytes()
        written.unlink(missing_ok=True)
        if kept.exists():
            shutil.copyfile(kept, written)
    (home / "store.db-shm").unlink(missing_ok=True)
    return int(forgotten)


async def _knock(port: int) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    with suppress(OSError):
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(one, (HOST, port)), 1.0)
    return one


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 48 MiB in memory. Needs root."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
