"""What one reading of events knows: the objects they are about, the bills posted so far, and what belongs to what."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec

from accordant.canonical.books import LedgerPart, Role, ServiceKind
from accordant.canonical.entities import (
    BalanceMovement,
    CreditNote,
    Dispute,
    Entity,
    Invoice,
    InvoiceLine,
    Payment,
    Price,
    Refund,
)
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import split_minor
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Books
from accordant.ledger.contracts import Contract
from accordant.ledger.exchange import Rate
from accordant.ledger.meanings.asking import Ask, Occurrence, refused
from accordant.ledger.modify import Modification, decide
from accordant.ledger.patterns import Leg
from accordant.ledger.schedule import RevenueSchedule
from accordant.ledger.setting import Setting

#: The word for a payment by what it is an attempt at, in the name of what tells which bill it pays.
_INTENT = "payment_intent"

#: The word for a project in the names of contracts.
_PROJECT = "project"


class Moved(NamedTuple):
    """What moves money, and by what name its owner knows it."""

    ref: ExternalRef
    what: Payment | Refund | Dispute


#: The word for an order in its name (`ledger/orders.py`): it is about no bill.
ORDER = "order"

#: The word for credits that a system of billing keeps for a customer.
CREDIT_GRANT = "credit_grant"
#: What says of which bills something is that does not say so itself.
NAMES_BILL = frozenset({EventType.PAYMENT_ALLOCATED, EventType.CREDITS_GRANTED})

#: What moves money, by system and its owner's id.
Moving = Mapping[tuple[str, str], Moved]


class Part(msgspec.Struct, frozen=True):
    """So much of a payment, or of what is given back of it, in minor units: for a bill, or for none of them.

    Without ``minor`` it is all that is left of the payment.
    """

    bill: ExternalRef | None
    minor: int | None


#: Which bills a payment pays that does not say so itself, and which bill sold granted credits, by its name.
Allocations = Mapping[ExternalRef, Sequence[Part]]


class Reading:
    """One reading. ``bills`` are those posted so far, by reference; an event changes them once it is posted itself."""

    def __init__(
        self,
        setting: Setting,
        objects: Mapping[ExternalRef, Entity],
        products: Mapping[str, str | None],
        allocations: Allocations,
    ) -> None:
        self.setting = setting
        self.objects = objects
        self.bills: dict[ExternalRef, Bill] = {}
        self.moving: Moving = moving_of(objects)
        #: What was taken by each dispute that is posted, part by part.
        self.disputed: dict[ExternalRef, list[Part]] = {}
        self.contracts: dict[str, Contract] = {}
        self._products = products
        self._metered = {
            one.external_id
            for one in objects.values()
            if isinstance(one, Price) and one.recurring is not None and one.recurring.metered
        }
        self._allocations = allocations
        self._naming = {
            intent_of(ref.system, one)
            for ref, one in objects.items()
            if isinstance(one, Payment) and self.own_bill(ref.system, one) is not None
        }
        self._given: dict[tuple[str, str, ExternalRef | None], int] = {}
        self._cleared: dict[tuple[str, str, bool], int] = {}
        self._drawn: dict[ExternalRef, int] = {}

    def clear(self, system: str, source_id: str, minor: int) -> None:
        """So much was posted on the processor's account for what has this id, in the currency of the books."""
        key = (system, source_id, minor > 0)
        self._cleared[key] = self._cleared.get(key, 0) + minor

    def cleared(self, system: str, source_id: str, *, came: bool) -> int | None:
        """What was posted on the processor's account so far for it: what came, or what went. None for nothing."""
        return self._cleared.get((system, source_id, came))

    def bill_of(self, event: BusinessEvent) -> ExternalRef | None:
        """The bill an event is about; None where it is about none, or nobody knows yet."""
        grant = self.grant(event.subject)
        return bill_of(event, self.objects, self.moving) if grant is None else grant.bill

    def grant(self, named: ExternalRef) -> Part | None:
        """The bill that sold the credits of this grant, and all that was granted; None where nobody told of it."""
        parts = self._allocations.get(named, ()) if named.object_type == CREDIT_GRANT else ()
        # It is told again where somebody names the bill later.
        return next((one for one in parts if one.bill is not None), next(iter(parts), None))

    def granted(self, bill: ExternalRef) -> int:
        """All the credits that a bill sold, in minor units, by what was told of their grants."""
        grants = (self.grant(name) for name in self._allocations)
        return sum(one.minor or 0 for one in grants if one is not None and one.bill == bill)

    def drawn(self, bill: ExternalRef) -> int:
        """How much of its credits was drawn so far: in minor units of what was granted."""
        return self._drawn.get(bill, 0)

    def draw(self, bill: ExternalRef, minor: int) -> None:
        """So much of the credits of a bill was drawn; below zero it came back."""
        self._drawn[bill] = self.drawn(bill) + minor

    def pair_of(self, event: BusinessEvent) -> ExternalRef | None:
        """By what name an event is found when more is said of which bills its payment pays, or of what a bill sold."""
        bill = self.objects.get(event.subject)
        if event.type is EventType.INVOICE_ISSUED and isinstance(bill, Invoice):
            # Whether a period that was over is one of use only the price says, which may be told later.
            over = [one for one in bill.lines if _in_arrears(one, event.occurred_at)]
            return self._missing(event.subject.system, over)
        return pair_of(event, self.objects, self.moving)

    def posted_bill(self, named: ExternalRef, what: str) -> Bill | Ask:
        """The bill of this name, or that ``what`` waits for it."""
        bill = self.bills.get(named)
        return bill or refused(f"{what} is not posted", "It follows its bill by itself.", waits_for=named)

    def payment_of(self, event: BusinessEvent, payment_id: str | None) -> Payment | Ask:
        """The payment that a refund or a dispute names, or that it waits for it."""
        moved = self.moving.get((event.subject.system, payment_id or ""))
        if moved is not None and isinstance(moved.what, Payment):
            return moved.what
        waits = ExternalRef(event.subject.system, "charge", payment_id or "")
        return refused("the payment it is about is not known", "Load the history of it first.", waits_for=waits)

    def own_bill(self, system: str, payment: Payment) -> ExternalRef | None:
        """The bill a payment names itself; None where it names none, or is known to pay others too."""
        if payment.invoice_id is None:
            return None
        own = ExternalRef(system, "invoice", payment.invoice_id)
        shares = self._allocations.get(intent_of(system, payment), ())
        return own if all(one.bill == own for one in shares) else None

    def paid_parts(self, system: str, payment: Payment) -> list[Part]:
        """What a payment pays, bill by bill, and what of it pays none; together they are the payment."""
        whole, own = payment.amount.amount_minor, self.own_bill(system, payment)
        if own is not None:
            return [Part(bill=own, minor=whole)]
        found, left = [], whole
        for one in self._allocations.get(intent_of(system, payment), ()):
            minor = left if one.minor is None else min(one.minor, left)
            found.append(Part(bill=one.bill, minor=minor))
            left -= minor
        return [*found, Part(bill=None, minor=left)] if left else found

    def given_parts(self, system: str, payment: Payment, minor: int) -> list[Part] | None:
        """How what is given back of a payment falls on what it paid: in proportion to what is left of each part.

        So no bill gives back more than it got, to the unit, whatever is given back in what portions. None where more
        is given back than was paid; of a payment that names its bill that is for the bill to say.
        """
        paid = self.paid_parts(system, payment)
        if self.own_bill(system, payment) is not None:
            return [Part(bill=paid[0].bill, minor=minor)]
        left = [(one.minor or 0) - self._given.get((system, payment.external_id, one.bill), 0) for one in paid]
        if not 0 < minor <= sum(left):
            return None
        return [
            Part(bill=one.bill, minor=part) for one, part in zip(paid, split_minor(minor, left), strict=True) if part
        ]

    def give(self, system: str, payment: Payment, part: Part) -> None:
        """So much was given back of a part of a payment; below zero it came again."""
        key = (system, payment.external_id, part.bill)
        self._given[key] = self._given.get(key, 0) + (part.minor or 0)

    def names_itself(self, intent: ExternalRef) -> bool:
        """Whether the payment of this name says by itself which bill it pays."""
        return intent in self._naming

    def keep(self, bill: Bill) -> None:
        """A bill is posted; its lines are known to the contracts they belong to."""
        self.bills[bill.ref] = bill
        for at, schedule in enumerate(bill.schedules):
            if schedule.contract is not None:
                self.contracts[schedule.contract].put(bill, at)

    def is_project(self, product: str | None) -> bool:
        """Whether a product is a project: one obligation in progress."""
        return self.setting.services.get(product or "") is ServiceKind.PROJECT

    def contract_of(self, name: str, own: RevenueSchedule, told: Occurrence) -> Contract:
        """The contract of this name. One that nobody agreed on before begins with the line that ``own`` is."""
        known = self.contracts.get(name)
        if known is None:
            line = f"{ExternalRef.parse(name).object_type}/{ExternalRef.parse(name).id}/unbilled"
            nothing = msgspec.structs.replace(own, line=line, spans=(), contract=name, by_progress=True)
            known = Contract(name=name, books=told.books, agreed_on=told.day, unbilled=nothing)
            self.contracts[name] = known
        return known

    def treated(self, bill: Bill, legs: list[Leg]) -> list[Leg]:
        """Legs that lower the price of a bill, with how that change is accounted for where a project is under way."""
        under_way = [self._is_under_way(one) for one in bill.schedules]
        if not any(under_way):
            return legs
        change = Modification(
            adds_distinct=False, at_standalone_price=False, remaining_distinct=tuple(not one for one in under_way)
        )
        treatment = {"treatment": decide(change).treatment.value}
        return [
            msgspec.structs.replace(leg, dimensions=leg.dimensions | treatment)
            if leg.use.role in {Role.DEFERRED_REVENUE, Role.CONTRA_REVENUE}
            else leg
            for leg in legs
        ]

    def _is_under_way(self, schedule: RevenueSchedule) -> bool:
        contract = self.contracts.get(schedule.contract or "")
        return contract is not None and contract.progress is not None

    def measure(self, bill: Bill, day: date) -> None:
        """The price of a bill may have changed: the projects it belongs to are measured again."""
        for name in dict.fromkeys(one.contract for one in bill.schedules if one.contract is not None):
            self.contracts[name].measure(day)

    def void(self, bill: Bill, day: date) -> None:
        """A bill is void; what was agreed of it is to be billed again."""
        names = dict.fromkeys(one.contract for one in bill.schedules if one.contract is not None)
        for name in () if bill.is_void else names:
            self.contracts[name].void(bill, day)
        bill.stop(day)
        self.measure(bill, day)

    def end_contracts(self, day: date) -> None:
        """The service of contracts that end early by ``day`` stops, each on its own day."""
        for one in self.contracts.values():
            if one.ended_on is not None and one.ended_on <= day and not one.has_ended:
                one.end(one.ended_on)

    def rate(self, currency: str, books: Books, day: date) -> Rate | None:
        """What a currency cost in that of the books; None for their own, and where nobody published it."""
        own = books.chart.currency
        return None if currency == own else self.setting.rate_of(currency, own, day)

    def product(self, price_id: str | None) -> str | None:
        """What a price sells."""
        return None if price_id is None else self._products.get(price_id)

    def is_usage(self, product: str | None, price_id: str | None) -> bool:
        """Whether what a line sells is earned by use: as the charter says of the product, else as the price is."""
        service = self.setting.services.get(product or "")
        return service is ServiceKind.USAGE or (service is None and price_id in self._metered)

    def unknown_price(self, bill: Invoice, system: str, books: Books) -> ExternalRef | None:
        """A price of which nobody knows what it sells, where the books tell products apart."""
        is_prepaid = ServiceKind.PREPAID in self.setting.services.values()
        if not is_prepaid and not self.setting.grains and not any(rule.product for rule in books.chart.rules):
            return None
        return self._missing(system, bill.lines)

    def _missing(self, system: str, lines: Iterable[InvoiceLine]) -> ExternalRef | None:
        named = (line.price_id for line in lines if line.price_id is not None)
        missing = next((price_id for price_id in named if price_id not in self._products), None)
        return None if missing is None else ExternalRef(system, "price", missing)


def _in_arrears(line: InvoiceLine, billed_at: datetime) -> bool:
    starts_at, ends_at = line.period_starts_at, line.period_ends_at
    return starts_at is not None and ends_at is not None and starts_at < ends_at <= billed_at


def ramp_name(system: str, subscription_id: str | None) -> str:
    """What the ramp of a subscription is called: its subscription."""
    return str(ExternalRef(system, "subscription", subscription_id or ""))


def project_name(system: str, bill: Invoice, product: str) -> str:
    """What a project is called: one product for one customer, or for one bill that names none. Two projects of a
    customer are two products.
    """
    return str(ExternalRef(system, _PROJECT, f"{bill.customer_id or bill.external_id}/{product}"))


def is_project_name(name: str) -> bool:
    """Whether a contract of this name is a project."""
    return ExternalRef.parse(name).object_type == _PROJECT


def contracts_of(bill: Invoice, system: str, part: LedgerPart, products: Mapping[str, str | None]) -> frozenset[str]:
    """What the contracts are called that a bill may belong to: the ramp of each subscription, and every project."""
    sold = {products.get(line.price_id or "") for line in bill.lines}
    sold |= {piece for bundle in part.bundles if bundle.product in sold for piece in bundle.parts}
    projects = {one for one in sold if one is not None and part.services.get(one) is ServiceKind.PROJECT}
    ramps = {ramp_name(system, line.subscription_id) for line in bill.lines if line.subscription_id is not None}
    return frozenset(ramps | {project_name(system, bill, one) for one in projects})


def moving_of(objects: Mapping[ExternalRef, Entity]) -> dict[tuple[str, str], Moved]:
    """What of some objects moves money, by system and its owner's id."""
    return {
        (ref.system, one.external_id): Moved(ref, one)
        for ref, one in objects.items()
        if isinstance(one, Payment | Refund | Dispute)
    }


def pair_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity], moving: Moving) -> ExternalRef | None:
    """By what name what is given back of a payment, and what says which bills that pays, find each other; so do draws
    and the grant of their credits.
    """
    if event.type in NAMES_BILL or is_draw_of_grant(event):
        return event.subject
    what = objects.get(event.subject)
    payment = _payment_of(event.subject.system, what, moving) if isinstance(what, Refund | Dispute) else None
    return None if payment is None else unnamed(event.subject.system, payment)


def intent_of(system: str, payment: Payment) -> ExternalRef:
    """By what name a payment is known to what says which bills it pays."""
    return ExternalRef(system, _INTENT, payment.intent_id or payment.external_id)


def unnamed(system: str, payment: Payment) -> ExternalRef | None:
    """What to ask for by which bills a payment pays; None where it says so itself."""
    return intent_of(system, payment) if payment.invoice_id is None else None


def allocations_of(events: Iterable[BusinessEvent]) -> Allocations:
    """Which bills payments pay, and which sold credits, by what these events say, in the order in which it happened."""
    told = [one for one in events if one.type in NAMES_BILL]
    found: dict[ExternalRef, list[Part]] = {}
    for one in sorted(told, key=lambda one: (one.occurred_at, str(one.root))):
        minor = None if one.amount is None else one.amount.amount_minor
        bill = one.root if one.root.object_type == "invoice" else None
        found.setdefault(one.subject, []).append(Part(bill=bill, minor=minor))
    return found


def is_draw_of_grant(event: BusinessEvent) -> bool:
    """Whether it draws credits of which a grant says who sold them; persons name the bill."""
    return event.type is EventType.CREDITS_DRAWN and event.subject.object_type == CREDIT_GRANT


def bill_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity], moving: Moving) -> ExternalRef | None:
    """What an event is filed under: its bill, or the payment where that names none; None where nobody knows yet.

    A ramp is filed under its subscription, what takes a word back where that is.
    """
    system = event.subject.system
    if event.type in NAMES_BILL:
        return event.root if event.root.object_type == "invoice" else None
    if event.type in {EventType.RAMP_AGREED, EventType.WORD_WITHDRAWN}:
        return None if event.subject.object_type == ORDER else event.subject
    what: Entity | None = objects.get(event.subject)
    if event.type is EventType.FUNDS_CONVERTED:
        moved = moving.get((system, source_of(event, objects) or ""))
        what = None if moved is None else moved.what
    match what:
        case Invoice():
            return event.subject
        case CreditNote():
            return None if what.invoice_id is None else ExternalRef(system, "invoice", what.invoice_id)
        case Payment() | Refund() | Dispute():
            payment = _payment_of(system, what, moving)
            if payment is None:
                return None
            if payment.invoice_id is not None:
                return ExternalRef(system, "invoice", payment.invoice_id)
            return moving[system, payment.external_id].ref
        case _:
            return event.subject if event.subject.object_type == "invoice" else None


def _payment_of(system: str, what: Payment | Refund | Dispute, moving: Moving) -> Payment | None:
    if isinstance(what, Payment):
        return what
    moved = moving.get((system, what.payment_id or ""))
    return moved.what if moved is not None and isinstance(moved.what, Payment) else None


def source_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity]) -> str | None:
    """The owner's id of what moved the processor's balance."""
    moved = objects.get(event.subject)
    return moved.source_id if isinstance(moved, BalanceMovement) else None
