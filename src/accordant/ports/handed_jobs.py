"""Jobs that were handed to a target and go on there by themselves, whoever waits for them and for how long."""

from datetime import datetime
from typing import Protocol


class HandedJobs(Protocol):
    """Obligations: a job is on disk when ``note`` returns, and until ``over``. Instants are of the clock of leases."""

    def note(self, target: str, job: str, *, until: datetime) -> None:
        """Somebody waits for a job, or still does, until he says so again. Raises TransientError."""
        ...

    def over(self, target: str, job: str) -> None:
        """The job writes nothing any more. Raises TransientError."""
        ...

    def left(self, target: str, *, at: datetime) -> tuple[str, ...]:
        """Jobs for which nobody waits any more, and which may still write. Raises TransientError."""
        ...
