"""Dead letters: what will not be tried again by itself, and how a person puts it back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.ports.audit import AuditEntry


class DeadIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A write the target refused for good, or that ran out of tries. ``fields`` names what it would have written."""

    id: str
    flow: str
    target: str
    record: str
    lane: str
    account_id: str
    fields: frozenset[str]
    attempts: int
    reason: str
    since_at: datetime


class StuckEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An inbox event that waits for a person: dead, quarantined or parked (``state``)."""

    seq: int
    connection: str
    event_type: str
    lane: str
    state: str
    attempts: int
    reason: str
    since_at: datetime


class DeadLetters(Protocol):
    """Obligations: putting back, the opening of lanes and the line in the trail are one transaction."""

    def dead_intents(self, *, limit: int) -> tuple[DeadIntent, ...]:
        """Dead intents, oldest first."""
        ...

    def stuck_events(self, *, limit: int) -> tuple[StuckEvent, ...]:
        """Dead, quarantined and parked events, oldest first."""
        ...

    def find_intents(self, ids: Iterable[str]) -> tuple[DeadIntent, ...]:
        """Those of these intents that are dead."""
        ...

    def find_events(self, seqs: Iterable[int]) -> tuple[StuckEvent, ...]:
        """Those of these events that wait for a person."""
        ...

    def replace_intents(
        self, intents: Sequence[DeadIntent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """Mark dead intents superseded and open their lanes; lanes that others keep closed come back."""
        ...

    def revive_events(
        self, events: Sequence[StuckEvent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """Make events ready again with their tries counted anew and open their lanes; as ``replace_intents``."""
        ...
