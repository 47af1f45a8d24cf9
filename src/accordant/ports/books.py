"""What the books hold: entries, what each event came to, bills, schedules, periods. Written with their batch."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import ExternalRef
from accordant.ledger.compose import Refusal
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Rate
from accordant.ledger.periods import Period
from accordant.ledger.schedule import RevenueSchedule
from accordant.ports.commissions import CommissionChanges, CommissionDesk


class PostingState(StrEnum):
    """What became of an event in the books: drawn in docs/explanation/states.md."""

    POSTED = "posted"
    HELD = "held"


class KeptPosting(msgspec.Struct, frozen=True, kw_only=True):
    """What one event came to. ``version`` counts from 1; ``bill`` is the one it is about, ``asked`` the fingerprint of
    what was posted for it.

    ``refusals`` say why it is held; beside a posted entry they say what is asked now and cannot be done. ``charter`` is
    the version under which that was found, ``cause`` the inbox sequence number. ``waits_for`` is what it is looked at
    again with: the first thing its refusals name, or what says which bill a payment pays.
    """

    event: str
    version: int
    state: PostingState
    type: str
    subject: str
    root_id: str
    bill: str | None
    happened_on: date
    entry_id: str | None
    asked: str
    refusals: tuple[Refusal, ...]
    charter: str
    cause: int | None
    waits_for: ExternalRef | None = None


class KeptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is kept. ``root_id`` names the account whose lane its document takes, or the books themselves."""

    entry: JournalEntry
    root_id: str
    bill: str | None
    charter: str
    cause: int | None


class BillState(StrEnum):
    """Whether a bill is still owed."""

    OPEN = "open"
    SETTLED = "settled"
    VOID = "void"


class KeptBill(msgspec.Struct, frozen=True, kw_only=True):
    """An open item of the receivables: what is left of one bill, in its own currency and in that of the books."""

    ref: str
    version: int
    state: BillState
    legal_entity: str
    root_id: str
    party: str | None
    number: str | None
    currency: str
    books_currency: str
    total_minor: int
    open_minor: int
    open_books_minor: int
    booked_on: date
    due_on: date
    entry_id: str


class KeptSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """How one billed line is earned, and how much of it the books have recognised so far, in both currencies.

    ``next_on`` is the first day that was not looked at yet; None once everything is recognised. Of what a contract has
    agreed and nobody billed yet ``bill`` names the contract.
    """

    id: str
    version: int
    legal_entity: str
    bill: str
    books_currency: str
    booked_on: date
    schedule: RevenueSchedule
    recognised_minor: int = 0
    recognised_books_minor: int = 0
    next_on: date | None = None

    @property
    def is_billed(self) -> bool:
        """Whether there is a bill of it."""
        return self.bill != self.schedule.contract


class KeptRecognition(msgspec.Struct, frozen=True, kw_only=True):
    """What one run recognised of one schedule, and the entry it is part of. ``version`` is that of the schedule, as are
    its company and the day it was booked on.
    """

    schedule_id: str
    legal_entity: str
    booked_on: date
    version: int
    month_on: date
    minor: int
    books_minor: int
    entry_id: str


class ScheduleAdvance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a schedule is recognised from now on; ``version`` is its next one, the other names as in the schedule."""

    id: str
    version: int
    recognised_minor: int
    recognised_books_minor: int
    next_on: date | None


class BookChanges(msgspec.Struct, kw_only=True):
    """What a batch adds to the books, all with the next version of what it replaces."""

    entries: list[KeptEntry] = []
    postings: list[KeptPosting] = []
    bills: list[KeptBill] = []
    schedules: list[KeptSchedule] = []
    recognitions: list[KeptRecognition] = []
    advances: list[ScheduleAdvance] = []
    commissions: CommissionChanges = msgspec.field(default_factory=CommissionChanges)


class Dossiers(NamedTuple):
    """Everything the books hold of some bills and events: by event, by entry id, by bill and by schedule id."""

    postings: dict[str, KeptPosting]
    events: dict[str, BusinessEvent]
    entries: dict[str, JournalEntry]
    bills: dict[str, KeptBill]
    schedules: dict[str, KeptSchedule]


class Bookshelf(Protocol):
    """Obligations: one moment for all that a call answers; what is changed meanwhile is refused at the commit."""

    @property
    def commissions(self) -> CommissionDesk:
        """What people earn on what was collected."""
        ...

    def dossiers(self, bills: Iterable[str], events: Iterable[str]) -> Dossiers:
        """What is held of these bills, by their references, and of these events."""
        ...

    def held(
        self, root_ids: Iterable[str], arrived: Iterable[ExternalRef]
    ) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        """The held postings of these accounts, and all that wait for what arrived, each once and with its event."""
        ...

    def allocations(self, names: Iterable[ExternalRef]) -> tuple[BusinessEvent, ...]:
        """What is known of which bills payments of these names pay, and which sold the credits of such grants."""
        ...

    def kept_entries(self, ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """Entries by id, in no order; names of none are left out."""
        ...

    def entries_of(self, root_ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """All entries of these accounts, oldest first."""
        ...

    def periods(self) -> tuple[Period, ...]:
        """The periods that people closed or opened again."""
        ...

    def rate_of(self, of: str, in_: str, day: date) -> Rate | None:
        """What one unit of a currency cost in another on a day; None where nobody published it."""
        ...
