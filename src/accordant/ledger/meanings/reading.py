"""What one reading of events knows: the objects they are about, the bills posted so far, and what belongs to what."""

from collections.abc import Mapping
from datetime import date

from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, Payment, Refund
from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import ExternalRef
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Books
from accordant.ledger.exchange import Rate
from accordant.ledger.meanings.asking import Ask, refused
from accordant.ledger.setting import Setting

#: Payments by system and their owner's id.
Payments = Mapping[tuple[str, str], Payment]


class Reading:
    """One reading. ``bills`` are those posted so far, by reference; an event changes them once it is posted itself."""

    def __init__(
        self, setting: Setting, objects: Mapping[ExternalRef, Entity], products: Mapping[str, str | None]
    ) -> None:
        self.setting = setting
        self.objects = objects
        self.bills: dict[ExternalRef, Bill] = {}
        self.payments: Payments = {
            (ref.system, ref.id): one for ref, one in objects.items() if isinstance(one, Payment)
        }
        self._products = products

    def bill_of(self, event: BusinessEvent) -> ExternalRef | None:
        """The bill an event is about; None where it is about none, or nobody knows yet."""
        return bill_of(event, self.objects, self.payments)

    def posted_bill(self, named: ExternalRef, what: str) -> Bill | Ask:
        """The bill of this name, or that ``what`` waits for it."""
        bill = self.bills.get(named)
        return bill or refused(f"{what} is not posted", "It follows its bill by itself.", waits_for=named)

    def bill_of_payment(self, event: BusinessEvent, payment_id: str | None, word: str) -> Bill | Ask:
        """The posted bill of the payment an object names, or why not. ``word`` is the owner's for a payment."""
        payment = self.payments.get((event.subject.system, payment_id or ""))
        if payment is None:
            waits = ExternalRef(event.subject.system, word, payment_id or "")
            return refused("the payment it is about is not known", "Load the history of it first.", waits_for=waits)
        if payment.invoice_id is None:
            return refused("its payment names no bill", "Book it by hand: the books do not say what was sold.")
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


def bill_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity], payments: Payments) -> ExternalRef | None:
    """The bill an event is about; None where it is about none, or nobody knows yet."""
    system, what = event.subject.system, objects.get(event.subject)
    match what:
        case Invoice():
            return event.subject
        case CreditNote():
            return None if what.invoice_id is None else ExternalRef(system, "invoice", what.invoice_id)
        case Payment():
            payment: Payment | None = what
        case Refund() | Dispute():
            payment = payments.get((system, what.payment_id or ""))
        case _:
            return event.subject if event.subject.object_type == "invoice" else None
    if payment is None or payment.invoice_id is None:
        return None
    return ExternalRef(system, "invoice", payment.invoice_id)
