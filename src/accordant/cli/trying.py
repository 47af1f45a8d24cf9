"""Commands to try Accordant out: `demo` plays a company on this machine, `bench` measures. Nothing real is touched."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from accordant.cli.render import say


def demo(
    *,
    headless: Annotated[bool, Parameter(negative="", help="Play to the end, print what agrees, and stop.")] = False,
    store: Annotated[
        str | None, Parameter(help="Address of an empty store; else SQLite in a folder of its own.")
    ] = None,
    port: Annotated[int, Parameter(help="Port of the console; 0 takes a free one.")] = 0,
    pace: Annotated[float | None, Parameter(help="Seconds between chapters; none when headless.")] = None,
) -> int:
    """A billing system and a CRM on this machine, a year of a company, live traffic, and faults to try."""
    from accordant.demo.live import main

    return main(headless, store, port, pace if pace is not None else 0.0 if headless else 2.0)


#: Said here, since to ask the benchmarks would load them with every command.
_BENCHMARKS = "intake, path, latency, why, match, poison, stuck, charter, ledger, recognise, books or rehearse."


def bench(
    name: Annotated[str, Parameter(help=_BENCHMARKS)],
    /,
    *,
    store: Annotated[str, Parameter(help="sqlite or postgres.")] = "sqlite",
    n: Annotated[int | None, Parameter(help="Size of one run; the benchmark's own if it is left out.")] = None,
    repeat: Annotated[int, Parameter(help="Runs; their median is printed.")] = 3,
    seed: Annotated[int, Parameter(help="Seed of the load.")] = 7,
    workers: Annotated[int | None, Parameter(help="Processes that share the lanes; for ledger and path.")] = None,
    keep: Annotated[
        Path | None, Parameter(help="Folder that keeps the store for the next measurement; for why and books.")
    ] = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object a line.")] = False,
) -> int:
    """Measure whole runs, and print the median with the target it is held to."""
    from accordant.bench.main import BENCHMARKS
    from accordant.bench.main import bench as measure

    found = measure(name, store=store, n=n, repeat=repeat, seed=seed, workers=workers, keep=keep)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    tail = "" if found.p50_ms is None else f", p50 {found.p50_ms} ms, p99 {found.p99_ms} ms"
    say(
        f"{found.name} on {found.store}: {found.value:,.1f} {found.unit}{tail}.",
        f"The median of {len(found.runs)} runs of {found.n:,}.",
        f"Target: {BENCHMARKS[name].target}. Machine: {found.machine}.",
    )
    return 0
