"""The inbox: where deliveries become durable before anybody answers them, and where work is claimed from."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from accordant.ports.connector import Envelope

#: How the reason of an event begins that could not be processed: a defect of ours, never of the event.
FAILED = "Accordant could not process this event:"


class Proof(StrEnum):
    """How it is known that an event is its provider's own."""

    SIGNED = "signed"
    FETCHED = "fetched"
    SAID = "said"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One proved event, not yet stored: delivered and signed, fetched from its provider's API over our own call, or
    said by a person who has proved who they are.

    ``digest`` is the SHA-256 of the body; of a person's word that of what was said, whoever says it and when.
    ``headers`` are the delivery's headers as JSON, of a fetched one how it came.
    """

    connection: str
    envelope: Envelope
    headers: bytes
    body: bytes
    digest: bytes
    received_at: datetime
    proof: Proof = Proof.SIGNED


class Reception(StrEnum):
    """What became of a delivery. All three are answered with success: a retry would change nothing."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"


class WorkState(StrEnum):
    """Where an inbox event is; drawn in docs/explanation/states.md."""

    RECEIVED = "received"
    AWAITING_REREAD = "awaiting_reread"
    PROCESSED = "processed"
    PARKED = "parked"
    QUARANTINED = "quarantined"
    DEAD = "dead"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """An object as its owner returned it when asked because of an event.

    Kept beside it, so that a replay never calls out.
    """

    ref: str
    read_at: datetime
    body: bytes


class InboxEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One stored event, decrypted, with the readings made for it.

    ``attempts`` counts this try and those before it that ended without an answer.
    """

    seq: int
    connection: str
    external_id: str
    event_type: str
    lane: str
    occurred_at: datetime
    received_at: datetime
    headers: bytes
    body: bytes
    readings: tuple[Reading, ...] = ()
    attempts: int = 1


class KeptArrival(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stored event without opening it. ``reason`` says why it is in ``state``, if anything does."""

    seq: int
    digest: bytes
    state: WorkState
    reason: str | None


class WordBox(Protocol):
    """What the desks need of the inbox at which persons speak: durable first, then looked at by its number."""

    def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        """See `Inbox.accept`."""
        ...

    def find(self, connection: str, external_id: str) -> KeptArrival | None:
        """The stored event of this name, as far as it is."""
        ...

    def load(self, seqs: Sequence[int]) -> tuple[InboxEvent, ...]:
        """Stored events by number, opened. Raises RejectedError for one that was erased."""
        ...


class Inbox(Protocol):
    """Obligations: ``accept`` returns only when everything it reports is on disk.

    A repeat changes nothing but the record of it.
    """

    def accept(self, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        """Store a group of deliveries in one commit.

        A fetched event and a delivered one of the same id, type and second are one event, however they are spelled: a
        provider spells a delivery in the version of its endpoint. Raises TransientError when the store cannot; then
        nothing was stored.
        """
        ...

    def claim(self, *, limit: int, now: datetime, partitions: frozenset[int] | None = None) -> tuple[InboxEvent, ...]:
        """The oldest received events whose lane is open, in order of arrival.

        Their attempt is counted before they are returned.

        An event claimed more often than its bound without being settled is put aside as dead, its lane parked. Only a
        try in which nothing else was in work may be the last one: the death of a worker accuses all it held.
        """
        ...

    def give_back(self, seqs: Sequence[int]) -> None:
        """This worker lives and has no answer for these: what went wrong was the store. Their try does not count."""
        ...

    def keep_reading(self, seq: int, reading: Reading, *, now: datetime) -> None:
        """Store a reading beside its event and make the event ready again."""
        ...
