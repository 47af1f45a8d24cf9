"""What a replay reads of the past and where it is kept: which events, in which order, and how far it is."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from accordant.canonical.charter import Automation
from accordant.ports.audit import AuditEntry
from accordant.ports.rehearsal import HistoryPage


class ReplayClass(StrEnum):
    """What an event tells of. Replayed in this order: money, then subscriptions, then the rest (requirement 143)."""

    MONEY = "money"
    SUBSCRIPTION = "subscription"
    SUPPORT = "support"


class ReplayScope(msgspec.Struct, frozen=True, kw_only=True):
    """Which events. What is None does not narrow; ``entity`` is an entity's id or ``system:Type/id``.

    ``since`` and ``until`` are of the arrival here.
    """

    event: int | None = None
    entity: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay, by whom and why. ``automations`` are the classes that may act; records are synced anyhow.

    ``by_server``: whichever process looks after the hub walks it, nobody waits at a terminal.
    """

    scope: ReplayScope
    actor: str
    reason: str
    classes: tuple[ReplayClass, ...] = tuple(ReplayClass)
    automations: tuple[Automation, ...] = ()
    by_server: bool = False


class ReplayProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay is: the class it is at, and the last event of it that is done.

    ``changed`` counts events that changed anything, ``intents`` the writes planned because of it, ``stopped`` those
    that could not be processed; ``doubtful`` are numbers of events whose owner would have to be asked.
    """

    at: ReplayClass | None
    after: int = 0
    total: int = 0
    done: int = 0
    changed: int = 0
    intents: int = 0
    stopped: int = 0
    erased: int = 0
    doubtful: tuple[int, ...] = ()


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True):
    """One replay. ``finished_at`` is None while there is something left to do."""

    id: str
    order: ReplayOrder
    progress: ReplayProgress
    started_at: datetime
    finished_at: datetime | None = None


class EventKind(msgspec.Struct, frozen=True):
    """One type of event in a scope, how many there are, and the number of the newest."""

    connection: str
    event_type: str
    count: int
    newest: int


class ReplayHistory(Protocol):
    """Obligations: only events that were settled; one that waits is in the queue, one that died is redriven."""

    def kinds(self, scope: ReplayScope) -> tuple[EventKind, ...]:
        """The types of event in this scope."""
        ...

    def walk(self, scope: ReplayScope, kinds: frozenset[tuple[str, str]], *, after: int, limit: int) -> HistoryPage:
        """The next events of these (connection, type) after that number, in order of arrival."""
        ...

    def pick(self, seqs: tuple[int, ...]) -> HistoryPage:
        """These events, as ``walk`` gives them."""
        ...


class ReplayBook(Protocol):
    """Obligations: a job outlives the process that runs it."""

    def begin(self, job: ReplayJob, *, entry: AuditEntry) -> None:
        """Remember a new job, with its line of the trail."""
        ...

    def keep(self, job: ReplayJob) -> None:
        """Remember how far it is."""
        ...

    def finish(self, job: ReplayJob, *, entry: AuditEntry) -> None:
        """Remember its end, with its line of the trail."""
        ...

    def ordered(self) -> tuple[ReplayJob, ...]:
        """Jobs that a server is to walk and that are not finished, oldest first."""
        ...

    def find(self, job_id: str) -> ReplayJob | None:
        """A job by its id."""
        ...
