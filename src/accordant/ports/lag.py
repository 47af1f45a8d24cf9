"""How late flows are, and the incidents that are open about it: one an outage, however long it lasts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What waits. ``oldest_at`` is when its provider says that the oldest of it happened; None when nothing waits."""

    count: int
    oldest_at: datetime | None


class LagIncident(msgspec.Struct, frozen=True, kw_only=True):
    """A flow that is later than its charter bears. Lags in whole seconds, from the provider's event to now."""

    flow: str
    lag_s: int
    limit_s: int
    waiting: int
    opened_at: datetime
    seen_at: datetime


class LagBook(Protocol):
    """Obligations: an incident is opened, and told, once; also when two processes see it at one moment."""

    def writes(self) -> Mapping[str, Waiting]:
        """Writes that are not confirmed yet, by flow; those behind a parked lane wait for a person and are left out."""
        ...

    def events(self) -> Mapping[str, Waiting]:
        """Events that nobody looked at yet, by connection, in lanes that are not parked."""
        ...

    def incidents(self) -> Mapping[str, LagIncident]:
        """The incidents that are open, by flow."""
        ...

    def open(self, incident: LagIncident, *, told: str) -> bool:
        """Open an incident and tell it; False when it was open already."""
        ...

    def note(self, incident: LagIncident) -> None:
        """Remember how late an open incident is by now."""
        ...

    def close(self, flow: str, *, told: str, now: datetime) -> bool:
        """Close an incident and tell it; False when it was closed already."""
        ...
