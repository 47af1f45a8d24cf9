"""What the review queue must be able to ask and keep: a case with its past, and one decision with all it changes."""

from collections.abc import Collection
from typing import Protocol

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.matching import Candidate, RecordLink, ReviewCase, ReviewState, Subject
from accordant.canonical.review import ReviewDecision
from accordant.ports.audit import AuditEntry
from accordant.ports.matching import DecidedCase


class Place(msgspec.Struct, frozen=True, order=True):
    """The question about one customer at one target: whose record is it there?"""

    account_id: str
    system: str
    object: str


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known where a decision is to be made.

    ``decided`` is None where nobody ever had to ask; ``written`` are the records the crosswalk has for the customer
    here, newest first. ``owners`` are the links of the customers whose own keys the chosen record carries, ``line`` are
    their keys and those of all records above theirs. ``leaving`` are keys that the chosen record still carries of
    customers whom a person has split off it: the next write of each takes its key away.
    """

    place: Place
    subject: Subject
    decided: DecidedCase | None
    history: tuple[ReviewDecision, ...]
    link: RecordLink | None
    written: tuple[str, ...]
    chosen: Candidate | None
    owners: tuple[RecordLink, ...]
    line: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()


class ReviewAct(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one decision changes, kept whole or not at all.

    ``expected`` is the state of the case it was decided on, None where there was no case. ``link`` is the link after
    it, None for none. ``allowed`` are records that may be offered again. ``waits`` says that the customer's writes to
    the target wait after it.
    """

    place: Place
    case: ReviewCase
    state: ReviewState
    expected: ReviewState | None
    chosen_id: str | None
    decision: ReviewDecision
    link: RecordLink | None
    allowed: tuple[str, ...]
    waits: bool
    audit: AuditEntry


class ReviewDesk(Protocol):
    """Obligations: of two decisions on one state of a case one is kept; the trail and the lane change with it."""

    def places(self, name: str) -> tuple[Place, ...]:
        """The questions meant by a case's id, or by an account: its id, its owner's reference or its owner's id."""
        ...

    def file(self, place: Place, chosen: Candidate | str | None) -> CaseFile | None:
        """What is known at a place, with what is known of the chosen record; None for an account nobody described."""
        ...

    def linked_to(self, system: str, object_name: str, target_ids: Collection[str]) -> tuple[RecordLink, ...]:
        """The links that lead to these records."""
        ...

    def records_together(self, system: str, object_name: str) -> tuple[tuple[Candidate, ...], ...]:
        """Records of the directory that have a key in common, those of one key together."""
        ...

    def apply(self, act: ReviewAct) -> bool:
        """Keep a decision. False when somebody decided meanwhile: then nothing has changed."""
        ...


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept about one account at one target.

    ``target_id`` is the record it was last known to be. ``by_person`` says that a person chose it, or a new record.
    ``rejected`` are records that a person said it is not; ``kin`` those of its company's other customers, where each
    has one of its own. ``waiting`` is the question that is still open, in a sentence.
    """

    target_id: str | None = None
    by_person: bool = False
    rejected: frozenset[str] = frozenset()
    kin: frozenset[str] = frozenset()
    waiting: str | None = None


class LinkMemory(Protocol):
    """What the recognizer must remember of accounts, and of documents that were made."""

    def remember(self, system: str, object_name: str, account_ids: Collection[str]) -> dict[str, Remembered]:
        """What is kept about accounts at one target, by account id; nothing of one without anything kept."""
        ...

    def subjects(self, account_ids: Collection[str], *, reference_key: str | None) -> dict[str, Subject]:
        """The customers as the ladder and a person look at them, by account id."""
        ...

    def candidates(self, system: str, object_name: str, target_ids: Collection[str]) -> dict[str, Candidate]:
        """What is known of records of the target, by their id."""
        ...

    def found_there(self, system: str, object_name: str, key: str, target_id: str) -> dict[str, WireValue]:
        """What a record held before the first write under this key; nothing where that write made it."""
        ...

    def confirmed(self, system: str, object_name: str, keys: Collection[str]) -> dict[str, str]:
        """The target's own id of the record it last confirmed under each of these keys; nothing of one it never did."""
        ...

    def was_written(self, system: str, target_ids: Collection[str]) -> frozenset[str]:
        """Which of these records hold what we last wrote or read, as far as we know."""
        ...
