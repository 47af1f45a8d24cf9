"""What a person says of a bill that its system does not: written off, credits used, a project so far, one ramp agreed.

What is said is kept as a business event, so that every later reading of the bill has it; nothing that cannot be posted
is kept. Next: `ledger/meanings` for what it means.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from accordant.canonical.books import LedgerPart
from accordant.canonical.entities import Invoice, Subscription
from accordant.canonical.events import EventType
from accordant.canonical.refs import ExternalRef
from accordant.canonical.words import ContractTerms
from accordant.kernel.clock import Clock
from accordant.kernel.money import Money
from accordant.ledger.contracts import progress_of
from accordant.ledger.orders import OrderInvalid, check_words
from accordant.operations.word_desk import Ordered, WordDesk
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.words import BillSaid, Word
from accordant.ports.inbox import WordBox
from accordant.ports.state import State


class BillWord(StrEnum):
    """What can be said of a bill."""

    COLLECTED_BY_SISTER = EventType.PAYMENT_COLLECTED_BY_SISTER.value
    WRITTEN_OFF = EventType.INVOICE_WRITTEN_OFF.value
    CREDITS_DRAWN = EventType.CREDITS_DRAWN.value
    RAMP_AGREED = EventType.RAMP_AGREED.value
    PROGRESS_MEASURED = EventType.PROGRESS_MEASURED.value


#: What is said of a contract: its amount is the price of all of it, without tax.
_OF_CONTRACTS = frozenset({BillWord.RAMP_AGREED, BillWord.PROGRESS_MEASURED})


class BillOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is said. ``bill`` is its reference (``system:invoice/id``); ``key`` names the word, said twice it is one.

    ``amount`` is decimal text in the bill's currency; None means all that is open. ``sister`` is the legal entity that
    collected it, at its bank. A ramp is said of its subscription (``system:subscription/id``), a project of any of its
    bills; both with ``terms``, where ``amount`` is the price of all of it without tax.
    """

    word: BillWord
    bill: str
    key: str
    happened_on: date
    reason: str
    amount: str | None = None
    sister: str | None = None
    terms: ContractTerms | None = None


class BillDesk:
    """Takes words for one hub."""

    def __init__(self, state: State, inbox: WordBox, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._rulebook = rulebook
        self._clock = clock
        self._desk = WordDesk(state, inbox, rulebook=rulebook, clock=clock)

    def say(self, order: BillOrder, *, by: str) -> Ordered:
        """Post what it means, or say why not and keep nothing. Raises OrderInvalid for what cannot be read."""
        check_words(order.key, order.reason)
        return self._desk.take(self._word(order, by))

    def _word(self, order: BillOrder, by: str) -> Word:
        (customer, currency), ref = self._about(order), ExternalRef.parse(order.bill)
        part, zone = self._ledger(ref)
        _check_sister(order, part, part.systems[ref.system])
        _check_terms(order)
        now = self._clock()
        today = now.astimezone(zone).date()
        if order.happened_on > today:
            raise OrderInvalid(f"{order.happened_on} has not come yet.", remedy=f"Give a day until {today}.")
        amount = None if order.amount is None else Money.parse(order.amount, currency)
        if amount is not None and amount.amount_minor <= 0:
            raise OrderInvalid(f"{amount} is no amount of a bill.", remedy="Give one above zero.")
        # The last of its day: what the systems tell of that day came before. Of what persons say of one day, what was
        # said first happened first.
        last = datetime.combine(order.happened_on, time(23, 59, 59), zone)
        return Word(
            by=by,
            at=now,
            occurred_at=last.astimezone(UTC) + timedelta(microseconds=self._said_before(order.bill)),
            bill=BillSaid(
                event=EventType(order.word.value),
                bill=ref,
                root=ExternalRef(ref.system, "customer", customer or ref.id),
                key=order.key,
                reason=order.reason,
                amount=amount,
                sister=order.sister,
                terms=order.terms,
            ),
        )

    def _said_before(self, bill: str) -> int:
        known = self._state.books.dossiers([bill], ()).events.values()
        return sum(1 for one in known if one.said is not None)

    def _about(self, order: BillOrder) -> tuple[str | None, str]:
        """The customer and the currency of what it is said of."""
        ref = ExternalRef.parse(order.bill)
        link = self._state.links([ref]).get(ref)
        stored = None if link is None else self._state.entities([link.id]).get(link.id)
        entity = None if stored is None else stored.entity
        if order.word is BillWord.RAMP_AGREED:
            if not isinstance(entity, Subscription) or entity.currency is None:
                remedy = "Name it as in billing:subscription/sub_1."
                raise OrderInvalid(f"{order.bill} is no subscription the hub knows.", remedy=remedy)
            return entity.customer_id, entity.currency
        if not isinstance(entity, Invoice):
            raise OrderInvalid(f"{order.bill} is no bill the books know.", remedy="Name it as in billing:invoice/in_1.")
        return entity.customer_id, entity.total.currency

    def _ledger(self, ref: ExternalRef) -> tuple[LedgerPart, ZoneInfo]:
        ledger = self._rulebook().ledger
        if ledger is None or ref.system not in ledger.part.systems:
            raise OrderInvalid(f"The bills of {ref.system} are in nobody's books.", remedy="See ledger.systems.")
        return ledger.part, ledger.zone


def _check_sister(order: BillOrder, part: LedgerPart, own: str) -> None:
    if (order.sister is not None) is not (order.word is BillWord.COLLECTED_BY_SISTER):
        raise OrderInvalid("Who collected it is said of what a sister collected, and only of that.", remedy="Name it.")
    if order.sister is not None and (order.sister == own or order.sister not in part.legal_entities):
        known = ", ".join(name for name in part.legal_entities if name != own) or "none"
        raise OrderInvalid(f"{order.sister} is no sister of {own}.", remedy=f"Its sisters are: {known}.")


def _check_terms(order: BillOrder) -> None:
    """Raises OrderInvalid where the terms are not what is said of such a contract."""
    terms = order.terms
    if (terms is not None) is not (order.word in _OF_CONTRACTS):
        raise OrderInvalid("Terms are said of a ramp or a project, and of nothing else.", remedy="Say them.")
    if terms is None:
        return
    if order.word is BillWord.PROGRESS_MEASURED:
        try:
            progress_of(terms.progress or "")
        except ValueError:
            remedy = "Write per cent as in 51.2, or the cost so far by all that is expected as in 420000/820000."
            raise OrderInvalid(f"{terms.progress!r} is no progress.", remedy=remedy) from None
    elif terms.starts_on is None or terms.ends_on is None or terms.starts_on >= terms.ends_on or order.amount is None:
        raise OrderInvalid(
            "A ramp has a price, and a term of a day or more.", remedy="Give both its days and its price."
        )
