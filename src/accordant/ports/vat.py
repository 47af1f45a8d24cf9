"""The register of value-added tax numbers, and the book of what it was asked."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from accordant.canonical.vat import Consultation, VatAnswer, VatNumber
from accordant.ports.audit import AuditEntry


class VatRegister(Protocol):
    """Obligations: every question ends in an answer value; a register that cannot be asked is ``unknown``, no error."""

    async def ask(self, number: VatNumber, *, now: datetime) -> VatAnswer:
        """Ask once. Raises: nothing that is the register's or the network's doing."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class VatBook(Protocol):
    """Obligations: consultations are kept for good with their line in the trail; name and address are sealed."""

    def keep(self, asked: Consultation, *, entry: AuditEntry) -> None:
        """Keep one. Raises: TransientError when the store cannot."""
        ...

    def newest(self, account_ids: Iterable[str], *, answered: bool = False) -> dict[str, dict[VatNumber, Consultation]]:
        """The newest consultation of each number, by customer; with ``answered`` the newest that had an answer.

        One whose seal was destroyed is left out.
        """
        ...

    def unanswered(self, *, since: datetime) -> dict[str, tuple[datetime, int]]:
        """Of each country that gave no answer last: when it was asked last, and how often in a row since ``since``."""
        ...
