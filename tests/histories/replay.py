"""Plays recorded histories through the rooms and writes down their effects: one line a customer, for a person to read.

An effect is what leaves the hub or counts in it: the record a target should hold, how often it was planned anew, and
the business events. Ids of our own are left out; everything else has to be the same, or a reviewed difference.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.store import schema
from tests.histories.recorded import Recorded
from tests.integration.pipeline.kit import Owner, Rooms, rooms

EFFECTS = Path(__file__).with_name("effects.jsonl")
#: Deliveries taken at once, at most: the dice are seeded, so that the batches are always the same.
_BATCH_MAX = 60

Effects = dict[str, dict[str, Any]]


def play(kept: Recorded, folder: Path, *, store: str, owner: Owner | None = None) -> Effects:
    """Effects by customer, of the code as it is now."""
    with rooms(store, folder, at=kept.ended_at, past=owner or kept) as walk:
        walk.accept(kept.bodies)
        walk.finish(random.Random(7), batch_max=_BATCH_MAX)
        return dict(_effects(walk))


def _effects(walk: Rooms) -> Iterator[tuple[str, dict[str, Any]]]:
    linked: dict[str, list[str]] = {}
    for ref, entity_id in walk.rows(schema.crosswalk, "ref", "entity_id"):
        linked.setdefault(entity_id, []).append(ref)
    planned = Counter(record for (record,) in walk.rows(schema.write_intent, "record"))
    names = [name for (name,) in walk.rows(schema.desired_record, "ref")]
    records: dict[str, dict[str, Any]] = {}
    for name, wanted in walk.hub.state.desired(names).items():
        about = {"flow": wanted.flow, "fields": dict(sorted(wanted.fields.items())), "planned": planned[name]}
        records.setdefault(str(wanted.lane).rpartition(":")[2], {})[name] = about
    happened: dict[str, Counter[str]] = {}
    for kind, root in walk.rows(schema.business_event, "type", "root_id"):
        happened.setdefault(root, Counter())[kind] += 1
    for root in sorted(records.keys() | happened.keys()):
        customers = sorted(ref for ref in linked.get(root, ()) if ExternalRef.parse(ref).object_type == "customer")
        yield (
            " ".join(customers or sorted(linked.get(root, ()))),
            {
                "records": dict(sorted(records.get(root, {}).items())),
                "events": dict(sorted(happened.get(root, {}).items())),
            },
        )


def lines_of(effects: Effects) -> str:
    """Effects as they are kept: one customer a line, sorted, so that a difference is a difference of lines."""
    return "".join(
        msgspec.json.encode({"history": name, **effects[name]}, enc_hook=str).decode() + "\n"
        for name in sorted(effects)
    )


def as_kept(effects: Effects) -> Effects:
    """Effects as they are after they were written down and read."""
    return _read(lines_of(effects))


def read_effects(path: Path = EFFECTS) -> Effects:
    """What somebody agreed to."""
    return _read(path.read_text(encoding="utf-8"))


def _read(text: str) -> Effects:
    kept = [msgspec.json.decode(line) for line in text.splitlines()]
    return {one.pop("history"): one for one in kept}
