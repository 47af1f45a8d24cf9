"""Room 6, beside the books: who owns deals since when, and what events did to money that was collected.

What people earn on it is counted apart, in one order for all customers: `operations/earn_commissions.py`.
"""

from collections.abc import Iterable, Mapping

from accordant.canonical.commissions import CommissionsPart
from accordant.canonical.deals import Company, Opportunity
from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import ExternalRef
from accordant.ledger.cash_events import BillCash
from accordant.ledger.commissions import CashKind
from accordant.pipeline.workbench import Workbench
from accordant.ports.commissions import CashState, CommissionDesk, KeptCash, KeptOwner


def note_owners(bench: Workbench) -> None:
    """Keep who owns an opportunity or a company from now on, where this batch says another than before."""
    for before, after in bench.advances:
        one = after.entity
        if not isinstance(one, Company | Opportunity) or one.owner_id is None:
            continue
        said = (one.owner_id, _is_won(one))
        if before is None or (getattr(before.entity, "owner_id", None), _is_won(before.entity)) != said:
            bench.changes.books.commissions.owners.append(
                KeptOwner(ref=str(after.source), since=after.observed_at, owner=said[0], is_won=said[1])
            )


def _is_won(one: Entity) -> bool:
    return isinstance(one, Opportunity) and one.is_won and not one.deleted


class CashDesk:
    """Lays on the bench what events did to money, where that differs from what is kept; nothing without plans."""

    def __init__(
        self,
        bench: Workbench,
        plans: CommissionsPart | None,
        companies: Mapping[str, str],
        desk: CommissionDesk,
    ) -> None:
        """``companies`` are the legal entities whose books a system's bills are in."""
        self._bench = bench
        self._companies = companies
        self._desk = desk
        paid = set() if plans is None else {plan.legal_entity for plan in plans.plans}
        self._systems = {system for system, company in companies.items() if company in paid}
        self._takes_fees = plans is not None and any(plan.deduct_fees for plan in plans.plans)
        self._kept: dict[str, KeptCash] = {}

    def load(self, bills: Iterable[ExternalRef], events: Iterable[str]) -> None:
        """What is kept of these bills, and of these events."""
        if self._systems:
            self._kept = self._desk.cash(map(str, bills), events)

    def lay(self, event: BusinessEvent, one: BillCash, *, root_id: str, cause: int | None) -> None:
        """Keep what the event did, to be counted anew."""
        cash, bill = one.cash, one.bill
        old = self._kept.get(cash.event)
        if event.subject.system not in self._systems or (old is not None and old.cash == cash):
            return
        if old is None and (
            not (cash.gross_minor or cash.books_minor) or (cash.kind is CashKind.FEE and not self._takes_fees)
        ):
            return
        self._bench.changes.books.commissions.cash.append(
            KeptCash(
                cash=cash,
                version=1 if old is None else old.version + 1,
                state=CashState.DUE,
                legal_entity=self._companies[event.subject.system],
                system=event.subject.system,
                subject=str(event.subject),
                root_id=root_id,
                bill=None if bill is None else str(bill.ref),
                currency="" if bill is None else bill.currency,
                total_minor=0 if bill is None else bill.total,
                tax_minor=0 if bill is None else bill.tax,
                cause=cause,
            )
        )
        self._bench.note(
            "commissions.cash.taken",
            cash.event,
            cause,
            {"kind": cash.kind.value, "payment": cash.payment, "gross_minor": cash.gross_minor},
        )
