"""The drills: rounds of load with a strike in each, then rest, then the verdict.

Every drill takes its size as an argument; `tiers.py` says which sizes count as quick, nightly and release. Next:
`storm.py`, the drills of quantity.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults import strikes
from tests.faults.cluster import cluster
from tests.faults.proxy import PLACES, Proxy, is_write
from tests.faults.report import Report
from tests.faults.shim import REFUSALS, Shim
from tests.faults.site import Site, site
from tests.faults.strikes import ANSWER_AFTER_S, ROLES, Strike, Tally

#: A disk takes this long to sync: what is written and not synced yet is there to be forgotten.
_SYNC_S = 0.004
#: Events acknowledged between two strikes, besides the story's: so that there is much that a strike could take.
_POURED_BETWEEN_CUTS = 2_000
_POURED_BETWEEN_KILLS = 250
#: A round that took longer stood still with its machine: no more than this is counted of it.
_ROUND_S_MAX = 30.0
#: What the drill of everything does in one round.
_QUICK_STEPS = (200.0, -3_600.0, 86_400.0)
_QUICK_CUTS = 2


async def rounds_of(made: Site, rounds: int, strike: Strike, *, seconds_max: float | None = None) -> int:
    """Load, and one strike into it, again and again; how many rounds there were before the time was over."""
    spent_s = 0.0
    done = 0
    for number in range(rounds):
        if seconds_max is not None and spent_s > seconds_max:
            break
        began = time.monotonic()
        load = asyncio.create_task(made.busy(number))
        try:
            await strike(number)
        finally:
            await load
        spent_s += min(time.monotonic() - began, _ROUND_S_MAX)
        done += 1
    return done


async def kill(store: str, folder: Path, *, rounds: int, split: bool, seconds_max: float | None = None) -> Report:
    """SIGKILL under load, of one process that does everything or of three that share the store."""
    began, tally = time.monotonic(), Tally()
    roles = ROLES if split else ("all",)
    async with site(folder, store, late_s=ANSWER_AFTER_S) as made:
        made.poured_a_round = _POURED_BETWEEN_KILLS
        await made.start(*roles)
        done = await rounds_of(made, rounds, strikes.killing(made, tally, roles=roles), seconds_max=seconds_max)
        return await told("kill-split" if split else "kill", made, done, began, tally)


async def drain(store: str, folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """SIGTERM under load: rolling restarts."""
    began, tally = time.monotonic(), Tally()
    async with site(folder, store, late_s=ANSWER_AFTER_S) as made:
        await made.start("all")
        done = await rounds_of(made, rounds, strikes.draining(made, tally), seconds_max=seconds_max)
        return await told("drain", made, done, began, tally)


async def database(folder: Path, *, rounds: int, down_s_max: float = 5.0, seconds_max: float | None = None) -> Report:
    """PostgreSQL goes away and comes back under load; the hub lives on."""
    began, tally = time.monotonic(), Tally()
    with cluster() as server:
        async with site(folder, server.url, late_s=ANSWER_AFTER_S) as made:
            made.poured_a_round = _POURED_BETWEEN_KILLS
            await made.start("all")
            strike = strikes.crashing_database(made, tally, server, down_s_max=down_s_max)
            done = await rounds_of(made, rounds, strike, seconds_max=seconds_max)
            return await told("database", made, done, began, tally)


async def descriptors(store: str, folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """The hub may open nothing more for a while."""
    began, tally = time.monotonic(), Tally()
    async with site(folder, store, late_s=ANSWER_AFTER_S) as made:
        await made.start("all")
        done = await rounds_of(made, rounds, strikes.starving(made, tally), seconds_max=seconds_max)
        return await told("descriptors", made, done, began, tally)


async def watch(store: str, folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """The hub's watch is wrong for a while, again and again."""
    began, tally = time.monotonic(), Tally()
    shim = Shim(folder, root=folder / "nothing")
    async with site(folder, store, late_s=ANSWER_AFTER_S) as made:
        made.extra_environment |= shim.environment
        await made.start("all")
        done = await rounds_of(made, rounds, strikes.turning_watch(made, tally, shim), seconds_max=seconds_max)
        return await told("watch", made, done, began, tally)


async def disk(folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """SQLite on a disk that refuses for a while, in four ways."""
    began, tally = time.monotonic(), Tally()
    home, shim = _home(folder)
    async with site(home, f"sqlite:///{home / 'store.db'}", late_s=ANSWER_AFTER_S) as made:
        made.extra_environment |= shim.environment
        await made.start("all")
        done = await rounds_of(made, rounds, strikes.refusing_disk(made, tally, shim), seconds_max=seconds_max)
        return await told("disk", made, done, began, tally, refused_writes=shim.read("refused"))


def can_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


async def quota(folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """SQLite on a small file system that is filled at random points. Needs root."""
    began, tally = time.monotonic(), Tally()
    with strikes.small_disk(folder / "hub") as home:
        async with site(home, f"sqlite:///{home / 'store.db'}", late_s=ANSWER_AFTER_S) as made:
            await made.start("all")
            done = await rounds_of(made, rounds, strikes.filling_disk(made, tally), seconds_max=seconds_max)
            return await told("quota", made, done, began, tally)


async def power(folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """Power cuts: what SQLite did not sync is gone. Everything that was answered 2xx has to be there."""
    began, tally = time.monotonic(), Tally()
    home, shim = _home(folder, forgetful=True)
    async with site(home, f"sqlite:///{home / 'store.db'}", late_s=ANSWER_AFTER_S) as made:
        made.extra_environment |= shim.environment
        made.poured_a_round = _POURED_BETWEEN_CUTS
        await made.start("all")
        done = await rounds_of(made, rounds, strikes.cutting_power(made, tally, shim), seconds_max=seconds_max)
        return await told("power", made, done, began, tally, syncs=shim.read("synced"))


async def power_of_database(folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """Power cuts of PostgreSQL's machine: what the server did not sync is gone."""
    began, tally = time.monotonic(), Tally()
    with cluster(forgets_after_s=_SYNC_S) as server:
        async with site(folder, server.url, late_s=ANSWER_AFTER_S) as made:
            made.poured_a_round = _POURED_BETWEEN_CUTS
            await made.start("all")
            strike = strikes.cutting_power_of(made, tally, server)
            done = await rounds_of(made, rounds, strike, seconds_max=seconds_max)
            return await told("power", made, done, began, tally)


async def everything(folder: Path, *, rounds: int, seconds_max: float | None = None) -> Report:
    """Every strike on one process and its SQLite store in turns, for the quick tier: one rest and one verdict."""
    began, tally = time.monotonic(), Tally()
    home, shim = _home(folder, forgetful=True)
    async with site(home, f"sqlite:///{home / 'store.db'}", late_s=ANSWER_AFTER_S) as made:
        made.extra_environment |= shim.environment
        await made.start("all")
        bad_disk = strikes.refusing_disk(made, tally, shim)
        power_cut = strikes.cutting_power(made, tally, shim)
        wrong_watch = strikes.turning_watch(made, tally, shim, steps=_QUICK_STEPS)
        turns = (
            *[bad_disk] * len(REFUSALS), strikes.starving(made, tally), bad_disk, *[power_cut] * _QUICK_CUTS,
            *[wrong_watch] * (len(_QUICK_STEPS) + 1), strikes.draining(made, tally),
        )  # fmt: skip
        struck: Counter[Strike] = Counter()

        async def strike(number: int) -> None:
            one = turns[number % len(turns)]
            struck[one] += 1
            await one(struck[one] - 1)

        done = await rounds_of(made, rounds * len(turns), strike, seconds_max=seconds_max)
        return await told("everything", made, done, began, tally)


async def network(store: str, folder: Path, *, cuts: int, seconds_max: float | None = None) -> Report:
    """Exchanges with the door and the CRM are cut, held and falsified at every place, until enough were."""
    began, tally = time.monotonic(), Tally()
    proxies: dict[str, Proxy] = {}

    async def crm(address: str) -> str:
        proxies["crm"] = Proxy(int(address.rpartition(":")[2]), seed=11, picks=is_write)
        return await proxies["crm"].start()

    async def door(address: str) -> str:
        proxies["door"] = Proxy(int(address.rpartition(":")[2]), seed=12)
        # A sender that is told "200" by somebody else has been lied to: nobody can hold the hub to that.
        proxies["door"].places = tuple(place for place in PLACES if place != "wrong answer")
        return await proxies["door"].start()

    def is_enough() -> bool:
        struck = [one.fired[place] for one in proxies.values() for place in one.places]
        over = seconds_max is not None and time.monotonic() - began > seconds_max
        return over or (sum(struck) >= cuts and min(struck) > 0)

    done = 0
    async with site(folder, store, crm_address=crm, door_address=door, backoff_max_s=1) as made:
        try:
            await made.start("all")
            proxies["crm"].chance, proxies["door"].chance = 0.5, 0.3
            while not is_enough():
                await made.busy(done)
                done += 1
            for side, proxy in proxies.items():
                proxy.chance = 0.0
                tally.expect(*(f"{side}: {place}" for place in proxy.places))
                tally.fired.update({f"{side}: {place}": count for place, count in proxy.fired.items()})
            return await told(
                "network", made, done, began, tally, **{f"exchanges_{one}": it.exchanges for one, it in proxies.items()}
            )
        finally:
            for proxy in proxies.values():
                await proxy.stop()


async def told(drill: str, made: Site, rounds: int, began: float, tally: Tally, **figures: float) -> Report:
    """Let everything come to rest, judge it, and report."""
    verdict = await made.verdict()
    return report(drill, made.store, rounds, began, tally, verdict.compared, verdict.faults, verdict.figures | figures)


def report(
    drill: str,
    store: str,
    rounds: int,
    began: float,
    tally: Tally,
    compared: Mapping[str, int],
    faults: Sequence[str],
    figures: Mapping[str, float],
) -> Report:
    """A report of what a tally and a verdict have seen."""
    return Report(
        drill=drill,
        store=store.partition(":")[0],
        rounds=rounds,
        seconds=round(time.monotonic() - began, 1),
        fired=tally.fired,
        compared=compared,
        figures={**figures, **tally.worst},
        faults=(*tally.faults, *faults),
    )


def _home(folder: Path, *, forgetful: bool = False) -> tuple[Path, Shim]:
    """A home on a disk that obeys a shim; ``forgetful``: it keeps what was synced apart, and takes its time to sync."""
    home = folder / "hub"
    home.mkdir()
    shim = Shim(folder, root=home, shadow=folder / "durable" if forgetful else None)
    if forgetful:
        shim.set("sync_ns", int(_SYNC_S * 1e9))
    return home, shim
