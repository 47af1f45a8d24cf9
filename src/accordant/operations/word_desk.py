"""Takes what a person says: looked at first, then durable in the inbox, then through the rooms like any delivery.

What is known to be refused is told before anything is taken. What is taken and cannot be posted any more is held, as
any posting is. Next: `pipeline/words.py` for what a word is, `bill_desk.py` and the order desks for what may be said.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from accordant.canonical.words import SOURCE
from accordant.kernel.clock import Clock
from accordant.ledger.compose import Refusal
from accordant.ledger.entries import JournalEntry
from accordant.ledger.post import sister_event
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process
from accordant.pipeline.words import OWN, Word
from accordant.ports.books import PostingState
from accordant.ports.inbox import InboxEvent, KeptArrival, Reception, WordBox, WorkState
from accordant.ports.state import Changes, ConcurrentChange, State

_TRIES = 5
_NOTHING = (Refusal(check="source", reason="It moves nothing in the books.", remedy="Look at the journal."),)
_UNSETTLED = frozenset({WorkState.RECEIVED, WorkState.AWAITING_REREAD})


class OrderOutcome(StrEnum):
    """What became of what somebody said. Held: it is kept, and posted once what stands in its way is gone."""

    POSTED = "posted"
    REPEAT = "repeat"
    WOULD_POST = "would_post"
    REFUSED = "refused"
    KEY_REUSED = "key_reused"
    HELD = "held"


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. A repeat has the entry of the first time, where it is posted; a refusal has every reason and changes
    nothing.

    ``sister`` is the entry in the books of the other company, where there is one.
    """

    outcome: OrderOutcome
    entry: JournalEntry | None = None
    sister: JournalEntry | None = None
    refusals: tuple[Refusal, ...] = ()


class WordDesk:
    """Takes words for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._inbox = inbox
        self._rulebook = rulebook
        self._clock = clock

    def take(self, word: Word, *, dry_run: bool = False) -> Ordered:
        """Post what it means, or say why not; ``dry_run`` only says what would be posted.

        Raises RejectedError for what cannot be read, ConcurrentChange when workers keep changing the same: what was
        taken by then is posted without the caller.
        """
        event = word.event()
        kept = self._inbox.find(SOURCE, word.name)
        if kept is not None:
            return self._again(word, event.id, kept)
        would = self._would(word, event.id)
        if dry_run:
            return would
        if would.outcome is OrderOutcome.REFUSED:
            # Somebody may have said the same while it was looked at: what it moves is moved then, and this is a repeat.
            kept = self._inbox.find(SOURCE, word.name)
            return would if kept is None else self._again(word, event.id, kept)
        (reception,) = self._inbox.accept([word.arrival()])
        taken = self._inbox.find(SOURCE, word.name)
        assert taken is not None  # noqa: S101  it was stored a moment ago; said for the type checker
        if reception is not Reception.NEW:
            return self._again(word, event.id, taken)
        self._walk(taken)
        return self._answer(word, event.id, OrderOutcome.POSTED)

    def _again(self, word: Word, event: str, kept: KeptArrival) -> Ordered:
        """Said before: what became of it then. It is walked first where whoever took it came no further."""
        if kept.digest != word.asked:
            return self._answer(word, event, OrderOutcome.KEY_REUSED)
        self._walk(kept)
        return self._answer(word, event, OrderOutcome.REPEAT)

    def _would(self, word: Word, event: str) -> Ordered:
        """What the rooms would make of it now, by the very steps they take; nothing is kept."""
        changes = self._process(word.unstored())
        postings = {one.event: one for one in changes.books.postings}
        entries = {one.entry.id: one.entry for one in changes.books.entries}
        found = postings.get(event)
        if found is None or found.state is PostingState.HELD:
            refusals = _NOTHING if found is None else found.refusals
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=refusals)
        other = postings.get(sister_event(event))
        return Ordered(
            outcome=OrderOutcome.WOULD_POST,
            entry=entries.get(str(found.entry_id)),
            sister=None if other is None else entries.get(str(other.entry_id)),
        )

    def _walk(self, kept: KeptArrival) -> None:
        """Take it through the rooms at once. A worker may do the same meanwhile: who is second finds it done."""
        if kept.state not in _UNSETTLED:
            return
        (stored,) = self._inbox.load([kept.seq])
        for attempt in range(_TRIES):
            try:
                self._state.commit(self._process(stored), now=self._clock())
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    def _process(self, event: InboxEvent) -> Changes:
        return process([event], connectors=OWN, rulebook=self._rulebook(), state=self._state, now=self._clock())

    def _answer(self, word: Word, event: str, outcome: OrderOutcome) -> Ordered:
        """What the books hold of it."""
        other = sister_event(event)
        dossiers = self._state.books.dossiers((), [event, other])
        found = dossiers.postings.get(event)
        if outcome is not OrderOutcome.KEY_REUSED and (found is None or found.state is PostingState.HELD):
            return Ordered(outcome=OrderOutcome.HELD, refusals=self._why_not(word) if found is None else found.refusals)
        beside = dossiers.postings.get(other)
        return Ordered(
            outcome=outcome,
            entry=None if found is None else dossiers.entries.get(str(found.entry_id)),
            sister=None if beside is None else dossiers.entries.get(str(beside.entry_id)),
        )

    def _why_not(self, word: Word) -> tuple[Refusal, ...]:
        """Why the books know nothing of a word that was taken."""
        kept = self._inbox.find(SOURCE, word.name)
        if kept is None or kept.reason is None:
            return _NOTHING
        return (Refusal(check="source", reason=kept.reason, remedy=f"`accordant trace {kept.seq}` shows it."),)
