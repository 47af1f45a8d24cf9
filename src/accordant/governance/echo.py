"""Is this news, or only our own write coming back? A system we write to reports our writes like everybody's.

Pure. A record that says, field by field, what we last wrote there is an echo; what differs was changed by somebody.
"""

from collections.abc import Mapping

import msgspec

from accordant.canonical.conflicts import FieldMark
from accordant.canonical.intents import WireValue
from accordant.kernel.hashing import fingerprint


class Echo(msgspec.Struct, frozen=True, tag=True):
    """Every field it tells repeats our last confirmed write: nothing happened. ``revision`` is the latest of them."""

    fields: tuple[str, ...]
    revision: int


class News(msgspec.Struct, frozen=True, tag=True):
    """At least one field holds something that we never wrote, or wrote before our last write: somebody changed it."""

    fields: tuple[str, ...]


class Silent(msgspec.Struct, frozen=True, tag=True):
    """It tells no field that we ever wrote: nothing can be said, and it is taken as it is."""


def listen(told: Mapping[str, WireValue], marks: Mapping[str, FieldMark]) -> Echo | News | Silent:
    """Compare what a target says of a record with what was last written into each of its fields, digest by digest."""
    common = sorted(told.keys() & marks.keys())
    if not common:
        return Silent()
    changed = tuple(name for name in common if fingerprint(told[name]) != fingerprint(marks[name].value))
    if changed:
        return News(changed)
    return Echo(tuple(common), max(marks[name].revision for name in common))
