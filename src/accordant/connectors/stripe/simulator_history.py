"""A company's past in bulk: event payloads from the stand-in's own state machine, in time order, without HTTP.

For benchmarks and demos. The same seed gives the same bytes; finished objects are let go, so memory stays level.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random

from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_billing import ENDED
from accordant.connectors.stripe.simulator_calendar import add_intervals
from accordant.connectors.stripe.simulator_events import sign
from accordant.connectors.stripe.simulator_payments import DAY_S
from accordant.connectors.stripe.simulator_state import START_AT, Record, SaidEvent, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import PINNED

STEP_S = 6 * 3_600
KEPT_S = 75 * DAY_S
_PLANS = (("Starter", 1_900), ("Team", 4_900), ("Business", 14_900), ("Enterprise", 89_000))
_CURRENCIES = (("usd", 60), ("eur", 25), ("gbp", 10), ("jpy", 5))
_FIRST = (
    "Åkesson", "Müller", "Société Générale du Verre", "Acme", "東京精機", "Łódź Packaging", "Nordlys", "Ferreira",
    "O’Brien", "Zürcher", "Bharat", "Αθήνα Shipping", "Kowalczyk", "Garðarsson", "Blue Harbor", "Pacific Crest",
    "Île-de-France", "Vögel", "Çelik", "São Bento", "Mårtensson", "Novák", "Süd-Chemie", "Red Mesa", "Thistle",
    "Ümit", "Peña", "Dvořák", "Hằng", "Kestrel",
)  # fmt: skip
_MIDDLE = ("Analytics", "Logistics", "Foods", "Robotics", "Health", "Energy", "Media", "Textiles", "Software", "Labs")
_LAST = ("GmbH", "Inc.", "Ltd", "AB", "S.A.", "株式会社", "Oy", "B.V.", "LLC", "S.r.l.", "ApS", "Sp. z o.o.")
_PLACES = (
    ("Malmö", "SE"), ("München", "DE"), ("Paris", "FR"), ("Tōkyō", "JP"), ("Łódź", "PL"), ("São Paulo", "BR"),
    ("Austin", "US"), ("Reykjavík", "IS"), ("Zürich", "CH"), ("Αθήνα", "GR"), ("Dublin", "IE"), ("Boston", "US"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One event of the past: its body is what a delivery would carry."""

    id: str
    type: str
    created: int
    body: bytes

    def signature(self, timestamp: int, secret: str) -> str:
        """The `Stripe-Signature` header of a delivery at that second."""
        return sign(self.body, timestamp, (secret,))


class Company:
    """A past that unfolds on one account: sign-ups spread over the months, then what customers do."""

    def __init__(
        self, account: SimulatedAccount, *, accounts: int, months: int, seed: int, forgets: bool = True
    ) -> None:
        self.account = account
        self.book = account.book
        self.forgets = forgets
        self.dice = Random(seed)
        self.until = add_intervals(self.book.now, "month", months)
        self._prices: dict[tuple[str, str], list[Record]] = {}
        self._running: list[Record] = []
        self._waiting = accounts
        self._coupons: list[Record] = []
        self._plan_signups(accounts)

    def unfold(self) -> Iterator[None]:
        """Play the past, six hours at a time; a pause after each step so that its events can be taken."""
        self._open_catalogue()
        yield
        next_forget = self.book.now + KEPT_S
        while self.book.now < self.until:
            self.account.book.advance_to(min(self.book.now + STEP_S, self.until))
            if self.book.now % (7 * DAY_S) < STEP_S:
                self.account.pay_out_everything()
            if self.forgets and self.book.now >= next_forget:
                self._forget()
                next_forget = self.book.now + KEPT_S // 3
            yield

    def _open_catalogue(self) -> None:
        for name, amount in _PLANS:
            product = self.account.create_product({"name": name, "description": f"The {name} plan", "metadata": {}})
            for currency, _ in _CURRENCIES:
                unit = amount if currency != "jpy" else amount * 3 // 2
                prices = [
                    self.account.create_price(product, currency=currency, unit_amount=unit, interval="month"),
                    self.account.create_price(product, currency=currency, unit_amount=unit * 10, interval="year"),
                ]
                for price, span in zip(prices, ("month", "year"), strict=True):
                    self._prices.setdefault((currency, span), []).append(price)
        self._coupons = [
            self.account.create_coupon(
                {"percent_off": 20, "duration": "repeating", "duration_in_months": 3, "name": "Früh"},
            ),
            self.account.create_coupon({"percent_off": 12.5, "duration": "once", "name": "Welcome"}),
        ]

    def _plan_signups(self, accounts: int) -> None:
        """Half are there in the first month, the others come evenly."""
        start, span = self.book.now, max(self.until - self.book.now, 1)
        first = min(30 * DAY_S, span)
        for number in range(accounts):
            offset = self.dice.randrange(first if number % 2 else span)
            self.book.at(start + 60 + offset, partial(self._sign_up, number))

    # what customers do

    def _sign_up(self, number: int) -> None:
        dice = self.dice
        customer = self.account.create_customer(self._person(number), card=dice.random() < 0.96)
        if dice.random() < 0.03:
            self.account.payments.decline_next(customer["id"], dice.randint(1, 4))
        currency = dice.choices([one for one, _ in _CURRENCIES], [weight for _, weight in _CURRENCIES])[0]
        span = "year" if dice.random() < 0.18 else "month"
        price = dice.choices(self._prices[currency, span], (5, 4, 2, 1))[0]
        subscription = self.account.billing.subscribe(
            customer,
            [(price, dice.choice((1, 1, 1, 3, 8, 25)))],
            trial_end=self.book.now + 14 * DAY_S if dice.random() < 0.2 else None,
            coupon=dice.choice(self._coupons) if dice.random() < 0.12 else None,
            given={"metadata": {"account_number": f"A-{number:06d}"}},
        )
        self._plan_next(subscription)

    def _person(self, number: int) -> Record:
        dice = self.dice
        city, country = dice.choice(_PLACES)
        name = f"{dice.choice(_FIRST)} {dice.choice(_MIDDLE)} {dice.choice(_LAST)}"
        return {
            "name": name,
            "email": f"billing+{number}@company{number % 9_973}.example",
            "phone": f"+46 8 {number:08d}",
            "address": {"line1": f"{dice.choice(_FIRST)} {dice.randint(1, 190)}", "city": city, "country": country,
                        "postal_code": f"{dice.randint(10_000, 99_999)}"},
            "metadata": {"account_number": f"A-{number:06d}", "segment": dice.choice(("smb", "mid", "enterprise"))},
        }  # fmt: skip

    def _plan_next(self, subscription: Record) -> None:
        self.book.at(self.book.now + self.dice.randint(20 * DAY_S, 70 * DAY_S), lambda: self._act(subscription))

    def _act(self, subscription: Record) -> None:
        """One thing this customer does now, and when to look again."""
        if subscription["status"] in ENDED or subscription["id"] not in self.book.table("subscription"):
            return
        acts: tuple[tuple[Callable[[Record], None], int], ...] = (
            (self._change_plan, 22),
            (self._change_seats, 22),
            (self._fail_for_a_while, 12),
            (self._refund_latest, 9),
            (self._leave, 9),
            (self._move, 20),
            (self._dispute_latest, 1),
            (self._credit_latest, 5),
        )
        act = self.dice.choices([one for one, _ in acts], [weight for _, weight in acts])[0]
        with suppress(SimulatedRefusal):  # as with real people: some of what they ask for is refused
            act(subscription)
        self._plan_next(subscription)

    def _change_plan(self, subscription: Record) -> None:
        item = subscription["items"]["data"][0]
        span = item["price"]["recurring"]["interval"]
        price = self.dice.choice(self._prices[subscription["currency"], span])
        if price is not item["price"]:
            how = self.dice.choice(("create_prorations", "always_invoice"))
            self.account.billing.update(
                subscription, items=[{"id": item["id"], "price": price["id"]}], proration_behavior=how
            )

    def _change_seats(self, subscription: Record) -> None:
        item = subscription["items"]["data"][0]
        seats = max(1, item["quantity"] + self.dice.choice((-2, -1, 1, 2, 5)))
        if seats != item["quantity"]:
            self.account.billing.update(subscription, items=[{"id": item["id"], "quantity": seats}])

    def _fail_for_a_while(self, subscription: Record) -> None:
        self.account.payments.decline_next(subscription["customer"], self.dice.choice((1, 1, 2, 4)))

    def _latest_paid(self, subscription: Record) -> Record | None:
        invoice = self.book.table("invoice").get(subscription["latest_invoice"] or "")
        return invoice if invoice is not None and invoice["status"] == "paid" and invoice["charge"] else None

    def _refund_latest(self, subscription: Record) -> None:
        invoice = self._latest_paid(subscription)
        if invoice is not None:
            charge = self.book.get("charge", invoice["charge"])
            part = charge["amount"] if self.dice.random() < 0.4 else max(1, charge["amount"] // 3)
            self.account.payments.refund(charge, amount=part, given={"reason": "requested_by_customer"})

    def _credit_latest(self, subscription: Record) -> None:
        invoice = self._latest_paid(subscription)
        if invoice is not None and invoice["total"] > 10:
            amount = invoice["total"] // 10
            self.account.invoices.credit(invoice, amount=amount, credit_amount=amount, given={"reason": "order_change"})

    def _dispute_latest(self, subscription: Record) -> None:
        invoice = self._latest_paid(subscription)
        if invoice is not None:
            dispute = self.account.payments.open_dispute(self.book.get("charge", invoice["charge"]))
            won = self.dice.random() < 0.4
            self.book.at(self.book.now + 20 * DAY_S, partial(self._close, dispute, won=won))

    def _close(self, dispute: Record, *, won: bool) -> None:
        self.account.payments.close_dispute(dispute, won=won)

    def _leave(self, subscription: Record) -> None:
        if self.dice.random() < 0.7:
            self.account.billing.update(subscription, fields={"cancel_at_period_end": True})
        else:
            self.account.billing.cancel(subscription, prorate=True)

    def _move(self, subscription: Record) -> None:
        customer = self.book.get("customer", subscription["customer"])
        city, country = self.dice.choice(_PLACES)
        where = {**(customer["address"] or {}), "city": city, "country": country}
        self.book.change(customer, "customer.updated", address=where)

    # memory

    def _forget(self) -> None:
        """Let go of what ended long ago and what no running subscription still names."""
        before = self.book.now - KEPT_S
        latest = {one["latest_invoice"] for one in self.book.table("subscription").values()}
        done = tuple(
            one["id"]
            for one in self.book.table("invoice").values()
            if one["created"] < before and one["status"] in ("paid", "void") and one["id"] not in latest
        )
        open_charges = {one["charge"] for one in self.book.table("invoice").values() if one["id"] in latest}
        for kind in ("charge", "payment_intent", "invoice_payment", "balance_transaction", "refund"):
            self._forget_older(kind, before - 40 * DAY_S, open_charges)
        items = self.book.table("invoiceitem").values()
        billed = (one["id"] for one in items if one["date"] < before and one["invoice"] is not None)
        self.book.forget("invoiceitem", tuple(billed))
        self.book.forget("invoice", done)

    def _forget_older(self, kind: str, before: int, keep: set[str | None]) -> None:
        table = self.book.table(kind).values()
        self.book.forget(kind, tuple(one["id"] for one in table if one["created"] < before and one["id"] not in keep))


def history(
    *, accounts: int, months: int, seed: int = 0, now: int = START_AT, api_version: str = PINNED
) -> Iterator[HistoryEvent]:
    """The events of a company's past, oldest first, `created` never falling.

    About 3 to 5 KB each and some 14 a month per account; nothing is sent, and the same arguments give the same bytes.
    """
    account = SimulatedAccount(seed=seed, now=now, api_version=api_version, remembers_events=False)
    said: deque[SaidEvent] = deque()
    account.book.listeners.append(said.append)
    for _ in Company(account, accounts=accounts, months=months, seed=seed).unfold():
        while said:
            event = said.popleft()
            yield HistoryEvent(event.id, event.type, event.created, event.body())


def play_history(account: SimulatedAccount, *, accounts: int, months: int, seed: int = 0) -> None:
    """Live a past on an account that is being served, so that a demo begins with a company of some age.

    Everything it made stays, for a backfill to read; its events are said as usual.
    """
    for _ in Company(account, accounts=accounts, months=months, seed=seed, forgets=False).unfold():
        pass
