"""What is seen of a won contract: its customer in billing and in the ERP, its subscription, first bill and entry.
Reads only: the flows that lead from sales into billing make them, under conditions and releases of their own, and what
holds one is told in its words. Next: `saga_sights.py`.
"""

from collections.abc import Iterable
from datetime import datetime

from accordant.canonical.deals import Opportunity
from accordant.canonical.entities import Account
from accordant.canonical.events import EventType
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.findings import Category
from accordant.kernel.hashing import fingerprint
from accordant.operations.saga_sights import (
    CLOCKS_APART,
    KNOWN,
    Look,
    Surroundings,
    bill_of,
    day,
    first_bill,
    journal_of,
    of_event,
    of_writes,
)
from accordant.orchestration.saga import Evidence, Finding, Saga, SagaPhase, SagaStep, Sight
from accordant.pipeline.plan import Route
from accordant.ports.sagas import SeenEvent, SeenWrite
from accordant.ports.state import StoredEntity

_PRINT_DIGITS = 16


def look_at_contract(saga: Saga, around: Surroundings, now: datetime) -> Look:
    """What is seen, whose customer it is once that is known, and whether sales changed it after it was won."""
    subject = ExternalRef.parse(saga.subject)
    deal = opportunity_of(subject, around)
    company = _route(EntityKind.COMPANY, subject.system, around)
    contract = _route(EntityKind.OPPORTUNITY, subject.system, around)
    if deal is None or company is None or contract is None:
        told = f"No flow leads {subject.system}'s companies and opportunities into billing: add both to the charter."
        return Look(seen={SagaStep.BILLING_CUSTOMER: Evidence(sight=Sight.HELD, told=told)})
    customer_record = f"{company.flow.target}:{company.flow.object}/{deal.company_id}"
    contract_record = f"{contract.flow.target}:{contract.flow.object}/{subject.id}"
    confirmed = around.book.confirmed([customer_record, contract_record])
    lanes = {f"{route.flow.target}:{saga.root_id}" for route in (company, contract)}
    since = saga.began_at - CLOCKS_APART
    writes = {one.record: one for lane in sorted(lanes) for one in around.book.writes(lane, since=since)}
    account = _account(company.flow.target, confirmed.get(customer_record), around)
    account_id = saga.account_id if account is None else str(account.ref.id)
    subscription = confirmed.get(contract_record)
    events = around.book.events(account_id, KNOWN, since=since) if account_id is not None else ()
    seen = {
        SagaStep.BILLING_CUSTOMER: _record(customer_record, writes, confirmed.get(customer_record), around),
        SagaStep.ERP_CUSTOMER: _erp_customer(account, since, around),
        SagaStep.SUBSCRIPTION: _subscription(
            saga, contract_record, subscription, events, _record(contract_record, writes, subscription, around)
        ),
    }
    if subscription is not None:
        bill = first_bill(subscription, events, around.state)
        if bill is None:
            told = f"No bill of {subscription} was issued yet."
            seen[SagaStep.FIRST_INVOICE] = Evidence(sight=Sight.UNDER_WAY, told=told)
        else:
            seen[SagaStep.FIRST_INVOICE] = bill_of(saga, *bill, events, around)
            seen[SagaStep.POSTING] = journal_of(saga, bill[0], events, around)
    return Look(seen=seen, account_id=account_id, findings=_changed_since(saga, deal, subscription, events, now))


def opportunity_of(subject: ExternalRef, around: Surroundings) -> Opportunity | None:
    """The opportunity as sales has it now."""
    name = (subject.system, EntityKind.OPPORTUNITY, subject.id)
    stored = around.state.named([name]).get(name)
    return stored.entity if stored is not None and isinstance(stored.entity, Opportunity) else None


def terms_of(deal: Opportunity) -> str:
    """The digest of what was agreed: amount, lines, beginning and length."""
    lines = sorted(
        [line.product_id, line.product_code, line.quantity, str(line.unit_price), line.price_id] for line in deal.lines
    )
    said = [str(deal.amount), deal.currency, lines, str(deal.starts_on), deal.term_months]
    return fingerprint(said)[:_PRINT_DIGITS]


def _route(entity: EntityKind, system: str, around: Surroundings) -> Route | None:
    routes = around.rulebook.routes.get((system, entity), ())
    return next((one for one in routes if around.categories.get(one.flow.target) is Category.BILLING), None)


def _record(record: str, writes: dict[str, SeenWrite], target_id: str | None, around: Surroundings) -> Evidence:
    """What is seen of one record: its newest write, or that it was there before."""
    if record in writes:
        return of_writes([writes[record]], around)
    if target_id is not None:
        return Evidence(sight=Sight.DONE, told=f"{target_id} was there already.", proof=f"record/{record}")
    return Evidence(sight=Sight.UNDER_WAY, told=f"{record} is not planned yet.")


def _account(system: str, target_id: str | None, around: Surroundings) -> StoredEntity | None:
    if target_id is None:
        return None
    return around.state.named([(system, EntityKind.ACCOUNT, target_id)]).get((system, EntityKind.ACCOUNT, target_id))


def _erp_customer(account: StoredEntity | None, since: datetime, around: Surroundings) -> Evidence:
    routes = [
        one
        for one in around.rulebook.all_routes
        if one.flow.entity is EntityKind.ACCOUNT and around.categories.get(one.flow.target) is Category.ERP
    ]
    if not routes:
        return Evidence(sight=Sight.NOT_NEEDED, told="No flow leads customers into an ERP.")
    if account is None or not isinstance(account.entity, Account):
        return Evidence(sight=Sight.UNDER_WAY, told="Billing has not told of the customer yet.")
    seen = []
    for route in routes:
        record = f"{route.flow.target}:{route.flow.object}/{account.entity.external_id}"
        lane = f"{route.flow.target}:{account.ref.id}"
        writes = {one.record: one for one in around.book.writes(lane, since=since)}
        seen.append(_record(record, writes, around.book.confirmed([record]).get(record), around))
    return min(seen, key=lambda one: one.sight is Sight.DONE)


def _subscription(
    saga: Saga, record: str, target_id: str | None, events: Iterable[SeenEvent], written: Evidence
) -> Evidence:
    if saga.phase is not SagaPhase.UNDOING:
        return written
    ended = [
        one.event
        for one in events
        if one.event.type is EventType.SUBSCRIPTION_CANCELLED and one.event.subject.id == target_id
    ]
    if ended:
        told = f"{target_id} ended on {day(ended[-1].occurred_at)}."
        return Evidence(sight=Sight.UNDONE, told=told, proof=of_event(ended[-1].id))
    told = f"{target_id or record} still runs. End it in billing."
    return Evidence(sight=Sight.HELD, told=told, proof=written.proof)


def _changed_since(
    saga: Saga, deal: Opportunity, subscription: str | None, events: Iterable[SeenEvent], now: datetime
) -> tuple[Finding, ...]:
    """Sales changed what was signed, and billing runs what was signed."""
    terms = terms_of(deal)
    if not saga.terms or terms == saga.terms:
        return ()
    followed = any(
        one.event.type is EventType.CONTRACT_AMENDED and one.event.subject.id == subscription for one in events
    )
    if followed:
        return ()
    amount = "" if deal.amount is None else f" It now says {deal.amount}."
    told = (
        f"{saga.subject} was changed after it was won, and billing was not.{amount} "
        "Change the subscription in billing, or set the opportunity back to what was signed."
    )
    return (Finding(name=f"changed-{terms}", told=told, found_at=now),)
