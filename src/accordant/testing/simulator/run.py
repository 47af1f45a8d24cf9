"""Many schedules in a row and what they came to: how often each fault fired, how much was compared, what failed.

A run that proves nothing does not hold: over many schedules every fault has to fire and something has to be compared.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from accordant.kernel.hashing import digest
from accordant.ports.connector import DestinationClass
from accordant.testing.simulator.schedule import SHORT, Length, Reference, Story, Verdict, play
from accordant.testing.simulator.stage import Setting
from accordant.testing.simulator.world import Fault

#: From this many schedules on a fault that never fired is a defect of the run itself.
COVERED_FROM = 1_000
_FAILURES_MAX = 50
_SWEPT_EVERY = 50

#: Told after every schedule: how many are done, and how many there are.
Progress = Callable[[int, int], None]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule that did not hold, and how to see it again."""

    seed: int
    digest: str
    violations: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``places`` counts each fault by where in the code it struck; units: ``bytes`` delivered.

    ``writes`` were held, as they began, against switches and phases; ``replays`` walked everything once more.

    ``digest`` is that of all traces: the same for the same seeds.
    """

    schedules: int
    seed: int
    classes: tuple[str, ...]
    places: dict[str, dict[str, int]]
    events: int
    effects: int
    records: int
    bytes: int
    waiting: int
    writes: int
    replays: int
    failed: int
    failures: tuple[Failure, ...]
    digest: str

    @property
    def fired(self) -> dict[str, int]:
        """How often each fault fired."""
        return {fault.value: sum(self.places.get(fault.value, {}).values()) for fault in Fault}

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """Why the run itself proves too little; empty for one that is large enough and looked at everything."""
        found = []
        if not (self.events and self.effects and self.records and self.bytes and self.writes):
            found.append("Nothing was compared.")
        if self.schedules >= COVERED_FROM:
            found += [f"The fault {name!r} never fired." for name, count in self.fired.items() if not count]
        return tuple(found)

    @property
    def holds(self) -> bool:
        """Whether every schedule held and the run proves something."""
        return not self.failed and not self.shortcomings


def simulate(
    setting: Setting,
    *,
    schedules: int,
    seed: int,
    classes: Sequence[DestinationClass] = tuple(DestinationClass),
    only: frozenset[Fault] | None = None,
    replays: bool | None = None,
    length: Length = SHORT,
    progress: Progress | None = None,
) -> Report:
    """Play ``schedules`` schedules from ``seed`` on, each a seed of its own; with ``only``, of exactly these faults.

    ``replays``: whether everything is replayed at the end; None lets each seed say.
    """
    references: dict[Story, Reference] = setting.references
    places: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    failures: list[Failure] = []
    failed = 0
    digests = bytearray()
    for number in _unswept(schedules):
        verdict = play(setting, seed + number, references, length=length, classes=classes, only=only, replays=replays)
        digests += bytes.fromhex(verdict.digest)
        for (fault, where), count in verdict.fired.items():
            places.setdefault(fault.value, Counter())[where] += count
        totals.update(
            events=verdict.compared.events,
            effects=verdict.compared.effects,
            records=verdict.compared.records,
            bytes=verdict.compared.bytes,
            waiting=verdict.compared.waiting,
            writes=verdict.compared.writes,
            replays=verdict.replays,
        )
        if verdict.violations:
            failed += 1
            if len(failures) < _FAILURES_MAX:
                failures.append(Failure(seed=verdict.seed, digest=verdict.digest, violations=verdict.violations))
        if progress is not None:
            progress(number + 1, schedules)
    return Report(
        schedules=schedules,
        seed=seed,
        classes=tuple(one.name for one in classes),
        places={name: dict(sorted(counts.items())) for name, counts in sorted(places.items())},
        events=totals["events"],
        effects=totals["effects"],
        records=totals["records"],
        bytes=totals["bytes"],
        waiting=totals["waiting"],
        writes=totals["writes"],
        replays=totals["replays"],
        failed=failed,
        failures=tuple(failures),
        digest=digest(bytes(digests)).hex(),
    )


def _unswept(schedules: int) -> Iterator[int]:
    """The numbers of schedules. Garbage is swept between them only: a quarter of the time went into looking for it.

    What was there before the first, or is left by a sweep (pasts, and what they come to without faults), is not
    garbage, and is not looked at again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        for number in range(schedules):
            yield number
            if number % _SWEPT_EVERY == 0:
                gc.collect()
                gc.freeze()
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def replay(
    setting: Setting,
    seed: int,
    *,
    length: Length = SHORT,
    classes: Sequence[DestinationClass] = tuple(DestinationClass),
) -> Verdict:
    """Play one schedule again, with its whole trace."""
    return play(setting, seed, {}, length=length, classes=classes)
