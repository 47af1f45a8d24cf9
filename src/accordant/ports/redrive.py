"""Dead letters: what will not be tried again by itself, and how a person puts it back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.ports.audit import AuditEntry
from accordant.ports.outbox import LeasedIntent, Verdict


class DeadIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A write the target refused for good, or that ran out of tries. ``fields`` names what it would have written.

    ``said_by`` and ``said_at`` are the connection and the provider's stamp of the event behind it, None without one.
    ``code`` is the word the target refused it with, empty where it gave none.
    """

    id: str
    flow: str
    target: str
    object: str
    record: str
    lane: str
    account_id: str
    fields: frozenset[str]
    attempts: int
    reason: str
    since_at: datetime
    said_by: str | None = None
    said_at: datetime | None = None
    code: str = ""


class StuckEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An inbox event that waits for a person: dead, quarantined or parked (``state``); said at its provider's stamp."""

    seq: int
    connection: str
    event_type: str
    lane: str
    state: str
    attempts: int
    reason: str
    since_at: datetime
    said_at: datetime


class WindowWaiver(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that this letter may go back although its provider can no longer list the event behind it."""

    letter: str
    granted_by: str
    reason: str
    granted_at: datetime


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
        """Mark dead intents superseded, put what was planned instead at the head of their lanes, and open those.

        Lanes that other dead letters keep closed come back. Among the given, the order in which they were planned
        first is kept.
        """
        ...

    def revive_events(
        self, events: Sequence[StuckEvent], entries: Sequence[AuditEntry], *, now: datetime
    ) -> frozenset[str]:
        """Make events ready again at their old place in the lane, their tries counted anew; as ``replace_intents``."""
        ...

    def waivers(self, letters: Iterable[str]) -> dict[str, WindowWaiver]:
        """The newest waiver of each of these letters that has one."""
        ...

    def waive(self, waivers: Sequence[WindowWaiver], entries: Sequence[AuditEntry]) -> None:
        """Keep waivers with their lines of the trail."""
        ...

    def lend(self, letter: str) -> LeasedIntent | None:
        """A dead write as a courier would hold it, for whoever knows what became of it; None when it is not dead."""
        ...

    def close(self, verdict: Verdict, *, now: datetime) -> bool:
        """Store the verdict on a dead write that was lent, as `Outbox.settle` would, and open its lane where no other
        dead letter keeps it closed. False, and nothing is changed, when it is not dead any more.
        """
        ...

    def note_absent(self, letter: DeadIntent, entries: Sequence[AuditEntry], *, now: datetime) -> None:
        """Remember that no request for this record is open: what went out last did not arrive."""
        ...

    def answered(self, records: Iterable[str]) -> frozenset[str]:
        """Those of these records (``target:object/key``) of whose last request it is known what became of it."""
        ...
