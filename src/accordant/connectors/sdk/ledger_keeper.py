"""Ledger documents at an ERP: made, found again, set against what they pay, never changed once they are posted.
Guarantees that a call which was lost is found again by its key, and that what a person took back is not made again.
Next: a connector's ``documents.py``, which makes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import (
    LATER,
    Desired,
    Unusable,
    ValueUnreadable,
    desired,
    for_a_person,
    unusable,
)
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import RecordWrite

#: Which record a document is, as the vendor names it.
PlaceT = TypeVar("PlaceT")
PlaceT_co = TypeVar("PlaceT_co", covariant=True)


class HeldDocument(Protocol[PlaceT_co]):
    """One document as an ERP holds it."""

    @property
    def place(self) -> PlaceT_co:
        """Which record it is; its text is the target id."""
        ...

    @property
    def key(self) -> str | None:
        """Our key; None of what the vendor made by itself, beside what we asked for."""
        ...

    @property
    def number(self) -> str | None:
        """Under which people there find it."""
        ...

    @property
    def is_void(self) -> bool:
        """Whether somebody took it back: we never do, what is wrong is cancelled by another document."""
        ...


HeldT = TypeVar("HeldT", bound=HeldDocument[object])


class ReadingDocuments(Protocol[HeldT, PlaceT]):
    """How a connector reads documents."""

    async def by_key(self, keys: Sequence[str]) -> dict[str, HeldT]:
        """Documents under these keys, whichever of its own the vendor made of them."""
        ...

    async def at(self, places: Iterable[PlaceT]) -> dict[PlaceT, HeldT]:
        """Documents by their place; one that is gone is absent."""
        ...

    async def keyless(self, places: Iterable[PlaceT]) -> frozenset[PlaceT]:
        """Which of these places hold a document that carries no key of ours."""
        ...

    def all(self, object_name: str) -> AsyncIterator[HeldT]:
        """Every document with a key of ours that belongs to an object."""
        ...

    async def record(self, spec: ObjectSpec, held: HeldT) -> CurrentRecord:
        """A document in the fields of a mapping."""
        ...


class KeptDocuments(ABC, Generic[HeldT, PlaceT]):
    """Implements ``ledger_outbound.Records`` for ledger documents. ``refusal`` is the class of the vendor's own no."""

    def __init__(
        self,
        *,
        title: str,
        reading: ReadingDocuments[HeldT, PlaceT],
        place_of: Callable[[str], PlaceT | None],
        canonical: Callable[[ObjectSpec, Mapping[str, WireValue]], dict[str, WireValue]],
        refusal: type[RejectedError],
    ) -> None:
        self._title = title
        self._reading = reading
        self._place_of = place_of
        self._canonical = canonical
        self._refusal = refusal

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See ``ledger_outbound.Records``."""
        return self._canonical(spec, fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See ``ledger_outbound.Records``."""
        held = await self._reading.by_key(keys)
        return {key: await self._reading.record(spec, one) for key, one in held.items()}

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See ``ledger_outbound.Records``."""
        async for held in self._reading.all(spec.name):
            yield str(held.key), await self._reading.record(spec, held)

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See ``ledger_outbound.Records``. What somebody took back counts as deleted.

        Of a document without a key of ours nothing is read but that it is there.
        """
        places = [place for one in target_ids if (place := self._place_of(one)) is not None]
        keyless = await self._reading.keyless(places)
        told = {
            str(place): Whereabouts(
                target_id=str(place),
                deleted=False,
                merged_into=None,
                key=None,
                record=CurrentRecord(target_id=str(place), fields={}),
            )
            for place in keyless
        }
        with_key = await self._reading.at([place for place in places if place not in keyless])
        return told | {
            str(place): Whereabouts(
                target_id=str(place),
                deleted=held.is_void,
                merged_into=None,
                key=held.key,
                record=await self._reading.record(spec, held),
            )
            for place, held in with_key.items()
        }

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make one document, or do what is missing of it. Raises as the calls do."""
        try:
            if record.target_id is not None:
                return await self._complete(record)
            document = desired(record.key, self._canonical(spec, record.fields))
            held = await self._make(spec, document, record.idempotency_key)
            return Applied(target_id=str(held.place), created=True, number=held.number)
        except Unusable as error:
            return error.refusal
        except ValueUnreadable as error:
            return Refused(cause=RefusalClass.DATA_QUALITY, code="VALUE_UNREADABLE", message=str(error))
        except self._refusal as error:
            return self._refused(f"the document {record.key!r}", error)

    async def _complete(self, record: RecordWrite) -> WriteOutcome:
        """What a crash left undone: to set it against what it pays or cancels."""
        held = await self._held_at(str(record.target_id))
        if held is None:
            message = f"{self._title} no longer has {record.target_id}; the document is looked for again."
            return Refused(cause=RefusalClass.TRANSIENT, code="GONE", message=message)
        if held.is_void:
            return for_a_person(
                "CANCELLED_BY_HAND",
                f"Somebody took {record.key} back in {self._title}; the books still hold it. Reverse it in the books; "
                "what was voided there cannot be brought back.",
            )
        if changed := sorted(record.fields.keys() - LATER):
            return for_a_person(
                "DOCUMENT_POSTED",
                f"{record.key} in {self._title} differs in {', '.join(changed)}, and what is posted is not changed: "
                "undo the change there, or cancel the document in the books.",
                *changed,
            )
        held = await self._post_late(held, record)
        await self._settle(held, record)
        return Applied(target_id=str(held.place), created=False, number=held.number)

    async def _held_at(self, target_id: str) -> HeldT | None:
        """A document by its target id; None where it was deleted, or where this is no id of a document."""
        place = self._place_of(target_id)
        return None if place is None else (await self._reading.at([place])).get(place)

    async def _about(self, document: Desired) -> HeldT | None:
        """What a document cancels or pays; it has to be there first. Raises Unusable."""
        key = document.reverses or document.settles
        return None if key is None else await self._known(key, "reverses" if document.reverses else "settles")

    async def _known(self, key: str, field: str) -> HeldT:
        """Another document by its key. Raises Unusable."""
        found = (await self._reading.by_key([key])).get(key)
        if found is None:
            message = f"{self._title} has no document {key!r}: it has to be there first."
            raise unusable("DOCUMENT_UNKNOWN", message, field)
        return found

    async def _post_late(self, held: HeldT, record: RecordWrite) -> HeldT:
        """The document, posted where it was not. A draft here was made by hand: what we make is posted in the call that
        makes it. Raises Unusable.
        """
        if record.fields.get("state") is None:
            return held
        raise Unusable(
            for_a_person(
                "NOT_POSTED",
                f"{record.key} is a draft in {self._title}, which somebody made of it: approve it there.",
                "state",
            )
        )

    @abstractmethod
    async def _make(self, spec: ObjectSpec, document: Desired, key: str) -> HeldT:
        """Make a document under an idempotency key. Raises Unusable, the vendor's refusal, and as the calls do."""

    @abstractmethod
    async def _settle(self, held: HeldT, record: RecordWrite) -> None:
        """Set a document against what it pays or cancels, as far as both are open; what is done is left alone."""

    @abstractmethod
    def _refused(self, place: str, error: RejectedError) -> Refused:
        """The refusal of one record, of the vendor's own no."""
