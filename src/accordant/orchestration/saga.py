"""A saga as a state machine: steps over several systems in one order, each left on evidence from the ordinary path.
It writes nothing: phases, pauses and gates hold what it waits for as they hold the rest. It says how far a change is,
what holds it, and what is to be undone. Pure. Next: `operations/saga_desk.py`, which looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.kernel.ids import derived_id, partition_of

#: Findings that are kept of one saga.
FINDINGS_MAX = 20


class SagaKind(StrEnum):
    """What a saga follows."""

    CONTRACT_WON = "contract_won"
    AMENDMENT = "amendment"


class SagaStep(StrEnum):
    """The steps of all sagas. Their order is that of ``STEPS_OF``."""

    BILLING_CUSTOMER = "billing_customer"
    ERP_CUSTOMER = "erp_customer"
    SUBSCRIPTION = "subscription"
    FIRST_INVOICE = "first_invoice"
    POSTING = "posting"
    REPRICING = "repricing"
    INVOICE = "invoice"
    TAX = "tax"
    JOURNAL = "journal"
    FORECAST = "forecast"


#: The steps of each kind, in order. A customer comes before what is sold to it, a bill before its entry, money before
#: what sales is told of it.
STEPS_OF: Mapping[SagaKind, tuple[SagaStep, ...]] = {
    SagaKind.CONTRACT_WON: (
        SagaStep.BILLING_CUSTOMER,
        SagaStep.ERP_CUSTOMER,
        SagaStep.SUBSCRIPTION,
        SagaStep.FIRST_INVOICE,
        SagaStep.POSTING,
    ),
    SagaKind.AMENDMENT: (
        SagaStep.REPRICING,
        SagaStep.INVOICE,
        SagaStep.TAX,
        SagaStep.JOURNAL,
        SagaStep.FORECAST,
    ),
}
#: Steps that are left as they are when a saga is undone: a customer who buys nothing owes nothing, and what sales is
#: told follows from the rest by itself.
KEPT_WHEN_UNDONE = frozenset({SagaStep.BILLING_CUSTOMER, SagaStep.ERP_CUSTOMER, SagaStep.TAX, SagaStep.FORECAST})


class Sight(StrEnum):
    """What the ordinary path shows of a step."""

    ABSENT = "absent"
    UNDER_WAY = "under_way"
    HELD = "held"
    FAILED = "failed"
    DONE = "done"
    NOT_NEEDED = "not_needed"
    UNDONE = "undone"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one step. ``proof`` names what it rests on: an event, a write, an entry of the journal.

    ``told`` is a sentence for a person: what was found, or what holds it and what to do.
    """

    sight: Sight
    told: str
    proof: str | None = None


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one step stands. ``key`` is its own, the same in every process and after every crash."""

    step: SagaStep
    key: str
    sight: Sight = Sight.ABSENT
    told: str = ""
    proof: str | None = None
    changed_at: datetime | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the saga may go on to the step after it."""
        return self.sight in {Sight.DONE, Sight.NOT_NEEDED}


class SagaPhase(StrEnum):
    """The life of a saga; drawn in docs/explanation/states.md."""

    RUNNING = "running"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that does not fit, and that nobody is told of by a step. ``name`` tells findings of one saga apart."""

    name: str
    told: str
    found_at: datetime


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """One saga. ``cause`` is the business event that began it, ``subject`` what it happened to, as ``system:type/id``.

    ``root_id`` is the hub's root of the event's lane, ``account_id`` the hub's customer, None while none is known.
    ``correlation`` is the id of the event it began with, which every step keeps. ``terms`` is the digest of what was
    signed, where a contract was. ``version`` counts its states from 1. ``undone_because`` is a person's word.
    """

    id: str
    kind: SagaKind
    cause: str
    seq: int
    subject: str
    correlation: str
    began_at: datetime
    opened_at: datetime
    steps: tuple[StepState, ...]
    root_id: str
    account_id: str | None = None
    terms: str = ""
    phase: SagaPhase = SagaPhase.RUNNING
    version: int = 1
    findings: tuple[Finding, ...] = ()
    undone_because: str | None = None
    undone_by: str | None = None
    ended_at: datetime | None = None

    @property
    def current(self) -> StepState | None:
        """The step it waits at: the first that is not behind it, backwards where it is undone; None at its end."""
        if self.phase is SagaPhase.RUNNING:
            return next((one for one in self.steps if not one.is_behind), None)
        if self.phase is SagaPhase.UNDOING:
            return next((one for one in reversed(self.steps) if _is_to_undo(one)), None)
        return None

    @property
    def needs_person(self) -> bool:
        """Whether nothing goes on by itself: something failed, does not fit, or is to be undone."""
        now = self.current
        stopped = now is not None and now.sight in {Sight.HELD, Sight.FAILED}
        return (
            self.phase is SagaPhase.UNDOING or stopped or (bool(self.findings) and self.phase is not SagaPhase.UNDONE)
        )

    @property
    def done_count(self) -> int:
        """How many of its steps are behind it."""
        return sum(one.is_behind for one in self.steps)


def turn_of(sagas: Sequence[Saga], *, at: datetime, most: int) -> tuple[Saga, ...]:
    """Those of many sagas that are looked at in this minute: some ``most`` at a time, each in its turn.

    Which those are follows from their ids and the minute alone, so nobody has to remember whom he looked at.
    """
    turns = -(-len(sagas) // most)
    if turns <= 1:
        return tuple(sagas)
    minute = int(at.timestamp()) // 60 % turns
    return tuple(one for one in sagas if partition_of(one.id, turns) == minute)


class CannotUndo(msgspec.Struct, frozen=True):
    """Why a saga cannot be undone, and what can be done."""

    why: str


def saga_id(kind: SagaKind, cause: str) -> str:
    """The id of the saga that an event begins: told twice, it is one saga."""
    return derived_id("sga", kind.value, cause)


def open_saga(
    *,
    kind: SagaKind,
    cause: str,
    seq: int,
    subject: str,
    root_id: str,
    account_id: str | None,
    correlation: str,
    began_at: datetime,
    now: datetime,
    terms: str = "",
) -> Saga:
    """A new saga, at its first step. ``began_at`` is when its event happened."""
    name = saga_id(kind, cause)
    return Saga(
        id=name,
        kind=kind,
        cause=cause,
        seq=seq,
        subject=subject,
        root_id=root_id,
        account_id=account_id,
        terms=terms,
        correlation=correlation,
        began_at=began_at,
        opened_at=now,
        steps=tuple(StepState(step=step, key=derived_id("sgs", name, step.value)) for step in STEPS_OF[kind]),
    )


def looked(
    saga: Saga,
    seen: Mapping[SagaStep, Evidence],
    *,
    findings: Iterable[Finding] = (),
    account_id: str | None = None,
    now: datetime,
) -> Saga:
    """The saga after a look. The same saga where nothing is new.

    A step counts only when all before it are behind: what came early is waited for with it. What is behind stays there,
    whatever is seen of it later, until a person has the saga undone.
    """
    if saga.ended_at is not None:
        # Its steps are over; what does not fit any more is still found, and told.
        told = _with_findings(saga.findings, findings)
        if told == saga.findings:
            return saga
        return msgspec.structs.replace(saga, findings=told, version=saga.version + 1)
    steps = _forward(saga, seen, now) if saga.phase is SagaPhase.RUNNING else _backward(saga, seen, now)
    told = _with_findings(saga.findings, findings)
    account = saga.account_id or account_id
    if (steps, told, account) == (saga.steps, saga.findings, saga.account_id):
        return saga
    moved = msgspec.structs.replace(saga, steps=steps, findings=told, account_id=account, version=saga.version + 1)
    if moved.current is not None:
        return moved
    phase = SagaPhase.DONE if saga.phase is SagaPhase.RUNNING else SagaPhase.UNDONE
    return msgspec.structs.replace(moved, phase=phase, ended_at=now)


def undo(saga: Saga, *, by: str, because: str, now: datetime) -> Saga | CannotUndo:
    """The saga on its way back: what is done is undone, the last first. Nothing is lost of what was done."""
    if saga.phase in {SagaPhase.UNDOING, SagaPhase.UNDONE}:
        return CannotUndo(f"It is undone already, by the word of {saga.undone_by}.")
    back = msgspec.structs.replace(
        saga,
        phase=SagaPhase.UNDOING,
        undone_because=because,
        undone_by=by,
        version=saga.version + 1,
        ended_at=None,
    )
    if back.current is not None:
        return back
    return msgspec.structs.replace(back, phase=SagaPhase.UNDONE, ended_at=now)


def _forward(saga: Saga, seen: Mapping[SagaStep, Evidence], now: datetime) -> tuple[StepState, ...]:
    steps: list[StepState] = []
    goes_on = True
    for one in saga.steps:
        if one.is_behind or not goes_on:
            steps.append(one)
            continue
        evidence = seen.get(one.step)
        after = one if evidence is None else _seen(one, evidence, now)
        steps.append(after)
        goes_on = after.is_behind
    return tuple(steps)


def _backward(saga: Saga, seen: Mapping[SagaStep, Evidence], now: datetime) -> tuple[StepState, ...]:
    steps: list[StepState] = []
    goes_on = True
    for one in reversed(saga.steps):
        evidence = seen.get(one.step)
        if goes_on and _is_to_undo(one) and evidence is not None and evidence.sight is Sight.UNDONE:
            steps.append(_seen(one, evidence, now))
            continue
        goes_on = goes_on and not _is_to_undo(one)
        steps.append(one)
    return tuple(reversed(steps))


def _seen(one: StepState, evidence: Evidence, now: datetime) -> StepState:
    # What a step was undone by is told only once a saga is undone: on the way forward it stands for nothing done.
    after = msgspec.structs.replace(one, sight=evidence.sight, told=evidence.told, proof=evidence.proof)
    return one if after == one else msgspec.structs.replace(after, changed_at=now)


def _is_to_undo(one: StepState) -> bool:
    return one.sight is Sight.DONE and one.step not in KEPT_WHEN_UNDONE


def _with_findings(known: tuple[Finding, ...], found: Iterable[Finding]) -> tuple[Finding, ...]:
    names = {one.name for one in known}
    new = [one for one in found if one.name not in names]
    return (*known, *new)[:FINDINGS_MAX]
