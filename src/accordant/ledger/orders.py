"""Orders to the books: what another system or a person asks to be posted, and the event that it makes.

Amounts are ordered by role, never by account: which account it is, the charter says. An order is read once, when it is
given, and again by every replay; both come here. Next: `meanings/ordered.py` for what it means in the books.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.events import CURRENT_VERSION, BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.canonical.words import OrderedEntry, OrderedLeg, Said
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.kernel.ids import BusinessEventId, derived_id
from accordant.kernel.money import Money
from accordant.ledger.patterns import Leg
from accordant.ledger.transactions import Told, Transaction, recipe_of

KEY_LENGTH_MAX = 200
LEGS_MAX = 1_000
TEXT_LENGTH_MAX = 500
RULE = "entry_ordered"


class OrderInvalid(RejectedError):
    """The order cannot be read."""


class OrderLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One amount: decimal text in the currency of the order, a debit when positive, a credit with a minus sign.

    ``party`` says that it belongs to the subledger of the order's customer.
    """

    role: Role
    amount: str
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None
    party: bool = False


class EntryOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be posted. ``key`` names it at ``system``, a system of the charter; ``total`` is what the debits come
    to there, as decimal text. ``customer`` is the billing customer's id. ``dry_run`` composes and stores nothing.
    """

    key: str
    system: str
    happened_on: date
    currency: str
    total: str
    text: str
    legs: tuple[OrderLeg, ...]
    customer: str | None = None
    number: str | None = None
    dry_run: bool = False


class TransactionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened. ``key`` names it at ``system``, a system of the charter; ``amounts`` are decimal texts by name.

    ``customer`` is the billing customer's id of a seller, ``sister`` the other legal entity, ``withholding`` the row of
    the law that says how much is kept back, ``person`` who is paid a commission, by the CRM's id. ``dry_run`` composes
    and stores nothing.
    """

    key: str
    system: str
    transaction: Transaction
    happened_on: date
    currency: str
    amounts: dict[str, str]
    text: str
    customer: str | None = None
    sister: str | None = None
    withholding: str | None = None
    person: str | None = None
    number: str | None = None
    dry_run: bool = False


class _Order(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def system(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def customer(self) -> str | None: ...


def check_words(key: str, text: str) -> None:
    """Raises OrderInvalid for a key or a text that is empty or too long."""
    for name, said, most in (("key", key, KEY_LENGTH_MAX), ("text", text, TEXT_LENGTH_MAX)):
        if not said.strip() or len(said) > most:
            raise OrderInvalid(f"`{name}` has {len(said)} characters.", remedy=f"Give 1 to {most}.")


def subject_of(order: _Order) -> ExternalRef:
    """What an order is called: its key at its system, whatever it orders."""
    return ExternalRef(order.system, "order", order.key)


def entry_event(order: EntryOrder, *, by: str, occurred_at: datetime) -> BusinessEvent:
    """The event of an entry that is ordered leg by leg. Raises OrderInvalid for what cannot be read."""
    check_words(order.key, order.text)
    _check(order)
    # Debits first: together they are the total that the other system states.
    legs = sorted((_leg(one, order.currency) for one in order.legs), key=lambda leg: leg.minor < 0)
    entry = OrderedEntry(
        rule=RULE,
        text=order.text,
        currency=order.currency,
        number=order.number or order.key,
        legs=tuple(legs),
        total_legs=sum(leg.minor > 0 for leg in legs),
        stated_minor=Money.parse(order.total, order.currency).amount_minor,
    )
    return _event(order, Said(by=by, entry=entry), occurred_at)


def transaction_event(order: TransactionOrder, *, by: str, occurred_at: datetime) -> BusinessEvent:
    """The event of a transaction that is ordered by its name.

    Raises OrderInvalid for what cannot be read, TransactionInvalid for what it is not made of.
    """
    check_words(order.key, order.text)
    told = Told(
        amounts={name: _minor(name, text, order.currency) for name, text in order.amounts.items()},
        day=order.happened_on,
        processor=order.system,
        withholding=order.withholding,
        person=order.person,
    )
    legs = recipe_of(order.transaction, told, customer=order.customer, sister=order.sister).legs(told)
    entry = OrderedEntry(
        rule=order.transaction.value,
        text=order.text,
        currency=order.currency,
        number=order.number or order.key,
        legs=_kept(legs.own),
        total_legs=sum(1 for leg in legs.own[: legs.total_legs] if leg.minor),
        sister_legs=_kept(legs.sister or ()),
    )
    return _event(order, Said(by=by, sister=order.sister, entry=entry), occurred_at)


def _event(order: _Order, said: Said, occurred_at: datetime) -> BusinessEvent:
    subject = subject_of(order)
    return BusinessEvent(
        # Named by its key alone: another order of the same key is another content of the same event.
        id=BusinessEventId(derived_id("ord", order.system, order.key)),
        type=EventType.ENTRY_ORDERED,
        version=CURRENT_VERSION[EventType.ENTRY_ORDERED],
        subject=subject,
        root=subject if order.customer is None else ExternalRef(order.system, "customer", order.customer),
        occurred_at=occurred_at,
        note=order.text,
        said=said,
    )


def _check(order: EntryOrder) -> None:
    if not 2 <= len(order.legs) <= LEGS_MAX:
        raise OrderInvalid(f"The order has {len(order.legs)} legs.", remedy=f"Give 2 to {LEGS_MAX}.")
    try:
        Money.parse(order.total, order.currency)
        for leg in order.legs:
            Money.parse(leg.amount, order.currency)
    except AccordantError as error:
        raise OrderInvalid(error.message, remedy="Write amounts as in 10.50 and currencies as in EUR.") from None
    if any(leg.party for leg in order.legs) and order.customer is None:
        raise OrderInvalid("A leg belongs to a party, and the order names no customer.", remedy="Name it.")


def _leg(one: OrderLeg, currency: str) -> OrderedLeg:
    return OrderedLeg(
        role=one.role,
        minor=Money.parse(one.amount, currency).amount_minor,
        product=one.product,
        tax_code=one.tax_code,
        processor=one.processor,
        party=one.party,
    )


def _kept(legs: Sequence[Leg]) -> tuple[OrderedLeg, ...]:
    return tuple(
        OrderedLeg(
            role=leg.use.role,
            minor=leg.minor,
            product=leg.use.product,
            tax_code=leg.use.tax_code,
            processor=leg.use.processor,
            party=leg.party,
            dimensions=leg.dimensions,
        )
        for leg in legs
        if leg.minor
    )


def _minor(name: str, text: str, currency: str) -> int:
    try:
        return Money.parse(text, currency).amount_minor
    except AccordantError as error:
        raise OrderInvalid(
            f"{name}: {error.message}", remedy="Write amounts as in 10.50, currencies as in EUR."
        ) from None
