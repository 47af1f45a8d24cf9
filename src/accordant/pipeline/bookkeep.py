"""Room 6, the books: what a batch's events mean in debits and credits, posted or held with every reason.

All events of a bill are read again in the order in which they happened, so that whatever arrived late, twice or before
its parent comes to the same books. Next: `pipeline/plan.py` tells the ERP.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from accordant.canonical.books import LedgerPart
from accordant.canonical.commissions import CommissionsPart
from accordant.canonical.entities import BalanceMovement, CreditNote, Dispute, Invoice, Payment, Price, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.canonical.words import withdrawal_of, withdrawn_by
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import digest
from accordant.kernel.money import Money
from accordant.ledger.bills import Bill
from accordant.ledger.cash_events import cash_of
from accordant.ledger.contracts import Contract
from accordant.ledger.documents import document_of
from accordant.ledger.entries import JournalEntry, encode_entry
from accordant.ledger.meanings.reading import NAMES_BILL, is_project_name
from accordant.ledger.post import MEANING, Outcome, Posted, Reader, in_order, sister_event
from accordant.ledger.schedule import RevenueSchedule, first_and_last
from accordant.ledger.setting import Setting, setting_of
from accordant.pipeline.book_objects import BookObjects
from accordant.pipeline.collect import CashDesk
from accordant.pipeline.workbench import LaidDocument, Workbench
from accordant.ports.books import (
    BillState,
    Bookshelf,
    Dossiers,
    KeptBill,
    KeptEntry,
    KeptPosting,
    KeptSchedule,
    PostingState,
)

#: What an event that is held may wait for: with its arrival the account's held events are looked at again, and those
#: that name it, which may be held under no account yet.
_AWAITED = (Invoice, Payment, Refund, CreditNote, Dispute)
_NAMED = (*_AWAITED, Price, BalanceMovement)
#: How many bills may share payments, one with the next: more than a customer pays at once.
_SHARING_MAX = 200


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The books of a charter: its ledger part, the company's zone, and the charter's version.

    ``is_told`` says whether some flow carries their documents to an ERP; ``commissions`` are its plans.
    """

    part: LedgerPart
    zone: ZoneInfo
    charter: str
    is_told: bool = False
    commissions: CommissionsPart | None = None

    def system_of(self, legal_entity: str) -> str:
        """The system whose documents a company's own entries go with: the first whose bills are its own; a company
        without one takes that of its sisters.
        """
        systems = self.part.systems
        return next(
            (name for name, owner in systems.items() if owner == legal_entity), next(iter(systems), legal_entity)
        )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A business event with the inbox event that told it; None where it was told before this batch."""

    event: BusinessEvent
    cause: int | None


def bookkeep(bench: Workbench, ledger: Ledger | None, shelf: Bookshelf) -> None:
    """Post what this batch's events mean, and what waited for one of its objects. Without books nothing is done."""
    if ledger is None:
        return
    fresh: dict[str, Told] = {
        event.id: Told(event=event, cause=seq)
        for seq, _, event in bench.changes.business_events
        if event.type in MEANING and event.subject.system in ledger.part.systems
    }
    moved = {after.root_id for _, after in bench.advances if isinstance(after.entity, _AWAITED)}
    arrived = {after.source for _, after in bench.advances if isinstance(after.entity, _NAMED)}
    arrived |= {one.event.subject for one in fresh.values() if one.event.type in NAMES_BILL}
    ended = {
        event.subject
        for _, _, event in bench.changes.business_events
        if event.type is EventType.SUBSCRIPTION_CANCELLED and event.subject.system in ledger.part.systems
    }
    if fresh or arrived or ended:
        held = shelf.held(moved, arrived) if arrived else ()
        waiting: dict[str, Told] = {event.id: Told(event=event, cause=kept.cause) for kept, event in held}
        post_events(bench, _ramps(ended, shelf) | waiting | fresh, ledger, shelf)


def _ramps(subscriptions: set[ExternalRef], shelf: Bookshelf) -> dict[str, Told]:
    """What was agreed of subscriptions that ended: it is read again with their end."""
    if not subscriptions:
        return {}
    known = shelf.dossiers(map(str, subscriptions), ())
    return {name: Told(event=event, cause=known.postings[name].cause) for name, event in known.events.items()}


def post_events(bench: Workbench, told: Mapping[str, Told], ledger: Ledger, shelf: Bookshelf) -> None:
    """Lay on the bench what these events come to, together with everything else that is known of their bills."""
    if not told:
        return
    found = BookObjects(bench, shelf)
    dossiers, events = _everything_of(told, found, ledger, shelf)
    reader = Reader(
        _setting(events.values(), ledger, shelf, bench.now),
        found.objects,
        products=found.products(),
        posted=_posted(dossiers),
        allocations=found.allocations,
        taken_back=frozenset(taken for name in events if (taken := withdrawn_by(name)) is not None),
    )
    outcomes = [outcome for event in in_order(tuple(events.values())) if (outcome := reader.take(event)) is not None]
    reader.finish()
    cash = CashDesk(bench, ledger.commissions, ledger.part.systems, shelf.commissions)
    cash.load(reader.bills, events)
    desk = _Desk(bench, ledger, dossiers, found, told, cash=cash)
    for outcome in outcomes:
        for part in outcome.parts:
            desk.lay_outcome(part)
            desk.lay_cash(part, reader)
    for posted in reader.bills.values():
        desk.lay_bill(posted)
    for contract in reader.contracts.values():
        desk.lay_contract(contract)


def _everything_of(
    told: Mapping[str, Told], found: BookObjects, ledger: Ledger, shelf: Bookshelf
) -> tuple[Dossiers, Mapping[str, BusinessEvent]]:
    """What the books hold of these events' bills, with all their events. Bills that share a payment belong together:
    what is given back of it falls on all of them. So do the bills of a contract, which is earned as one. Raises
    InvariantBroken where they have no end.
    """
    events: dict[str, BusinessEvent] = {name: one.event for name, one in told.items()}
    files = found.load(events.values())
    others = _beside(name for name, one in told.items() if one.event.said is not None)
    for _ in range(_SHARING_MAX):
        contracts = found.contracts(ledger.part)
        dossiers = shelf.dossiers({*map(str, files), *contracts}, [*told, *others])
        events = {**dossiers.events, **events}
        ramps = {str(one.subject) for one in events.values() if one.type is EventType.RAMP_AGREED}
        whole = {name for name in contracts if name in ramps or is_project_name(name)}
        more = (found.load(events.values()) | found.bills_of(whole, ledger.part)) - files
        if not more and found.contracts(ledger.part) <= contracts:
            return dossiers, events
        files |= more
    raise InvariantBroken(f"More than {_SHARING_MAX} bills share payments, one with the next.")


def _beside(said: Iterable[str]) -> list[str]:
    """What belongs to what persons said: the other company's side, what takes it back, and what that takes back."""
    names = {withdrawn_by(name) or name for name in said}
    return [other for name in names for other in (name, sister_event(name), withdrawal_of(name))]


def recall_documents(bench: Workbench, kept: Iterable[KeptEntry], shelf: Bookshelf, *, again: bool = False) -> None:
    """Lay the documents of entries on the bench again: for an ERP that was told nothing of them, or lost them; with
    ``again`` only for one that does not have them yet.
    """
    entries = tuple(kept)
    cancelled = shelf.kept_entries({one.entry.reverses for one in entries if one.entry.reverses is not None})
    by_id = {one.entry.id: one.entry for one in cancelled}
    for one in entries:
        document = document_of(one.entry, by_id.get(one.entry.reverses or ""))
        system = ExternalRef.parse(one.entry.cause.subject).system
        laid = LaidDocument(document=document, system=system, root_id=one.root_id, cause=one.cause, again=again)
        bench.documents.append(laid)


def recall_doubted(bench: Workbench, shelf: Bookshelf) -> None:
    """Lay the documents that somebody changed at an ERP on the bench again, each for the event that told of it."""
    told = {record.rpartition("/")[2]: seq for record, seq in bench.doubted.items()}
    kept = [msgspec.structs.replace(one, cause=told[one.entry.id]) for one in shelf.kept_entries(told)]
    recall_documents(bench, kept, shelf)


def _posted(dossiers: Dossiers) -> dict[str, Posted]:
    return {
        name: Posted(entry=dossiers.entries[kept.entry_id], asked=kept.asked)
        for name, kept in dossiers.postings.items()
        if kept.entry_id is not None
    }


def _setting(events: Iterable[BusinessEvent], ledger: Ledger, shelf: Bookshelf, now: datetime) -> Setting:
    first = min(event.occurred_at for event in events)
    return setting_of(
        ledger.part,
        zone=ledger.zone,
        years=range(first.astimezone(ledger.zone).year - 1, now.astimezone(ledger.zone).year + 2),
        rate_of=shelf.rate_of,
        recorded_at=now,
        kept=shelf.periods(),
    )


def lay_entry(
    bench: Workbench,
    ledger: Ledger,
    entry: JournalEntry,
    *,
    root_id: str,
    system: str,
    bill: str | None = None,
    cancelled: JournalEntry | None = None,
    cause: int | None = None,
    told: Mapping[str, str | int] | None = None,
) -> None:
    """Lay an entry on the bench with its line of the trail, and its document where some ERP is told.

    ``cancelled`` is the entry it reverses; ``told`` is what its line says besides.
    """
    bench.changes.books.entries.append(
        KeptEntry(entry=entry, root_id=root_id, bill=bill, charter=ledger.charter, cause=cause)
    )
    if ledger.is_told:
        document = document_of(entry, cancelled)
        bench.documents.append(LaidDocument(document=document, system=system, root_id=root_id, cause=cause))
    bench.note(
        "books.entry.reversed" if entry.reverses is not None else "books.entry.posted",
        entry.id,
        cause,
        {
            "event": entry.cause.event,
            "subject": entry.cause.subject,
            "rule": entry.cause.rule,
            "posted_on": entry.posted_on.isoformat(),
            "total": str(Money(entry.total_minor, entry.currency)),
            "digest": digest(encode_entry(entry)).hex(),
            "charter": ledger.charter,
            **(told or {}),
        },
    )


class _Desk:
    """Lays outcomes on the bench where they differ from what the books hold."""

    def __init__(
        self,
        bench: Workbench,
        ledger: Ledger,
        dossiers: Dossiers,
        found: BookObjects,
        told: Mapping[str, Told],
        *,
        cash: CashDesk,
    ) -> None:
        self._bench = bench
        self._ledger = ledger
        self._dossiers = dossiers
        self._found = found
        self._told = told
        self._books = bench.changes.books
        self._entries = dict(dossiers.entries)
        self._cash = cash

    def lay_outcome(self, outcome: Outcome) -> None:
        """The entries that are new, and what the event came to where that changed."""
        event, key = outcome.event, outcome.key
        old = self._dossiers.postings.get(key)
        root_id = self._found.root_of(event) if old is None else old.root_id
        cause = self._cause_of(event) if old is None else old.cause
        filed = None if outcome.bill is None else str(outcome.bill)
        self._entries |= {one.id: one for one in outcome.cancelled}
        bill = None if isinstance(self._found.objects.get(outcome.bill or event.root), Payment) else filed
        own = self._ledger.part.systems[event.subject.system]
        for entry in outcome.fresh:
            self._entries[entry.id] = entry
            lay_entry(
                self._bench,
                self._ledger,
                entry,
                root_id=root_id,
                system=event.subject.system,
                bill=bill if entry.legal_entity == own else None,
                cancelled=None if entry.reverses is None else self._entries[entry.reverses],
                cause=cause,
                told=_said(event),
            )
        says_nothing = outcome.entry is None and not outcome.refusals and not outcome.is_noted
        if says_nothing and old is None and outcome.pair is None:
            return
        kept = KeptPosting(
            event=key,
            version=1 if old is None else old.version + 1,
            state=PostingState.HELD if outcome.entry is None and outcome.refusals else PostingState.POSTED,
            type=event.type.value,
            subject=str(event.subject),
            root_id=root_id,
            bill=filed,
            happened_on=outcome.happened_on,
            entry_id=None if outcome.latest is None else outcome.latest.id,
            asked=outcome.asked,
            refusals=outcome.refusals,
            charter=self._ledger.charter if old is None or outcome.fresh else old.charter,
            cause=cause,
            waits_for=_awaited(outcome),
        )
        if old is not None and kept == msgspec.structs.replace(old, version=kept.version):
            return
        if not outcome.fresh:
            self._tell_posting(kept, event)
        self._books.postings.append(kept)
        if outcome.sister is not None:
            self._keep_sister(kept, outcome.sister)

    def _keep_sister(self, kept: KeptPosting, entry: JournalEntry) -> None:
        """What stands for the event in the books of the other company, to be found when it is read again."""
        name = sister_event(kept.event)
        old = self._dossiers.postings.get(name)
        version = 1 if old is None else old.version + 1
        self._books.postings.append(
            msgspec.structs.replace(kept, event=name, version=version, entry_id=entry.id, waits_for=None)
        )

    def _cause_of(self, event: BusinessEvent) -> int | None:
        """What told of an event: in this batch, or when another part of it was posted."""
        told = self._told.get(event.id)
        return self._dossiers.postings[event.id].cause if told is None else told.cause

    def lay_cash(self, outcome: Outcome, reader: Reader) -> None:
        """What it did to money that was collected, where plans pay on it."""
        event = outcome.event
        for one in cash_of(outcome, reader.bills, self._found.objects, reader.disputed):
            old = self._dossiers.postings.get(outcome.key)
            root_id = self._found.root_of(event) if old is None else old.root_id
            self._cash.lay(event, one, root_id=root_id, cause=self._cause_of(event) if old is None else old.cause)

    def lay_bill(self, bill: Bill) -> None:
        """What is left of a bill and how it is earned, where that changed."""
        ref = str(bill.ref)
        old = self._dossiers.bills.get(ref)
        issued = bill.issued
        kept = KeptBill(
            ref=ref,
            version=1 if old is None else old.version + 1,
            state=BillState.VOID if bill.is_void else BillState.OPEN if bill.open_minor > 0 else BillState.SETTLED,
            legal_entity=issued.legal_entity,
            root_id=self._dossiers.postings[issued.cause.event].root_id
            if issued.cause.event in self._dossiers.postings
            else self._found.root_of(self._told[issued.cause.event].event),
            party=issued.party,
            number=issued.number,
            currency=bill.currency,
            books_currency=issued.currency,
            total_minor=bill.total,
            open_minor=bill.open_minor,
            open_books_minor=bill.open_books_minor,
            booked_on=bill.booked_on,
            due_on=bill.due_on,
            entry_id=issued.id,
        )
        if old is None or kept != msgspec.structs.replace(old, version=kept.version):
            self._books.bills.append(kept)
        for schedule in bill.schedules:
            self._lay(schedule, kept.ref, bill.booked_on, kept.legal_entity, kept.books_currency)

    def lay_contract(self, contract: Contract) -> None:
        """What was agreed of a contract and is not billed yet: also with each change of one of its lines, so that of
        two who change different lines of it the second begins anew.
        """
        books, before = contract.books.chart, len(self._books.schedules)
        unbilled, moved = (
            contract.unbilled,
            any(one.schedule.contract == contract.name for one in self._books.schedules),
        )
        self._lay(unbilled, contract.name, contract.agreed_on, books.legal_entity, books.currency, moved=moved)
        if len(self._books.schedules) > before:
            price, billed = (Money(minor, unbilled.currency) for minor in (contract.price, contract.billed))
            told: dict[str, str | int | bool | list[str] | None] = {"price": str(price), "billed": str(billed)}
            if contract.progress is not None:
                told["progress"] = str(contract.progress)
            self._bench.note("books.contract.changed", contract.name, None, told)

    def _lay(
        self,
        schedule: RevenueSchedule,
        bill: str,
        booked_on: date,
        legal_entity: str,
        currency: str,
        *,
        moved: bool = False,
    ) -> None:
        one = msgspec.structs.replace(schedule, line=f"{ExternalRef.parse(bill).system}:{schedule.line}")
        old = self._dossiers.schedules.get(one.line)
        next_on = _looked_at_from(one, old, booked_on)
        if not moved and _is_kept(one, old, next_on):
            return
        self._books.schedules.append(
            KeptSchedule(
                id=one.line,
                version=1 if old is None else old.version + 1,
                legal_entity=legal_entity,
                bill=bill,
                books_currency=currency,
                booked_on=booked_on,
                schedule=one,
                recognised_minor=0 if old is None else old.recognised_minor,
                recognised_books_minor=0 if old is None else old.recognised_books_minor,
                next_on=next_on,
            )
        )

    def _tell_posting(self, kept: KeptPosting, event: BusinessEvent) -> None:
        reasons = [str(one) for one in kept.refusals]
        kind = "books.posting.held" if kept.state is PostingState.HELD else "books.posting.noted"
        self._bench.note(kind, kept.event, kept.cause, {"subject": kept.subject, "reasons": reasons, **_said(event)})


def _said(event: BusinessEvent) -> dict[str, str]:
    """Who said it and why, for the trail: nobody where a system told of it."""
    return {} if event.said is None else {"said_by": event.said.by, "reason": event.note or ""}


def _awaited(outcome: Outcome) -> ExternalRef | None:
    """What the event is looked at again with: the first thing that it lacks, else what names its bill. By system and id
    alone: each system has a word of its own for what moved money.
    """
    named = next((one.waits_for for one in outcome.refusals if one.waits_for is not None), None)
    found = outcome.pair if named is None else ExternalRef.parse(named)
    return None if found is None else msgspec.structs.replace(found, object_type="")


_EARNED_BY = ("spans", "product", "booked_minor", "grain", "contract", "undated_minor", "caught_up_on")


def _looked_at_from(one: RevenueSchedule, old: KeptSchedule | None, booked_on: date) -> date | None:
    """Looked at anew from its first day: what was recognised is known, only the difference is posted.

    What was earned before it was billed is recognised with the bill; usage in the month of its use, and a contract as
    one. Of what has no day nothing is, unless something was.
    """
    days = first_and_last(one)
    if days is None:
        return booked_on if old is not None and old.recognised_minor else None
    return days[0] if one.is_usage or one.contract is not None else max(days[0], booked_on)


def _is_kept(one: RevenueSchedule, old: KeptSchedule | None, next_on: date | None) -> bool:
    """Whether what is kept says the same, or nothing where there is nothing to keep."""
    if old is None:
        return not one.spans and not one.undated_minor
    # That it is use may be known later than the bill, with its price.
    is_later = old.next_on is not None and next_on is not None and old.next_on > next_on and not old.recognised_minor
    return not (one.is_usage and is_later) and _same(old.schedule, one)


def _same(old: RevenueSchedule, new: RevenueSchedule) -> bool:
    """Whether both are earned alike: instants are compared as instants, whatever zone they are written in."""
    return all(getattr(old, name) == getattr(new, name) for name in _EARNED_BY)
