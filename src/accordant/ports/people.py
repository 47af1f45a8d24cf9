"""Where persons and the digests of their tokens are kept. Next: `operations/people_office.py`."""

from datetime import datetime
from typing import Protocol

from accordant.canonical.people import Person
from accordant.ports.audit import AuditEntry


class PeopleBook(Protocol):
    """Obligations: the secret of a token is never kept; nobody is removed, only revoked; each change has its line."""

    def everybody(self) -> tuple[Person, ...]:
        """Every person who ever had a token, newest first."""
        ...

    def find(self, token_id: str) -> tuple[Person, str] | None:
        """Whose token this is, and the hexadecimal digest of the whole token."""
        ...

    def add(self, person: Person, *, digest: str, entry: AuditEntry) -> None:
        """Keep a new person."""
        ...

    def vouch(self, token_id: str, *, by: str, at: datetime, entry: AuditEntry) -> bool:
        """Keep who vouched for a person; False when nobody had to, or somebody did already."""
        ...

    def revoke(self, token_id: str, *, by: str, at: datetime, entry: AuditEntry) -> bool:
        """Take a token back; False when there is none or it was taken back already."""
        ...

    def used(self, token_id: str, *, at: datetime) -> None:
        """Remember that a token opened something."""
        ...
