"""What a connector offers: a pure inbound half, a reader and an outbound half that touch the world.

Vendor errors are translated inside the connector: nothing above it ever sees a vendor's class.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from accordant.canonical.intents import WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey, Member
from accordant.canonical.observations import Interpretation
from accordant.canonical.refs import ExternalRef
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.kernel.errors import HoldError, RejectedError, TransientError


class RateLimited(TransientError):
    """The other side asks us to slow down."""


class TargetUnavailable(TransientError):
    """The other side cannot be reached or is not working. Nothing was sent, or what was sent only reads."""


class AnswerLost(TransientError):
    """A write was sent and its answer never came: it may have been carried out."""

    remedy = "The record is read before anything is sent again."


class AuthorizationExpired(HoldError):
    """The other side no longer accepts our credentials."""

    remedy = "Renew the credentials of this connection in its settings; its writes wait until then."


class SignatureInvalid(RejectedError):
    """The delivery is not signed by its provider."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What the inbox must know of a delivery before anybody interprets it.

    ``lane`` is the provider's root object of the event, for example ``customer/cus_1``; ``occurred_at`` the
    provider's stamp.
    ``defect`` says why an authentic body cannot be interpreted (then ``external_id`` is derived from its bytes).
    """

    external_id: str
    event_type: str
    lane: str
    occurred_at: datetime
    defect: str | None = None


class Inbound(Protocol):
    """The inbound half: pure functions over bytes."""

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """Prove that the provider signed these very bytes, recently. Header names are lower case.

        Raises: SignatureInvalid, whatever is wrong, with a reason for the operator's log and never for the sender.
        """
        ...

    def read_envelope(self, body: bytes) -> Envelope:
        """Identify a verified delivery.

        Never raises: a body that cannot be read gets an envelope with its ``defect``.
        """
        ...

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """Turn a stored event into observations and business events.

        Makes no call; the same bytes give the same answer.
        """
        ...

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """Turn an object as its owner returned it into one observation with the standpoint of a reading.

        An empty ``body`` means that the owner no longer has the object.
        """
        ...


@runtime_checkable
class RecordTeller(Protocol):
    """What an inbound half offers besides where its system tells of the records that are written there.

    The outbound half has the same.
    """

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """As ``Outbound.canonical``: what is told of a record is compared with what was written in this spelling."""
        ...


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of objects as the owner returned them, raw, each with its reference."""

    objects: tuple[tuple[ExternalRef, bytes], ...]
    read_at: datetime


class Reader(Protocol):
    """Reads objects from their owner."""

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """One object's JSON and the moment it was asked for; empty bytes when the owner no longer has it.

        Raises: RateLimited, TargetUnavailable, AuthorizationExpired.
        """
        ...

    def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """Every object of a type, page by page, newest first. Raises as ``read``."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class EventLister(Protocol):
    """What a reader offers besides where its system keeps a list of its own events."""

    def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """Events that happened from ``since`` up to, not including, ``until``, raw, page by page, newest first.

        ``undelivered``: only those of which some endpoint has not confirmed the delivery. Raises as ``Reader.read``.
        """
        ...


@runtime_checkable
class DocumentFinder(Protocol):
    """What the outbound half of an ERP offers besides: which of our documents one of its own records belongs to."""

    async def document_of(self, object_name: str, name: str) -> str | None:
        """Our key of the document that a record is of: a line of the journal, a document by its id or its number.

        None for a record that is not there, that is of no document of ours, or of an object that has none. Raises
        TransientError, AuthorizationExpired, RejectedError.
        """
        ...


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place to which a system delivers its events, as the system describes it.

    ``api_version`` None means that the account's own default decides, which somebody may change; ``*`` among
    ``event_types`` stands for all.
    """

    id: str
    url: str
    is_enabled: bool
    api_version: str | None
    event_types: frozenset[str]


@runtime_checkable
class EndpointLister(Protocol):
    """What a reader offers besides where its system tells to whom it delivers."""

    async def endpoints(self) -> tuple[WebhookEndpoint, ...]:
        """Every endpoint of the account, newest first. Raises as ``Reader.read``."""
        ...


@runtime_checkable
class SettlementLister(Protocol):
    """What a reader offers besides where its system tells which movements of its balance a payout settled."""

    def settlements(self, payout_id: str) -> AsyncIterator[bytes]:
        """What one payout settled, page by page, as bodies that the inbound half reads like a delivery's.

        A page has the same name whenever it is asked for. Nothing where the system does not tell, or not yet. Raises
        as ``Reader.read``.
        """
        ...


class RecordWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One record to create or change.

    ``fields`` holds only what must change; ``idempotency_key`` goes along where the target takes one. ``target_id``
    addresses a record that is there and does not carry ``key`` yet: the key is set on it, and nothing is created.
    ``frees``: that record carries ``key`` and is not to any longer, so the key is taken off it.
    """

    key: str
    fields: dict[str, WireValue]
    idempotency_key: str
    target_id: str | None = None
    frees: bool = False


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one ``RecordWrite``, in the same order."""

    outcome: WriteOutcome
    request_id: str | None


class DestinationClass(StrEnum):
    """What a target offers against writing twice (reliability.md 3.3)."""

    NATIVE_UPSERT = "A"
    IDEMPOTENCY_KEY = "B"
    UNIQUE_NUMBER = "C"
    SEARCH_ONLY = "D"
    NOTHING = "E"


#: A record of class C is there already under its number: said with a passing refusal, it is read and compared.
ALREADY_THERE = "ALREADY_THERE"


class WriteProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """What a target offers against writing one kind of object twice.

    ``key_life`` is for how long a target of class B knows an idempotency key. ``settles_after`` is how long after a
    request its effect may still be missing from a read by key: nothing for A and C, the lag of the search for B and D.
    """

    destination_class: DestinationClass
    key_life: timedelta | None = None
    settles_after: timedelta = timedelta()

    @property
    def is_remembered(self) -> bool:
        """Whether a request has to be on disk before it goes out, since the target cannot be asked for it at once."""
        return self.destination_class not in {DestinationClass.NATIVE_UPSERT, DestinationClass.UNIQUE_NUMBER}


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """How a target takes many records of one object in one go: above how many, up to how many, for how long at most."""

    records_min: int
    records_max: int
    lasts_max: timedelta


#: Told a job's name at its target once it exists, and before it can begin. Raises TransientError: then it may not.
NoteJob = Callable[[str], Awaitable[None]]


class Outbound(Protocol):
    """The outbound half. At most ``batch_max`` records a call; all of one object."""

    batch_max: int

    def protocol(self, object_name: str) -> WriteProtocol:
        """What is offered against writing an object twice, as the manifest declares it."""
        ...

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What the target holds under these keys now; a key without a record is absent from the answer.

        Raises: RateLimited, TargetUnavailable, AuthorizationExpired, RejectedError (an unknown field or object, named).
        """
        ...

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """The values as they come back after a write: targets trim text, pad amounts and cut fractions of seconds.

        What is desired is compared with what is held in this spelling only. Raises: RejectedError for a value of a
        wrong type.
        """
        ...

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """Create or change records by their key, one result each, in order. Never touches a field that is not given.

        Only class A finds a record by its key here; elsewhere one without ``target_id`` is made anew, and class C
        refuses that as ``ALREADY_THERE`` where the key is taken.

        Raises: RateLimited and TargetUnavailable when nothing was carried out for certain, AnswerLost when that is
        unknown, AuthorizationExpired.
        """
        ...

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """The live records that may have any of these keys, each once; none where this kind of object is not searched.

        A target compares more loosely or more strictly than we do: what comes back is looked at, not believed.
        ``emails`` and ``domains`` of a candidate hold at least what it was found by. Raises as ``read``.
        """
        ...

    def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """Every live record of an object that tells whose it is, page by page in the order of the target's ids.

        ``after`` is the id to go on behind, so that a reading that broke off is not begun anew. Raises as ``read``.
        """
        ...

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of records by the target's own ids, those in its recycle bin included. Raises as ``read``."""
        ...

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """The target's own description of an object. Raises as ``read``."""
        ...

    def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every record that has a key, for reconciliation. Raises as ``read``."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class HierarchyLister(Protocol):
    """An outbound half whose system keeps, of some objects, which record stands below which.

    ``levels_max`` is how many levels it takes, the top included, by object that has a hierarchy; None for any number.
    """

    levels_max: Mapping[str, int | None]

    def members(self, object_name: str) -> AsyncIterator[tuple[Member, ...]]:
        """Every record of an object, page by page, deleted ones where the system still tells of them.

        Raises: as ``Outbound.read``.
        """
        ...


@runtime_checkable
class BulkOutbound(Protocol):
    """An outbound half of class A that also takes many records at once. What it makes is the same as by ``write``."""

    bulk: Bulk

    async def write_bulk(
        self, spec: ObjectSpec, records: Sequence[RecordWrite], *, note: NoteJob
    ) -> tuple[WriteResult, ...]:
        """As ``write``, for up to ``bulk.records_max`` records, and it may take up to ``bulk.lasts_max``.

        A job is told to ``note`` before it can begin. Whoever stops waiting has it end too, and who is killed is
        followed by ``end_job``: nothing is written behind anybody's back later. Raises as ``write`` and as ``note``.
        """
        ...

    async def end_job(self, job: str) -> None:
        """Have a job write nothing more, whether it has begun or not; what it has written stays.

        Raises: as ``read``, and TargetUnavailable while it goes on.
        """
        ...


def bulk_of(outbound: Outbound) -> BulkOutbound | None:
    """The same outbound half as one that takes many records at once; None where it does not.

    Asked with every call: whoever has no ``bulk`` is not asked for all else that such a half has.
    """
    return outbound if hasattr(outbound, "bulk") and isinstance(outbound, BulkOutbound) else None
