"""A recovery as a state machine: seven steps in one order (requirement 143), each left only when its exit holds.

An exit is about records that match, never about a queue that is empty (requirement 144). Pure: what was measured comes
in, the next state or what is missing comes out. Next: `operations/incident_room.py`, which measures.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from accordant.kernel.ids import derived_id

#: How old what was measured may be when a step is left on it.
MEASURED_LASTS = timedelta(minutes=15)
#: What stands in the way, told one by one, at most.
OBSTACLES_MAX = 20


class RecoveryStep(StrEnum):
    """The steps of a recovery, in their order."""

    STOP_OUTBOUND = "stop_outbound"
    FREEZE_NONESSENTIAL = "freeze_nonessential"
    RECONCILE_MONEY = "reconcile_money"
    REPLAY_MONEY = "replay_money"
    REPLAY_SUBSCRIPTIONS = "replay_subscriptions"
    REPLAY_SUPPORT = "replay_support"
    RESTORE_AUTOMATIONS = "restore_automations"

    @property
    def place(self) -> int:
        """Its place in the order, from 0."""
        return _PLACES[self]

    @property
    def after(self) -> "RecoveryStep | None":
        """The step that follows; None after the last."""
        place = self.place + 1
        return STEPS[place] if place < len(STEPS) else None

    @property
    def compares(self) -> bool:
        """Whether the step is left on records that match."""
        return self.place >= RecoveryStep.RECONCILE_MONEY.place

    @property
    def replays(self) -> bool:
        """Whether past events are walked once more in it."""
        return self.place in range(RecoveryStep.REPLAY_MONEY.place, RecoveryStep.REPLAY_SUPPORT.place + 1)


STEPS: tuple[RecoveryStep, ...] = tuple(RecoveryStep)
_PLACES = {step: place for place, step in enumerate(STEPS)}


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that has to be thrown from the step ``since`` until the step ``until`` begins.

    ``ours``: the incident throws and releases it. One that somebody else had thrown before stays as it is.
    """

    switch: str
    since: RecoveryStep
    until: RecoveryStep
    ours: bool = True


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison that came to its end. ``differing`` counts what stands against leaving the step.

    ``name`` is the flow, or ``source:SYSTEM`` and ``money:SYSTEM`` for an owner against the hub.
    """

    name: str
    run: str
    started_at: datetime
    records: int
    differing: int
    told: tuple[str, ...] = ()


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """How far the step's replay is. ``aside``: events that could not be processed, or whose owner must be asked."""

    job: str
    total: int
    done: int
    aside: int
    is_finished: bool


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was found while a step was worked on.

    ``unmoved`` are switches that do not stand as the step wants them, ``expected`` the comparisons the step asks for.
    ``under_way`` are writes of before the step: at the stops those that left and have no answer yet, from the support
    step on those that were planned and have not arrived.
    """

    step: RecoveryStep
    taken_at: datetime
    unmoved: tuple[str, ...] = ()
    under_way: int = 0
    expected: tuple[str, ...] = ()
    compared: tuple[Compared, ...] = ()
    walked: Walked | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that the step is to be worked on by whichever process looks after the hub."""

    by: str
    at: datetime
    closing: bool = False


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. ``since`` is from when on events may have been missed or lost; ``step`` is None once it is closed.

    ``entered_at`` is when its step began, ``measured`` what was found last. ``version`` counts its states from 1.
    ``cancelled_because`` is why it ended without a recovery: it had been opened by mistake.
    """

    id: str
    title: str
    opened_by: str
    opened_at: datetime
    since: datetime
    step: RecoveryStep | None
    entered_at: datetime
    stops: tuple[Stop, ...]
    version: int = 1
    measured: Measured | None = None
    asked: Asked | None = None
    closed_at: datetime | None = None
    cancelled_because: str | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident's timeline: what was done or found, at which step, by whom."""

    at: datetime
    actor: str
    step: RecoveryStep | None
    kind: str
    text: str


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a step may be left. ``figure``, of what ``of`` says, has to become 0; None before it was counted."""

    figure: int | None
    of: str
    is_met: bool
    obstacles: tuple[str, ...]


class NotYet(msgspec.Struct, frozen=True, kw_only=True):
    """The step is not left; ``exit`` says what is in the way."""

    exit: Exit


def open_incident(*, title: str, actor: str, since: datetime, stops: Iterable[Stop], now: datetime) -> Incident:
    """A new incident, at its first step."""
    return Incident(
        id=derived_id("inc", actor, title, now.isoformat()),
        title=title,
        opened_by=actor,
        opened_at=now,
        since=since,
        step=STEPS[0],
        entered_at=now,
        stops=tuple(stops),
    )


def stopped_at(incident: Incident, step: RecoveryStep | None) -> frozenset[str]:
    """The switches that have to be thrown while the incident is at ``step``; none after its end."""
    if step is None:
        return frozenset()
    return frozenset(one.switch for one in incident.stops if one.since.place <= step.place < one.until.place)


def released_at(incident: Incident, step: RecoveryStep | None) -> frozenset[str]:
    """The incident's own switches that must not be thrown any more at ``step``."""
    stopped = stopped_at(incident, step)
    begun = len(STEPS) if step is None else step.place
    return frozenset(
        one.switch for one in incident.stops if one.ours and one.until.place <= begun and one.switch not in stopped
    )


def exit_of(incident: Incident, measured: Measured | None, *, now: datetime) -> Exit:
    """Whether the step may be left on what was measured; its figure is live as long as that is."""
    step = incident.step
    if step is None:
        return Exit(figure=0, of="steps left", is_met=False, obstacles=("The incident is closed.",))
    if measured is None or measured.step is not step or measured.taken_at < incident.entered_at:
        return Exit(
            figure=None,
            of=_figure_name(step),
            is_met=False,
            obstacles=("Nothing was measured since this step began.",),
        )
    obstacles = [f"{name} does not stand as this step wants it." for name in measured.unmoved]
    if now - measured.taken_at > MEASURED_LASTS:
        minutes = MEASURED_LASTS // timedelta(minutes=1)
        obstacles.append(f"What was measured is older than {minutes} minutes.")
    if not step.compares:
        obstacles += [f"{measured.under_way} writes have left and have no answer yet."] if measured.under_way else []
        figure = len(measured.unmoved) + measured.under_way
        return Exit(figure=figure, of=_figure_name(step), is_met=not obstacles, obstacles=tuple(obstacles))
    obstacles += _of_replay(measured)
    obstacles += _of_comparisons(incident, measured)
    if measured.under_way:
        obstacles.append(f"{measured.under_way:,} writes that were planned before this step have not arrived.")
    differing = sum(one.differing for one in measured.compared)
    return Exit(
        figure=differing + measured.under_way if measured.compared else None,
        of=_figure_name(step),
        is_met=not obstacles,
        obstacles=tuple(obstacles[:OBSTACLES_MAX]),
    )


def _of_replay(measured: Measured) -> list[str]:
    if not measured.step.replays:
        return []
    walked = measured.walked
    if walked is None or not walked.is_finished:
        done = "not begun" if walked is None else f"at {walked.done:,} of {walked.total:,} events"
        return [f"The replay of this step is {done}."]
    return [f"{walked.aside:,} events of the replay {walked.job} stand aside."] if walked.aside else []


def _of_comparisons(incident: Incident, measured: Measured) -> list[str]:
    compared = {one.name: one for one in measured.compared if one.started_at >= incident.entered_at}
    found = [f"{name} was not compared since this step began." for name in measured.expected if name not in compared]
    if not found and not sum(one.records for one in compared.values()):
        # An empty comparison proves nothing, and an empty queue proves less.
        found.append("No record was compared, which proves nothing.")
    for one in compared.values():
        if one.differing:
            found.append(f"{one.name}: {one.differing:,} of {one.records:,} records differ.")
            found += [f"{one.name}: {told}" for told in one.told]
    return found


def _figure_name(step: RecoveryStep) -> str:
    if step is RecoveryStep.STOP_OUTBOUND:
        return "messages and tickets still under way"
    if step is RecoveryStep.FREEZE_NONESSENTIAL:
        return "writes still under way"
    return "differences between the systems"


def step_forward(incident: Incident, measured: Measured, *, now: datetime) -> Incident | NotYet:
    """The incident at its next step, or what is in the way. The last step is left by closing the incident."""
    found = exit_of(incident, measured, now=now)
    after = None if incident.step is None else incident.step.after
    if not found.is_met or after is None:
        return NotYet(exit=found)
    return _at(incident, after, now)


def close(incident: Incident, measured: Measured, *, now: datetime) -> Incident | NotYet:
    """The incident closed, from its last step alone and only when its exit holds; else what is in the way."""
    found = exit_of(incident, measured, now=now)
    if incident.step is not None and incident.step.after is not None:
        left = len(STEPS) - 1 - incident.step.place
        told = f"{left} steps come after this one; none can be left out."
        return NotYet(exit=msgspec.structs.replace(found, is_met=False, obstacles=(told, *found.obstacles)))
    if not found.is_met:
        return NotYet(exit=found)
    return msgspec.structs.replace(_at(incident, None, now), closed_at=now)


def cancel(incident: Incident, *, because: str, now: datetime) -> Incident | NotYet:
    """The incident ended as one that was opened by mistake; what is in the way once records were worked on.

    Up to there nothing was done but to stop: ending it skips no step of a recovery that had begun.
    """
    if incident.step is None or incident.step.compares:
        told = "It has gone past the stops, so it is left step by step: records that match end it, no word does."
        return NotYet(exit=Exit(figure=None, of="steps left", is_met=False, obstacles=(told,)))
    return msgspec.structs.replace(_at(incident, None, now), closed_at=now, cancelled_because=because)


def with_measured(incident: Incident, measured: Measured) -> Incident:
    """The incident where it is, with what was found there last; whoever asked for it has been answered."""
    return msgspec.structs.replace(incident, version=incident.version + 1, measured=measured, asked=None)


def with_asked(incident: Incident, asked: Asked) -> Incident:
    """The incident with a person's word that its step is to be worked on."""
    return msgspec.structs.replace(incident, version=incident.version + 1, asked=asked)


def without_asked(incident: Incident) -> Incident:
    """The incident where it is, with nothing asked any more."""
    return msgspec.structs.replace(incident, version=incident.version + 1, asked=None)


def _at(incident: Incident, step: RecoveryStep | None, now: datetime) -> Incident:
    return msgspec.structs.replace(
        incident, step=step, entered_at=now, version=incident.version + 1, measured=None, asked=None
    )
