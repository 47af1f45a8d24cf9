"""What became of records in an ERP, and what its customers owe: one reader for the vendors that list what changed.
Guarantees that one state is one event, however often it is asked for, and that one list of changes serves both.
Next: a connector's ``changes.py`` and ``receivables.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeAlias, TypeVar

from accordant.canonical.intents import WireValue
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.ledger_keeper import HeldDocument
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.sdk.receivables import CHANGED, RECEIVABLE, UNSTAMPED_AT
from accordant.connectors.sdk.sightings import RECORD_CHANGED, ToldRecord, spell_record
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import Page

PlaceT = TypeVar("PlaceT")
HeldT = TypeVar("HeldT", bound=HeldDocument[object])
#: What changed, by the vendor's names of its lists.
Changed: TypeAlias = Mapping[str, Sequence[Row]]


class TellingDocuments(Protocol[HeldT, PlaceT]):
    """How a connector reads documents that may have been changed."""

    async def at(self, places: Iterable[PlaceT]) -> dict[PlaceT, HeldT]:
        """Documents by their place; one that is gone is absent."""
        ...

    async def fields(self, held: HeldT) -> dict[str, WireValue]:
        """What a document says by itself, in the fields of a mapping."""
        ...


class LedgerChanges(ABC, Generic[HeldT, PlaceT]):
    """What changed of what was written to one vendor's books.

    ``party`` is the object of its customers, ``documents`` those of its documents; of the lists ``of_debts`` follows
    what customers owe, ``everything`` are all that are asked for.
    """

    party: ClassVar[str]
    documents: ClassVar[tuple[str, ...]]
    of_debts: ClassVar[tuple[str, ...]]
    everything: ClassVar[tuple[str, ...]]

    def __init__(self, reading: TellingDocuments[HeldT, PlaceT]) -> None:
        self._reading = reading

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects of a mapping whose records are read."""
        return (self.party, *self.documents)

    @abstractmethod
    async def rows(self, names: Sequence[str], since: datetime) -> Changed:
        """What changed since in each of these lists. Raises as the calls do."""

    @abstractmethod
    async def told(self, rows: Changed) -> list[ToldRecord]:
        """The records among these rows that carry a key of ours, or are gone and cannot say whose they were."""

    async def read(self, ref: ExternalRef) -> ToldRecord | None:
        """One record by its reference; None where it is gone, or does not carry our key any more."""
        if ref.object_type == self.party:
            return await self._customer(ref.id)
        place = self._place_of(ref.id)
        held = None if place is None else (await self._reading.at([place])).get(place)
        return None if held is None else await self._document(held)

    async def _document(self, held: HeldT) -> ToldRecord:
        """A document is kept under either object of the mapping: which one it is, the hub knows."""
        return ToldRecord(
            id=str(held.place),
            objects=self.documents,
            at=self._changed_at(held) or UNSTAMPED_AT,
            fields=await self._reading.fields(held),
        )

    @abstractmethod
    async def _customer(self, one: str) -> ToldRecord | None:
        """A customer by the vendor's id; None where there is none of it."""

    @abstractmethod
    def _place_of(self, text: str) -> PlaceT | None:
        """The record that a target id names."""

    @abstractmethod
    def _changed_at(self, held: HeldT) -> datetime | None:
        """When a document was changed last."""


class LedgerReader(ABC):
    """Implements ``ports.connector.Reader`` and ``EventLister`` for what customers owe and what was written."""

    def __init__(self, changes: LedgerChanges[HeldT, PlaceT], *, title: str, system: str, clock: Clock) -> None:
        """``title`` is the vendor to people, ``system`` the connection's name."""
        self._changes = changes
        self._title = title
        self._system = system
        self._clock = clock

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """See the port. Raises RejectedError for an object that is not read."""
        asked_at = self._clock()
        if ref.object_type in self._changes.objects:
            told = await self._changes.read(ref)
            return (b"" if told is None else spell_record(told)), asked_at
        if ref.object_type != RECEIVABLE or not self._is_party(ref.id):
            raise RejectedError(
                f"Of {self._title} only what customers owe and what was written there is read, not {ref}."
            )
        return await self._owed_by(ref.id, asked_at), asked_at

    @abstractmethod
    def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port. Everybody with something open; none of any other type."""

    async def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """See the port. A change is of the moment of the last one, becoming overdue of the first moment of that day."""
        if undelivered or event_type not in {None, CHANGED, RECORD_CHANGED}:
            return
        names = self._changes.of_debts if event_type == CHANGED else self._changes.everything
        changed = await self._changes.rows(names, since)
        found = [] if event_type == RECORD_CHANGED else await self._owing(changed, since, until)
        if event_type != CHANGED:
            told = await self._changes.told(changed)
            found += [(one.at, spell_record(one)) for one in told if since <= one.at < until]
        if found:
            yield tuple(body for _, body in sorted(found, reverse=True))

    @abstractmethod
    async def close(self) -> None:
        """Release connections."""

    @abstractmethod
    def _is_party(self, one: str) -> bool:
        """Whether a text may be the vendor's id of a customer."""

    @abstractmethod
    async def _owed_by(self, party: str, at: datetime) -> bytes:
        """What one customer owes; nothing of one of whom nothing was ever posted."""

    @abstractmethod
    async def _owing(self, changed: Changed, since: datetime, until: datetime) -> list[tuple[datetime, bytes]]:
        """Whose debts changed, and who became overdue, each with its moment."""
