"""Billing against the hub: does the hub hold what the owner holds? Its pages are read; nothing is written there.

A difference in a lane whose events still wait is in flight. What is found is put right by feeding the owner's own
answer through the rooms, beside the event that last told of it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial

import msgspec

from accordant.canonical.entities import (
    Account,
    CreditNote,
    Dispute,
    Entity,
    Invoice,
    Payment,
    Refund,
    Subscription,
    encode_entity,
    kind_of,
)
from accordant.canonical.observations import Interpreted, Observation
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.clock import Clock
from accordant.kernel.hashing import digest
from accordant.kernel.ids import derived_id
from accordant.operations.reconcile import Progress, Reconciliation, Tally, off_loop
from accordant.ports.connector import Inbound, Page, Reader
from accordant.ports.inbox import Reading
from accordant.ports.reconcile import Cause, Discrepancy, DiscrepancyKind, ReconcileBook, ReconcileRun
from accordant.ports.state import State, StoredEntity


class Part(StrEnum):
    """What of an owner is compared: who the customers are and what they subscribed to, or what was billed and paid.

    The value is how its runs are named, before the system.
    """

    CUSTOMERS = "source"
    MONEY = "money"


#: The kinds of entity of each part.
KINDS: Mapping[Part, tuple[EntityKind, ...]] = {
    Part.CUSTOMERS: (EntityKind.ACCOUNT, EntityKind.SUBSCRIPTION),
    Part.MONEY: (
        EntityKind.INVOICE,
        EntityKind.PAYMENT,
        EntityKind.REFUND,
        EntityKind.CREDIT_NOTE,
        EntityKind.DISPUTE,
    ),
}


class SourceScope(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared. With ``since`` what came into being after that, and what may still change of what was there."""

    part: Part = Part.CUSTOMERS
    since: datetime | None = None


#: Who the customers are and what they subscribed to, all of it.
CUSTOMERS = SourceScope()
#: Entities asked for at once.
BATCH = 500

#: Keeps an owner's answer beside a stored event and makes that event ready again.
Feed = Callable[[int, Reading], None]


class StatusCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many objects of a kind have a status at their owner, and in the hub."""

    kind: EntityKind
    status: str
    at_owner: int
    in_hub: int


class SourceComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison with an owner came to. ``fed`` counts answers that were given to the rooms."""

    reconciliation: Reconciliation
    statuses: tuple[StatusCount, ...]
    fed: int


async def compare_source(
    *,
    system: str,
    object_types: Sequence[str],
    reader: Reader,
    inbound: Inbound,
    book: ReconcileBook,
    state: State,
    actor: str,
    clock: Clock,
    scope: SourceScope = CUSTOMERS,
    feed: Feed | None = None,
    progress: Progress | None = None,
) -> SourceComparison:
    """Compare one part of what an owner holds. With ``feed`` what differs is fed; else it is only reported.

    ``object_types`` are the owner's words for what its reader lists; other kinds are left after one page.
    Raises RateLimited, TargetUnavailable, AuthorizationExpired: the run then stays unfinished and proves nothing.
    """
    started_at = clock()
    part = scope.part
    flow = f"{part.value}:{system}"
    run = ReconcileRun(id=derived_id("run", flow, started_at.isoformat()), flow=flow, started_at=started_at)
    await off_loop(partial(book.begin, run))
    walk = _Walk(
        system=system,
        scope=scope,
        inbound=inbound,
        reader=reader,
        book=book,
        tally=Tally(run, book=book, state=state, clock=clock),
        feed=feed,
        progress=progress,
    )
    for object_type in object_types:
        await walk.list_owner(object_type)
    for kind in KINDS[part]:
        await walk.list_hub(kind)
    return await walk.finish(actor)


class _Walk:
    """One walk over an owner's lists and one over the hub's."""

    def __init__(
        self,
        *,
        system: str,
        scope: SourceScope,
        inbound: Inbound,
        reader: Reader,
        book: ReconcileBook,
        tally: Tally,
        feed: Feed | None,
        progress: Progress | None,
    ) -> None:
        self._system = system
        self._kinds = KINDS[scope.part]
        self._since = scope.since
        self._roots: set[ExternalRef] = set()
        self._inbound = inbound
        self._reader = reader
        self._book = book
        self._tally = tally
        self._feed = feed
        self._progress = progress
        self._seen: set[ExternalRef] = set()
        self._at_owner: Counter[tuple[EntityKind, str]] = Counter()
        self._in_hub: Counter[tuple[EntityKind, str]] = Counter()
        self._fed = 0

    async def list_owner(self, object_type: str) -> None:
        """Every object of one type, page by page."""
        async for page in self._reader.pages(object_type, created_since=self._since):
            told = {ref: self._read(ref, body, page) for ref, body in page.objects}
            if not any(seen is not None and kind_of(seen.entity) in self._kinds for seen in told.values()):
                return
            await self._compare(page, told)
            if self._progress is not None:
                self._progress(self._tally.records, 0)

    def _read(self, ref: ExternalRef, body: bytes, page: Page) -> Observation | None:
        meaning = self._inbound.interpret_object(ref=ref, body=body, read_at=page.read_at)
        return meaning.observations[0] if isinstance(meaning, Interpreted) and meaning.observations else None

    async def _compare(self, page: Page, told: Mapping[ExternalRef, Observation | None]) -> None:
        bodies = dict(page.objects)
        seen = {ref: one for ref, one in told.items() if one is not None}
        self._seen |= seen.keys()
        roots = {one.root for one in seen.values()}
        self._roots |= roots
        held = await off_loop(partial(self._book.entities_of, seen.keys() | roots))
        waiting = await off_loop(partial(self._book.unsettled_lanes, {str(root) for root in roots}))
        findings = []
        for ref, one in seen.items():
            self._at_owner[kind_of(one.entity), _status(one.entity)] += 1
            self._tally.records += 1
            self._tally.fields += 1
            stored = held.get(ref)
            if stored is not None and _agree(stored, one.entity):
                continue
            # What the hub holds may be newer than this page: what was told after it is not older than it.
            if str(one.root) in waiting or (stored is not None and stored.observed_at > page.read_at):
                self._tally.in_flight += 1
                continue
            carrier = stored or held.get(one.root)
            findings.append(_difference(one, stored, carrier))
            if self._feed is not None and carrier is not None:
                reading = Reading(ref=str(ref), read_at=page.read_at, body=bodies[ref])
                await off_loop(partial(self._feed, carrier.cause, reading))
                self._fed += 1
        await self._tally.add(findings)

    async def list_hub(self, kind: EntityKind) -> None:
        """Everything the hub holds of this owner that the owner did not list."""
        after = ""
        while page := await off_loop(partial(self._book.owned_after, self._system, kind, after, limit=BATCH)):
            after = page[-1].ref.id
            for stored in page:
                self._in_hub[kind, _status(stored.entity)] += 1
                if stored.source in self._seen or _is_gone(stored.entity):
                    continue
                # Not everything that is older was listed: what is settled by now and untouched is left alone.
                if self._since is None or _may_change(stored.entity) or stored.source in self._roots:
                    await self._ask(stored)

    async def _ask(self, stored: StoredEntity) -> None:
        """An object that was not listed is asked for by name before it counts as gone."""
        body, read_at = await self._reader.read(stored.source)
        if body and self._since is not None:
            page = Page(objects=((stored.source, body),), read_at=read_at)
            await self._compare(page, {stored.source: self._read(stored.source, body, page)})
            return
        self._tally.records += 1
        if body:
            self._tally.in_flight += 1  # it came into being while the lists were read
            return
        finding = Discrepancy(
            kind=DiscrepancyKind.SOURCE,
            cause=Cause.NOT_HEARD,
            record=str(stored.source),
            explanation=f"{self._system} no longer has it, and no event has told so.",
            expected=None,
            actual=_status(stored.entity),
            account_id=stored.root_id,
            repairable=True,
        )
        await self._tally.add([finding])
        if self._feed is not None:
            await off_loop(
                partial(self._feed, stored.cause, Reading(ref=str(stored.source), read_at=read_at, body=body))
            )
            self._fed += 1

    async def finish(self, actor: str) -> SourceComparison:
        """Close the run."""
        names = sorted(self._at_owner.keys() | self._in_hub.keys())
        statuses = tuple(
            StatusCount(
                kind=kind,
                status=status,
                at_owner=self._at_owner[kind, status],
                in_hub=self._in_hub[kind, status],
            )
            for kind, status in names
        )
        return SourceComparison(reconciliation=await self._tally.finish(actor), statuses=statuses, fed=self._fed)


def _difference(one: Observation, stored: StoredEntity | None, carrier: StoredEntity | None) -> Discrepancy:
    if stored is None:
        told = "No event of it has arrived."
        if carrier is None:
            told += " Its customer is unknown too, so it comes in with the customer's first event or a backfill."
        return Discrepancy(
            kind=DiscrepancyKind.SOURCE,
            cause=Cause.NOT_HEARD,
            record=str(one.ref),
            explanation=told,
            expected=_status(one.entity),
            account_id=None if carrier is None else carrier.root_id,
            repairable=carrier is not None,
        )
    fields = _differing(stored.entity, one.entity)
    return Discrepancy(
        kind=DiscrepancyKind.SOURCE,
        cause=Cause.NOT_HEARD,
        record=str(one.ref),
        explanation=f"The owner says otherwise in {', '.join(fields)}, and no event has told so.",
        field=fields[0] if len(fields) == 1 else None,
        expected=_status(one.entity),
        actual=_status(stored.entity),
        account_id=stored.root_id,
        repairable=True,
    )


def _agree(stored: StoredEntity, told: Entity) -> bool:
    return stored.digest == digest(encode_entity(told)) or not _differing(stored.entity, told)


def _differing(held: Entity, told: Entity) -> tuple[str, ...]:
    """The attributes in which they differ. An event may tell which invoice a payment is for, and an answer not."""
    if type(held) is not type(told):
        return ("kind",)
    untold = {"invoice_id"} if isinstance(told, Payment) and told.invoice_id is None else set()
    return tuple(
        name for name in told.__struct_fields__ if name not in untold and getattr(held, name) != getattr(told, name)
    )


def _status(entity: Entity) -> str:
    """The word a count goes by."""
    match entity:
        case Account(deleted=True):
            return "deleted"
        case Account():
            return "present"
        case Subscription() | Invoice() | Payment() | Refund() | CreditNote() | Dispute():
            return entity.status
        case _:
            return "other"


def _may_change(entity: Entity) -> bool:
    """Whether an older object may have moved on meanwhile."""
    match entity:
        case Invoice(status=status):
            return status not in {"paid", "void"}
        case Payment(status=status) | Refund(status=status):
            return status in {"pending", "requires_action"}
        case CreditNote():
            return False
        case Dispute(status=status):
            return status not in {"won", "lost"}
        case _:
            return True


def _is_gone(entity: Entity) -> bool:
    return isinstance(entity, Account | Invoice) and entity.deleted
