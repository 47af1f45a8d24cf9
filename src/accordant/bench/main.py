"""`accordant bench NAME`: repeat a benchmark and print its figure as one JSON object a line."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from accordant.bench import books, ledger, runs, why
from accordant.bench.charter import charter
from accordant.bench.figures import Figure, Run, figure
from accordant.bench.match import match
from accordant.bench.parked import parked
from accordant.bench.rehearse import rehearse
from accordant.bench.stuck import stuck
from accordant.kernel.errors import ConfigurationError


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark by name. ``n`` is the size of one run, ``target`` what the design asks for, in words."""

    run: Callable[[str, int, int], Run]
    unit: str
    n: int
    target: str


BENCHMARKS: dict[str, Benchmark] = {
    "intake": Benchmark(
        run=runs.intake,
        unit="events/s",
        n=60_000,
        target="at least 10,000 on SQLite, 12,000 on PostgreSQL, p99 under 50 ms",
    ),
    "path": Benchmark(run=runs.path, unit="events/s", n=30_000, target="at least 2,500 on SQLite, 3,000 on PostgreSQL"),
    "why": Benchmark(
        run=why.ask, unit="ms", n=10_000_000, target="the slowest of 3,000 answers under 1,000 ms at 10,000,000 rows"
    ),
    "latency": Benchmark(
        run=runs.latency, unit="ms", n=10_000, target="p50 under 15 ms, p99 under 60 ms at 500 events/s"
    ),
    "match": Benchmark(run=match, unit="ms", n=1_000_000, target="under 2 ms a decision with 1,000,000 known accounts"),
    "poison": Benchmark(
        run=parked,
        unit="%",
        n=6_000,
        target="p99 of the others under 10 % higher while 1 % of the customers is refused",
    ),
    "stuck": Benchmark(
        run=stuck,
        unit="%",
        n=6_000,
        target="p99 of a target under 10 % higher while the one beside it takes 30 s a call",
    ),
    "charter": Benchmark(run=charter, unit="ms", n=50, target="50 flows and 2,000 field rules under 1,000 ms"),
    "ledger": Benchmark(
        run=ledger.ledger, unit="entries/s", n=60_000, target="at least 5,000 composed and stored on PostgreSQL"
    ),
    "recognise": Benchmark(
        run=ledger.recognise, unit="s", n=1_000_000, target="a month of 1,000,000 schedule lines under 60 s"
    ),
    "books": Benchmark(
        run=books.ask, unit="ms", n=1_000_000, target="the slowest question of the books under 1,000 ms"
    ),
    "rehearse": Benchmark(run=rehearse, unit="events/s", n=30_000, target="at least 5,000 on either store"),
}

#: Those that several workers share.
_SHARED = {"ledger": ledger.ledger, "path": runs.path}
#: Those whose store takes minutes to make and may be kept.
_KEPT = {"books": books.ask, "why": why.ask}


def bench(
    name: str, *, store: str, n: int | None, repeat: int, seed: int, workers: int | None = None,
    keep: Path | None = None,
) -> Figure:  # fmt: skip
    """Run one benchmark ``repeat`` times.

    Raises: ConfigurationError for an unknown name or store, and for ``workers`` or ``keep`` where they mean nothing.
    """
    chosen = BENCHMARKS.get(name)
    if chosen is None:
        raise ConfigurationError(f"There is no benchmark {name!r}.", remedy=f"Choose one of: {', '.join(BENCHMARKS)}.")
    if store not in {"sqlite", "postgres"}:
        raise ConfigurationError(f"There is no store {store!r} to measure.", remedy="Choose sqlite or postgres.")
    measure = chosen.run
    if workers is not None:
        shared = _SHARED.get(name)
        if shared is None or workers < 1:
            raise ConfigurationError(
                f"The benchmark {name} does not run with {workers} workers.",
                remedy=f"Leave --workers out, or: {', '.join(_SHARED)}.",
            )
        measure = partial(shared, workers=workers)
    if keep is not None:
        kept = _KEPT.get(name)
        if kept is None:
            raise ConfigurationError(
                f"The benchmark {name} does not keep its store.",
                remedy=f"Leave --keep out, or measure one of: {', '.join(_KEPT)}.",
            )
        measure = partial(kept, keep=keep)
    size = n or chosen.n
    done = []
    for number in range(1, repeat + 1):
        run = measure(store, size, seed)
        done.append(run)
        sys.stderr.write(f"{name} on {store}, run {number} of {repeat}: {run.value:,.1f} {chosen.unit}\n")
    return figure(name, done, unit=chosen.unit, n=size, store=store, seed=seed)
