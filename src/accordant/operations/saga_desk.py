"""The sagas of one hub: begun by events, looked at again and again, undone by a person's word.

True when you leave: a state and its line of the trail are kept together, and whatever dies in between is gone on from
by looking again. Nothing is written to any system here. Next: `saga_sights.py`, which looks.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from accordant.canonical.charter import Charter
from accordant.canonical.events import EventType
from accordant.governance.decide import Switches
from accordant.governance.findings import Category
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.operations.saga_sights import Seen, Surroundings, sights_of_amendment
from accordant.orchestration.saga import CannotUndo, Saga, SagaKind, looked, open_saga, undo
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.sagas import NoSaga, SagaBook, SagaMoved, SeenEvent
from accordant.ports.state import State

ACTOR = "saga"
#: So far back the events that begin a saga are looked for; an event that comes later than this begins none.
LOOKS_BACK = timedelta(days=30)
REASON_LENGTH_MAX = 200

#: Which events begin a saga, and of which kind.
BEGINS: Mapping[EventType, SagaKind] = {EventType.CONTRACT_AMENDED: SagaKind.AMENDMENT}
_SIGHTS: Mapping[SagaKind, Callable[[Saga, Surroundings], Seen]] = {SagaKind.AMENDMENT: sights_of_amendment}


class SagaHub(Protocol):
    """The hub, as far as sagas need it."""

    @property
    def charter(self) -> Charter: ...
    @property
    def rulebook(self) -> Rulebook: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def state(self) -> State: ...
    def switches(self) -> Switches: ...


class SagaDesk:
    """Begins sagas, looks at them, and takes a person's word that one is to be undone."""

    def __init__(
        self, hub: SagaHub, book: SagaBook, *, categories: Callable[[Charter], Mapping[str, Category]]
    ) -> None:
        self.book = book
        self._hub = hub
        self._categories = categories

    def round(self) -> int:
        """Begin what has to be followed, and look at all that runs; how many sagas began or moved.

        Done again, by whomever and after whatever crash, it begins and moves nothing twice.
        """
        return self._begin() + sum(self.look(one) != one for one in self.book.running())

    def look(self, saga: Saga) -> Saga:
        """Look at one saga and keep what is new; the saga as it then stands, by whomever it was moved."""
        hub = self._hub
        around = Surroundings(
            book=self.book,
            state=hub.state,
            rulebook=hub.rulebook,
            switches=hub.switches(),
            categories=self._categories(hub.charter),
        )
        now = hub.clock()
        moved = looked(saga, _SIGHTS[saga.kind](saga, around), now=now)
        if moved == saga:
            return saga
        try:
            self.book.keep(moved, _entry(moved, "moved" if moved.ended_at is None else "ended", ACTOR, now))
        except SagaMoved:
            return self.find(saga.id)
        return moved

    def find(self, saga_id: str) -> Saga:
        """A saga by its id. Raises NoSaga."""
        found = self.book.find(saga_id)
        if found is None:
            raise NoSaga(f"There is no saga {saga_id}.")
        return found

    def undo(self, saga_id: str, *, actor: str, because: str) -> Saga:
        """Have a saga undone: from now on it waits for each of its steps to be taken back, the last first.

        What takes them back is done where the change was made, and comes here as everything else does. Raises NoSaga,
        SagaMoved, RejectedError without a name or a reason, and where it is undone already.
        """
        saga, now = self.find(saga_id), self._hub.clock()
        if not actor.strip() or not 1 <= len(because.strip()) <= REASON_LENGTH_MAX:
            raise RejectedError(
                "A saga is undone by a named person for a reason.",
                remedy=f"Give both, the reason with up to {REASON_LENGTH_MAX} characters.",
            )
        back = undo(saga, by=actor.strip(), because=because.strip(), now=now)
        if isinstance(back, CannotUndo):
            raise RejectedError(
                back.why, remedy=f"`accordant saga show {saga_id}` says what is still to be taken back."
            )
        self.book.keep(back, _entry(back, "undone", actor.strip(), now))
        return self.look(back)

    def _begin(self) -> int:
        begun = 0
        now = self._hub.clock()
        for told in self.book.unfollowed(BEGINS.keys(), since=now - LOOKS_BACK):
            saga = _of_event(told, now)
            begun += self.book.begin(saga, _entry(saga, "begun", ACTOR, now))
        return begun


def _of_event(told: SeenEvent, now: datetime) -> Saga:
    event = told.event
    return open_saga(
        kind=BEGINS[event.type],
        cause=event.id,
        seq=told.seq,
        subject=str(event.subject),
        account_id=told.root_id,
        correlation=told.correlation,
        began_at=event.occurred_at,
        now=now,
    )


def _entry(saga: Saga, what: str, actor: str, now: datetime) -> AuditEntry:
    current = saga.current
    body: dict[str, str | int | bool | list[str] | None] = {
        "kind": saga.kind.value,
        "phase": saga.phase.value,
        "version": saga.version,
        "correlation": saga.correlation,
        "step": None if current is None else current.step.value,
        "sight": None if current is None else current.sight.value,
        "proofs": [one.proof for one in saga.steps if one.proof is not None],
        "because": saga.undone_because,
    }
    return AuditEntry(
        kind=f"operations.saga.{what}", actor=actor, subject=f"saga/{saga.id}", cause=saga.seq, at=now, body=body
    )
