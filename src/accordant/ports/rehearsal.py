"""What a rehearsal reads of the past and where it is kept: stored events with their readings, what is held, findings.

Everything here only reads what the rooms stored, except the rehearsal's own run and its differences.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.rehearsal import (
    Difference,
    LeftOut,
    Rehearsal,
    RehearsalProgress,
    RehearsalTicket,
    Walked,
)
from accordant.ports.inbox import InboxEvent


class HeldEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as the hub holds it: its id, the account it counts for, the digest of its state."""

    id: str
    root_id: str
    digest: bytes


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The next events of the past. ``last`` is the number to go on from; None when there is no more.

    ``not_understood`` are those that stand parked or in quarantine today.
    """

    events: tuple[InboxEvent, ...]
    last: int | None
    erased: int = 0
    not_understood: frozenset[int] = frozenset()


class History(Protocol):
    """Obligations: only reads; an event is given with exactly the readings that were used when it was settled."""

    def count(self, *, until: datetime | None) -> tuple[int, LeftOut]:
        """How many events there are to walk, and how many are left out."""
        ...

    def after(self, seq: int, *, until: datetime | None, limit: int) -> HistoryPage:
        """The next settled events that arrived before ``until``, in order of arrival."""
        ...

    def held_after(self, entity_id: str, *, limit: int) -> tuple[HeldEntity, ...]:
        """The next entities the hub holds, in the order of their ids."""
        ...

    def account_ids(self) -> tuple[str, ...]:
        """Every account the hub holds."""
        ...

    def touched(self, since: datetime, *, until: datetime | None) -> frozenset[str]:
        """Ids of entities that events which arrived in that time spoke of."""
        ...

    def confirmed(self, refs: Iterable[str]) -> dict[str, dict[str, WireValue]]:
        """What targets were last seen to hold of these records."""
        ...


class RehearsalBook(Protocol):
    """Obligations: a run that did not end is never taken for a result."""

    def begin(self, run_id: str, *, before: str, after: str, started_at: datetime, actor: str) -> None:
        """Remember that a rehearsal started. ``before`` and ``after`` are versions of charters."""
        ...

    def keep(self, run_id: str, differences: Sequence[Difference]) -> None:
        """Add differences to a run."""
        ...

    def finish(self, rehearsal: Rehearsal) -> None:
        """Store the result of a run."""
        ...

    def order(self, ticket: RehearsalTicket) -> None:
        """Remember a rehearsal that is to be held by whoever comes first."""
        ...

    def next_order(self) -> RehearsalTicket | None:
        """The oldest order without an end."""
        ...

    def find_order(self, run_id: str) -> RehearsalTicket | None:
        """An order by its id, as long as it has no end."""
        ...

    def mark(self, run_id: str, progress: RehearsalProgress) -> bool:
        """Keep how far it is; False when somebody stopped it, or it is no longer kept."""
        ...

    def walked(self, run_id: str) -> Walked | None:
        """How far history was walked; None before the first mark."""
        ...

    def forget_differences(self, run_id: str) -> None:
        """A comparison begins again: what the one that broke off found is found anew."""
        ...

    def end(self, run_id: str, *, problem: str, at: datetime) -> bool:
        """End a run without a result, with the reason; False when it had ended."""
        ...
