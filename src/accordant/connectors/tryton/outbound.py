"""Tryton's outbound half: customers and ledger documents read, compared and written over JSON-RPC.
Guarantees that nothing is made without having been looked for, and that a lost answer is never taken for a refusal.
Source: trytond and its modules account and account_invoice, version 8.2, run in the tests. Next: documents.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import FIELDS
from accordant.connectors.sdk.writing import write_in_turn
from accordant.connectors.tryton import parties, records
from accordant.connectors.tryton.documents import Documents, Journals
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.parties import PARTY, Parties
from accordant.connectors.tryton.reading import Held, Place, Reading
from accordant.connectors.tryton.records import INVOICE, KEY_FIELD, MOVE
from accordant.connectors.tryton.rpc import Rpc, TrytonRefused
from accordant.kernel.errors import InvariantBroken, RejectedError
from accordant.ports.connector import RecordWrite, WriteProtocol, WriteResult

#: A document takes some seven calls, a second or two on a busy server, and a whole batch has twenty seconds.
BATCH_MAX = 3


class TrytonOutbound:
    """Implements ``ports.connector.Outbound`` for the objects of the manifest, and ``DocumentFinder``."""

    batch_max = BATCH_MAX

    def __init__(self, *, rpc: Rpc, protocols: Mapping[str, WriteProtocol], journals: Journals) -> None:
        self._rpc = rpc
        self._protocols = protocols
        self._journals = journals
        lookups = Lookups(rpc)
        self._reading = Reading(rpc, lookups)
        self._parties = Parties(rpc, lookups)
        self._documents = Documents(rpc, lookups, self._reading, journals)

    def protocol(self, object_name: str) -> WriteProtocol:
        """See the port."""
        try:
            return self._protocols[object_name]
        except KeyError:
            raise InvariantBroken(f"Tryton's {object_name} is written, and the manifest does not name it.") from None

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. A document is found under its key whichever of its own Tryton made of it."""
        _check(spec)
        with _Asking(spec):
            if spec.name == PARTY:
                return await self._parties.read(spec, keys)
            held = await self._reading.by_key(keys)
            return {key: await self._reading.record(spec, one) for key, one in held.items()}

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the port."""
        _check(spec)
        return self._parties.canonical(spec, fields) if spec.name == PARTY else records.canonical(spec, fields)

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port. One record after the other: once one is through, a failure is of those behind it only."""
        _check(spec)
        if len(records) > self.batch_max:
            raise InvariantBroken(f"{len(records)} records in one call; {self.batch_max} can be written in time.")
        return await write_in_turn(records, lambda record: self._write_one(spec, record))

    async def _write_one(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        if spec.name == PARTY:
            return await self._parties.write(spec, record)
        return await self._documents.write(spec, record)

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:  # noqa: ARG002
        """See the port: parties are known by their code alone, none is looked for by name."""
        return ()

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:  # noqa: ARG002
        """See the port; as ``search``."""
        for _ in ():
            yield ()

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. What is posted cannot be deleted in Tryton; what somebody cancelled counts as deleted."""
        _check(spec)
        with _Asking(spec):
            if spec.name == PARTY:
                return await self._parties.whereabouts(spec, target_ids)
            places = [place for one in target_ids if (place := _place(one)) is not None]
            held = await self._reading.at(places)
            return {str(place): await self._whereabouts(spec, one) for place, one in held.items()}

    async def _whereabouts(self, spec: ObjectSpec, held: Held) -> Whereabouts:
        return Whereabouts(
            target_id=str(held.place),
            deleted=held.cancelled_by_hand,
            merged_into=None,
            key=held.key,
            record=await self._reading.record(spec, held),
        )

    async def document_of(self, object_name: str, name: str) -> str | None:
        """See the port ``DocumentFinder``. A line of the journal, a move or an invoice."""
        with _Asking(ObjectSpec(name=object_name, key_field="", fields={})):
            return await self._reading.document_of(object_name, name)

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port. Of documents the fields that we take, since Tryton spreads them over several records."""
        spec = ObjectSpec(name=object_name, key_field="", fields={})
        with _Asking(spec):
            return await _described(self._rpc, object_name)

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port."""
        _check(spec)
        with _Asking(spec):
            if spec.name == PARTY:
                async for key, record in self._parties.keys(spec):
                    yield key, record
                return
            async for held in self._reading.all(spec.name, self._journals.revenue):
                yield str(held.key), await self._reading.record(spec, held)

    async def close(self) -> None:
        """Release connections."""
        await self._rpc.close()


class _Asking:
    """What Tryton refuses to answer is an error of the whole call: an object or a field is not what we take it for."""

    def __init__(self, spec: ObjectSpec) -> None:
        self._spec = spec

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TrytonRefused):
            raise RejectedError(
                f"Tryton cannot answer for {self._spec.name}: {error.fault.message}.",
                remedy="Give the user of this connection the right to read it, or activate the module it belongs to.",
            ) from error


async def _described(rpc: Rpc, object_name: str) -> tuple[DescribedField, ...]:
    names = {PARTY: parties.FIELDS, INVOICE: tuple(FIELDS), MOVE: tuple(FIELDS)}
    if object_name not in names:
        return ()
    told = await rpc.call(object_name, "fields_get", [], context={"language": "en"})
    key = parties.KEY if object_name == PARTY else KEY_FIELD[object_name]
    if not isinstance(told, dict) or key not in told:
        raise RejectedError(f"Tryton's {object_name} has no {key}.", remedy="This connector needs Tryton 8.2.")
    ours = [name for name in names[object_name] if object_name == INVOICE or name not in records.OF_INVOICES]
    return (
        _field(key, FieldType.TEXT, external_id=True, unique=object_name == PARTY),
        *(_field(name, FIELDS.get(name, FieldType.TEXT)) for name in ours if name != key),
    )


def _field(name: str, kind: FieldType, *, external_id: bool = False, unique: bool = False) -> DescribedField:
    return DescribedField(
        name=name,
        type=kind.value,
        writable=True,
        external_id=external_id,
        length=None,
        picklist=None,
        holds=frozenset({kind}),
        unique=unique,
        refers_to=(PARTY,) if kind is FieldType.LOOKUP else (),
    )


def _check(spec: ObjectSpec) -> None:
    """Only what the manifest names, by the key it names. Raises RejectedError."""
    wanted = {PARTY: parties.KEY, **KEY_FIELD}.get(spec.name)
    if wanted is None:
        raise RejectedError(
            f"Tryton's {spec.name} is not written by this connector.",
            remedy=f"Map {PARTY}, {INVOICE} or {MOVE}.",
        )
    if spec.key_field != wanted:
        raise RejectedError(
            f"The key of Tryton's {spec.name} is {wanted}, not {spec.key_field!r}.",
            remedy=f"Write key_field: {wanted} in the mapping.",
        )


def _place(target_id: str) -> Place | None:
    model, _, number = target_id.partition(",")
    return Place(model, int(number)) if model in KEY_FIELD and number.isdecimal() else None
