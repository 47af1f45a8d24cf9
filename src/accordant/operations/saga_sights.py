"""What the ordinary path shows of each step of a saga: events that were told, bills, entries of the books, and writes.

Reads only. What holds a step is said in the words of whatever holds it. Next: `orchestration/saga.py`, which judges.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from accordant.canonical.entities import Invoice, Subscription
from accordant.canonical.events import EventType
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.decide import Switches
from accordant.governance.findings import Category
from accordant.orchestration.saga import Evidence, Saga, SagaPhase, SagaStep, Sight
from accordant.pipeline.dispatch import resting_flows
from accordant.pipeline.plan import Rulebook
from accordant.ports.books import PostingState
from accordant.ports.sagas import SagaBook, SeenEvent, SeenWrite
from accordant.ports.state import State

Seen = dict[SagaStep, Evidence]
_UNDER_WAY = frozenset({IntentState.PENDING, IntentState.LEASED, IntentState.UNCERTAIN})
_WORST = (Sight.FAILED, Sight.HELD, Sight.UNDER_WAY, Sight.DONE)
_TAKEN_BACK = (EventType.CREDIT_APPROVED, EventType.INVOICE_VOIDED)
_CHANGED = (EventType.CONTRACT_AMENDED, EventType.SUBSCRIPTION_CANCELLED)
_KNOWN = frozenset({EventType.INVOICE_ISSUED, *_TAKEN_BACK, *_CHANGED})


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


def sights_of_amendment(saga: Saga, around: Surroundings) -> Seen:
    """What is seen of a changed contract: the change, its bill, the tax on it, its entries, what sales is told."""
    if saga.account_id is None:
        return {}
    events = around.book.events(saga.account_id, _KNOWN, since=saga.began_at)
    bill = _first_bill(saga, events, around)
    seen: Seen = {SagaStep.REPRICING: _repricing(saga, events), SagaStep.FORECAST: _forecast(saga, around)}
    if bill is None:
        seen[SagaStep.INVOICE] = _awaited_bill(saga, around)
        return seen
    told, invoice = bill
    seen[SagaStep.INVOICE] = _bill(saga, told, invoice, events)
    seen[SagaStep.TAX] = _tax(told, invoice)
    seen[SagaStep.JOURNAL] = _journal(saga, told, events, around)
    return seen


def _repricing(saga: Saga, events: Iterable[SeenEvent]) -> Evidence:
    subject = ExternalRef.parse(saga.subject)
    later = [
        one
        for one in events
        if one.event.type in _CHANGED and one.event.subject == subject and one.event.id != saga.cause
    ]
    if saga.phase is SagaPhase.UNDOING and later:
        last = later[-1].event
        told = f"Billing changed {subject.id} again on {_day(last.occurred_at)}."
        return Evidence(sight=Sight.UNDONE, told=told, proof=_of_event(last.id))
    told = f"Billing changed what {subject.id} sells on {_day(saga.began_at)}."
    return Evidence(sight=Sight.DONE, told=told, proof=_of_event(saga.cause))


def _first_bill(
    saga: Saga, events: Iterable[SeenEvent], around: Surroundings
) -> tuple[SeenEvent, Invoice | None] | None:
    """The first bill of the subscription that was issued since, or the credit that was given for it."""
    subject = ExternalRef.parse(saga.subject)
    told = [one for one in events if one.event.type in {EventType.INVOICE_ISSUED, EventType.CREDIT_APPROVED}]
    bills = _invoices(told, around.state)
    for one in told:
        invoice = bills.get(one.event.subject)
        if one.event.type is EventType.CREDIT_APPROVED or (
            invoice is not None and invoice.subscription_id in {None, subject.id}
        ):
            return one, invoice
    return None


def _invoices(told: Iterable[SeenEvent], state: State) -> dict[ExternalRef, Invoice]:
    refs = [one.event.subject for one in told]
    links = state.links(refs)
    stored = state.entities([link.id for link in links.values()])
    found = {ref: stored[link.id].entity for ref, link in links.items() if link.id in stored}
    return {ref: one for ref, one in found.items() if isinstance(one, Invoice)}


def _awaited_bill(saga: Saga, around: Surroundings) -> Evidence:
    subject = ExternalRef.parse(saga.subject)
    stored = around.state.named([(subject.system, EntityKind.SUBSCRIPTION, subject.id)])
    entity = next((one.entity for one in stored.values()), None)
    ends = entity.period_ends_at if isinstance(entity, Subscription) else None
    if isinstance(entity, Subscription) and ends is None:
        ends = max((item.period_ends_at for item in entity.items if item.period_ends_at is not None), default=None)
    when = "" if ends is None else f" The next is due on {_day(ends)}."
    return Evidence(sight=Sight.UNDER_WAY, told=f"No bill of {subject.id} was issued since the change.{when}")


def _bill(saga: Saga, told: SeenEvent, invoice: Invoice | None, events: Iterable[SeenEvent]) -> Evidence:
    event = told.event
    if saga.phase is SagaPhase.UNDOING:
        back = [one.event for one in events if one.event.type in _TAKEN_BACK and one.event.id != event.id]
        if back:
            sentence = f"{back[-1].subject.id} takes it back, since {_day(back[-1].occurred_at)}."
            return Evidence(sight=Sight.UNDONE, told=sentence, proof=_of_event(back[-1].id))
        said = f"{event.subject.id} still stands. Void it in billing, or give credit for it: the books follow."
        return Evidence(sight=Sight.HELD, told=said, proof=_of_event(event.id))
    name = (invoice.number if invoice is not None else None) or event.subject.id
    amount = "" if event.amount is None else f" of {event.amount}"
    return Evidence(
        sight=Sight.DONE, told=f"{name}{amount}, issued {_day(event.occurred_at)}.", proof=_of_event(event.id)
    )


def _tax(told: SeenEvent, invoice: Invoice | None) -> Evidence:
    name = told.event.subject.id
    if invoice is None or invoice.tax is None:
        return Evidence(sight=Sight.NOT_NEEDED, told=f"Billing states no tax on {name}.")
    return Evidence(sight=Sight.DONE, told=f"{invoice.tax} of tax on {name}.", proof=str(told.event.subject))


def _journal(saga: Saga, told: SeenEvent, events: Iterable[SeenEvent], around: Surroundings) -> Evidence:
    if around.rulebook.ledger is None:
        return Evidence(sight=Sight.NOT_NEEDED, told="The charter keeps no books.")
    undoing = saga.phase is SagaPhase.UNDOING
    back = [one for one in events if one.event.type in _TAKEN_BACK and one.event.id != told.event.id]
    if undoing and not back:
        return Evidence(sight=Sight.HELD, told="Nothing has taken the bill back yet, so its entry stands.")
    one = back[-1] if undoing else told
    kept = around.state.books.dossiers((), [one.event.id]).postings.get(one.event.id)
    name = one.event.subject.id
    if kept is None:
        return Evidence(sight=Sight.UNDER_WAY, told=f"The books have not come to {name} yet.")
    if kept.state is PostingState.HELD or kept.entry_id is None:
        reasons = " ".join(map(str, kept.refusals))
        return Evidence(
            sight=Sight.HELD, told=f"{name} is not posted. {reasons}".strip(), proof=_of_event(one.event.id)
        )
    proof = f"entry/{kept.entry_id}"
    posted = Evidence(sight=Sight.DONE, told=f"Posted as {kept.entry_id}.", proof=proof)
    targets = around.targets(Category.ERP, EntityKind.LEDGER_DOCUMENT)
    found = posted
    if targets:
        cause = one.seq if kept.cause is None else kept.cause
        writes = around.book.writes_of([cause], targets)
        found = _of_writes(writes, around) if writes else posted
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
        for one in around.book.writes(f"{target}:{saga.account_id}", since=saga.began_at)
        if one.cause is None or one.cause >= saga.seq
    ]
    if not writes:
        return Evidence(sight=Sight.NOT_NEEDED, told="Nothing that sales is shown has changed by it.")
    return _of_writes(writes, around)


def _of_writes(writes: Iterable[SeenWrite], around: Surroundings) -> Evidence:
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


def _of_event(name: str) -> str:
    return f"business_event/{name}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
