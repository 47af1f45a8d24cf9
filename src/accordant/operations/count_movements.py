"""Counts how recurring revenue moved, hour by hour, out of the whole past (requirements 91, 160).

What that changes is decided again like anything that is owed. Next: `tell_movements.py`, `analytics/movements.py`.
"""

from collections.abc import Mapping
from datetime import timedelta, tzinfo

import msgspec

from accordant.analytics.movements import MovedRevenue, sum_up
from accordant.kernel.clock import Clock
from accordant.operations.directory_office import Marks
from accordant.operations.tell_movements import Past, stated_of
from accordant.ports.connector import Inbound
from accordant.ports.movements import MovementBook

_PLACE = "movements"
_AT_ONCE = 200
#: What was recorded less long ago is looked at once more next time: a batch before it may still be committing.
_GRACE = timedelta(minutes=5)


class MovementRound(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts were counted, and for how many of them something had moved."""

    counted: int
    moved: int


def count_movements(
    *, book: MovementBook, marks: Marks, past: Past, connectors: Mapping[str, Inbound], clock: Clock, zone: tzinfo
) -> MovementRound:
    """Count every account of which something was told since the last time, or whose day has come.

    Batch by batch: one that breaks off is begun again where the last whole round ended, and counts the same. Raises
    TransientError when the store cannot.
    """
    place = marks.read(_PLACE) or 0
    reached = book.place_at(clock() - _GRACE, after=place)
    accounts = sorted({*book.told_since(place), *book.due(clock())})
    moved = 0
    for start in range(0, len(accounts), _AT_ONCE):
        batch, now = accounts[start : start + _AT_ONCE], clock()
        known = book.of(batch)
        counted = {
            name: sum_up(stated_of(name, past=past, connectors=connectors), as_of=now, zone=zone) for name in batch
        }
        changed = [name for name, one in counted.items() if _tells(known.get(name)) != _tells(one)]
        book.keep(counted, changed=changed, now=now)
        moved += len(changed)
    if reached > place:
        marks.move(_PLACE, reached, now=clock())
    return MovementRound(counted=len(accounts), moved=moved)


def _tells(one: MovedRevenue | None) -> MovedRevenue | None:
    """What a record would show of it: not when it may move next."""
    return None if one is None else msgspec.structs.replace(one, next_at=None)
