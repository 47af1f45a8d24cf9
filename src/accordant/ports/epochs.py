"""Restores of the store: it was put back from a backup, and what was done after that backup is forgotten here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.intents import WriteIntent
from accordant.ports.audit import AuditEntry


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """The time since the last restore. ``number`` 0 and no moments: the store was never put back.

    ``reconciled_at`` None while nothing may be dispatched, since targets have not been compared yet.
    """

    number: int = 0
    noticed_at: datetime | None = None
    reconciled_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing may be dispatched yet."""
        return self.noticed_at is not None and self.reconciled_at is None


NEVER_RESTORED = Epoch()


class Mark(msgspec.Struct, frozen=True, order=True):
    """How often something was taken up for dispatch, and when last (microseconds). A store put back has less."""

    number: int
    at: int


class EpochBook(Protocol):
    """Obligations: the mark grows with every claim that takes something up and with every epoch that begins; an epoch
    is never removed.
    """

    def current(self) -> tuple[Epoch, Mark]:
        """The epoch this store is in, and its mark."""
        ...

    def begin(self, *, declared_by: str, reason: str, entry: AuditEntry) -> Epoch:
        """A restore was noticed or declared: dispatch stops with this commit. The one that is open, if one is."""
        ...

    def open_intents(self) -> tuple[WriteIntent, ...]:
        """Every write that may still go out."""
        ...

    def reconcile(self, epoch: Epoch, counts: Mapping[str, int], *, entry: AuditEntry) -> Epoch:
        """The targets were compared: dispatch goes on."""
        ...


class Marker(Protocol):
    """A note outside of the store: how far its mark had come when something was last dispatched from here."""

    def read(self) -> Mark | None:
        """The note; None where there is none."""
        ...

    def write(self, mark: Mark) -> None:
        """Keep the note; on disk when it returns."""
        ...
