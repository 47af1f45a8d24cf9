"""The outbound half of an ERP that takes customers and ledger documents: which object is whose, and the port around it.
Guarantees that only objects of the manifest are asked for, by the keys it names. Next: a connector's ``outbound.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.connectors.sdk.writing import write_in_turn
from accordant.kernel.errors import InvariantBroken, RejectedError
from accordant.ports.connector import RecordWrite, WriteProtocol, WriteResult


class Records(Protocol):
    """The records of one object, or of several kept alike; each method as ``ports.connector.Outbound`` has it."""

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """The values as they come back after a write. Raises ValueUnreadable."""
        ...

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What is held under these keys."""
        ...

    def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every record that has a key of ours."""
        ...

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of records by the target's own ids."""
        ...

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make or change one record."""
        ...


class Searched(Protocol):
    """Records that tell whose they are; each method as ``ports.connector.Outbound`` has it.

    A record that was found is written by its id and carries our key from then on, beside the vendor's own number where
    that stays; ``RecordWrite.frees`` takes the key off again.
    """

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """The live records that may have any of these keys, each once."""
        ...

    def census(self, spec: IdentitySpec, *, after: str) -> AsyncIterator[tuple[Candidate, ...]]:
        """Every live record, page by page in the order of the ids, behind ``after``; no page is empty."""
        ...


class LedgerObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a mapping: who keeps it, its key, the fields it takes, and whether the key is unique there.

    ``searched`` finds the records that were there before us; None where this kind of object is not searched. What has
    one belongs to the connector's ``MATCHABLE``.
    """

    records: Records
    key_field: str
    fields: Mapping[str, FieldType]
    unique: bool
    searched: Searched | None = None


class LedgerOutbound:
    """Implements ``ports.connector.Outbound``. ``title`` is the vendor to people, ``party`` the object of customers."""

    def __init__(
        self,
        *,
        title: str,
        protocols: Mapping[str, WriteProtocol],
        objects: Mapping[str, LedgerObject],
        party: str,
        batch_max: int,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.batch_max = batch_max
        self._title = title
        self._protocols = protocols
        self._objects = objects
        self._party = party
        self._close = close

    def protocol(self, object_name: str) -> WriteProtocol:
        """See the port."""
        try:
            return self._protocols[object_name]
        except KeyError:
            raise InvariantBroken(
                f"{self._title}'s {object_name} is written, and the manifest does not name it."
            ) from None

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. A document is found under its key whichever of its own the vendor made of it."""
        return await self._records(spec).read(spec, keys)

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the port."""
        return self._records(spec).canonical(spec, fields)

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port. One record after the other: once one is through, a failure is of those behind it only."""
        kept = self._records(spec)
        if len(records) > self.batch_max:
            raise InvariantBroken(f"{len(records)} records in one call; {self.batch_max} can be written in time.")
        return await write_in_turn(records, lambda record: kept.write(spec, record))

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the port."""
        searched = self._searched(spec)
        return () if searched is None or not keys else await searched.search(spec, keys)

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """See the port."""
        if (searched := self._searched(spec)) is not None:
            async for page in searched.census(spec, after=after):
                yield page

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. What somebody took back counts as deleted."""
        return await self._records(spec).whereabouts(spec, target_ids)

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port: these vendors describe nothing, so it is what we take, as their contract has it."""
        kept = self._objects.get(object_name)
        if kept is None:
            return ()
        key = _field(kept.key_field, FieldType.TEXT, self._party, is_key=True, unique=kept.unique)
        return (key, *(_field(name, kind, self._party) for name, kind in kept.fields.items()))

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port."""
        async for key, record in self._records(spec).keys(spec):
            yield key, record

    async def close(self) -> None:
        """Release connections."""
        await self._close()

    def _searched(self, spec: IdentitySpec) -> Searched | None:
        kept = self._objects.get(spec.object)
        return None if kept is None else kept.searched

    def _records(self, spec: ObjectSpec) -> Records:
        """Who keeps an object. Raises RejectedError for one that is not written, or is asked for by another key."""
        kept = self._objects.get(spec.name)
        if kept is None:
            raise RejectedError(
                f"{self._title}'s {spec.name} is not written by this connector.",
                remedy=f"Map {', '.join(self._objects)}.",
            )
        if spec.key_field != kept.key_field:
            raise RejectedError(
                f"The key of {self._title}'s {spec.name} is {kept.key_field}, not {spec.key_field!r}.",
                remedy=f"Write key_field: {kept.key_field} in the mapping.",
            )
        return kept.records


def _field(name: str, kind: FieldType, party: str, *, is_key: bool = False, unique: bool = False) -> DescribedField:
    return DescribedField(
        name=name,
        type=kind.value,
        writable=True,
        external_id=is_key,
        length=None,
        picklist=None,
        holds=frozenset({kind}),
        unique=unique,
        refers_to=(party,) if kind is FieldType.LOOKUP else (),
    )
