"""Jobs that run by the clock, as they are remembered: one row a job, shared by all processes of an installation."""

from datetime import datetime
from typing import Protocol

import msgspec


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is. ``ticked_at`` is the last tick that is done with; ``outcome`` is done or failed."""

    name: str
    ticked_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    told: str | None = None


class JobBook(Protocol):
    """Where jobs are remembered."""

    def state(self, name: str) -> JobState | None:
        """How far a job is; None for one that was never seen."""
        ...

    def enter(self, name: str, *, now: datetime) -> None:
        """Remember a new job: its first tick is the next one."""
        ...

    def keep(self, state: JobState) -> None:
        """Remember how far it is."""
        ...
