"""What matching must be able to ask and keep: links, rejections, open questions, and how far a scan came."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.matching import Candidate, MatchKey, RecordLink, ReviewCase, ReviewState
from accordant.canonical.refs import ExternalRef
from accordant.ports.directory import DirectoryEntry, Found


class Pair(msgspec.Struct, frozen=True, order=True):
    """A customer and a record of which a person said that they do not belong together."""

    account_id: str
    system: str
    object: str
    target_id: str


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """How far the reading of one object's records has come.

    ``cursor`` is where to go on. ``complete_at`` is when a reading last came to its end; None before the first did.
    """

    system: str
    object: str
    started_at: datetime
    cursor: str = ""
    records: int = 0
    complete_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether this reading was begun and has not come to its end."""
        return self.complete_at is None or self.complete_at < self.started_at


class MatchState(msgspec.Struct, frozen=True, kw_only=True):
    """All that was decided about some accounts.

    ``links`` are theirs and those of accounts they share a record with; ``written`` the records of targets that the
    crosswalk has for them; ``cases`` their open questions by id; ``scanned`` the (system, object) that were read whole.
    """

    links: tuple[RecordLink, ...]
    written: dict[str, tuple[ExternalRef, ...]]
    rejected: frozenset[Pair]
    cases: dict[str, ReviewCase]
    scanned: frozenset[tuple[str, str]]


class MatchBook(Protocol):
    """Obligations: everything about a batch of accounts is read at one moment."""

    def of_accounts(self, account_ids: Iterable[str]) -> MatchState:
        """What was decided about these accounts."""
        ...

    def holders(self, system: str, object_name: str, record_id: str) -> tuple[RecordLink, ...]:
        """The links that lead to a record; to one still to be created by the key it is to have."""
        ...

    def lookup_many(self, system: str, object_name: str, questions: Sequence[frozenset[MatchKey]]) -> list[Found]:
        """What the directory has under the keys of each of many customers, in their order."""
        ...

    def records(self, system: str, object_name: str, ids: Iterable[str]) -> dict[str, Candidate]:
        """The records that the directory has under these ids."""
        ...


class MatchChanges(msgspec.Struct, kw_only=True):
    """What matching decided in a batch. ``lapsed`` are reasons by the id of the case.

    ``groups`` are keys of records that several accounts share; ``witnessed`` the versions of standings that were read
    to add them up: the commit is refused when one of them has changed. ``astray`` are records of the directory, by
    system, object and id, that lead to nobody's any more. ``left_behind`` are accounts whose record another account no
    longer shares: they are to be decided again.
    """

    links: list[RecordLink] = []
    cases: list[ReviewCase] = []
    lapsed: dict[str, str] = {}
    directory: list[DirectoryEntry] = []
    astray: set[tuple[str, str, str]] = set()
    groups: set[str] = set()
    witnessed: dict[str, int] = {}
    left_behind: set[str] = set()


class DecidedCase(msgspec.Struct, frozen=True, kw_only=True):
    """A review case with where it stands. ``chosen_id`` is the record that was accepted or rejected, where there was
    one.
    """

    case: ReviewCase
    state: ReviewState
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None
    chosen_id: str | None = None


class ScanBook(Protocol):
    """Obligations: a page and how far the scan has come are kept together, so a crash loses or keeps both."""

    def scan(self, system: str, object_name: str) -> Scan | None:
        """How far the reading of an object has come; None before it was begun."""
        ...

    def keep_page(self, scan: Scan, entries: Sequence[DirectoryEntry], *, now: datetime) -> None:
        """Add a page of records to the directory."""
        ...

    def finish_scan(self, scan: Scan) -> int:
        """Forget the records this reading did not meet, and mark it complete; how many were forgotten."""
        ...

    def count(self, system: str, object_name: str) -> int:
        """How many records of an object the directory has."""
        ...
