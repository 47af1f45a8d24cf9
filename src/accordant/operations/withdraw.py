"""A person takes back what a person said of the books: it is cancelled where it is posted, and waits no longer if held.

Next: `word_desk.py`, which keeps this like any word; `ledger/post.py` reads what is left.
"""

from collections.abc import Callable

from accordant.canonical.words import withdrawn_by
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ledger.meanings.table import NOTED
from accordant.ledger.orders import check_words
from accordant.operations.word_desk import Ordered, WordDesk
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.words import Withdrawal, Word
from accordant.ports.books import PostingState
from accordant.ports.inbox import WordBox
from accordant.ports.state import State


class WithdrawalRefused(RejectedError):
    """There is no such word to take back."""


class WithdrawalDesk:
    """Takes back words for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._desk = WordDesk(state, inbox, rulebook=rulebook, clock=clock)

    def withdraw(self, event: str, reason: str, *, by: str) -> Ordered:
        """Take back the word of this event; once, whoever says it again.

        Raises WithdrawalRefused for an event that nobody said, OrderInvalid without a reason.
        """
        check_words(event, reason)
        known = self._state.books.dossiers((), [event])
        said, posting = known.events.get(event), known.postings.get(event)
        if said is None:
            raise WithdrawalRefused(
                f"The books know no event {event[:60]!r}.",
                remedy="`accordant books held` and `books journal` name the event of each word.",
            )
        if said.said is None:
            raise WithdrawalRefused(
                f"{event} was told by {said.subject.system}, not by a person.",
                remedy="Correct it there: the books follow what it says.",
            )
        if withdrawn_by(event) is not None:
            raise WithdrawalRefused(
                f"{event} is itself a withdrawal.", remedy="Say what was withdrawn once more, under another key."
            )
        if said.type in NOTED and posting is not None and posting.state is PostingState.POSTED:
            raise WithdrawalRefused(
                f"{said.type.value} says how {said.subject} is earned, and months may have ended by it.",
                remedy="Say it again as it is: what is said last counts from its day on.",
            )
        now = self._clock()
        taken_back = Withdrawal(event=event, subject=said.subject, root=said.root, reason=reason)
        return self._desk.take(Word(by=by, at=now, occurred_at=now, withdrawal=taken_back))
