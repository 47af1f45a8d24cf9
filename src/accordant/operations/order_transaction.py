"""A transaction ordered by its name and its amounts: a commission, a seller's sale and payment, a delivery by a sister.

Next: `ledger/transactions.py` for what each is made of, `web/api.py` and `cli/ledger_orders.py`, which take orders.
"""

from collections.abc import Callable
from datetime import date

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.ledger.compose import Request
from accordant.ledger.entries import Cause
from accordant.ledger.patterns import Leg
from accordant.ledger.transactions import Told, Transaction, recipe_of
from accordant.operations.order_desk import OrderDesk, Ordered, Wanted, for_sister
from accordant.operations.order_entry import OrderInvalid, check_words
from accordant.pipeline.bookkeep import Ledger
from accordant.pipeline.plan import Rulebook
from accordant.ports.state import State


class TransactionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened. ``key`` names it at ``system``, a system of the charter; ``amounts`` are decimal texts by name.

    ``customer`` is the billing customer's id of a seller, ``sister`` the other legal entity, ``withholding`` the row of
    the law that says how much is kept back. ``dry_run`` composes and stores nothing.
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
    number: str | None = None
    dry_run: bool = False


class TransactionDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._desk = OrderDesk(state, rulebook=rulebook, clock=clock)

    def order(self, order: TransactionOrder, *, by: str) -> Ordered:
        """Post it in every company's books that take part, or say why not in none.

        Raises OrderInvalid for what cannot be read, TransactionInvalid for what it is not made of.
        """
        check_words(order.key, order.text)
        told = Told(
            amounts={name: _minor(name, text, order.currency) for name, text in order.amounts.items()},
            day=order.happened_on,
            processor=order.system,
            withholding=order.withholding,
        )
        recipe = recipe_of(order.transaction, told, customer=order.customer, sister=order.sister)
        legs = recipe.legs(told)
        event = derived_id("ord", order.system, order.key)

        def requests(_ledger: Ledger, company: str) -> dict[str, Request]:
            if order.sister == company:
                raise OrderInvalid(f"{company} is no sister of itself.", remedy="Name another legal entity.")
            found = {company: _request(order, event, legs.own, legs.total_legs)}
            if legs.sister is not None and order.sister is not None:
                found[order.sister] = for_sister(_request(order, event, legs.sister, legs.total_legs))
            return found

        return self._desk.post(
            Wanted(
                event=event,
                asked=fingerprint(msgspec.to_builtins(msgspec.structs.replace(order, dry_run=False))),
                system=order.system,
                subject=_subject(order),
                customer=order.customer,
                by=by,
                dry_run=order.dry_run,
                requests=requests,
            )
        )


def _minor(name: str, text: str, currency: str) -> int:
    try:
        return Money.parse(text, currency).amount_minor
    except AccordantError as error:
        raise OrderInvalid(
            f"{name}: {error.message}", remedy="Write amounts as in 10.50, currencies as in EUR."
        ) from None


def _subject(order: TransactionOrder) -> str:
    return f"{order.system}:order/{order.key}"


def _request(order: TransactionOrder, event: str, legs: list[Leg], total_legs: int) -> Request:
    return Request(
        legs=tuple(legs),
        currency=order.currency,
        source_minor=abs(sum(leg.minor for leg in legs[:total_legs])),
        happened_on=order.happened_on,
        cause=Cause(event=event, subject=_subject(order), rule=order.transaction.value),
        text=order.text,
        party=None if order.customer is None else str(ExternalRef(order.system, "customer", order.customer)),
        total_legs=sum(1 for leg in legs[:total_legs] if leg.minor),
        number=order.number or order.key,
    )
