"""How much of each drill a tier does. Quick is what `make test` affords, nightly and release what reliability asks for.

The counts are those of the design's fault catalogue; where a drill is smaller here, `docs/explanation/reliability.md`
says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tests.conftest import POSTGRES_DEFAULT, fresh_database
from tests.faults import books, drills, storm
from tests.faults.report import Report

TIERS = ("quick", "nightly", "release")
STORES = ("sqlite", "postgres")

#: Called with the store's address, a fresh folder, the size and the seconds after which no new round begins.
Run = Callable[[str, Path, int, float | None], Awaitable[Report]]


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """One drill: how it is run, on which stores, and its size in each tier (rounds, cuts, deliveries, postings)."""

    run: Run
    unit: str
    sizes: Mapping[str, int]
    stores: tuple[str, ...] = STORES


def _sizes(quick: int, nightly: int, release: int) -> dict[str, int]:
    return dict(zip(TIERS, (quick, nightly, release), strict=True))


async def _duplicates(store: str, folder: Path, size: int, seconds_max: float | None) -> Report:
    return await storm.duplicates(store, folder, events=max(100, size // 100), deliveries=size, seconds_max=seconds_max)


async def _power(store: str, folder: Path, size: int, seconds_max: float | None) -> Report:
    of_sqlite = store.startswith("sqlite")
    drill = drills.power if of_sqlite else drills.power_of_database
    return await drill(folder, rounds=size, seconds_max=seconds_max)


async def _database(_store: str, folder: Path, size: int, seconds_max: float | None) -> Report:
    down_s_max = 1.0 if size < 10 else 5.0
    return await drills.database(folder, rounds=size, down_s_max=down_s_max, seconds_max=seconds_max)


async def _memory(store: str, folder: Path, size: int, _seconds_max: float | None) -> Report:
    is_quick = size < 1_000
    return await storm.memory(
        store,
        folder,
        slow=size,
        bodies=max(6, size // 200),
        seconds=8.0 if is_quick else 30.0,
        p99_s_max=storm.HONEST_P99_S_MAX_BESIDE_TESTS if is_quick else storm.HONEST_P99_S_MAX,
    )


DRILLS: dict[str, Drill] = {
    "kill": Drill(
        run=lambda store, folder, size, limit: drills.kill(store, folder, rounds=size, split=False, seconds_max=limit),
        unit="kills",
        sizes=_sizes(4, 200, 2_000),
    ),
    "kill-split": Drill(
        run=lambda store, folder, size, limit: drills.kill(store, folder, rounds=size, split=True, seconds_max=limit),
        unit="kills",
        sizes=_sizes(8, 100, 1_000),
    ),
    "drain": Drill(
        run=lambda store, folder, size, limit: drills.drain(store, folder, rounds=size, seconds_max=limit),
        unit="restarts",
        sizes=_sizes(2, 200, 1_000),
    ),
    "database": Drill(
        run=_database,
        unit="stops",
        sizes=_sizes(3, 250, 1_250),
        stores=("postgres",),
    ),
    "network": Drill(
        run=lambda store, folder, size, limit: drills.network(store, folder, cuts=size, seconds_max=limit),
        unit="cuts",
        sizes=_sizes(100, 5_000, 20_000),
    ),
    "disk": Drill(
        run=lambda _store, folder, size, limit: drills.disk(folder, rounds=size, seconds_max=limit),
        unit="refusals",
        sizes=_sizes(4, 50, 200),
        stores=("sqlite",),
    ),
    "quota": Drill(
        run=lambda _store, folder, size, limit: drills.quota(folder, rounds=size, seconds_max=limit),
        unit="fills",
        sizes=_sizes(2, 50, 200),
        stores=("sqlite",),
    ),
    "power": Drill(run=_power, unit="power cuts", sizes=_sizes(2, 100, 500)),
    "watch": Drill(
        run=lambda store, folder, size, limit: drills.watch(store, folder, rounds=size, seconds_max=limit),
        unit="steps",
        sizes=_sizes(7, 200, 1_000),
    ),
    "descriptors": Drill(
        run=lambda store, folder, size, limit: drills.descriptors(store, folder, rounds=size, seconds_max=limit),
        unit="shortages",
        sizes=_sizes(2, 50, 200),
    ),
    "everything": Drill(
        run=lambda _store, folder, size, limit: drills.everything(folder, rounds=size, seconds_max=limit),
        unit="rounds of every strike",
        sizes=_sizes(1, 20, 100),
        stores=("sqlite",),
    ),
    "books": Drill(
        run=lambda store, folder, size, limit: books.books(store, folder, postings=size, seconds_max=limit),
        unit="postings",
        sizes=_sizes(3_000, 1_000_000, 10_000_000),
    ),
    "duplicates": Drill(run=_duplicates, unit="deliveries", sizes=_sizes(5_000, 1_000_000, 10_000_000)),
    "memory": Drill(run=_memory, unit="slow connections", sizes=_sizes(300, 10_000, 10_000), stores=("sqlite",)),
}


#: These make a server of their own, to be hurt.
_OWN_SERVER = frozenset({"books", "database", "power"})


async def run_drill(
    name: str, store: str, size: int, *, server: str = POSTGRES_DEFAULT, seconds_max: float | None = None
) -> Report:
    """One drill on a fresh store (``sqlite`` or ``postgres``, there in a database of its own on ``server``)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accordant-faults-")))
        url = f"sqlite:///{folder / 'store.db'}" if store == "sqlite" else ""
        if store == "postgres" and name not in _OWN_SERVER:
            url = stack.enter_context(fresh_database(server, f"faults_{name}"))
        return await DRILLS[name].run(url, folder, size, seconds_max)
