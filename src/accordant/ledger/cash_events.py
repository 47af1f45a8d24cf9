"""What an event that was read into the books did to money that was collected, as commissions count it.

Only money counts: a credit note, a balance that pays a bill and a write-off move none. Next: `commissions.py`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import BalanceMovement, Dispute, Entity, Payment, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.ledger.bills import Bill, booked
from accordant.ledger.commissions import Cash, CashKind
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.given_back import WON
from accordant.ledger.meanings.reading import Part, intent_of
from accordant.ledger.post import Outcome
from accordant.ledger.void import kept_minor

#: The rules of entries that move a customer's money.
CASH_RULES = frozenset(
    {"payment_applied", "payment_allocated", "recovered", "collected_by_sister", "refunded", "fee_charged"}
)
#: Where money is that a customer paid: with the processor, in the bank, at a sister.
_CAME = (Role.CLEARING, Role.BANK, Role.INTERCOMPANY_RECEIVABLE)
#: Movements of a processor's balance whose fee is that of a payment.
_OF_PAYMENTS = frozenset({"charge", "payment"})
_PAID = frozenset({EventType.PAYMENT_APPLIED, EventType.PAYMENT_COLLECTED_BY_SISTER})


class BillCash(msgspec.Struct, frozen=True, kw_only=True):
    """What an event did to the money of one bill; without a bill it is a fee, which is of its payment."""

    cash: Cash
    bill: Bill | None


def cash_of(
    outcome: Outcome,
    bills: Mapping[ExternalRef, Bill],
    objects: Mapping[ExternalRef, Entity],
    disputed: Mapping[ExternalRef, list[Part]],
) -> Iterator[BillCash]:
    """What one part of an event did, given the entry that stands for it; nothing where it moves no customer's money.

    Zero where nothing stands for it, and of a payment of a bill that is void: that is what the customer has with us.
    ``disputed`` is what each dispute took, bill by bill.
    """
    event, entry = outcome.event, outcome.entry
    bill = None if outcome.bill is None else bills.get(outcome.bill)
    about = objects.get(event.subject)
    if event.type is EventType.DISPUTE_CLOSED and isinstance(about, Dispute):
        yield from _lost(outcome, about, bills, disputed.get(event.subject, []))
    elif event.type is EventType.FEE_CHARGED and isinstance(about, BalanceMovement):
        if about.type in _OF_PAYMENTS:
            fee = 0 if entry is None else booked(entry, Role.PROCESSING_FEES)
            yield BillCash(cash=_cash(outcome, CashKind.FEE, about.source_id, books=fee), bill=None)
    elif bill is not None and event.type is EventType.REFUND_ISSUED and isinstance(about, Refund):
        gross = 0 if entry is None else -kept_minor([entry])
        yield BillCash(cash=_cash(outcome, CashKind.REFUNDED, about.payment_id, gross), bill=bill)
    elif bill is not None and event.type in _PAID:
        stands = None if bill.is_void else entry
        gross = 0 if stands is None else kept_minor([stands])
        books = 0 if stands is None else sum(booked(stands, role) for role in _CAME)
        yield BillCash(cash=_cash(outcome, CashKind.PAID, event.subject.id, gross, books), bill=bill)
    elif bill is not None and event.type is EventType.PAYMENT_ALLOCATED:
        gross, books = (0, 0) if entry is None or bill.is_void else _allocated(entry)
        payment = _payment_of(event, objects)
        if payment is not None:
            yield BillCash(cash=_cash(outcome, CashKind.PAID, payment.external_id, gross, books), bill=bill)


def payment_name(system: str, payment_id: str) -> str:
    """A payment by its system and its owner's id alone: each system has a word of its own for what moved money."""
    return f"{system}/{payment_id}"


def _lost(
    outcome: Outcome, dispute: Dispute, bills: Mapping[ExternalRef, Bill], parts: list[Part]
) -> Iterator[BillCash]:
    """The money went when the dispute began; it is not lost before that is decided."""
    if outcome.key != outcome.event.id:
        return
    for part in parts:
        bill = None if part.bill is None else bills.get(part.bill)
        if bill is not None:
            gross = 0 if dispute.status in WON else part.minor or 0
            cash = _cash(outcome, CashKind.DISPUTE_LOST, dispute.payment_id, gross)
            yield BillCash(cash=msgspec.structs.replace(cash, event=f"{cash.event}/{bill.ref}"), bill=bill)


def _allocated(entry: JournalEntry) -> tuple[int, int]:
    """What of a customer's balance went to a bill: in the bill's currency, and in that of the books."""
    taken = [one for one in entry.postings if one.role is Role.CUSTOMER_BALANCE]
    return sum((one.original or one.amount).amount_minor for one in taken), booked(entry, Role.CUSTOMER_BALANCE)


def _payment_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity]) -> Payment | None:
    """The payment that an allocation is of, by what it was an attempt at."""
    paid = (
        one
        for ref, one in objects.items()
        if isinstance(one, Payment) and one.status == "succeeded" and intent_of(ref.system, one) == event.subject
    )
    return next(paid, None)


def _cash(outcome: Outcome, kind: CashKind, payment_id: str | None, gross: int = 0, books: int = 0) -> Cash:
    return Cash(
        event=outcome.key,
        kind=kind,
        payment=payment_name(outcome.event.subject.system, payment_id or ""),
        happened_on=outcome.happened_on,
        gross_minor=gross,
        books_minor=books,
    )
