"""The outbox: intents wait here, are leased to one courier at a time, and leave with a receipt."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.conflicts import FieldMark
from accordant.canonical.intents import IntentState, WriteIntent, WriteReceipt
from accordant.canonical.matching import ReviewCase
from accordant.canonical.review import Relink
from accordant.kernel.errors import TransientError
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.handed_jobs import HandedJobs
from accordant.ports.state import LanePark, Link


class LeasedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An intent in the hands of a courier. ``attempt`` counts this try, ``was`` is its state before the lease.

    ``was`` leased or uncertain means that an earlier try may have reached the target. ``known`` is what was last
    written into the record and what stands for its fields, ``said_at`` the provider's stamp of the event behind it.
    """

    intent: WriteIntent
    shadow: bool
    attempt: int
    was: IntentState
    token: int
    known: FieldsKnown = FieldsKnown()
    said_at: datetime | None = None


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The last request for a record of a target that cannot be asked at once what became of it (classes B, D, E).

    ``record`` is ``target:object/key``. ``answered_at`` None: what became of it is not known. ``target_id`` is the
    target's own id of the record, once it was told; answered without one, it was refused and made nothing.
    ``generation`` counts keys for one and the same content. ``idempotency_key`` is empty once it is good for nothing:
    the target has kept a failure under it.
    """

    record: str
    intent_id: str
    idempotency_key: str
    fingerprint: str
    generation: int
    first_sent_at: datetime
    sent_at: datetime
    answered_at: datetime | None = None
    target_id: str | None = None


class Remembering(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered of a record's last request from now on; None forgets it."""

    record: str
    request: SentRequest | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a leased intent.

    ``receipt`` is None when nothing was tried (the policy changed, the rate was spent).

    ``park`` stops the lane, ``link`` is the crosswalk entry of a record met for the first time, ``target_id`` the
    target's id. ``marks`` are what was last written into each field, None where nothing was written now. ``relink``
    is what was learned of where the record went, ``case`` the question that a person has to answer first, ``told``
    further lines of the trail, ``remember`` what came of the request that went out.
    """

    leased: LeasedIntent
    state: IntentState
    due_at: datetime
    reason: str | None = None
    receipt: WriteReceipt | None = None
    target_id: str | None = None
    link: Link | None = None
    park: LanePark | None = None
    audit: AuditEntry | None = None
    marks: dict[str, FieldMark] | None = None
    relink: Relink | None = None
    case: ReviewCase | None = None
    told: tuple[AuditEntry, ...] = ()
    remember: Remembering | None = None


class LeaseLost(TransientError):
    """Another courier took the intent over: this one came back too late with its answer."""


class RequestBook(Protocol):
    """The last request for each record of the targets that cannot be asked at once what became of one, and the jobs."""

    @property
    def jobs(self) -> HandedJobs:
        """What was handed to targets and goes on there by itself."""
        ...

    def sent(self, records: Collection[str]) -> dict[str, SentRequest]:
        """The last request for each of these records, where one is remembered."""
        ...

    def note_sent(self, requests: Mapping[str, SentRequest], leased: Sequence[LeasedIntent]) -> frozenset[str]:
        """Remember requests, by intent id, before they go out; on disk when it returns. Raises TransientError.

        The ids of those of ``leased`` that nobody else has taken: of the others nothing is remembered, and nothing may
        go out.
        """
        ...


class Outbox(RequestBook, Protocol):
    """Obligations: an attempt is on disk before ``claim`` returns; a verdict of a lease that was lost is refused."""

    def claim(
        self,
        *,
        target: str,
        limit: int,
        now: datetime,
        lease_until: datetime,
        paused_flows: frozenset[str],
        lease_now: datetime | None = None,
    ) -> tuple[LeasedIntent, ...]:
        """Lease due intents of open lanes, oldest first, one courier a lane.

        Older revisions of a record become superseded. ``lease_until`` and ``lease_now`` (``now`` where it is left out)
        are of the clock of leases; the token of an intent grows with each of its leases.
        """
        ...

    def renew(self, leased: Sequence[LeasedIntent], *, lease_until: datetime) -> frozenset[str]:
        """Prolong leases; the ids of those that nobody else has taken. The others are lost, and stay so."""
        ...

    def settle(self, verdicts: Sequence[Verdict], *, now: datetime) -> None:
        """Store verdicts, receipts, confirmed records and audit in one transaction. Raises LeaseLost."""
        ...
