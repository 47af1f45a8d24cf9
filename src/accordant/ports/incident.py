"""Where incidents are kept: one open at a time, each state the follower of the one before, and a timeline for ever."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from accordant.kernel.errors import RejectedError, TransientError
from accordant.orchestration.incident import Incident, Moment
from accordant.ports.audit import AuditEntry


class IncidentOpen(RejectedError):
    """Another incident is open; there is one at a time, since its stops are the installation's."""

    remedy = "Bring it to its end: `accordant incident status` says where it stands."


class NoIncident(RejectedError):
    """No incident is open."""

    remedy = "Open one with `accordant incident open`."


class IncidentMoved(TransientError):
    """Somebody else moved the incident meanwhile; nothing of this was stored."""

    remedy = "Look where it stands now, then go on from there."


class IncidentBook(Protocol):
    """Obligations: a state, its lines of the timeline and of the trail are one transaction."""

    def begin(self, incident: Incident, moments: Sequence[Moment], entry: AuditEntry) -> None:
        """Keep a new incident. Raises IncidentOpen while another one is."""
        ...

    def keep(self, incident: Incident, moments: Sequence[Moment], entry: AuditEntry) -> None:
        """Keep its next state. Raises IncidentMoved where the stored one is not the version before."""
        ...

    def current(self) -> Incident | None:
        """The incident that is open."""
        ...

    def find(self, incident_id: str) -> Incident | None:
        """An incident by its id, open or closed."""
        ...

    def timeline(self, incident_id: str) -> tuple[Moment, ...]:
        """Its lines, oldest first."""
        ...

    def waiting(self, *, since: datetime) -> int:
        """Writes planned before ``since`` that were neither confirmed nor given up yet."""
        ...

    def hasten(self, *, now: datetime) -> int:
        """Let writes that were only stopped, and never tried, be due now; how many."""
        ...

    def under_way(self, flows: frozenset[str] | None, *, since: datetime, lease_now: datetime) -> int:
        """Writes of these flows (None: of all) planned before ``since`` that a courier holds at this moment."""
        ...
