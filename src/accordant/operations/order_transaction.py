"""A transaction ordered by its name and its amounts: a commission, a seller's sale and payment, a delivery by a sister.

Next: `ledger/transactions.py` for what each is made of, `web/api.py` and `cli/ledger_orders.py`, which take orders.
"""

from collections.abc import Callable

import msgspec

from accordant.kernel.clock import Clock
from accordant.ledger.orders import OrderInvalid, TransactionOrder
from accordant.operations.order_desk import OrderDesk
from accordant.operations.word_desk import Ordered
from accordant.pipeline.plan import Rulebook
from accordant.ports.inbox import WordBox
from accordant.ports.state import State


class TransactionDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._desk = OrderDesk(state, inbox, rulebook=rulebook, clock=clock)
        self._rulebook = rulebook

    def order(self, order: TransactionOrder, *, by: str) -> Ordered:
        """Post it in every company's books that take part, or say why not in none.

        Raises OrderInvalid for what cannot be read, TransactionInvalid for what it is not made of.
        """
        ledger = self._rulebook().ledger
        if ledger is not None and order.sister is not None and ledger.part.systems.get(order.system) == order.sister:
            raise OrderInvalid(f"{order.sister} is no sister of itself.", remedy="Name another legal entity.")
        asked = msgspec.structs.replace(order, dry_run=False)
        return self._desk.take(asked, by=by, dry_run=order.dry_run)
