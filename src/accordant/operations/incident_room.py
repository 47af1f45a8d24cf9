"""Where an incident is opened, worked on, moved and closed; `orchestration/incident.py` says whether it may.

A state is kept before what it asks for is done, and what it asks for may be done twice: a crash in any state is gone on
from by asking again. Next: `incident_work.py`, what is done at each step.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec

from accordant.canonical.charter import Automation
from accordant.governance.decide import NONESSENTIAL, class_switch
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, RejectedError, TransientError
from accordant.operations.incident_work import RecoveryHub, SweepOne, Tell, Worker, tell_nobody
from accordant.operations.pause import pause, resume
from accordant.operations.reconcile import off_loop
from accordant.orchestration.incident import (
    Asked,
    Exit,
    Incident,
    Measured,
    Moment,
    NotYet,
    RecoveryStep,
    Stop,
    close,
    exit_of,
    open_incident,
    released_at,
    step_forward,
    stopped_at,
    with_asked,
    with_measured,
    without_asked,
)
from accordant.ports.audit import AuditEntry
from accordant.ports.incident import IncidentBook, IncidentMoved, NoIncident
from accordant.ports.switches import Switchboard

TITLE_LENGTH_MAX = 200
_RIGHT = "incident"
#: How long one process may work on a step before another may begin it anew; nothing is done twice by that.
_WORK_LEASE = timedelta(minutes=5)

#: Says whether a step may be left: to the next one, or to the end.
Leave = Callable[..., Incident | NotYet]


class IncidentBusy(TransientError):
    """Another process works on this step just now."""

    remedy = "Wait until it is done: `accordant incident status` shows what it finds."


class Rights(Protocol):
    """Gives the right to do something alone."""

    def try_acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int | None:
        """The token of the right, or None while another has it."""
        ...

    def release(self, name: str, *, token: int) -> None:
        """Give it back."""
        ...


class IncidentHub(RecoveryHub, Protocol):
    """The hub, as far as an incident needs it beside the work on its steps."""

    @property
    def switchboard(self) -> Switchboard: ...
    @property
    def leases(self) -> Rights: ...
    @property
    def lease_clock(self) -> Clock: ...


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with the exit of its step as it is just now."""

    incident: Incident
    exit: Exit
    moved: bool = False


def planned_stops(thrown: Iterable[str]) -> tuple[Stop, ...]:
    """What an incident stops and until when: every automation, then what is not essential (requirement 143).

    A switch that is thrown already is somebody else's and is not released by the incident.
    """
    before = frozenset(thrown)
    stops = []
    for automation in Automation:
        if automation is Automation.RECORD_SYNC:
            continue
        support = automation is Automation.SUPPORT_ENRICHMENT
        until = RecoveryStep.REPLAY_SUPPORT if support else RecoveryStep.RESTORE_AUTOMATIONS
        name = class_switch(automation)
        stops.append(Stop(switch=name, since=RecoveryStep.STOP_OUTBOUND, until=until, ours=name not in before))
    frozen = Stop(
        switch=NONESSENTIAL,
        since=RecoveryStep.FREEZE_NONESSENTIAL,
        until=RecoveryStep.REPLAY_SUPPORT,
        ours=NONESSENTIAL not in before,
    )
    return (*stops, frozen)


class IncidentRoom:
    """The incidents of one hub. ``sweep`` fetches missed events of a system, where somebody can."""

    def __init__(self, hub: IncidentHub, book: IncidentBook, *, sweep: SweepOne | None = None) -> None:
        self.book = book
        self._hub = hub
        self._sweep = sweep

    def open(self, *, title: str, actor: str, since: datetime | None = None) -> Incident:
        """Open an incident and stop at once what has to stop. Raises IncidentOpen, RejectedError.

        ``since`` is from when on something may be missed or lost: a day ago where nobody says.
        """
        now = self._hub.clock()
        _named(actor, title)
        begin = now - timedelta(days=1) if since is None else since
        if begin > now:
            raise RejectedError("An incident cannot begin in the future.", remedy="Give --since an instant before now.")
        stops = planned_stops(self._hub.state.switches())
        opened = open_incident(title=title.strip(), actor=actor.strip(), since=begin, stops=stops, now=now)
        moment = _moment(opened, actor, "opened", f"Opened: {opened.title}", now)
        self.book.begin(opened, [moment], _entry(opened, "opened", actor, now))
        self._move_switches(opened, actor)
        return opened

    def standing(self) -> Standing | None:
        """The open incident with its exit as last measured, the live part of it measured now."""
        incident = self.book.current()
        if incident is None:
            return None
        return self._standing(incident)

    def ask(self, *, actor: str, closing: bool = False) -> Incident:
        """Have the step worked on by whichever process looks after the hub. Raises NoIncident, IncidentMoved."""
        incident, now = self._current(), self._hub.clock()
        _named(actor, "asked")
        asked = with_asked(incident, Asked(by=actor.strip(), at=now, closing=closing))
        told = "Asked to close it." if closing else "Asked to work on this step and go on."
        self.book.keep(asked, [_moment(incident, actor, "asked", told, now)], _entry(asked, "asked", actor, now))
        return asked

    async def advance(self, *, actor: str, tell: Tell = tell_nobody) -> Standing:
        """Work on the step, then go on to the next where its exit holds.

        Raises NoIncident, IncidentBusy, IncidentMoved, and as the systems that are asked: the incident then stands
        where it stood.
        """
        return await self._alone(partial(self._advance, actor=actor, tell=tell, leave=step_forward))

    async def close(self, *, actor: str, tell: Tell = tell_nobody) -> Standing:
        """Work on the last step once more, then close where everything matches. Raises as ``advance``."""
        return await self._alone(partial(self._advance, actor=actor, tell=tell, leave=close))

    async def serve(self) -> Standing | None:
        """What a process that looks after the hub does for an incident: hold its stops, carry out what was asked."""
        incident = await off_loop(self.book.current)
        if incident is None:
            return None
        await off_loop(partial(self._move_switches, incident, incident.opened_by))
        if incident.asked is None:
            return None
        leave = close if incident.asked.closing else step_forward
        asked = incident.asked.by
        try:
            return await self._alone(partial(self._advance, actor=asked, tell=tell_nobody, leave=leave))
        except (IncidentBusy, IncidentMoved):
            return None  # somebody else is at it, and has the newer word
        except AccordantError as error:
            # Whoever asked reads why it did not go, and asks again once that is mended.
            return await off_loop(partial(self._give_up, incident, asked, str(error)))

    def _give_up(self, incident: Incident, actor: str, why: str) -> Standing:
        now = self._hub.clock()
        kept = without_asked(incident)
        moment = _moment(incident, actor, "stopped", f"The step could not be worked on. {why}", now)
        self.book.keep(kept, [moment], _entry(kept, "stopped", actor, now))
        return self._standing(kept)

    async def _alone(self, act: Callable[[], Awaitable[Standing]]) -> Standing:
        leases = self._hub.leases
        token = await off_loop(partial(leases.try_acquire, _RIGHT, ttl=_WORK_LEASE, now=self._hub.clock()))
        if token is None:
            raise IncidentBusy
        try:
            return await act()
        finally:
            await off_loop(partial(leases.release, _RIGHT, token=token))

    async def _advance(self, *, actor: str, tell: Tell, leave: Leave) -> Standing:
        incident = await off_loop(self._current)
        _named(actor, "advanced")
        await off_loop(partial(self._move_switches, incident, actor))
        measured = await self._measure(incident, actor, tell)
        now = self._hub.clock()
        outcome = leave(incident, measured, now=now)
        if isinstance(outcome, NotYet):
            kept = with_measured(incident, measured)
            told = f"Not left yet. {' '.join(outcome.exit.obstacles)}"
            await off_loop(
                partial(
                    self.book.keep,
                    kept,
                    [_moment(incident, actor, "measured", told, now)],
                    _entry(kept, "measured", actor, now, measured),
                )
            )
            return Standing(incident=kept, exit=outcome.exit)
        kind = "advanced" if outcome.closed_at is None else "closed"
        moments = [
            _moment(incident, actor, "left", _summary(measured), now),
            _moment(outcome, actor, kind, "Closed: every record matches." if kind == "closed" else "Begun.", now),
        ]
        await off_loop(partial(self.book.keep, outcome, moments, _entry(outcome, kind, actor, now, measured)))
        await off_loop(partial(self._move_switches, outcome, actor))
        return msgspec.structs.replace(await off_loop(partial(self._standing, outcome)), moved=True)

    async def _measure(self, incident: Incident, actor: str, tell: Tell) -> Measured:
        step = incident.step
        assert step is not None  # noqa: S101  a current incident has one; said for the type checker
        measured = Measured(step=step, taken_at=self._hub.clock())
        if step.compares:
            worker = Worker(self._hub, incident, actor=actor, tell=tell, sweep=self._sweep)
            walked, expected, compared = await worker.work(step)
            measured = msgspec.structs.replace(
                measured,
                taken_at=self._hub.clock(),
                expected=expected,
                compared=compared,
                walked=walked,
            )
        return await off_loop(partial(self._with_live, incident, measured))

    def _with_live(self, incident: Incident, measured: Measured) -> Measured:
        """What can be counted at any moment: switches, and writes that left before the stop."""
        thrown = self._hub.state.switches()
        wanted, released = stopped_at(incident, incident.step), released_at(incident, incident.step)
        unmoved = tuple(sorted((wanted - thrown) | (released & thrown)))
        return msgspec.structs.replace(measured, unmoved=unmoved, under_way=self._under_way(incident))

    def _under_way(self, incident: Incident) -> int:
        if incident.step is None:
            return 0
        if incident.step.compares:
            # While the nonessential is frozen, what is held by that waits in the outbox like everything else.
            is_frozen = NONESSENTIAL in stopped_at(incident, incident.step)
            return 0 if is_frozen else self.book.waiting(since=incident.entered_at)
        stopped = stopped_at(incident, incident.step)
        flows = frozenset(
            route.flow.name
            for route in self._hub.rulebook.all_routes
            if class_switch(route.rules.automation) in stopped
        )
        asked = flows if incident.step is RecoveryStep.STOP_OUTBOUND else None
        return self.book.under_way(asked, since=incident.entered_at, lease_now=self._hub.lease_clock())

    def _standing(self, incident: Incident) -> Standing:
        now = self._hub.clock()
        measured = incident.measured
        if incident.step is not None and not incident.step.compares:
            measured = Measured(step=incident.step, taken_at=now)
        if measured is not None:
            measured = self._with_live(incident, measured)
        return Standing(incident=incident, exit=exit_of(incident, measured, now=now))

    def _move_switches(self, incident: Incident, actor: str) -> None:
        """Throw what the step wants thrown, release what it wants released; done again it changes nothing."""
        thrown = self._hub.state.switches()
        board, now = self._hub.switchboard, self._hub.clock()
        reason = f"Incident: {incident.title}"
        for name in sorted(stopped_at(incident, incident.step) - thrown):
            pause(switch=name, actor=actor, reason=reason, board=board, now=now)
        for name in sorted(released_at(incident, incident.step) & thrown):
            resume(switch=name, actor=actor, reason=reason, board=board, now=now)

    def _current(self) -> Incident:
        incident = self.book.current()
        if incident is None:
            raise NoIncident
        return incident


def _named(actor: str, title: str) -> None:
    if not actor.strip() or not 1 <= len(title.strip()) <= TITLE_LENGTH_MAX:
        raise RejectedError(
            "An incident is led by a named person and says in a line what happened.",
            remedy=f"Give both, the line with up to {TITLE_LENGTH_MAX} characters.",
        )


def _moment(incident: Incident, actor: str, kind: str, text: str, now: datetime) -> Moment:
    return Moment(at=now, actor=actor.strip(), step=incident.step, kind=kind, text=text)


def _summary(measured: Measured) -> str:
    parts = []
    if measured.walked is not None:
        parts.append(f"{measured.walked.done:,} events walked.")
    if measured.compared:
        records = sum(one.records for one in measured.compared)
        parts.append(f"{records:,} records compared in {len(measured.compared)} comparisons, none differs.")
    return " ".join(parts) or "What had to stop stands still, and nothing is under way."


def _entry(incident: Incident, what: str, actor: str, now: datetime, measured: Measured | None = None) -> AuditEntry:
    body: dict[str, str | int | bool | list[str] | None] = {
        "title": incident.title,
        "step": None if incident.step is None else incident.step.value,
        "version": incident.version,
        "since": incident.since.isoformat(),
    }
    if measured is not None:
        body["runs"] = [one.run for one in measured.compared]
        body["differing"] = sum(one.differing for one in measured.compared)
        body["records"] = sum(one.records for one in measured.compared)
        body["replay"] = None if measured.walked is None else measured.walked.job
    return AuditEntry(
        kind=f"operations.incident.{what}",
        actor=actor.strip(),
        subject=f"incident/{incident.id}",
        cause=None,
        at=now,
        body=body,
    )
