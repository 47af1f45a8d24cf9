"""Clearances of customers: recorded by a person or a system of compliance, read by the gates."""

from collections.abc import Iterable
from typing import Protocol

from accordant.canonical.clearances import CheckKind, Clearance
from accordant.ports.audit import AuditEntry


class ClearanceBook(Protocol):
    """Obligations: findings are kept for good and the newest counts; a finding, its audit entry and the note that its
    customer is to be decided again (`ports/owed.py`) are one commit.
    """

    def record(self, clearance: Clearance, *, entry: AuditEntry) -> None:
        """Keep one finding. Raises: TransientError when the store cannot."""
        ...

    def of(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """The newest finding of each check, by customer; customers without any are left out."""
        ...
