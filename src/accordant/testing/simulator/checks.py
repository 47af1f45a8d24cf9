"""What has to hold after every schedule, and how much was compared: an empty comparison proves nothing.

The oracles are the ledgers of the targets and the list of acknowledged events; the hub's tables are the defendant.
"""

import msgspec

from accordant.canonical.intents import WireValue
from accordant.ports.connector import DestinationClass
from accordant.store.audit import verify_chain
from accordant.store.closure import ORDERED, external_ids, open_ends, orders_posted, outcome
from accordant.testing.destinations import MemoryDestination
from accordant.testing.simulator.stage import Stage

Held = dict[str, dict[str, dict[str, WireValue]]]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How much was looked at. ``writes`` is how many were held, as they began, against what was allowed then (EF6)."""

    events: int
    writes: int
    effects: int
    records: int
    bytes: int
    waiting: int
    outcome: dict[str, str]


def check(stage: Stage, expected: dict[str, str] | None, held: Held | None) -> Compared:
    """Look at everything; what does not hold is added to the stage's violations. None expects nothing (a reference)."""
    tell = stage.violations.append
    with stage.setting.store.database.read() as connection:
        ends = open_ends(connection)
        stored = external_ids(connection)
        found = outcome(connection, frozenset(stage.setting.sources))
        posted = orders_posted(connection)
        chain = verify_chain(connection)
    acknowledged = {one.past.said[index].id for one in stage.providers for index in one.acknowledged}
    for sentence in ends.forgotten:
        tell(f"EF2: {sentence}")
    if missing := acknowledged - stored:
        tell(f"IN1: {len(missing)} acknowledged events are not stored, {min(missing)} among them.")
    if chain.faults:
        tell(f"AU2: the audit chain does not verify: {chain.faults[0]}")
    for name, destination in stage.destinations.items():
        for identity, count in destination.made_twice().items():
            tell(f"EF1: {identity} was made {count} times in {name} (class {destination.destination_class.name}).")
        if destination.keys_misused:
            tell(f"EF4: {destination.keys_misused[0]} came to {name} with another content, or after its life.")
        repeated = _repeated(destination)
        if repeated:
            tell(f"EF1: {repeated[0]} in {name} was given the same change twice.")
    _check_words(stage, posted)
    if expected is not None:
        _compare_outcome(stage, expected, found)
    if held is not None:
        _compare_targets(stage, held, ends.waiting)
    return Compared(
        events=len(stored),
        writes=stage.writes_begun,
        effects=sum(len(one.effects) for one in stage.destinations.values()),
        records=sum(len(one.held()) for one in stage.destinations.values()),
        bytes=sum(one.bytes_sent for one in stage.providers),
        waiting=len(ends.waiting),
        outcome=found,
    )


def _check_words(stage: Stage, posted: dict[str, int]) -> None:
    """What persons said is in the books once each, and each of them was answered in the end."""
    for key in stage.words:
        if (count := posted.get(key, 0)) != 1:
            stage.violations.append(f"EF1: what a person said under {key!r} is in the books {count} times.")
    if stage.unanswered:
        stage.violations.append(f"Liveness: what a person said under {stage.unanswered[0]!r} was never answered.")


def _compare_outcome(stage: Stage, expected: dict[str, str], found: dict[str, str]) -> None:
    for thing in sorted(expected.keys() | found.keys()):
        # Persons speak only where things go wrong: what they said is looked at by itself.
        if not thing.startswith(ORDERED) and expected.get(thing) != found.get(thing):
            stage.violations.append(f"OR5: {thing} is not what it is without faults.")
            return


def _repeated(destination: MemoryDestination) -> list[str]:
    """Changes that one request made twice: the same write carried out again after its effect was overwritten."""
    seen: set[tuple[str, str, tuple[tuple[str, WireValue], ...]]] = set()
    repeated = []
    for effect in destination.effects:
        # With the values: after a restore a revision is counted anew, and another change may have its number.
        name = (effect.identity, effect.request, tuple((field, after) for field, _, after in effect.fields))
        if name in seen and effect.fields:
            repeated.append(effect.identity)
        seen.add(name)
    return repeated


def _compare_targets(stage: Stage, held: Held, waiting: frozenset[str]) -> None:
    """Every target holds what it holds without faults, except where a person edited or has to decide."""
    for name, destination in stage.destinations.items():
        if destination.destination_class is DestinationClass.NOTHING:
            continue
        found = destination.held()
        for identity in sorted(held[name].keys() | found.keys()):
            key = identity.partition("/")[2]
            if identity in stage.doubtful or key in stage.doubtful or f"{name}:{identity}" in waiting:
                continue
            if found.get(identity) != held[name].get(identity):
                stage.violations.append(f"OR5: {identity} in {name} does not hold what it holds without faults.")
                return
