"""What is kept of commissions: who owned what and since when, what was collected, lines, totals, what is deferred."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from accordant.canonical.entities import Invoice, Subscription
from accordant.ledger.commissions import Cash, Line, Total


class CashState(StrEnum):
    """What became of money that came or went, for commissions: drawn in docs/explanation/states.md."""

    DUE = "due"
    COUNTED = "counted"
    HELD = "held"
    UNCOUNTED = "uncounted"


class KeptOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Since when somebody owns an opportunity or a company, and whether it was won then. ``ref`` is the CRM's name."""

    ref: str
    since: datetime
    owner: str
    is_won: bool


class KeptCash(msgspec.Struct, frozen=True, kw_only=True):
    """What one event did to money that was collected. ``version`` counts from 1.

    ``bill`` is its reference, with its total and the tax in it; None of a fee, which is of its payment. ``reason`` says
    why it is held or counts for nobody, ``cause`` is the inbox sequence number of the event.
    """

    cash: Cash
    version: int
    state: CashState
    legal_entity: str
    system: str
    subject: str
    root_id: str
    bill: str | None
    currency: str
    total_minor: int
    tax_minor: int
    cause: int | None
    reason: str | None = None


class KeptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of somebody's commission. ``posted_on`` is its day in the books, whatever the day of the event was.

    ``entry_id`` is the entry it is part of; None where it came to less than a minor unit.
    """

    id: str
    line: Line
    legal_entity: str
    currency: str
    bill: str
    posted_on: date
    entry_id: str | None
    charter: str


class KeptTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The running total of a person in one version of a plan. ``version`` counts from 1."""

    person: str
    plan: str
    version: int
    total: Total


class KeptDeferral(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a line the books have expensed. ``next_on`` is the first day that was not looked at yet."""

    line_id: str
    version: int
    legal_entity: str
    expensed_minor: int
    next_on: date | None


class KeptExpense(msgspec.Struct, frozen=True, kw_only=True):
    """What one month's end expensed of one line. ``version`` is that of its deferral."""

    line_id: str
    version: int
    month_on: date
    minor: int
    entry_id: str


class CommissionChanges(msgspec.Struct, kw_only=True):
    """What a batch adds, all with the next version of what it replaces."""

    owners: list[KeptOwner] = []
    cash: list[KeptCash] = []
    lines: list[KeptLine] = []
    totals: list[KeptTotal] = []
    deferrals: list[KeptDeferral] = []
    expenses: list[KeptExpense] = []


class Case(NamedTuple):
    """Everything that is known of one bill: what was collected, the lines so far, and the deal behind it.

    ``deal`` names the opportunity or the company whose ``owners`` count, in the order of time.
    """

    bill: str
    cash: tuple[KeptCash, ...]
    lines: tuple[KeptLine, ...]
    invoice: Invoice | None
    subscription: Subscription | None
    deal: str | None
    is_signed: bool
    term_months: int | None
    owners: tuple[KeptOwner, ...]


class CommissionDesk(Protocol):
    """Obligations: one moment for all that a call answers; what is changed meanwhile is refused at the commit."""

    def cash(self, bills: Iterable[str], events: Iterable[str]) -> dict[str, KeptCash]:
        """What was done to the money of these bills, and by these events, by the name of each."""
        ...

    def waiting(self, *, after: str, limit: int) -> tuple[str, ...]:
        """Bills of which something is due or held, behind the reference ``after``, in the order of their references."""
        ...

    def cases(self, bills: Iterable[str], crm: str) -> tuple[Case, ...]:
        """All there is of these bills; ``crm`` is the system whose owners count."""
        ...

    def totals(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], KeptTotal]:
        """Running totals by person and version of a plan; those that have none are absent."""
        ...

    def deferred(self, legal_entity: str, *, before_on: date, limit: int) -> tuple[tuple[KeptDeferral, Line], ...]:
        """What a company has not looked at before a day, each with its line."""
        ...

    def ask_again(self, *, now: datetime) -> int:
        """Let what counted for nobody be looked at again, since plans have changed; how many rows."""
        ...
