"""An incident as a page or a person sees it: opened, looked at, asked to go on; its switches kept as its step wants.

Nothing long is done here. Next: `incident_room.py`, which works on a step and moves the incident.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Automation
from accordant.governance.decide import NONESSENTIAL, class_switch
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.operations.pause import pause, resume
from accordant.orchestration.incident import (
    Asked,
    Exit,
    Incident,
    Measured,
    Moment,
    NotYet,
    RecoveryStep,
    Stop,
    cancel,
    exit_of,
    open_incident,
    released_at,
    stopped_at,
    with_asked,
)
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.incident import IncidentBook, IncidentMoved, NoIncident
from accordant.ports.state import State
from accordant.ports.switches import Switchboard

TITLE_LENGTH_MAX = 200


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


class IncidentBoard:
    """The incidents of one hub, as far as they can be seen and steered at once."""

    def __init__(
        self,
        book: IncidentBook,
        state: State,
        *,
        switchboard: Switchboard,
        rulebook: Callable[[], Rulebook],
        clock: Clock,
        lease_clock: Clock,
    ) -> None:
        self.book = book
        self._state = state
        self._switchboard = switchboard
        self._rulebook = rulebook
        self._clock = clock
        self._lease_clock = lease_clock

    def open(self, *, title: str, actor: str, since: datetime | None = None) -> Incident:
        """Open an incident and stop at once what has to stop. Raises IncidentOpen, RejectedError.

        ``since`` is from when on something may be missed or lost: a day ago where nobody says.
        """
        now = self._clock()
        named(actor, title)
        begin = now - timedelta(days=1) if since is None else since
        if begin > now:
            raise RejectedError("An incident cannot begin in the future.", remedy="Give --since an instant before now.")
        stops = planned_stops(self._state.switches())
        opened = open_incident(title=title.strip(), actor=actor.strip(), since=begin, stops=stops, now=now)
        moment = moment_of(opened, actor, "opened", f"Opened: {opened.title}", now)
        self.book.begin(opened, [moment], entry_of(opened, "opened", actor, now))
        self.move_switches(opened, actor)
        return opened

    def standing(self) -> Standing | None:
        """The open incident with its exit as last measured, the live part of it measured now."""
        incident = self.book.current()
        if incident is None:
            return None
        return self.standing_of(incident)

    def ask(self, *, actor: str, closing: bool = False) -> Incident:
        """Have the step worked on by whichever process looks after the hub. Raises NoIncident, IncidentMoved."""
        incident, now = self.current(), self._clock()
        named(actor, "asked")
        asked = with_asked(incident, Asked(by=actor.strip(), at=now, closing=closing))
        told = "Asked to close it." if closing else "Asked to work on this step and go on."
        self.book.keep(asked, [moment_of(incident, actor, "asked", told, now)], entry_of(asked, "asked", actor, now))
        return asked

    def cancel(self, *, actor: str, because: str) -> Incident:
        """End an incident that was opened by mistake, and release what it stopped.

        Raises NoIncident, IncidentMoved, RejectedError without a name or a reason and where the recovery has begun.
        """
        incident, now = self.current(), self._clock()
        named(actor, because)
        ended = cancel(incident, because=because.strip(), now=now)
        if isinstance(ended, NotYet):
            raise RejectedError(" ".join(ended.exit.obstacles), remedy="Go on with `accordant incident advance`.")
        # Released before it is kept: a crash in between leaves an incident whose stops are thrown again, never stops
        # that belong to nobody.
        self.move_switches(ended, actor)
        moment = moment_of(incident, actor, "cancelled", f"Opened by mistake: {ended.cancelled_because}", now)
        try:
            self.book.keep(ended, [moment], entry_of(ended, "cancelled", actor, now))
        except IncidentMoved:
            self.move_switches(self.current(), actor)
            raise
        self.move_switches(ended, actor)
        return ended

    def with_live(self, incident: Incident, measured: Measured) -> Measured:
        """What can be counted at any moment: switches, and writes that left before the stop."""
        thrown = self._state.switches()
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
            route.flow.name for route in self._rulebook().all_routes if class_switch(route.rules.automation) in stopped
        )
        asked = flows if incident.step is RecoveryStep.STOP_OUTBOUND else None
        return self.book.under_way(asked, since=incident.entered_at, lease_now=self._lease_clock())

    def standing_of(self, incident: Incident) -> Standing:
        now = self._clock()
        measured = incident.measured
        if incident.step is not None and not incident.step.compares:
            measured = Measured(step=incident.step, taken_at=now)
        if measured is not None:
            measured = self.with_live(incident, measured)
        return Standing(incident=incident, exit=exit_of(incident, measured, now=now))

    def move_switches(self, incident: Incident, actor: str) -> None:
        """Throw what the step wants thrown, release what it wants released; done again it changes nothing."""
        thrown = self._state.switches()
        board, now = self._switchboard, self._clock()
        reason = f"Incident: {incident.title}"
        for name in sorted(stopped_at(incident, incident.step) - thrown):
            pause(switch=name, actor=actor, reason=reason, board=board, now=now)
        released = sorted(released_at(incident, incident.step) & thrown)
        for name in released:
            resume(switch=name, actor=actor, reason=reason, board=board, now=now)
        if released:
            self.book.hasten(now=now)

    def current(self) -> Incident:
        incident = self.book.current()
        if incident is None:
            raise NoIncident
        return incident


def named(actor: str, title: str) -> None:
    if not actor.strip() or not 1 <= len(title.strip()) <= TITLE_LENGTH_MAX:
        raise RejectedError(
            "An incident is led by a named person and says in a line what happened.",
            remedy=f"Give both, the line with up to {TITLE_LENGTH_MAX} characters.",
        )


def moment_of(incident: Incident, actor: str, kind: str, text: str, now: datetime) -> Moment:
    return Moment(at=now, actor=actor.strip(), step=incident.step, kind=kind, text=text)


def summary_of(measured: Measured) -> str:
    parts = []
    if measured.walked is not None:
        parts.append(f"{measured.walked.done:,} events walked.")
    if measured.compared:
        records, many = sum(one.records for one in measured.compared), len(measured.compared)
        told = "one comparison" if many == 1 else f"{many} comparisons"
        parts.append(f"{records:,} records compared in {told}, none differs.")
    return " ".join(parts) or "What had to stop stands still, and nothing is under way."


def entry_of(incident: Incident, what: str, actor: str, now: datetime, measured: Measured | None = None) -> AuditEntry:
    body: dict[str, str | int | bool | list[str] | None] = {
        "because": incident.cancelled_because,
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
