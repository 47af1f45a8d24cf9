"""The extra step before room 3: an object whose state is in doubt is read again from its owner, and the answer is kept.

Doubts of many events about one object are one call. A replay finds the answer beside the event and never calls out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from accordant.canonical.refs import ExternalRef
from accordant.kernel.errors import AccordantError
from accordant.ports.connector import Reader
from accordant.ports.inbox import Reading


class RereadQueue(Protocol):
    """The part of the inbox this room needs."""

    def awaiting_reread(self, *, now: datetime, limit: int) -> tuple[tuple[int, str], ...]:
        """Events that wait, with the printed reference of the object each needs."""
        ...

    def keep_reading(self, seq: int, reading: Reading, *, now: datetime) -> None:
        """Store the answer beside its event and make the event ready again."""
        ...

    def postpone(self, seqs: Sequence[int], *, until: datetime) -> None:
        """Look at these events again later."""
        ...


async def reread(
    waiting: Sequence[tuple[int, str]],
    *,
    readers: Mapping[str, Reader],
    queue: RereadQueue,
    now: datetime,
    pause: timedelta,
) -> tuple[str, ...]:
    """Ask the owner of each object once and keep the answer for every event that waits for it.

    The problems, in words.
    """
    by_ref: dict[str, list[int]] = {}
    for seq, name in waiting:
        by_ref.setdefault(name, []).append(seq)
    problems = []
    for name, seqs in by_ref.items():
        ref = ExternalRef.parse(name)
        reader = readers.get(ref.system)
        if reader is None:
            problems.append(
                f"{ref.system} has no API key in the charter, so {name} cannot be read again; its events wait."
            )
            queue.postpone(seqs, until=now + pause)
            continue
        try:
            body, read_at = await reader.read(ref)
        except AccordantError as error:
            problems.append(f"{name} could not be read again: {error}")
            queue.postpone(seqs, until=now + pause)
            continue
        for seq in seqs:
            queue.keep_reading(seq, Reading(ref=name, read_at=read_at, body=body), now=now)
    return tuple(problems)
