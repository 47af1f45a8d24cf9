"""The sagas of one hub: begun by events, looked at again and again, undone by a person's word.

True when you leave: a state and its line of the trail are kept together, and whatever dies in between is gone on from
by looking again. Nothing is written to any system here. Next: `saga_sights.py`, which looks.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from accordant.canonical.charter import Charter
from accordant.canonical.events import EventType
from accordant.canonical.refs import EntityKind
from accordant.governance.decide import Switches
from accordant.governance.findings import Category
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.operations.saga_sights import Look, Surroundings, look_at_amendment
from accordant.operations.saga_won import look_at_contract, opportunity_of, terms_of
from accordant.orchestration.saga import CannotUndo, Saga, SagaKind, looked, open_saga, turn_of, undo
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.sagas import NoSaga, SagaBook, SagaMoved, SeenEvent
from accordant.ports.state import State

ACTOR = "saga"
#: So far back the events that begin a saga are looked for; an event that comes later than this begins none.
LOOKS_BACK = timedelta(days=30)
REASON_LENGTH_MAX = 200
#: Sagas that are looked at in one round, about; where there are more, each has its turn every few minutes.
LOOKS_MAX = 500

#: For so long after its end a contract is looked at for changes that billing did not follow.
WATCHES = timedelta(days=90)

#: Which events begin a saga, and of which kind.
BEGINS: Mapping[EventType, SagaKind] = {
    EventType.CONTRACT_AMENDED: SagaKind.AMENDMENT,
    EventType.CONTRACT_WON: SagaKind.CONTRACT_WON,
}
_LOOKS: Mapping[SagaKind, Callable[[Saga, Surroundings, datetime], Look]] = {
    SagaKind.AMENDMENT: look_at_amendment,
    SagaKind.CONTRACT_WON: look_at_contract,
}


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
        """Begin what has to be followed, and look at what runs, each in its turn; how many sagas began or moved.

        Done again, by whomever and after whatever crash, it begins and moves nothing twice.
        """
        begun, now = self._begin(), self._hub.clock()
        followed = (*self.book.running(), *self.book.ended_since(SagaKind.CONTRACT_WON, now - WATCHES))
        return begun + sum(self.look(one) != one for one in turn_of(followed, at=now, most=LOOKS_MAX))

    def look(self, saga: Saga) -> Saga:
        """Look at one saga and keep what is new; the saga as it then stands, by whomever it was moved."""
        now = self._hub.clock()
        look = _LOOKS[saga.kind](saga, self._around(), now)
        moved = looked(saga, look.seen, findings=look.findings, account_id=look.account_id, now=now)
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

    def _around(self) -> Surroundings:
        hub = self._hub
        return Surroundings(
            book=self.book,
            state=hub.state,
            rulebook=hub.rulebook,
            switches=hub.switches(),
            categories=self._categories(hub.charter),
        )

    def _begin(self) -> int:
        begun = 0
        now, around = self._hub.clock(), self._around()
        # Where nothing leads from sales into billing, a contract is the CRM's own.
        opens = bool(around.targets(Category.BILLING, EntityKind.OPPORTUNITY))
        types = [one for one in BEGINS if opens or one is not EventType.CONTRACT_WON]
        for told in self.book.unfollowed(types, since=now - LOOKS_BACK):
            saga = _of_event(told, around, now)
            begun += self.book.begin(saga, _entry(saga, "begun", ACTOR, now))
        return begun


def _of_event(told: SeenEvent, around: Surroundings, now: datetime) -> Saga:
    event = told.event
    deal = opportunity_of(event.subject, around) if event.type is EventType.CONTRACT_WON else None
    return open_saga(
        kind=BEGINS[event.type],
        cause=event.id,
        seq=told.seq,
        subject=str(event.subject),
        root_id=told.root_id,
        account_id=None if event.type is EventType.CONTRACT_WON else told.root_id,
        terms="" if deal is None else terms_of(deal),
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
