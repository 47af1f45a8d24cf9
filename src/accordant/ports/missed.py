"""What is remembered to find missed events: which are known, how often each type is usually heard, whom it comes by."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """How one type of event is heard. ``gaps`` are the latest pauses between deliveries, in seconds, the oldest first.

    ``heard_at`` is the provider's stamp of the latest delivered one, ``fetched_at`` of the latest that had to be
    fetched; ``alarmed_at`` when it was found silent.
    """

    event_type: str
    heard_at: datetime | None = None
    fetched_at: datetime | None = None
    gaps: tuple[int, ...] = ()
    alarmed_at: datetime | None = None


class HeardEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One stored event: its type, the provider's stamp, and whether it had to be fetched."""

    event_type: str
    occurred_at: datetime
    was_fetched: bool


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint by which a system delivers to this hub, with the ``api_version`` it had when it was adopted."""

    system: str
    endpoint_id: str
    url: str
    api_version: str | None
    adopted_at: datetime
    adopted_by: str


class SweepBook(Protocol):
    """What a sweep must know of the inbox."""

    def known(self, system: str, external_ids: Collection[str]) -> frozenset[str]:
        """Those of these events that are stored."""
        ...

    def first_at(self, system: str) -> datetime | None:
        """When the first stored event of a system happened; None before there is one."""
        ...


class RhythmBook(Protocol):
    """How often each type is heard."""

    def rhythms(self, system: str) -> dict[str, Rhythm]:
        """Every type that ever came, by name."""
        ...

    def keep(self, system: str, rhythms: Sequence[Rhythm], *, read_up_to: int) -> None:
        """Remember rhythms, and that events up to this number are counted in them."""
        ...

    def unread(self, system: str, *, limit: int) -> tuple[tuple[HeardEvent, ...], int]:
        """Stored events that no rhythm counts yet, in order of arrival, and the number up to which was read.

        No events and an unchanged number when there are none.
        """
        ...

    def delivered(self, system: str, external_ids: Collection[str]) -> frozenset[str]:
        """Those of these events that the provider delivered, be it after they had been fetched."""
        ...

    def open(self, system: str, rhythm: Rhythm, *, told: str, now: datetime) -> bool:
        """A type fell silent: remember and raise the alert in one transaction. False when it was known already."""
        ...

    def close(self, system: str, event_type: str, *, told: str, now: datetime) -> bool:
        """It is heard again: forget and tell in one transaction. False when it was not silent."""
        ...


class AdoptionBook(Protocol):
    """Which endpoint is this hub's."""

    def adoption(self, system: str) -> Adoption | None:
        """The endpoint of a system, or None before it was adopted."""
        ...

    def adopt(self, adoption: Adoption) -> None:
        """Remember it, in the place of one before."""
        ...

    def delivered_at(self, system: str) -> datetime | None:
        """When the last delivery of this system was proved and stored; None before the first."""
        ...
