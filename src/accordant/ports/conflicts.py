"""The conflict book: what was contested, what a person decided, what stands. Next: `operations/restore.py`."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from accordant.canonical.conflicts import Conflict, ConflictDecision, FieldMark, Stand
from accordant.canonical.intents import WireValue
from accordant.canonical.red_flags import RedFlag
from accordant.ports.audit import AuditEntry


class FieldsKnown(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the fields of one record: our last confirmed write of each, and what stands for some.

    ``tried`` are the fields of later writes that were tried and never confirmed: they may or may not have arrived.
    """

    marks: dict[str, FieldMark] = {}
    stands: dict[str, Stand] = {}
    tried: tuple[dict[str, WireValue], ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict with what its ruling leaves in force and its line in the trail; stored together or not at all.

    ``flag`` is the red flag that it is besides, with its own line ``flagged``; both None where it is none.
    """

    conflict: Conflict
    stand: Stand | None
    entry: AuditEntry
    flag: RedFlag | None = None
    flagged: AuditEntry | None = None


class ConflictBook(Protocol):
    """Obligations: a conflict and a decision are never changed once kept; one that was met before is not kept twice."""

    def find(self, conflict_id: str) -> Conflict | None:
        """A conflict by its id."""
        ...

    def decisions(self, conflict_id: str) -> tuple[ConflictDecision, ...]:
        """What persons decided of it, oldest first."""
        ...

    def stand(self, record: str, field: str) -> Stand | None:
        """What is in force for one field."""
        ...

    def known(self, refs: Iterable[str]) -> dict[str, FieldsKnown]:
        """Marks and stands of records (``target:object/key``); a record without either is absent."""
        ...

    def note(self, found: Sequence[Found]) -> int:
        """Keep conflicts, their stands and their trail; how many were new. One that is known changes nothing, but for
        one that lapsed undecided and is met anew: it waits for a person again.
        """
        ...
