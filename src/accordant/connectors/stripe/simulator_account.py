"""One simulated Stripe account: its book, its money, its billing, and the catalogue and customers they work on.

Both the HTTP door (`simulator_commands.py`) and the bulk history (`simulator_history.py`) act through this one object.
"""

from collections.abc import Mapping
from typing import Any

from accordant.connectors.stripe import simulator_shapes as shapes
from accordant.connectors.stripe.simulator_billing import ENDED, Billing
from accordant.connectors.stripe.simulator_invoices import Invoices
from accordant.connectors.stripe.simulator_payments import Payments
from accordant.connectors.stripe.simulator_state import START_AT, Book, Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_taxes import tax_rate
from accordant.connectors.stripe.simulator_together import SharedPayments
from accordant.connectors.stripe.simulator_versions import PINNED


class SimulatedAccount:
    """The state machine behind the stand-in. `now` is its first second; `seed` decides every id."""

    def __init__(
        self,
        *,
        seed: int = 0,
        now: int = START_AT,
        api_version: str = PINNED,
        dunning_outcome: str = "canceled",
        remembers_events: bool = True,
    ) -> None:
        self.book = Book(seed=seed, now=now, api_version=api_version, remembers_events=remembers_events)
        self.payments = Payments(self.book)
        self.invoices = Invoices(self.book, self.payments)
        self.together = SharedPayments(self.book, self.payments, self.invoices)
        self.billing = Billing(self.book, self.payments, self.invoices, dunning_outcome=dunning_outcome)

    # customers

    def create_customer(self, given: Mapping[str, Any], *, card: bool = False) -> Record:
        """A customer, with a working default card when asked."""
        book = self.book
        record_id = book.new_id("cus")
        customer = shapes.customer(record_id, book.now, given, invoice_prefix=record_id[-8:].upper())
        book.add(customer)
        book.say("customer.created", customer)
        if card:
            self.payments.attach_card(customer)
        return customer

    def delete_customer(self, customer: Record) -> Record:
        """Delete for good: running subscriptions end first."""
        book = self.book
        for subscription in tuple(book.table("subscription").values()):
            if subscription["customer"] == customer["id"] and subscription["status"] not in ENDED:
                self.billing.cancel(subscription)
        book.say("customer.deleted", customer)
        gone = {"id": customer["id"], "object": "customer", "deleted": True}
        book.table("deleted_customer")[customer["id"]] = gone
        del book.table("customer")[customer["id"]]
        return gone

    # the catalogue

    def create_product(self, given: Mapping[str, Any]) -> Record:
        book = self.book
        record_id = given.get("id") or book.new_id("prod")
        if record_id in book.table("product"):
            raise SimulatedRefusal(
                400, f"Product already exists: {record_id}", code="resource_already_exists", param="id"
            )
        product = book.add(shapes.product(record_id, book.now, given))
        book.say("product.created", product)
        return product

    def create_price(
        self,
        product: Record,
        *,
        currency: str,
        unit_amount: int,
        interval: str | None,
        interval_count: int = 1,
        given: Mapping[str, Any] | None = None,
    ) -> Record:
        book = self.book
        price = shapes.price(
            book.new_id("price"),
            book.now,
            product_id=product["id"],
            currency=currency.lower(),
            unit_amount=unit_amount,
            interval=interval,
            interval_count=interval_count,
            given=given,
        )
        book.add(price)
        book.say("price.created", price)
        return price

    def create_coupon(self, given: Mapping[str, Any]) -> Record:
        book = self.book
        record_id = given.get("id") or book.new_id("co")[3:11].upper()
        if record_id in book.table("coupon"):
            raise SimulatedRefusal(
                400, f"Coupon already exists: {record_id}", code="resource_already_exists", param="id"
            )
        if (given.get("percent_off") is None) == (given.get("amount_off") is None):
            raise SimulatedRefusal(400, "Pass exactly one of percent_off and amount_off.", code="parameter_missing")
        coupon = book.add(shapes.coupon(record_id, book.now, given))
        book.say("coupon.created", coupon)
        return coupon

    def create_tax_rate(self, given: Mapping[str, Any]) -> Record:
        """A rate that subscriptions may name in ``default_tax_rates``."""
        rate = self.book.add(tax_rate(self.book.new_id("txr"), self.book.now, given))
        self.book.say("tax_rate.created", rate)
        return rate

    # outside the API

    def pay_out_everything(self, *, automatic: bool = True) -> tuple[Record, ...]:
        """One payout per currency that has something available."""
        made = (self.payments.create_payout(currency, automatic=automatic) for currency in self.payments.currencies())
        return tuple(payout for payout in made if payout is not None)

    def balance(self) -> Record:
        """What `GET /v1/balance` answers."""
        available, pending = [], []
        for currency in self.payments.currencies():
            free, waiting = self.payments.balance_of(currency)
            available.append({"amount": free, "currency": currency, "source_types": {"card": free}})
            pending.append({"amount": waiting, "currency": currency, "source_types": {"card": waiting}})
        return {"object": "balance", "available": available, "pending": pending, "livemode": False}
