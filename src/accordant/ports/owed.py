"""Accounts that have to be decided again although no event of theirs came: noted with what was decided, until done."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import msgspec


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """An account that a person's word concerns; ``since`` is when it was given, the last time."""

    account_id: str
    since: datetime


class OwedBook(Protocol):
    """Obligations: who keeps a word that changes what may be written notes the account in the same transaction, so that
    a crash before it is decided again loses nothing.
    """

    def waiting(self, *, before: datetime, limit: int) -> tuple[Owed, ...]:
        """Accounts noted before an instant, the oldest first."""
        ...

    def of(self, account_ids: Iterable[str]) -> tuple[Owed, ...]:
        """Those among ``account_ids`` that are noted."""
        ...

    def settle(self, done: Iterable[Owed]) -> None:
        """These were decided again. One that was noted anew meanwhile stays."""
        ...
