"""Takes what somebody orders: once per key, in the books of every company that takes part, or every reason why not.

Next: `order_entry.py` for entries leg by leg, `order_transaction.py` for what has a name; `word_desk.py` keeps them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time

from accordant.kernel.clock import Clock
from accordant.ledger.compose import Refusal
from accordant.ledger.orders import EntryOrder, TransactionOrder
from accordant.operations.word_desk import Ordered, OrderOutcome, WordDesk
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.words import Word
from accordant.ports.inbox import WordBox
from accordant.ports.state import State


class OrderDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._rulebook = rulebook
        self._clock = clock
        self._desk = WordDesk(state, inbox, rulebook=rulebook, clock=clock)

    def take(self, order: EntryOrder | TransactionOrder, *, by: str, dry_run: bool) -> Ordered:
        """Post it, or say why not. Raises as `WordDesk.take`."""
        ledger = self._rulebook().ledger
        if ledger is None or order.system not in ledger.part.systems:
            reason = f"The bills of {order.system} are in nobody's books."
            nobody = Refusal(check="legal_entity", reason=reason, remedy="Name it under ledger.systems.")
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=(nobody,))
        word = Word(
            by=by,
            at=self._clock(),
            # Noon: the same day, wherever the company's books move to.
            occurred_at=datetime.combine(order.happened_on, time(12), ledger.zone).astimezone(UTC),
            entry=order if isinstance(order, EntryOrder) else None,
            transaction=order if isinstance(order, TransactionOrder) else None,
        )
        return self._desk.take(word, dry_run=dry_run)
