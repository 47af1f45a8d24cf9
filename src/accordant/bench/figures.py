"""What a benchmark prints: one figure a line, with what is needed to repeat it."""

import os
import platform
from collections.abc import Sequence
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure. ``runs`` holds the value of each whole run; ``value`` is their median.

    ``cpu_us`` is the processor's time an event took, in microseconds, by process, where it was looked at.
    """

    name: str
    value: float
    unit: str
    p50_ms: float | None
    p99_ms: float | None
    n: int
    store: str
    seed: int
    machine: str
    runs: tuple[float, ...]
    cpu_us: dict[str, float] | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One whole run: ``value`` in the benchmark's unit; latencies in seconds and ``cpu_us`` where it measures any."""

    value: float
    latencies_s: Sequence[float] = ()
    cpu_us: dict[str, float] | None = None


def figure(name: str, runs: Sequence[Run], *, unit: str, n: int, store: str, seed: int) -> Figure:
    """The figure of several runs of one benchmark: the median run stands for all."""
    middle = sorted(runs, key=lambda run: run.value)[len(runs) // 2]
    values = tuple(round(run.value, 2) for run in runs)
    ordered = sorted(middle.latencies_s)
    return Figure(
        name=name,
        value=round(median(values), 2),
        unit=unit,
        p50_ms=_percentile_ms(ordered, 0.50),
        p99_ms=_percentile_ms(ordered, 0.99),
        n=n,
        store=store,
        seed=seed,
        machine=machine(),
        runs=values,
        cpu_us=middle.cpu_us,
    )


def machine() -> str:
    """The machine in one line: cores this process may use, operating system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _percentile_ms(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 2)
