"""Restores of the store: it was put back from a backup, and what was done after that backup is forgotten here."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.intents import WriteIntent
from accordant.kernel.clock import to_micros
from accordant.ports.audit import AuditEntry


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """The time since the last restore. ``number`` 0 and no moments: the store was never put back.

    ``reconciled_at`` None while nothing may be dispatched, since targets have not been compared yet. ``said_to`` is the
    newest stamp of what was taken up before the restore, by its source's own clock; None where nobody kept it.
    """

    number: int = 0
    noticed_at: datetime | None = None
    reconciled_at: datetime | None = None
    said_to: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing may be dispatched yet."""
        return self.noticed_at is not None and self.reconciled_at is None

    @property
    def name(self) -> str:
        """Tells it from every other in keys of writes; "0" before the first restore. One copy that is put back twice
        counts to the same number twice, but is not noticed twice in one moment.
        """
        return "0" if self.noticed_at is None else f"{self.number}-{to_micros(self.noticed_at):x}"


NEVER_RESTORED = Epoch()


class Mark(msgspec.Struct, frozen=True, order=True):
    """How often something was taken up for dispatch, and when last (microseconds). A store put back has less."""

    number: int
    at: int


class Note(msgspec.Struct, frozen=True):
    """What is kept outside of the store: its mark (see there), and the newest stamp of what was taken up for dispatch.

    ``said_to`` is of the sources' clocks, in microseconds; 0 where nothing with a stamp was taken up yet.
    """

    number: int
    at: int
    said_to: int = 0

    @property
    def mark(self) -> Mark:
        """The store's mark at that time."""
        return Mark(self.number, self.at)

    def is_ahead_of(self, mark: Mark) -> bool:
        """Whether a store with this mark was put back: it knows less than what is noted, or something else."""
        return mark.number < self.number or (mark.number == self.number and mark != self.mark)


class EpochBook(Protocol):
    """Obligations: the mark grows with every claim that takes something up and with every epoch that begins; an epoch
    is never removed.
    """

    def current(self) -> tuple[Epoch, Mark]:
        """The epoch this store is in, and its mark."""
        ...

    def begin(self, *, declared_by: str, reason: str, entry: AuditEntry, said_to: datetime | None = None) -> Epoch:
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

    def alone(self) -> AbstractContextManager[None]:
        """While this lasts nobody else reads or writes the note, in this process or another. Raises TransientError."""
        ...

    def read(self) -> Note | None:
        """The note; None where there is none."""
        ...

    def write(self, note: Note) -> None:
        """Keep the note; on disk when it returns."""
        ...
