"""What persons said of openings: kept with its line of the trail, and followed even if the process dies at it."""

from typing import Protocol

from accordant.canonical.openings import Release
from accordant.ports.audit import AuditEntry


class OpeningBook(Protocol):
    """Keeps releases; `ports.state.State.releases` reads them."""

    def keep(self, release: Release, *, root_id: str, entry: AuditEntry) -> None:
        """Keep it, and owe the company of the record a decision, in one transaction."""
        ...
