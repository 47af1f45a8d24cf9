"""An entry that another system asks for: the same gate, the same journal, once per key; or every reason why not.

Next: `ledger/orders.py` for what an order holds, `web/api.py` takes orders.
"""

from collections.abc import Callable

import msgspec

from accordant.kernel.clock import Clock
from accordant.ledger.orders import EntryOrder
from accordant.operations.order_desk import OrderDesk
from accordant.operations.word_desk import Ordered
from accordant.pipeline.plan import Rulebook
from accordant.ports.inbox import WordBox
from accordant.ports.state import State


class EntryDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._desk = OrderDesk(state, inbox, rulebook=rulebook, clock=clock)

    def order(self, order: EntryOrder, *, by: str) -> Ordered:
        """Post it, or say why not. Raises OrderInvalid for amounts and names that cannot be read."""
        asked = msgspec.structs.replace(order, dry_run=False)
        return self._desk.take(asked, by=by, dry_run=order.dry_run)
