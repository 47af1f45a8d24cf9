"""One payment for several invoices in the Stripe stand-in, as payments that are attached to more than one of them.

Each invoice gets an invoice payment of its own with its share, and no charge names any of them. Source:
docs.stripe.com/api/invoice-payment. Next room: `simulator_invoices.py`.
"""

from collections.abc import Sequence

from accordant.connectors.stripe import simulator_payment_shapes
from accordant.connectors.stripe.simulator_invoices import Invoices
from accordant.connectors.stripe.simulator_payments import Payments
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import PINNED


class SharedPayments:
    """Payments of one book that pay several of its invoices at once."""

    def __init__(self, book: Book, payments: Payments, invoices: Invoices) -> None:
        self.book = book
        self.payments = payments
        self.invoices = invoices

    def pay(self, invoices: Sequence[Record]) -> Record:
        """Pay these open invoices of one customer with one payment. The charge; a 402 where the card is refused."""
        if self.book.api_version == PINNED:
            raise SimulatedRefusal(400, f"A payment of the version {PINNED} pays one invoice.")
        if {one["status"] for one in invoices} != {"open"} or len({one["customer"] for one in invoices}) != 1:
            raise SimulatedRefusal(400, "A payment can be attached to open invoices of its own customer.")
        customer = self.book.get("customer", invoices[0]["customer"])
        intent = self.payments.open_intent(
            amount=sum(one["amount_remaining"] for one in invoices),
            currency=invoices[0]["currency"],
            customer=customer,
            invoice_id=None,
        )
        links = [self._link(one, intent) for one in invoices]
        charge = self.payments.attempt(intent, description=None)
        if charge is None or charge["status"] != "succeeded":
            raise SimulatedRefusal(402, "Your card was declined.", code="card_declined", kind="card_error")
        for invoice, link in zip(invoices, links, strict=True):
            self.invoices.cancel_intent(invoice)
            self.book.private_of(invoice["id"])["payment"] = link
            self.invoices.settle(invoice, charge=charge)
        return charge

    def _link(self, invoice: Record, intent: Record) -> Record:
        link = simulator_payment_shapes.invoice_payment(
            self.book.new_id("inpay"), self.book.now, invoice_record=invoice, intent_id=intent["id"]
        )
        link["is_default"] = False
        return self.book.add(link)
