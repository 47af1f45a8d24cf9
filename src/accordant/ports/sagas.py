"""Where sagas are kept, and what of the ordinary path they are judged by. Reading decides and writes nothing."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.intents import IntentState
from accordant.kernel.errors import RejectedError, TransientError
from accordant.orchestration.saga import Saga, SagaKind
from accordant.ports.audit import AuditEntry


class SagaMoved(TransientError):
    """Another process or person moved the saga meanwhile; nothing of this was stored."""

    remedy = "Look where it stands now, then go on from there."


class NoSaga(RejectedError):
    """There is no saga of that id."""

    remedy = "`accordant saga list` names those that run."


class SeenEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A business event with where it came from: the hub's root of its lane, the inbox event, and its correlation id."""

    event: BusinessEvent
    root_id: str
    seq: int
    correlation: str


class SeenWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A write as far as it has come: the newest of its record."""

    id: str
    flow: str
    target: str
    record: str
    state: IntentState
    shadow: bool
    reason: str | None
    cause: int | None
    planned_at: datetime


class SagaBook(Protocol):
    """Obligations: a state and its line of the trail are one transaction; a state follows the one before."""

    def unfollowed(self, types: Collection[EventType], *, since: datetime) -> tuple[SeenEvent, ...]:
        """Events of these types that happened since and have no saga, oldest first."""
        ...

    def begin(self, saga: Saga, entry: AuditEntry) -> bool:
        """Keep a new saga; False where its event has one already, and nothing is stored."""
        ...

    def keep(self, saga: Saga, entry: AuditEntry) -> None:
        """Keep its next state. Raises SagaMoved where the stored one is not the version before."""
        ...

    def running(self) -> tuple[Saga, ...]:
        """Those that have not ended, oldest first."""
        ...

    def ended_since(self, kind: SagaKind, since: datetime) -> tuple[Saga, ...]:
        """Sagas of a kind that ended since."""
        ...

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """Records (``target:object/key``) that were seen at their target, with the target's own id of each."""
        ...

    def find(self, saga_id: str) -> Saga | None:
        """A saga by its id."""
        ...

    def latest(self, *, limit: int) -> tuple[Saga, ...]:
        """The newest sagas, whether or not they ended; those that run come first."""
        ...

    def events(self, root_id: str, types: Collection[EventType], *, since: datetime) -> tuple[SeenEvent, ...]:
        """What happened in a customer's lane since, oldest first."""
        ...

    def writes(self, lane: str, *, since: datetime) -> tuple[SeenWrite, ...]:
        """The newest write of each record of a lane that was planned since."""
        ...

    def writes_of(self, causes: Iterable[int], targets: Sequence[str]) -> tuple[SeenWrite, ...]:
        """The writes to these targets that these inbox events caused, the newest of each record."""
        ...
