"""Upcasters: from an old version of a stored business event to the next. Stored events are never rewritten."""

from collections.abc import Callable

import msgspec

from accordant.canonical.events import CURRENT_VERSION, BusinessEvent, EventType
from accordant.kernel.errors import InvariantBroken

Stored = dict[str, object]
Upcaster = Callable[[Stored], Stored]

#: (type, version) -> function to version + 1. Every type is at version 1 today, so the table is empty.
UPCASTERS: dict[tuple[EventType, int], Upcaster] = {}


def read_business_event(data: bytes, upcasters: dict[tuple[EventType, int], Upcaster] = UPCASTERS) -> BusinessEvent:
    """Decode a stored event of any version as the current one.

    Raises: InvariantBroken when it was written by a newer version than this one, or a step is missing.
    """
    stored: Stored = msgspec.json.decode(data, type=dict[str, object])
    name, version = stored.get("type"), stored.get("version")
    if name not in set(EventType) or type(version) is not int:
        raise InvariantBroken(
            f"A stored event of type {name!r}, version {version!r}, is none that this Accordant knows."
        )
    event_type = EventType(str(name))
    current = CURRENT_VERSION[event_type]
    while version < current:
        step = upcasters.get((event_type, version))
        if step is None:
            raise InvariantBroken(f"No upcaster leads from version {version} of {event_type} to version {version + 1}.")
        stored = step(stored)
        version += 1
        stored["version"] = version
    if version > current:
        raise InvariantBroken(
            f"{event_type} of version {version} was stored by a newer Accordant; this one knows {current}."
        )
    return msgspec.convert(stored, BusinessEvent)
