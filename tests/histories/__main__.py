"""`python -m tests.histories`: what differs from what was agreed. ``--update`` agrees, ``--record`` records anew."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.histories.recorded import RECORD, Recorder, a_new_past, read, recorded_from, write
from tests.histories.replay import EFFECTS, as_kept, lines_of, play, read_effects
from tests.integration.pipeline.kit import differences, new_store

_SHOWN_MAX = 60


def main(words: Sequence[str] | None = None) -> int:
    """0 when nothing differs or the difference was taken over; else 1, with the differences."""
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    parser.add_argument("--update", action="store_true", help="take the effects of today's code as agreed")
    parser.add_argument("--record", action="store_true", help="record the histories anew, then as --update")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="accordant-histories-") as name:
        folder = Path(name)
        store = new_store(folder, "histories")
        if given.record:
            past = a_new_past()
            owner = Recorder(past)
            effects = play(recorded_from(past, {}), folder, store=store, owner=owner)
            write(recorded_from(past, owner.answers))
            print(f"{len(past.bodies)} deliveries are recorded in {RECORD.name}.")
        else:
            effects = play(read(), folder, store=store)
    before = read_effects() if EFFECTS.exists() else {}
    found = differences({"histories": before}, {"histories": as_kept(effects)})
    for line in found[:_SHOWN_MAX]:
        print(line)
    if len(found) > _SHOWN_MAX:
        print(f"and {len(found) - _SHOWN_MAX} more")
    if given.update or given.record:
        EFFECTS.write_text(lines_of(effects), encoding="utf-8")
        print(f"{len(effects)} histories are agreed. Say in your commit why they differ.")
        return 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
