"""What one reading of events knows: the objects they are about, the bills posted so far, and what belongs to what."""

from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from accordant.canonical.entities import BalanceMovement, CreditNote, Dispute, Entity, Invoice, Payment, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Books
from accordant.ledger.exchange import Rate
from accordant.ledger.meanings.asking import Ask, refused
from accordant.ledger.setting import Setting

#: The word for a payment by what it is an attempt at, in the name of what tells which bill it pays.
_INTENT = "payment_intent"

#: What moves money, by system and its owner's id.
Moving = Mapping[tuple[str, str], Payment | Refund | Dispute]


class Reading:
    """One reading. ``bills`` are those posted so far, by reference; an event changes them once it is posted itself."""

    def __init__(
        self, setting: Setting, objects: Mapping[ExternalRef, Entity], products: Mapping[str, str | None]
    ) -> None:
        self.setting = setting
        self.objects = objects
        self.bills: dict[ExternalRef, Bill] = {}
        self.moving: Moving = {
            (ref.system, ref.id): one for ref, one in objects.items() if isinstance(one, Payment | Refund | Dispute)
        }
        self._products = products
        self._cleared: dict[tuple[str, str, bool], int] = {}

    def clear(self, system: str, source_id: str, minor: int) -> None:
        """So much was posted on the processor's account for what has this id, in the currency of the books."""
        key = (system, source_id, minor > 0)
        self._cleared[key] = self._cleared.get(key, 0) + minor

    def cleared(self, system: str, source_id: str, *, came: bool) -> int | None:
        """What was posted on the processor's account so far for it: what came, or what went. None for nothing."""
        return self._cleared.get((system, source_id, came))

    def bill_of(self, event: BusinessEvent) -> ExternalRef | None:
        """The bill an event is about; None where it is about none, or nobody knows yet."""
        return bill_of(event, self.objects, self.moving)

    def posted_bill(self, named: ExternalRef, what: str) -> Bill | Ask:
        """The bill of this name, or that ``what`` waits for it."""
        bill = self.bills.get(named)
        return bill or refused(f"{what} is not posted", "It follows its bill by itself.", waits_for=named)

    def bill_of_payment(self, event: BusinessEvent, payment_id: str | None, word: str) -> Bill | Ask:
        """The posted bill of the payment an object names, or why not. ``word`` is the owner's for a payment."""
        payment = self.moving.get((event.subject.system, payment_id or ""))
        if not isinstance(payment, Payment):
            waits = ExternalRef(event.subject.system, word, payment_id or "")
            return refused("the payment it is about is not known", "Load the history of it first.", waits_for=waits)
        if payment.invoice_id is None:
            what, remedy = "its payment names no bill", "Book it by hand: the books do not say what was sold."
            return refused(what, remedy, waits_for=unnamed(event.subject.system, payment))
        named = ExternalRef(event.subject.system, "invoice", payment.invoice_id)
        return self.posted_bill(named, "the bill that was paid")

    def rate(self, currency: str, books: Books, day: date) -> Rate | None:
        """What a currency cost in that of the books; None for their own, and where nobody published it."""
        own = books.chart.currency
        return None if currency == own else self.setting.rate_of(currency, own, day)

    def product(self, price_id: str | None) -> str | None:
        """What a price sells."""
        return None if price_id is None else self._products.get(price_id)

    def unknown_price(self, bill: Invoice, system: str, books: Books) -> ExternalRef | None:
        """A price of which nobody knows what it sells, where the books tell products apart."""
        if not self.setting.grains and not any(rule.product for rule in books.chart.rules):
            return None
        named = (line.price_id for line in bill.lines if line.price_id is not None)
        missing = next((price_id for price_id in named if price_id not in self._products), None)
        return None if missing is None else ExternalRef(system, "price", missing)


def pair_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity]) -> ExternalRef | None:
    """By what name a payment that does not say which bill it pays, and what says it, find each other."""
    if event.type is EventType.PAYMENT_ALLOCATED:
        return event.subject
    paid = objects.get(event.subject)
    return unnamed(event.subject.system, paid) if isinstance(paid, Payment) else None


def unnamed(system: str, payment: Payment) -> ExternalRef | None:
    """What to ask for by which bill a payment pays; None where it says so itself."""
    if payment.invoice_id is not None:
        return None
    return ExternalRef(system, _INTENT, payment.intent_id or payment.external_id)


def named_bills(objects: Mapping[ExternalRef, Entity], events: Iterable[BusinessEvent]) -> dict[ExternalRef, Payment]:
    """The payments whose bill these events name, with it."""
    bills = {one.subject: one.root.id for one in events if one.type is EventType.PAYMENT_ALLOCATED}
    found: dict[ExternalRef, Payment] = {}
    for ref, one in objects.items() if bills else ():
        name = unnamed(ref.system, one) if isinstance(one, Payment) else None
        if isinstance(one, Payment) and name in bills:
            found[ref] = msgspec.structs.replace(one, invoice_id=bills[name])
    return found


def bill_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity], moving: Moving) -> ExternalRef | None:
    """The bill an event is about; None where it is about none, or nobody knows yet."""
    system = event.subject.system
    if event.type is EventType.PAYMENT_ALLOCATED:
        return event.root
    what: Entity | None = objects.get(event.subject)
    if event.type is EventType.FUNDS_CONVERTED:
        what = moving.get((system, source_of(event, objects) or ""))
    if isinstance(what, Refund | Dispute):
        what = moving.get((system, what.payment_id or ""))
    match what:
        case Invoice():
            return event.subject
        case CreditNote() | Payment():
            return None if what.invoice_id is None else ExternalRef(system, "invoice", what.invoice_id)
        case _:
            return event.subject if event.subject.object_type == "invoice" else None


def source_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity]) -> str | None:
    """The owner's id of what moved the processor's balance."""
    moved = objects.get(event.subject)
    return moved.source_id if isinstance(moved, BalanceMovement) else None
