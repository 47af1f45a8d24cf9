"""What the ordinary path shows of each step of a saga: events that were told, bills, entries of the books, and writes.

Reads only. What holds a step is said in the words of whatever holds it. Next: `orchestration/saga.py`, which judges.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.entities import CreditNote, Entity, Invoice, Subscription
from accordant.canonical.events import EventType
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.decide import Switches
from accordant.governance.findings import Category
from accordant.orchestration.saga import Evidence, Finding, Saga, SagaPhase, SagaStep, Sight
from accordant.pipeline.dispatch import resting_flows
from accordant.pipeline.plan import Rulebook
from accordant.ports.books import PostingState
from accordant.ports.sagas import SagaBook, SeenEvent, SeenWrite
from accordant.ports.state import State

Seen = dict[SagaStep, Evidence]
#: Our clock and a provider's are not one: a write may have been planned so long before what it is of happened.
CLOCKS_APART = timedelta(days=1)
_UNDER_WAY = frozenset({IntentState.PENDING, IntentState.LEASED, IntentState.UNCERTAIN})
_WORST = (Sight.FAILED, Sight.HELD, Sight.UNDER_WAY, Sight.DONE)
_TAKEN_BACK = (EventType.CREDIT_APPROVED, EventType.INVOICE_VOIDED)
_CHANGED = (EventType.CONTRACT_AMENDED, EventType.SUBSCRIPTION_CANCELLED)
#: Business events that a step may rest on.
KNOWN = frozenset({EventType.INVOICE_ISSUED, *_TAKEN_BACK, *_CHANGED})


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a look is made with. ``categories`` says what each system of the charter stands for."""

    book: SagaBook
    state: State
    rulebook: Rulebook
    switches: Switches
    categories: Mapping[str, Category]

    def targets(self, category: Category, entity: EntityKind) -> tuple[str, ...]:
        """The systems of a category that a flow of this entity leads to."""
        flows = (route.flow for route in self.rulebook.all_routes if route.flow.entity is entity)
        return tuple(sorted({flow.target for flow in flows if self.categories.get(flow.target) is category}))


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look saw: of the steps, whose customer it is, and what does not fit."""

    seen: Seen
    account_id: str | None = None
    findings: tuple[Finding, ...] = ()


def look_at_amendment(saga: Saga, around: Surroundings, _now: datetime) -> Look:
    """What is seen of a changed contract: the change, its bill, the tax on it, its entries, what sales is told."""
    events = around.book.events(saga.root_id, KNOWN, since=saga.began_at)
    bill = first_bill(ExternalRef.parse(saga.subject).id, events, around.state)
    seen: Seen = {SagaStep.REPRICING: _repricing(saga, events), SagaStep.FORECAST: _forecast(saga, around)}
    if bill is None:
        seen[SagaStep.INVOICE] = _awaited_bill(saga, around)
        return Look(seen=seen)
    told, invoice = bill
    seen[SagaStep.INVOICE] = bill_of(saga, told, invoice, events, around)
    seen[SagaStep.TAX] = _tax(told, invoice)
    seen[SagaStep.JOURNAL] = journal_of(saga, told, events, around)
    return Look(seen=seen)


def _repricing(saga: Saga, events: Iterable[SeenEvent]) -> Evidence:
    subject = ExternalRef.parse(saga.subject)
    later = [
        one
        for one in events
        if one.event.type in _CHANGED and one.event.subject == subject and one.event.id != saga.cause
    ]
    if saga.phase is SagaPhase.UNDOING and later:
        last = later[-1].event
        told = f"Billing changed {subject.id} again on {day(last.occurred_at)}."
        return Evidence(sight=Sight.UNDONE, told=told, proof=of_event(last.id))
    told = f"Billing changed what {subject.id} sells on {day(saga.began_at)}."
    return Evidence(sight=Sight.DONE, told=told, proof=of_event(saga.cause))


def first_bill(subscription: str, events: Iterable[SeenEvent], state: State) -> tuple[SeenEvent, Invoice | None] | None:
    """The first bill of a subscription among some events, or the first credit that was given."""
    told = [one for one in events if one.event.type in {EventType.INVOICE_ISSUED, EventType.CREDIT_APPROVED}]
    stored = _entities(told, state)
    for one in told:
        entity = stored.get(one.event.subject)
        if isinstance(entity, Invoice) and entity.subscription_id in {None, subscription}:
            return one, entity
        if one.event.type is EventType.CREDIT_APPROVED:
            return one, None
    return None


def _entities(told: Iterable[SeenEvent], state: State) -> dict[ExternalRef, Entity]:
    links = state.links([one.event.subject for one in told])
    stored = state.entities([link.id for link in links.values()])
    return {ref: stored[link.id].entity for ref, link in links.items() if link.id in stored}


def _taken_back(told: SeenEvent, events: Iterable[SeenEvent], state: State) -> SeenEvent | None:
    """What took a bill back: that it was voided, or the last credit that was given for it."""
    later = [one for one in events if one.event.type in _TAKEN_BACK and one.event.id != told.event.id]
    stored = _entities(later, state)
    back = [
        one
        for one in later
        if one.event.subject == told.event.subject
        or (isinstance(note := stored.get(one.event.subject), CreditNote) and note.invoice_id == told.event.subject.id)
    ]
    return back[-1] if back else None


def _awaited_bill(saga: Saga, around: Surroundings) -> Evidence:
    subject = ExternalRef.parse(saga.subject)
    stored = around.state.named([(subject.system, EntityKind.SUBSCRIPTION, subject.id)])
    entity = next((one.entity for one in stored.values()), None)
    if isinstance(entity, Subscription) and entity.ended_at is not None:
        told = (
            f"{subject.id} ended on {day(entity.ended_at)} before a bill of the change was issued. Have it taken back."
        )
        return Evidence(sight=Sight.FAILED, told=told)
    ends = entity.period_ends_at if isinstance(entity, Subscription) else None
    if isinstance(entity, Subscription) and ends is None:
        ends = max((item.period_ends_at for item in entity.items if item.period_ends_at is not None), default=None)
    when = "" if ends is None else f" The next is due on {day(ends)}."
    return Evidence(sight=Sight.UNDER_WAY, told=f"No bill of {subject.id} was issued since the change.{when}")


def bill_of(
    saga: Saga, told: SeenEvent, invoice: Invoice | None, events: Iterable[SeenEvent], around: Surroundings
) -> Evidence:
    """What is seen of a bill: that it is out, or that it was taken back."""
    event = told.event
    if saga.phase is SagaPhase.UNDOING:
        back = _taken_back(told, events, around.state)
        if back is not None:
            sentence = f"{back.event.subject.id} takes it back, since {day(back.event.occurred_at)}."
            return Evidence(sight=Sight.UNDONE, told=sentence, proof=of_event(back.event.id))
        said = f"{event.subject.id} still stands. Void it in billing, or give credit for it: the books follow."
        return Evidence(sight=Sight.HELD, told=said, proof=of_event(event.id))
    name = (invoice.number if invoice is not None else None) or event.subject.id
    amount = "" if event.amount is None else f" of {event.amount}"
    return Evidence(
        sight=Sight.DONE, told=f"{name}{amount}, issued {day(event.occurred_at)}.", proof=of_event(event.id)
    )


def _tax(told: SeenEvent, invoice: Invoice | None) -> Evidence:
    name = told.event.subject.id
    if invoice is None or invoice.tax is None:
        return Evidence(sight=Sight.NOT_NEEDED, told=f"Billing states no tax on {name}.")
    return Evidence(sight=Sight.DONE, told=f"{invoice.tax} of tax on {name}.", proof=str(told.event.subject))


def journal_of(saga: Saga, told: SeenEvent, events: Iterable[SeenEvent], around: Surroundings) -> Evidence:
    """What is seen of the entry of a bill and of the ERP's document, or of those that reverse them."""
    if around.rulebook.ledger is None:
        return Evidence(sight=Sight.NOT_NEEDED, told="The charter keeps no books.")
    undoing = saga.phase is SagaPhase.UNDOING
    one = _taken_back(told, events, around.state) if undoing else told
    if one is None:
        return Evidence(sight=Sight.HELD, told="Nothing has taken the bill back yet, so its entry stands.")
    kept = around.state.books.dossiers((), [one.event.id]).postings.get(one.event.id)
    name = one.event.subject.id
    if kept is None:
        return Evidence(sight=Sight.UNDER_WAY, told=f"The books have not come to {name} yet.")
    if kept.state is PostingState.HELD or kept.entry_id is None:
        reasons = " ".join(map(str, kept.refusals))
        return Evidence(sight=Sight.HELD, told=f"{name} is not posted. {reasons}".strip(), proof=of_event(one.event.id))
    proof = f"entry/{kept.entry_id}"
    posted = Evidence(sight=Sight.DONE, told=f"Posted as {kept.entry_id}.", proof=proof)
    targets = around.targets(Category.ERP, EntityKind.LEDGER_DOCUMENT)
    found = posted
    if targets:
        cause = one.seq if kept.cause is None else kept.cause
        writes = around.book.writes_of([cause], targets)
        found = of_writes(writes, around) if writes else posted
    if undoing and found.sight is Sight.DONE:
        return msgspec.structs.replace(found, sight=Sight.UNDONE)
    return found if found.proof is not None else msgspec.structs.replace(found, proof=proof)


def _forecast(saga: Saga, around: Surroundings) -> Evidence:
    """What sales is told: the writes into the CRM that were planned since, for this customer."""
    targets = around.targets(Category.CRM, EntityKind.ACCOUNT)
    if not targets:
        return Evidence(sight=Sight.NOT_NEEDED, told="No flow leads into a CRM.")
    writes = [
        one
        for target in targets
        for one in around.book.writes(f"{target}:{saga.root_id}", since=saga.began_at - CLOCKS_APART)
        if one.cause is None or one.cause >= saga.seq
    ]
    if not writes:
        return Evidence(sight=Sight.NOT_NEEDED, told="Nothing that sales is shown has changed by it.")
    return of_writes(writes, around)


def of_writes(writes: Iterable[SeenWrite], around: Surroundings) -> Evidence:
    """What the worst of some writes says."""
    resting = resting_flows(around.rulebook, around.switches)
    told = [_of_write(one, resting) for one in writes]
    return min(told, key=lambda one: _WORST.index(one.sight))


def _of_write(one: SeenWrite, resting: frozenset[str]) -> Evidence:
    proof = f"intent/{one.id}"
    if one.shadow:
        told = f"{one.flow} may only compare: widen its phase, then {one.record} is written."
        return Evidence(sight=Sight.HELD, told=told, proof=proof)
    if one.state in _UNDER_WAY and one.flow in resting:
        return Evidence(sight=Sight.HELD, told=f"{one.flow} stands still: resume it, then it goes on.", proof=proof)
    if one.state in _UNDER_WAY:
        return Evidence(
            sight=Sight.UNDER_WAY, told=f"{one.record} is on its way. {one.reason or ''}".strip(), proof=proof
        )
    if one.state is IntentState.HELD:
        return Evidence(sight=Sight.HELD, told=f"{one.record} is held. {one.reason or ''}".strip(), proof=proof)
    if one.state is IntentState.DEAD:
        told = f"{one.record} was not taken. {one.reason or ''}".strip()
        return Evidence(sight=Sight.FAILED, told=f"{told} Redrive it once that is mended.", proof=proof)
    return Evidence(sight=Sight.DONE, told=f"{one.record} is written.", proof=proof)


def of_event(name: str) -> str:
    """A business event as a step rests on it."""
    return f"business_event/{name}"


def day(moment: datetime) -> str:
    """A day in a sentence."""
    return f"{moment:%Y-%m-%d}"
