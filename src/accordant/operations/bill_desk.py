"""What a person says of a bill that its system does not: nobody will pay it, or prepaid credits of it were used.

What is said is kept as a business event, so that every later reading of the bill has it; nothing that cannot be posted
is kept. Next: `ledger/meanings` for what it means.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import StrEnum

import msgspec

from accordant.canonical.books import LedgerPart, Role
from accordant.canonical.entities import Invoice
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.refs import ExternalRef
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.kernel.money import Money
from accordant.ledger.compose import Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import collected_for_sister
from accordant.operations.order_desk import Ordered, OrderOutcome, books_around, rated
from accordant.operations.order_entry import OrderInvalid, check_words
from accordant.pipeline.bookkeep import Ledger, Told, lay_entry, post_events
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import PostingState
from accordant.ports.state import ConcurrentChange, State

_TRIES = 5
#: The inbox has no delivery for what a person says.
_NO_DELIVERY = 0


class BillWord(StrEnum):
    """What can be said of a bill."""

    COLLECTED_BY_SISTER = EventType.PAYMENT_COLLECTED_BY_SISTER.value
    WRITTEN_OFF = EventType.INVOICE_WRITTEN_OFF.value
    CREDITS_DRAWN = EventType.CREDITS_DRAWN.value


class BillOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is said. ``bill`` is its reference (``system:invoice/id``); ``key`` names the word, said twice it is one.

    ``amount`` is decimal text in the bill's currency; None means all that is open. ``sister`` is the legal entity that
    collected it, at its bank.
    """

    word: BillWord
    bill: str
    key: str
    happened_on: date
    reason: str
    amount: str | None = None
    sister: str | None = None


class BillDesk:
    """Takes words for one hub."""

    def __init__(self, state: State, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._rulebook = rulebook
        self._clock = clock

    def say(self, order: BillOrder, *, by: str) -> Ordered:
        """Post what it means, or say why not and keep nothing. Raises OrderInvalid for what cannot be read."""
        check_words(order.key, order.reason)
        for attempt in range(_TRIES):
            try:
                return self._once(order, by)
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, order: BillOrder, by: str) -> Ordered:
        rulebook, bench = self._rulebook(), Workbench(self._state, self._clock())
        event = self._event(order, bench, rulebook)
        known = self._state.books.dossiers([order.bill], [event.id])
        # Of what is said of one day, what was said first happened first.
        said_before = sum(1 for one in known.events.values() if one.type.value in set(BillWord))
        event = msgspec.structs.replace(event, occurred_at=event.occurred_at + timedelta(microseconds=said_before))
        held = known.postings.get(event.id)
        if held is not None:
            first = known.events[event.id]
            is_day = first.occurred_at.replace(microsecond=0) == event.occurred_at.replace(microsecond=0)
            same = is_day and msgspec.structs.replace(event, occurred_at=first.occurred_at) == first
            outcome = OrderOutcome.REPEAT if same else OrderOutcome.KEY_REUSED
            return Ordered(outcome=outcome, entry=known.entries.get(str(held.entry_id)))
        assert rulebook.ledger is not None  # noqa: S101  an event was made by it; said for the type checker
        post_events(bench, {event.id: Told(event=event, cause=None)}, rulebook.ledger, self._state.books)
        entry = _posted(bench, event)
        if not isinstance(entry, JournalEntry):
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=entry)
        of_sister = None if order.sister is None else self._of_sister(order.sister, event, entry, rulebook.ledger)
        if of_sister is not None and not isinstance(of_sister, JournalEntry):
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=of_sister)
        root_id = next(one.root_id for one in bench.changes.books.postings if one.event == event.id)
        bench.changes.business_events.append((_NO_DELIVERY, root_id, event))
        said = {"said_by": by, "reason": order.reason, "entry": entry.id}
        if of_sister is not None:
            lay_entry(bench, rulebook.ledger, of_sister, root_id=root_id, system=event.subject.system)
        bench.note("books.bill.said", order.bill, None, {"word": order.word.value, **said})
        plan(bench, rulebook, Switches.thrown(*self._state.policy()))
        self._state.commit(bench.collect(), now=bench.now)
        return Ordered(outcome=OrderOutcome.POSTED, entry=entry, sister=of_sister)

    def _of_sister(
        self, sister: str, event: BusinessEvent, entry: JournalEntry, ledger: Ledger
    ) -> JournalEntry | tuple[Refusal, ...]:
        """The other side, in the books of who collected it: money it owes on."""
        settled = next(one for one in entry.postings if one.role is Role.RECEIVABLE)
        paid = -(settled.original or settled.amount)
        request = Request(
            legs=tuple(collected_for_sister(paid.amount_minor)),
            currency=paid.currency,
            source_minor=paid.amount_minor,
            happened_on=entry.effective_on,
            cause=Cause(event=f"{event.id}/sister", subject=str(event.subject), rule="collected_for_sister"),
            text=f"Collected for {entry.legal_entity}: {entry.text}",
            number=entry.number,
        )
        books = books_around(self._state, ledger, sister, self._clock().year)
        return compose(rated(self._state, ledger, sister, request), books, recorded_at=self._clock())

    def _event(self, order: BillOrder, bench: Workbench, rulebook: Rulebook) -> BusinessEvent:
        ref, ledger = ExternalRef.parse(order.bill), rulebook.ledger
        bench.load_links([ref])
        link = bench.links.get(ref)
        if link is not None:
            bench.load_entities([link.id])
        stored = None if link is None else bench.entity(link.id)
        if ledger is None or stored is None or not isinstance(stored.entity, Invoice):
            raise OrderInvalid(f"{order.bill} is no bill the books know.", remedy="Name it as in billing:invoice/in_1.")
        if ref.system not in ledger.part.systems:
            raise OrderInvalid(f"The bills of {ref.system} are in nobody's books.", remedy="See ledger.systems.")
        _check_sister(order, ledger.part, ledger.part.systems[ref.system])
        today = self._clock().astimezone(ledger.zone).date()
        if order.happened_on > today:
            raise OrderInvalid(f"{order.happened_on} has not come yet.", remedy=f"Give a day until {today}.")
        amount = None if order.amount is None else Money.parse(order.amount, stored.entity.total.currency)
        if amount is not None and amount.amount_minor <= 0:
            raise OrderInvalid(f"{amount} is no amount of a bill.", remedy="Give one above zero.")
        return business_event(
            EventType(order.word.value),
            subject=ref,
            root=ExternalRef(ref.system, "customer", stored.entity.customer_id or ref.id),
            # The last of its day: what the systems tell of that day came before.
            occurred_at=datetime.combine(order.happened_on, time(23, 59, 59), ledger.zone),
            change=f"said/{order.key}",
            amount=amount,
            note=order.reason,
        )


def _check_sister(order: BillOrder, part: LedgerPart, own: str) -> None:
    if (order.sister is not None) is not (order.word is BillWord.COLLECTED_BY_SISTER):
        raise OrderInvalid("Who collected it is said of what a sister collected, and only of that.", remedy="Name it.")
    if order.sister is not None and (order.sister == own or order.sister not in part.legal_entities):
        known = ", ".join(name for name in part.legal_entities if name != own) or "none"
        raise OrderInvalid(f"{order.sister} is no sister of {own}.", remedy=f"Its sisters are: {known}.")


def _posted(bench: Workbench, event: BusinessEvent) -> JournalEntry | tuple[Refusal, ...]:
    """The entry that stands for the event, or why there is none."""
    for kept in bench.changes.books.postings:
        if kept.event == event.id and kept.state is PostingState.HELD:
            return kept.refusals
    for one in bench.changes.books.entries:
        if one.entry.cause.event == event.id and one.entry.reverses is None:
            return one.entry
    return (Refusal(check="source", reason="There is nothing of it left.", remedy="Look at the bill in the journal."),)
