"""What stands for the fields of a record when it is planned: kept values, held fields, and what has lapsed.

A kept value is written like any other, until the owner says something else. Next: `pipeline/plan.py`.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from accordant.canonical.conflicts import Stand, StandEffect
from accordant.canonical.intents import WireValue
from accordant.governance.loop_breaker import SPAN


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """The desired fields with the stands applied.

    ``kept`` are fields whose value is not the owner's, ``held`` those that wait for a person, each with the sentence;
    ``lapsed`` are stands that end here, because the owner said something else since.
    """

    fields: dict[str, WireValue]
    kept: frozenset[str] = frozenset()
    held: dict[str, str] = {}
    lapsed: tuple[Stand, ...] = ()
    notes: tuple[str, ...] = ()


def with_stands(
    fields: dict[str, WireValue], stands: Mapping[str, Stand], *, financial: frozenset[str], now: datetime
) -> Stood:
    """Apply what stands to what the owner wants. A kept value never stands for a ``financial`` field."""
    if not stands:
        return Stood(fields=fields)
    applied, kept, held, lapsed, notes = dict(fields), set[str](), dict[str, str](), list[Stand](), list[str]()
    for name, stand in sorted(stands.items()):
        if name not in fields:
            continue  # the owner says nothing of it today, so there is nothing to set aside
        if stand.effect is StandEffect.HOLD:
            held[name] = stand.sentence
        elif stand.effect is StandEffect.RELEASE:
            if stand.since_at <= now - SPAN:
                lapsed.append(stand)
        elif fields[name] != stand.against:
            lapsed.append(stand)
        elif stand.effect is StandEffect.WRITE:
            notes.append(stand.sentence)
        elif name in financial:
            notes.append(f"{name} is part of the financial state: what {stand.by} kept for it does not stand any more.")
        else:
            applied[name] = stand.value
            kept.add(name)
            notes.append(stand.sentence)
    return Stood(fields=applied, kept=frozenset(kept), held=held, lapsed=tuple(lapsed), notes=tuple(notes))
