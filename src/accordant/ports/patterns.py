"""Error patterns as people described them: kept by key, read wherever one is met."""

from typing import Protocol

from accordant.canonical.error_patterns import KnownPattern
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry


class NameTaken(RejectedError):
    """Another error pattern has this name."""

    remedy = "Choose another, or describe that one anew."


class PatternBook(Protocol):
    """Where described patterns are kept."""

    def known(self) -> dict[str, KnownPattern]:
        """Every described pattern, by key."""
        ...

    def describe(self, pattern: KnownPattern, *, entry: AuditEntry) -> None:
        """Keep what a person said of a pattern, in place of what was said before. Raises NameTaken."""
        ...
