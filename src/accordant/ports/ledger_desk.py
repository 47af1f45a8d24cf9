"""What those read and change who keep the books by the clock or by hand: history unread, what is held, what is due."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Protocol

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.events import BusinessEvent
from accordant.ledger.contract_month import Asset
from accordant.ledger.periods import Period
from accordant.ports.audit import AuditEntry
from accordant.ports.books import KeptEntry, KeptPosting, KeptSchedule


class OpenEnds(msgspec.Struct, frozen=True, kw_only=True):
    """What is not in the books yet of a legal entity before a day: events that are held, and lines not recognised, of
    revenue and of deferred commissions.
    """

    held: int
    unrecognised: int


class ForeignBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed or held in another currency: in that currency, and what it stands at in the books; minor units.

    ``party`` is the customer who owes it; None of what nobody owes.
    """

    role: Role
    currency: str
    original_minor: int
    books_minor: int
    party: str | None = None


class KeptContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that is earned otherwise than it is billed: its schedules, what is not billed yet the last of them,
    and what stands of it as an asset.
    """

    schedules: tuple[KeptSchedule, ...]
    asset: Asset


def contract_root(name: str) -> str:
    """Under what the entries of a contract's month ends are kept."""
    return f"books/{name}"


class PeriodChange(msgspec.Struct, frozen=True, kw_only=True):
    """A period as it becomes; ``was`` is what it was when that was decided. ``asked_by`` has asked for it to be opened
    again and waits for a second person.
    """

    was: Period
    becomes: Period
    asked_by: str | None = None


class LedgerDesk(Protocol):
    """Obligations: what is changed meanwhile is refused with ConcurrentChange, and nothing is stored."""

    def unread(self, systems: Iterable[str], *, after: str, limit: int) -> tuple[tuple[BusinessEvent, int], ...]:
        """Events of these systems that mean something to the books and came to nothing yet, behind the id ``after`` in
        the order of their ids, each with its inbox sequence number.
        """
        ...

    def all_held(self, *, after: str, limit: int) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        """Held postings behind the event ``after``, in the order of their events."""
        ...

    def entries(self, *, after: str, limit: int) -> tuple[KeptEntry, ...]:
        """Entries behind the id ``after``, in the order of their ids."""
        ...

    def due(self, legal_entity: str, *, before_on: date, limit: int) -> tuple[KeptSchedule, ...]:
        """Schedules of which something may be earned before a day and was not looked at, in no order."""
        ...

    def contracts(self, names: Iterable[str]) -> dict[str, KeptContract]:
        """Contracts by name, each with every schedule it has."""
        ...

    def open_ends(self, legal_entity: str, systems: Iterable[str], *, before_on: date) -> OpenEnds:
        """What is not in the books yet of everything that happened before a day."""
        ...

    def first_posted_on(self, legal_entity: str) -> date | None:
        """The first day on which anything is posted; None for a company with empty books."""
        ...

    def foreign_balances(self, legal_entity: str, *, before_on: date) -> tuple[ForeignBalance, ...]:
        """What was owed or held in other currencies when a day began, by role and currency, in that order."""
        ...

    def reopen_asked_by(self, legal_entity: str, starts_on: date) -> str | None:
        """Who has asked for a closed period to be opened again."""
        ...

    def keep_period(self, change: PeriodChange, told: AuditEntry, *, now: datetime) -> None:
        """Store what was decided about a period, with its line of the trail.

        Nothing is posted into it while this is done. Raises ConcurrentChange where it is not as it was.
        """
        ...
