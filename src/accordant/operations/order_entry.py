"""An entry that another system asks for: the same gate, the same journal, once per key; or every reason why not.

Amounts are ordered by role, never by account: which account it is, the charter says. Next: `web/api.py` takes orders.
"""

from collections.abc import Callable
from datetime import date

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.refs import ExternalRef
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.ledger.chart import Use
from accordant.ledger.compose import Request
from accordant.ledger.entries import Cause
from accordant.ledger.patterns import Leg
from accordant.operations.order_desk import OrderDesk, Ordered, Wanted
from accordant.pipeline.plan import Rulebook
from accordant.ports.state import State

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


class EntryDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._desk = OrderDesk(state, rulebook=rulebook, clock=clock)

    def order(self, order: EntryOrder, *, by: str) -> Ordered:
        """Post it, or say why not. Raises OrderInvalid for amounts and names that cannot be read."""
        check_words(order.key, order.text)
        _check(order)
        event = derived_id("ord", order.system, order.key)
        return self._desk.post(
            Wanted(
                event=event,
                asked=fingerprint(msgspec.to_builtins(msgspec.structs.replace(order, dry_run=False))),
                system=order.system,
                subject=f"{order.system}:order/{order.key}",
                customer=order.customer,
                by=by,
                dry_run=order.dry_run,
                requests=lambda _ledger, company: {company: _request(order, event)},
            )
        )


def _request(order: EntryOrder, event: str) -> Request:
    # Debits first: together they are the total that the other system states.
    legs = sorted((_leg(one, order.currency) for one in order.legs), key=lambda leg: leg.minor < 0)
    return Request(
        legs=tuple(legs),
        currency=order.currency,
        source_minor=Money.parse(order.total, order.currency).amount_minor,
        happened_on=order.happened_on,
        cause=Cause(event=event, subject=f"{order.system}:order/{order.key}", rule=RULE),
        text=order.text,
        party=None if order.customer is None else str(ExternalRef(order.system, "customer", order.customer)),
        total_legs=sum(leg.minor > 0 for leg in legs),
        number=order.number or order.key,
    )


def check_words(key: str, text: str) -> None:
    """Raises OrderInvalid for a key or a text that is empty or too long."""
    for name, said, most in (("key", key, KEY_LENGTH_MAX), ("text", text, TEXT_LENGTH_MAX)):
        if not said.strip() or len(said) > most:
            raise OrderInvalid(f"`{name}` has {len(said)} characters.", remedy=f"Give 1 to {most}.")


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


def _leg(one: OrderLeg, currency: str) -> Leg:
    use = Use(role=one.role, product=one.product, tax_code=one.tax_code, processor=one.processor)
    return Leg(use=use, minor=Money.parse(one.amount, currency).amount_minor, party=one.party)
