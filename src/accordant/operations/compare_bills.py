"""Each bill at once at its source, in the hub, in its books and at the ERP: does it add up, and do all say the same?

Nothing is written. A bill of whose customer events still wait, or of which a document is on its way, is in flight.
Next: `ledger/bill_terms.py`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from accordant.canonical.charter import FlowPart
from accordant.canonical.documents import DocumentKind, DocumentLine, read_lines
from accordant.canonical.entities import Invoice
from accordant.canonical.observations import Interpreted, Observation
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.targets import object_spec
from accordant.kernel.clock import Clock
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.ledger.bill_terms import Gap, GapKind, Place, Terms, gaps, journaled, stated
from accordant.ledger.documents import document_kind
from accordant.ledger.entries import JournalEntry
from accordant.ledger.post import cancelled_by
from accordant.operations.reconcile import Progress, Reconciliation, Tally, off_loop
from accordant.pipeline.plan import Route
from accordant.ports.books import Dossiers, KeptBill, KeptPosting, PostingState
from accordant.ports.connector import Inbound, Outbound, Page, Reader
from accordant.ports.reconcile import Cause, Discrepancy, DiscrepancyKind, ReconcileBook, ReconcileRun
from accordant.ports.state import State, StoredEntity

#: How its runs are named, before the system.
RUN_NAME = "bills"

_CAUSES = {GapKind.SUM: Cause.NOT_ITS_SUM, GapKind.DIFFERS: Cause.SAID_OTHERWISE}


class ErpSide(msgspec.Struct, frozen=True, kw_only=True):
    """One flow of ledger documents and the ERP it leads to."""

    route: Route
    outbound: Outbound


def erp_sides(routes: Sequence[Route], outbounds: Mapping[str, Outbound]) -> tuple[ErpSide, ...]:
    """The flows whose documents can be read back."""
    return tuple(
        ErpSide(route=route, outbound=outbounds[route.flow.target])
        for route in routes
        if route.flow.entity is EntityKind.LEDGER_DOCUMENT and route.flow.target in outbounds
    )


async def compare_bills(
    *,
    system: str,
    object_types: Sequence[str],
    reader: Reader,
    inbound: Inbound,
    sides: Sequence[ErpSide],
    keeps_books: bool,
    book: ReconcileBook,
    state: State,
    actor: str,
    clock: Clock,
    progress: Progress | None = None,
) -> Reconciliation:
    """Compare every bill of an owner. ``keeps_books``: the charter has a ledger for this system.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired: the run then stays unfinished and proves nothing.
    """
    started_at = clock()
    flow = f"{RUN_NAME}:{system}"
    run = ReconcileRun(id=derived_id("run", flow, started_at.isoformat()), flow=flow, started_at=started_at)
    await off_loop(partial(book.begin, run))
    walk = _Walk(
        book=book,
        state=state,
        tally=Tally(run, book=book, state=state, clock=clock),
        sides=sides,
        keeps_books=keeps_books,
        documents=await _documents(sides),
    )
    for object_type in object_types:
        async for page in _bills(reader, inbound, object_type):
            await walk.compare(page)
            if progress is not None:
                progress(walk.tally.records, 0)
    return await walk.tally.finish(actor)


async def _bills(reader: Reader, inbound: Inbound, object_type: str) -> AsyncIterator[dict[ExternalRef, Observation]]:
    """The bills of one list, page by page; another kind of list is left after one page."""
    async for page in reader.pages(object_type):
        told = {ref: one for ref, body in page.objects if (one := _read(inbound, ref, body, page)) is not None}
        if page.objects and not told:
            return
        yield told


def _read(inbound: Inbound, ref: ExternalRef, body: bytes, page: Page) -> Observation | None:
    meaning = inbound.interpret_object(ref=ref, body=body, read_at=page.read_at)
    one = meaning.observations[0] if isinstance(meaning, Interpreted) and meaning.observations else None
    return one if one is not None and isinstance(one.entity, Invoice) else None


async def _documents(sides: Sequence[ErpSide]) -> dict[str, tuple[DocumentLine, ...]]:
    """The lines of every document an ERP has of us, by the entry it is of. Lines nobody can read are none at all."""
    found: dict[str, tuple[DocumentLine, ...]] = {}
    for side in sides:
        async for key, record in side.outbound.keys(object_spec(side.route.mapping)):
            try:
                found[key] = read_lines(str(record.fields.get("lines") or "[]"))
            except msgspec.MsgspecError:
                found[key] = ()
    return found


class _About(NamedTuple):
    """One bill: as its owner told it, and what the hub holds of it."""

    ref: ExternalRef
    bill: Invoice
    stored: StoredEntity | None

    @property
    def account_id(self) -> str | None:
        """Whose it is, where that is known."""
        return None if self.stored is None else self.stored.root_id


class _Walk:
    """One walk over an owner's bills."""

    def __init__(
        self,
        *,
        book: ReconcileBook,
        state: State,
        tally: Tally,
        sides: Sequence[ErpSide],
        keeps_books: bool,
        documents: Mapping[str, tuple[DocumentLine, ...]],
    ) -> None:
        self.tally = tally
        self._book = book
        self._state = state
        self._sides = sides
        self._keeps_books = keeps_books
        self._documents = documents

    async def compare(self, told: Mapping[ExternalRef, Observation]) -> None:
        """One page of bills."""
        held = await off_loop(partial(self._book.entities_of, list(told)))
        waiting = await off_loop(partial(self._book.unsettled_lanes, {str(one.root) for one in told.values()}))
        dossiers = await off_loop(partial(self._state.books.dossiers, [str(ref) for ref in told], ()))
        of_bill: dict[str, list[KeptPosting]] = {}
        for posting in dossiers.postings.values():
            of_bill.setdefault(posting.bill or "", []).append(posting)
        findings: list[Discrepancy] = []
        for ref, one in told.items():
            bill = one.entity
            if not isinstance(bill, Invoice) or bill.status == "draft" or bill.deleted:
                continue
            stored, postings = held.get(ref), of_bill.get(str(ref), [])
            gone = {name for kept in postings for name in cancelled_by(kept.asked)}
            standing = [kept.entry_id for kept in postings if kept.entry_id is not None and kept.entry_id not in gone]
            entries = [dossiers.entries[name] for name in standing if name in dossiers.entries]
            self.tally.records += 1
            if str(one.root) in waiting or await self._is_on_its_way(entries):
                self.tally.in_flight += 1
                continue
            findings += self._of_bill(_About(ref, bill, stored), dossiers, postings, entries)
        await self.tally.add(findings)

    def _of_bill(
        self,
        about: _About,
        dossiers: Dossiers,
        postings: Sequence[KeptPosting],
        entries: Sequence[JournalEntry],
    ) -> list[Discrepancy]:
        first = [stated(Place.SOURCE, about.bill)]
        if about.stored is None or not isinstance(about.stored.entity, Invoice):
            return [_absent(about, Place.HUB, "The hub does not know it.", Cause.NOT_HEARD)]
        first.append(stated(Place.HUB, about.stored.entity))
        if not self._keeps_books or (not about.bill.total.amount_minor and not entries):
            return [_finding(about, one) for one in self._told(first)]
        kept = dossiers.bills.get(str(about.ref))
        issued = None if kept is None else dossiers.entries.get(kept.entry_id)
        if kept is None or issued is None:
            return [_absent(about, Place.BOOKS, _why_held(postings), Cause.NOT_WRITTEN)]
        later = [one for one in entries if one.id != issued.id]
        in_books = journaled(Place.BOOKS, issued, later, open_minor=kept.open_books_minor)
        first.append(_as_billed(kept, in_books, is_closed=first[0].open is None))
        second = [in_books]
        missing = [one for one in (issued, *later) if self._is_carried(one) and one.id not in self._documents]
        if self._sides and not missing:
            second.append(journaled(Place.ERP, issued, later, documents=self._documents))
        found = [_finding(about, one) for one in (*self._told(first), *self._told(second))]
        return found + [
            _absent(about, Place.ERP, f"The ERP has no document of {one.text}.", Cause.NOT_WRITTEN) for one in missing
        ]

    def _told(self, places: Sequence[Terms]) -> list[Gap]:
        self.tally.fields += len(places)
        return list(gaps(places))

    async def _is_on_its_way(self, entries: Sequence[JournalEntry]) -> bool:
        """Whether a document of the bill is planned and not there yet, or just being changed."""
        refs = [
            f"{side.route.flow.target}:{side.route.flow.object}/{one.id}"
            for one in entries
            for side in self._sides
            if one.id not in self._documents and _carries(side.route.flow, document_kind(one))
        ]
        known = await off_loop(partial(self._book.known, refs)) if refs else {}
        return any(one.is_open for one in known.values())

    def _is_carried(self, entry: JournalEntry) -> bool:
        return any(_carries(side.route.flow, document_kind(entry)) for side in self._sides)


def _carries(flow: FlowPart, kind: DocumentKind) -> bool:
    return not flow.documents or kind in flow.documents


def _as_billed(kept: KeptBill, in_books: Terms, *, is_closed: bool) -> Terms:
    """The books in the currency of the bill; what is open is theirs to say only where the owner says it too."""
    same = kept.currency == in_books.currency
    return Terms(
        place=Place.BOOKS,
        currency=kept.currency,
        total=kept.total_minor,
        open=None if is_closed else kept.open_minor,
        lines=in_books.lines if same else None,
        tax=in_books.tax if same else None,
    )


def _why_held(postings: Sequence[KeptPosting]) -> str:
    held = next((one for one in postings if one.state is PostingState.HELD), None)
    reason = "" if held is None or not held.refusals else f" {held.refusals[0]}"
    return f"The books have no entry of it.{reason}"


def _finding(about: _About, gap: Gap) -> Discrepancy:
    off = abs(gap.actual - gap.expected)
    what = "its own parts" if gap.kind is GapKind.SUM else "the other places"
    return Discrepancy(
        kind=DiscrepancyKind.BILL,
        cause=_CAUSES[gap.kind],
        record=str(about.ref),
        field=f"{gap.place.value}.{gap.term}",
        explanation=f"At {gap.place.value} {gap.term} is {Money(off, gap.currency)} off what {what} come to.",
        expected=str(Money(gap.expected, gap.currency)),
        actual=str(Money(gap.actual, gap.currency)),
        account_id=about.account_id,
    )


def _absent(about: _About, place: Place, why: str, cause: Cause) -> Discrepancy:
    return Discrepancy(
        kind=DiscrepancyKind.BILL,
        cause=cause,
        record=str(about.ref),
        field=f"{place.value}.total",
        explanation=why,
        expected=str(about.bill.total),
        account_id=about.account_id,
    )
