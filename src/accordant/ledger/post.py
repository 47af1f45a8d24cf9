"""Events read into the books, one after the other: each is posted, or refused with every reason.

They are read in the order in which they happened; what was posted and would be posted otherwise now is cancelled and
posted anew. Next: `meanings/table.py` for what each means, `draft.py` for whole histories, `pipeline/bookkeep.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.ledger.bills import Bill, booked
from accordant.ledger.compose import Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry, reverse
from accordant.ledger.meanings.asking import Ask, Occurrence
from accordant.ledger.meanings.reading import Reading, pair_of
from accordant.ledger.meanings.table import MEANINGS
from accordant.ledger.periods import PeriodRefused, posting_day
from accordant.ledger.setting import Setting

#: At one moment a bill is issued, then lowered by what the customer had, then paid, and only then anything is given
#: back; what was converted is last.
_RANK = {
    EventType.INVOICE_ISSUED: 0,
    EventType.BALANCE_APPLIED: 1,
    EventType.PAYMENT_APPLIED: 2,
    EventType.CREDIT_APPROVED: 3,
    EventType.FUNDS_CONVERTED: 10,
}
#: How what was asked of the books begins where a bill is void; the ids of what was cancelled follow.
_CANCEL = "cancel"
#: The events that mean something in the books.
MEANING = frozenset(MEANINGS)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that the books hold, with the fingerprint of what was asked of them."""

    entry: JournalEntry
    asked: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event. ``entry`` is the one that stands for it, ``fresh`` are those that are new with it: the
    entry itself where it is, and before it the cancellation of one that no longer holds.

    With ``refusals`` nothing stands for it. With neither it says nothing to the books. ``pair`` is the name by which it
    is found when something more is said of its bill.
    """

    event: BusinessEvent
    happened_on: date
    entry: JournalEntry | None = None
    asked: str = ""
    fresh: tuple[JournalEntry, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    bill: ExternalRef | None = None
    pair: ExternalRef | None = None


def in_order(events: Sequence[BusinessEvent]) -> list[BusinessEvent]:
    """Events in the order in which they happened."""
    return sorted(events, key=lambda one: (one.occurred_at, _RANK.get(one.type, 9), one.id))


class Reader:
    """One reading of events. ``posted`` is what the books hold for events already, by the event's id."""

    def __init__(
        self,
        setting: Setting,
        objects: Mapping[ExternalRef, Entity],
        *,
        products: Mapping[str, str | None],
        posted: Mapping[str, Posted] | None = None,
    ) -> None:
        self._reading = Reading(setting, objects, products)
        self._setting = setting
        self._posted = posted or {}
        #: What bills that are void took with them: it is cancelled already, whatever becomes of it.
        self._cancelled = {name for one in self._posted.values() for name in _cancelled_by(one)}

    @property
    def bills(self) -> Mapping[ExternalRef, Bill]:
        """The bills that are posted so far."""
        return self._reading.bills

    def take(self, event: BusinessEvent) -> Outcome | None:
        """What becomes of the next event, in the order of `in_order`; None where these books are not concerned."""
        books = self._setting.books.get(event.subject.system)
        meaning = MEANINGS.get(event.type)
        if books is None or meaning is None:
            return None
        day = event.occurred_at.astimezone(self._setting.zone).date()
        told = Occurrence(event=event, books=books, day=day)
        ask = meaning(told, self._reading)
        pair = pair_of(event, self._reading.objects)
        if ask is None:
            bill = self._reading.bill_of(event) if pair is not None else None
            return Outcome(event=event, happened_on=day, bill=bill, pair=pair)
        outcome = self._cancel(ask, told) if ask.cancels else self._post(ask, told)
        return msgspec.structs.replace(outcome, bill=self._reading.bill_of(event), pair=pair)

    def _post(self, ask: Ask, told: Occurrence) -> Outcome:
        held = self._posted.get(told.event.id)
        if ask.refusal is not None:
            return self._stays(held, told, (ask.refusal,))
        if held is not None and held.asked == ask.asked:
            self._follow(ask, held.entry, told)
            return Outcome(event=told.event, happened_on=told.day, entry=held.entry, asked=held.asked)
        made = compose(self._request(ask, told, held), told.books, recorded_at=self._setting.recorded_at)
        if not isinstance(made, JournalEntry):
            return self._stays(held, told, made)
        self._follow(ask, made, told)
        is_standing = held is not None and held.entry.id not in self._cancelled
        cancelled = (self._correction(held.entry, told, made),) if held is not None and is_standing else ()
        return Outcome(event=told.event, happened_on=told.day, entry=made, asked=ask.asked, fresh=(*cancelled, made))

    def _follow(self, ask: Ask, entry: JournalEntry, told: Occurrence) -> None:
        """What is posted changes what is known of its bill, and of the processor's account."""
        ask.then(entry)
        cleared = booked(entry, Role.CLEARING)
        if cleared:
            self._reading.clear(told.event.subject.system, told.event.subject.id, cleared)

    def _request(self, ask: Ask, told: Occurrence, held: Posted | None) -> Request:
        event = told.event
        return Request(
            legs=tuple(ask.legs),
            currency=ask.currency,
            source_minor=ask.source_minor,
            happened_on=told.day,
            cause=Cause(
                event=event.id,
                subject=str(event.subject),
                rule=ask.rule,
                rule_version=1 if held is None else held.entry.cause.rule_version + 1,
            ),
            text=ask.text,
            party=str(event.root) if ask.bill is None else ask.bill.issued.party,
            rate=self._reading.rate(ask.currency, told.books, ask.rate_on or told.day),
            total_legs=ask.total_legs,
            original_currency=ask.original_currency,
            number=ask.number or event.subject.id,
            due_on=ask.due_on,
            settles=None if ask.bill is None else ask.bill.issued.id,
        )

    def _correction(self, wrong: JournalEntry, told: Occurrence, right: JournalEntry) -> JournalEntry:
        """What no longer holds is cancelled on the day on which what holds is posted."""
        return reverse(
            wrong,
            posted_on=right.posted_on,
            effective_on=right.effective_on,
            event=told.event.id,
            text=f"{wrong.text} corrected",
            recorded_at=self._setting.recorded_at,
        )

    def _stays(self, held: Posted | None, told: Occurrence, refusals: tuple[Refusal, ...]) -> Outcome:
        """Refused. What was posted for the event before stays: the books never lose an entry to a doubt."""
        entry, asked = (None, "") if held is None else (held.entry, held.asked)
        return Outcome(event=told.event, happened_on=told.day, entry=entry, asked=asked, refusals=refusals)

    def _cancel(self, ask: Ask, told: Occurrence) -> Outcome:
        """A bill that is void: its entry the other way round, in an open period, and so all that lowered it."""
        bill, event, day = ask.cancels, told.event, told.day
        assert bill is not None  # noqa: S101  the caller has looked; said for the type checker
        held = self._posted.get(event.id)
        done = [] if held is None else _cancelled_by(held)
        due = [one for one in (*bill.lowered, bill.issued) if one.id not in done]
        if held is not None and not due:
            bill.stop(day)
            return Outcome(event=event, happened_on=day, entry=held.entry, asked=held.asked)
        on = posting_day(told.books.periods, max(day, *(one.posted_on for one in due)))
        if isinstance(on, PeriodRefused):
            refusal = Refusal(check="open_period", reason=on.reason, remedy=on.remedy)
            return self._stays(held, told, (refusal,))
        made = tuple(
            reverse(
                one,
                posted_on=on,
                effective_on=day,
                event=event.id,
                text=f"{one.text} voided",
                recorded_at=self._setting.recorded_at,
            )
            for one in due
        )
        bill.stop(day)
        # What came late and lowered the bill before is cancelled too; what stands for the event is the bill's own.
        stands = made[-1] if held is None or due[-1] is bill.issued else held.entry
        asked = " ".join([_CANCEL, *done, *(one.id for one in due)])
        return Outcome(event=event, happened_on=day, entry=stands, asked=asked, fresh=made)


def _cancelled_by(posted: Posted) -> list[str]:
    """The entries that a void bill's event cancelled, by their ids."""
    word, *names = posted.asked.split()
    return names if word == _CANCEL else []
