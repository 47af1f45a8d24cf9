"""What happens to the company in its year, month by month: each is one function of billing's own actions.

Between the twelfth and the twenty-second of a month; renewals come by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accordant.connectors.stripe import simulator_shapes
from accordant.connectors.stripe.simulator import StripeSimulator
from tests.connectors.tryton.year_charter import USAGE

DAY_S = 86_400
#: Who pays by bank, and when what they owe was made out in dollars only a month later.
TRANSFER, EXPORT = "transfer", "export"


@dataclass
class Billing:
    """Billing's account with the names of its customers."""

    stripe: StripeSimulator
    customers: dict[str, str] = field(default_factory=dict)
    rates: dict[str, Any] = field(default_factory=dict)

    @property
    def account(self) -> Any:
        return self.stripe.account

    def table(self, kind: str) -> list[dict[str, Any]]:
        return list(self.stripe.book.table(kind).values())

    # -- selling -------------------------------------------------------------------------------------------------------

    def customer(self, name: str, *, exempt: str = "none", card: bool = True) -> dict[str, Any]:
        """Somebody who buys."""
        person = {"name": f"EXAMPLE {name}", "email": f"{name}@example.com", "metadata": {}, "tax_exempt": exempt}
        made: dict[str, Any] = self.account.create_customer(person, card=card)
        self.customers[name] = made["id"]
        return made

    def sell(
        self,
        name: str,
        unit_minor: int,
        *,
        currency: str = "eur",
        interval: str = "month",
        tax: str | None = None,
        exempt: str = "none",
        by_bank: bool = False,
    ) -> None:
        """A new customer with one subscription; ``tax`` is inside the price or on top of it."""
        customer = self.customer(name, exempt=exempt, card=not by_bank)
        given: dict[str, Any] = {} if tax is None else {"default_tax_rates": [self._rate(tax)]}
        if by_bank:
            given |= {"collection_method": "send_invoice", "days_until_due": 30}
        price = self._price(name, unit_minor, currency, interval)
        self.account.billing.subscribe(customer, [(price, 1)], given=given)

    def _rate(self, kind: str) -> dict[str, Any]:
        if kind not in self.rates:
            given = {"display_name": "USt", "percentage": 19, "country": "DE", "inclusive": kind == "inside"}
            self.rates[kind] = self.account.create_tax_rate(given)
        rate: dict[str, Any] = self.rates[kind]
        return rate

    def _price(self, name: str, unit_minor: int, currency: str, interval: str = "month") -> dict[str, Any]:
        product = self.account.create_product({"name": f"{name} {unit_minor}", "metadata": {}})
        price: dict[str, Any] = self.account.create_price(
            product, currency=currency, unit_amount=unit_minor, interval=interval
        )
        return price

    def reprice(self, name: str, unit_minor: int, *, behavior: str = "always_invoice") -> None:
        """Another price in mid-term."""
        running = self.subscription(name)
        price = self._price(name, unit_minor, running["currency"])
        change = {"id": running["items"]["data"][0]["id"], "price": price["id"]}
        self.account.billing.update(running, items=[change], proration_behavior=behavior)

    def bill_usage(self, name: str, minor: int, *, since: int) -> None:
        """What was used from a moment until now, billed at once."""
        book, account = self.stripe.book, self.account
        if USAGE not in book.table("product"):
            account.create_product({"id": USAGE, "name": "Calls", "metadata": {}})
            account.create_price(book.get("product", USAGE), currency="eur", unit_amount=1, interval="month")
        price = next(one for one in self.table("price") if one["product"] == USAGE)
        line = simulator_shapes.line_item(
            book.new_id("il"), amount=minor, currency="eur", description="Calls", start=since, end=book.now,
            price_record=price, quantity=minor, subscription_id=None,
        )  # fmt: skip
        customer = book.get("customer", self.customers[name])
        account.invoices.add_item(customer, line)
        waiting = account.invoices.pending_items(customer["id"], "eur", None)
        lines = [account.invoices.line_of(item, None) for item in waiting]
        invoice = account.invoices.draft(customer, currency="eur", lines=lines, billing_reason="manual")
        book.say("invoice.created", invoice)
        account.invoices.open(invoice)

    def pays_by_card(self, name: str) -> None:
        """Somebody who was opened without a card has one from now on, and what is open is paid with it."""
        customer, running = self.stripe.book.get("customer", self.customers[name]), self.subscription(name)
        self.account.payments.attach_card(customer)
        self.stripe.book.change(
            running, "customer.subscription.updated", collection_method="charge_automatically", days_until_due=None
        )
        for bill in self.bills(name, "open"):
            self.account.invoices.pay(bill)

    # -- finding -------------------------------------------------------------------------------------------------------

    def subscription(self, name: str) -> dict[str, Any]:
        return next(one for one in self.table("subscription") if one["customer"] == self.customers[name])

    def charge(self, name: str) -> dict[str, Any]:
        """The latest that was paid and left alone."""
        mine = [c for c in self.table("charge") if c["customer"] == self.customers[name] and c["paid"]]
        return [c for c in mine if not c["refunded"] and not c["amount_refunded"] and not c["disputed"]][-1]

    def bills(self, name: str, status: str) -> list[dict[str, Any]]:
        """Those in a state, the oldest first."""
        mine = [i for i in self.table("invoice") if i["customer"] == self.customers[name]]
        return [i for i in mine if i["status"] == status]

    def bill(self, name: str, status: str) -> dict[str, Any]:
        """The latest in a state."""
        return self.bills(name, status)[-1]

    def dispute(self) -> dict[str, Any]:
        """The one that is not closed."""
        return next(d for d in self.table("dispute") if d["status"] not in {"won", "lost"})

    def kept_at_processor(self) -> dict[str, int]:
        """What no payout has taken yet, by currency and before its fees: those are told with the payout."""
        payments = self.account.payments
        gone = {name for payout in self.table("payout") for name in payments.transactions_of(payout["id"])}
        found: dict[str, int] = {}
        for one in self.table("balance_transaction"):
            if one["id"] not in gone:
                currency = one["currency"].upper()
                found[currency] = found.get(currency, 0) + one["amount"]
        return found

    # -- paying --------------------------------------------------------------------------------------------------------

    def pay_by_bank(self, name: str, *, older_than_s: int = 0, but_the_oldest: bool = False) -> None:
        """The open bills of somebody who pays by bank, as a person marks them in billing."""
        for bill in self.bills(name, "open")[int(but_the_oldest) :]:
            if bill["created"] <= self.stripe.book.now - older_than_s:
                self.account.invoices.pay(bill, out_of_band=True)

    def pay_twice(self, name: str) -> None:
        """A second payment of a bill that is paid; what is too much is kept for the customer, as a person decides."""
        book = self.stripe.book
        bill, customer = self.bill(name, "paid"), book.get("customer", self.customers[name])
        intent = self.account.payments.open_intent(
            amount=bill["total"], currency=bill["currency"], customer=customer, invoice_id=bill["id"]
        )
        self.account.payments.attempt(intent, description="Paid once more")
        book.change(customer, "customer.updated", balance=customer["balance"] - bill["total"])

    def set_card(self, name: str, *, failing: bool) -> None:
        self.account.payments.set_card(self.customers[name], failing=failing)

    def credit(self, bill: dict[str, Any], minor: int, **where: int) -> None:
        self.account.invoices.credit(bill, amount=minor, **where)

    def refund(self, name: str, minor: int | None) -> None:
        self.account.payments.refund(self.charge(name), amount=minor, given={})


def at(month: int, day: int, hour: int = 10) -> datetime:
    """A moment of the year."""
    return datetime(2024, month, day, hour, tzinfo=UTC)


# -- the months --------------------------------------------------------------------------------------------------------


def begin(one: Billing) -> None:
    """Before the first day is over: who is there from the start."""
    one.sell("shop", 11_900, tax="inside")
    one.sell("works", 200_001, tax="on top")
    one.sell("abroad", 50_000, tax="on top", exempt="reverse")
    one.sell("exempt", 8_000, tax="on top", exempt="exempt")
    one.sell("careful", 4_999, tax="on top")
    one.sell(TRANSFER, 30_000, tax="on top", by_bank=True)
    one.sell("dollar", 15_001, currency="usd")
    one.sell(EXPORT, 70_007, currency="usd", by_bank=True)
    one.sell("yearly", 120_000, currency="usd", interval="year")
    one.customer("meter")


def _first(one: Billing) -> None:
    """A credit note on what is not paid yet."""
    one.credit(one.bill(TRANSFER, "open"), 5_000)


def _second(one: Billing) -> None:
    """Upgrade; a refund of a part; a credit note kept for the next bill; a bill paid twice."""
    one.reprice("works", 299_999)
    one.refund("dollar", 5_000)
    one.refund("deal", 2_003)
    one.credit(one.bill("careful", "paid"), 1_500, credit_amount=1_500)
    one.credit(one.bill("deal", "paid"), 1_001, credit_amount=1_001)
    one.pay_twice("shop")


def _third(one: Billing) -> None:
    one.account.payments.open_dispute(one.charge("dollar"))
    one.credit(one.bill("abroad", "paid"), 12_500, refund_amount=12_500)


def _fourth(one: Billing) -> None:
    one.account.payments.close_dispute(one.dispute(), won=False)
    one.account.payments.open_dispute(one.charge("deal"))
    one.set_card("careful", failing=True)


def _fifth(one: Billing) -> None:
    one.account.payments.close_dispute(one.dispute(), won=True)
    one.reprice("dollar", 25_003, behavior="create_prorations")
    one.credit(one.bill("careful", "open"), 1_000)


def _sixth(one: Billing) -> None:
    one.account.invoices.mark_uncollectible(one.bill("careful", "open"))
    one.sell("later", 33_333, currency="usd")


def _seventh(one: Billing) -> None:
    one.credit(one.bill("dollar", "paid"), 2_000, refund_amount=2_000)
    one.set_card("later", failing=True)
    one.set_card("deal", failing=True)


def _eighth(one: Billing) -> None:
    one.account.invoices.void(one.bill("later", "open"))
    one.account.invoices.mark_uncollectible(one.bill("deal", "open"))


def _ninth(one: Billing) -> None:
    """Downgrade, whose credit pays the next bill; somebody pays what was written off."""
    one.reprice("works", 89_999)
    one.sell("autumn", 7_777, tax="inside")
    one.set_card("deal", failing=False)
    one.account.invoices.pay(one.bill("deal", "uncollectible"))


def _tenth(one: Billing) -> None:
    one.refund("autumn", None)


def _eleventh(one: Billing) -> None:
    one.account.billing.cancel(one.subscription("exempt"), invoice_now=True, prorate=True)


def _twelfth(one: Billing) -> None:
    one.account.payments.open_dispute(one.charge("works"))


PLOT: dict[int, Callable[[Billing], None]] = dict(
    enumerate(
        (
            _first, _second, _third, _fourth, _fifth, _sixth, _seventh, _eighth, _ninth, _tenth, _eleventh, _twelfth,
        ),
        start=1,
    )
)  # fmt: skip
