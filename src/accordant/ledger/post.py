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
from accordant.ledger.contracts import Contract
from accordant.ledger.entries import Cause, JournalEntry, reverse
from accordant.ledger.meanings.asking import Ask, Occurrence, Sister
from accordant.ledger.meanings.reading import Allocations, Part, Reading
from accordant.ledger.meanings.table import MEANINGS, NOTED
from accordant.ledger.periods import PeriodRefused, posting_day
from accordant.ledger.setting import Setting
from accordant.ledger.void import kept_currency, kept_for_customer, kept_minor

#: At one moment a bill is issued, then lowered by what the customer had, then paid, and only then anything is given
#: back; what was converted is last.
_RANK = {
    EventType.INVOICE_ISSUED: 0,
    EventType.BALANCE_APPLIED: 1,
    EventType.PAYMENT_APPLIED: 2,
    EventType.CREDIT_APPROVED: 3,
    EventType.FUNDS_CONVERTED: 10,
}
#: How what was asked begins where it was to cancel, and nothing else; the ids of what was cancelled follow.
_CANCEL = "cancel"
#: What stands between an event's id and the bill that a part of it is about.
_PART = "/"
#: The events that mean something in the books.
MEANING = frozenset(MEANINGS)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that the books hold, with the fingerprint of what was asked of them."""

    entry: JournalEntry
    asked: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event, or of its part that is about one bill; ``more`` are the other parts, ``key`` tells them
    apart. ``entry`` is the one that stands for it, ``fresh`` are those that are new with it: the entry itself where it
    is, and before it the cancellation of one that no longer holds.

    ``cancelled`` are entries that fresh ones cancel and that stand for no event themselves. ``withdrawn`` is what was
    posted for it and is cancelled, where nothing stands for it any more.

    With ``refusals`` nothing stands for it. With neither it says nothing to the books, or nothing but how its bill is
    earned (``is_noted``). It is filed under ``bill``, or under the payment where that names none; ``pair`` is the name
    by which it is found when more is said of that.
    ``sister`` is the other side, in another company's books.
    """

    event: BusinessEvent
    key: str
    happened_on: date
    entry: JournalEntry | None = None
    sister: JournalEntry | None = None
    asked: str = ""
    fresh: tuple[JournalEntry, ...] = ()
    cancelled: tuple[JournalEntry, ...] = ()
    withdrawn: JournalEntry | None = None
    refusals: tuple[Refusal, ...] = ()
    bill: ExternalRef | None = None
    pair: ExternalRef | None = None
    is_noted: bool = False
    more: tuple["Outcome", ...] = ()

    @property
    def parts(self) -> tuple["Outcome", ...]:
        """It and the others that the event came to, bill by bill."""
        return (self, *self.more)

    @property
    def latest(self) -> JournalEntry | None:
        """What was last posted for it, whether it stands or was withdrawn: what it is compared with next time."""
        return self.entry or self.withdrawn


def in_order(events: Sequence[BusinessEvent]) -> list[BusinessEvent]:
    """Events in the order in which they happened."""
    return sorted(events, key=lambda one: (one.occurred_at, _RANK.get(one.type, 9), one.id))


class Reader:
    """One reading of events. ``posted`` is what the books hold for events already, by the event's id; ``taken_back``
    are events that a person said and withdrew: they are read as if nobody had said them.
    """

    def __init__(
        self,
        setting: Setting,
        objects: Mapping[ExternalRef, Entity],
        *,
        products: Mapping[str, str | None],
        posted: Mapping[str, Posted] | None = None,
        allocations: Allocations | None = None,
        taken_back: frozenset[str] = frozenset(),
    ) -> None:
        self._reading = Reading(setting, objects, products, allocations or {})
        self._setting = setting
        self._taken_back = taken_back
        self._posted = dict(posted or {})
        #: What bills that are void took with them: it is cancelled already, whatever becomes of it.
        self._cancelled = {name for one in self._posted.values() for name in cancelled_by(one.asked)}
        self._parts: dict[str, list[str]] = {}
        for key in self._posted:
            self._parts.setdefault(event_of(key), []).append(key)
        #: The entry that stands for each posting as it is read now; nothing for those that were withdrawn.
        self._standing: dict[str, str] = {}

    @property
    def bills(self) -> Mapping[ExternalRef, Bill]:
        """The bills that are posted so far."""
        return self._reading.bills

    @property
    def disputed(self) -> Mapping[ExternalRef, list[Part]]:
        """What each dispute that is posted took, bill by bill."""
        return self._reading.disputed

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """The contracts that are earned otherwise than they are billed, as far as they are read."""
        return self._reading.contracts

    def finish(self) -> None:
        """Everything there is was taken: what ends by the day of the reading ends."""
        self._reading.end_contracts(self._setting.recorded_at.astimezone(self._setting.zone).date())

    def take(self, event: BusinessEvent) -> Outcome | None:
        """What becomes of the next event, in the order of `in_order`; None where these books are not concerned."""
        books = self._setting.books.get(event.subject.system)
        meaning = MEANINGS.get(event.type)
        if books is None or meaning is None:
            return None
        day = event.occurred_at.astimezone(self._setting.zone).date()
        self._reading.end_contracts(day)
        told = Occurrence(event=event, books=books, day=day, key=event.id)
        ask = None if event.id in self._taken_back else meaning(told, self._reading)
        asks = {} if ask is None else {_key(event, one): one for one in (ask, *ask.others)}
        first, *more = [self._come_to(one, told, key) for key, one in asks.items()] or [
            self._say_nothing(told, told.key)
        ]
        # What is about other bills than it was: those have no part in it any more.
        its_own = {*asks, event.id, sister_event(event.id)}
        others = [key for key in self._parts.get(event.id, ()) if key not in its_own]
        more += [self._say_nothing(told, key) for key in others]
        return msgspec.structs.replace(first, more=tuple(more))

    def _come_to(self, ask: Ask, told: Occurrence, key: str) -> Outcome:
        told = msgspec.structs.replace(told, key=key)
        outcome = self._cancel(ask, told) if ask.cancels else self._post(ask, told)
        filed = self._reading.bill_of(told.event) if ask.bill is None else ask.bill.ref
        return msgspec.structs.replace(outcome, bill=filed, pair=self._reading.pair_of(told.event))

    def _say_nothing(self, told: Occurrence, key: str) -> Outcome:
        told = msgspec.structs.replace(told, key=key)
        held, pair, is_noted = self._posted.get(key), self._reading.pair_of(told.event), told.event.type in NOTED
        filed = self._reading.bill_of(told.event) if pair is not None or held is not None or is_noted else None
        return msgspec.structs.replace(self._withdraw(held, told, ()), bill=filed, pair=pair, is_noted=is_noted)

    def _post(self, ask: Ask, told: Occurrence) -> Outcome:
        held = self._posted.get(told.key)
        if ask.refusal is not None:
            gone = self._withdraw if ask.contradicts else self._stays
            return gone(held, told, (ask.refusal,))
        if held is not None and held.asked == ask.asked:
            self._follow(ask, held.entry, told)
            return Outcome(event=told.event, key=told.key, happened_on=told.day, entry=held.entry, asked=held.asked)
        made = compose(self._request(ask, told, held), told.books, recorded_at=self._setting.recorded_at)
        beside = None if ask.sister is None else self._beside(ask.sister, ask, told)
        refusals = tuple(why for one in (made, beside) if isinstance(one, tuple) for why in one)
        if not isinstance(made, JournalEntry) or isinstance(beside, tuple):
            return self._stays(held, told, refusals)
        self._follow(ask, made, told)
        fresh = (*self._replaced(held, told, made), made)
        if beside is not None:
            other = self._posted.get(sister_event(told.event.id))
            fresh = (*fresh, *self._replaced(other, told, beside), beside)
        return Outcome(
            event=told.event,
            key=told.key,
            happened_on=told.day,
            entry=made,
            sister=beside,
            asked=ask.asked,
            fresh=fresh,
        )

    def _replaced(self, held: Posted | None, told: Occurrence, made: JournalEntry) -> tuple[JournalEntry, ...]:
        """The cancellation of what stood where ``made`` will, if anything still does."""
        is_standing = held is not None and held.entry.id not in self._cancelled
        return (self._correction(held.entry, told, made),) if held is not None and is_standing else ()

    def _beside(self, sister: Sister, ask: Ask, told: Occurrence) -> JournalEntry | tuple[Refusal, ...]:
        """The other side of what is asked for, or why that company's books do not take it."""
        books = self._setting.companies.get(sister.legal_entity)
        if books is None:
            reason = f"There is no legal entity {sister.legal_entity!r}."
            return (Refusal(check="legal_entity", reason=reason, remedy="Name one of ledger.legal_entities."),)
        event = told.event
        held = self._posted.get(sister_event(event.id))
        request = Request(
            legs=tuple(sister.legs),
            currency=sister.currency,
            source_minor=abs(sum(leg.minor for leg in sister.legs[: sister.total_legs])),
            happened_on=told.day,
            cause=Cause(
                event=sister_event(event.id),
                subject=str(event.subject),
                rule=sister.rule,
                rule_version=1 if held is None else held.entry.cause.rule_version + 1,
            ),
            text=sister.text,
            rate=self._reading.rate(sister.currency, books, told.day),
            total_legs=sister.total_legs,
            number=ask.number or event.subject.id,
        )
        return compose(request, books, recorded_at=self._setting.recorded_at)

    def _follow(self, ask: Ask, entry: JournalEntry, told: Occurrence) -> None:
        """What is posted changes what is known of its bill, and of the processor's account."""
        ask.then(entry)
        self._standing[told.key] = entry.id
        if ask.bill is not None:
            ask.bill.later.append(entry)
        bill = ask.bill or self._reading.bills.get(told.event.subject)
        if bill is not None:
            self._reading.measure(bill, told.day)
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
                event=told.key,
                subject=str(event.subject),
                rule=ask.rule,
                rule_version=1 if held is None else held.entry.cause.rule_version + 1,
            ),
            text=ask.text,
            party=_party(ask, event),
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
        return Outcome(
            event=told.event, key=told.key, happened_on=told.day, entry=entry, asked=asked, refusals=refusals
        )

    def _withdraw(self, held: Posted | None, told: Occurrence, refusals: tuple[Refusal, ...]) -> Outcome:
        """Nothing is to stand for the event as things are known now: what was posted for it is cancelled."""
        outcome = Outcome(event=told.event, key=told.key, happened_on=told.day, refusals=refusals)
        if held is None:
            return outcome
        other = self._posted.get(sister_event(told.event.id))
        due = [held.entry, *([] if other is None else [other.entry])]
        named = " ".join([_CANCEL, *(one.id for one in due)])
        gone = msgspec.structs.replace(outcome, withdrawn=held.entry, asked=named)
        made = [self._withdrawn(one, told) for one in due if one.id not in self._cancelled]
        if shut := tuple(one for one in made if isinstance(one, Refusal)):
            return self._stays(held, told, (*refusals, *shut))
        self._standing[told.key] = ""
        return msgspec.structs.replace(gone, fresh=tuple(one for one in made if isinstance(one, JournalEntry)))

    def _withdrawn(self, wrong: JournalEntry, told: Occurrence) -> JournalEntry | Refusal:
        books = self._setting.companies.get(wrong.legal_entity, told.books)
        on = posting_day(books.periods, max(told.day, wrong.posted_on))
        if isinstance(on, PeriodRefused):
            return Refusal(check="open_period", reason=on.reason, remedy=on.remedy)
        return reverse(
            wrong,
            posted_on=on,
            effective_on=told.day,
            event=told.event.id,
            text=f"{wrong.text} withdrawn",
            recorded_at=self._setting.recorded_at,
        )

    def _cancel(self, ask: Ask, told: Occurrence) -> Outcome:
        """A bill that is void: its entry and all that followed the other way round, in an open period."""
        bill, event, day = ask.cancels, told.event, told.day
        assert bill is not None  # noqa: S101  the caller has looked; said for the type checker
        held = self._posted.get(told.key)
        done = [] if held is None else cancelled_by(held.asked)
        stale = self._stale(done)
        due = [one for one in (*bill.later, bill.issued) if one.id not in done]
        last_on = max([day, *(one.posted_on for one in (*due, *stale))])
        on = posting_day(told.books.periods, last_on)
        if isinstance(on, PeriodRefused):
            refusal = Refusal(check="open_period", reason=on.reason, remedy=on.remedy)
            return self._stays(held, told, (refusal,))
        made: list[JournalEntry] = []
        again: list[JournalEntry] = []
        for one in due:
            made.append(self._voided(one, told, on))
            kept = self._kept(one, bill, told, on)
            if not isinstance(kept, list):
                return self._stays(held, told, kept)
            made += kept
        for one in stale:
            # Cancelled before it was corrected: of it only the money is still stated.
            kept = self._kept(one, bill, told, on)
            if not isinstance(kept, list):
                return self._stays(held, told, kept)
            again += kept
            made += [self._voided(one, told, on) for one in kept]
        self._reading.void(bill, day)
        bill.kept_minor = kept_minor(bill.later)
        if held is not None and not made:
            return Outcome(event=event, key=told.key, happened_on=day, entry=held.entry, asked=held.asked)
        # What came late is cancelled too; what stands for the event is the bill's own.
        own = next((one for one in made if one.reverses == bill.issued.id), None)
        gone = [name for name in done if name not in {one.id for one in stale}]
        asked = " ".join([_CANCEL, *gone, *(one.id for one in due)])
        stands = own if own is not None else None if held is None else held.entry
        return Outcome(
            event=event,
            key=told.key,
            happened_on=day,
            entry=stands,
            asked=asked,
            fresh=tuple(made),
            cancelled=tuple(again),
        )

    def _stale(self, done: Sequence[str]) -> list[JournalEntry]:
        """Entries that were cancelled with the bill, and for whose events others stand by now."""
        kept = [one.entry for one in self._posted.values() if one.entry.id in done]
        return [one for one in kept if self._standing.get(one.cause.event, one.id) != one.id]

    def _voided(self, entry: JournalEntry, told: Occurrence, on: date) -> JournalEntry:
        return reverse(
            entry,
            posted_on=on,
            effective_on=told.day,
            event=told.event.id,
            text=f"{entry.text} voided",
            recorded_at=self._setting.recorded_at,
        )

    def _kept(
        self, entry: JournalEntry, bill: Bill, told: Occurrence, on: date
    ) -> list[JournalEntry] | tuple[Refusal, ...]:
        """The money that an entry of a void bill moved, stated against the customer's balance; or why it cannot be."""
        legs = kept_for_customer(entry)
        if not legs:
            return []
        subject = str(told.event.subject)
        request = Request(
            legs=tuple(legs),
            currency=entry.currency,
            source_minor=abs(legs[0].minor),
            happened_on=told.day,
            cause=Cause(event=told.event.id, subject=subject, rule=f"kept {entry.id}"),
            text=f"{entry.text} kept for the customer",
            party=bill.issued.party,
            original_currency=kept_currency(entry),
            number=entry.number,
        )
        made = compose(request, told.books, recorded_at=self._setting.recorded_at)
        return [msgspec.structs.replace(made, posted_on=on)] if isinstance(made, JournalEntry) else made


def sister_event(event: str) -> str:
    """The name under which the books of the other company hold their side of an event."""
    return f"{event}{_PART}sister"


def _key(event: BusinessEvent, ask: Ask) -> str:
    return f"{event.id}{_PART}{ask.part}" if ask.part else event.id


def event_of(key: str) -> str:
    """The event behind what a posting is known by."""
    return key.partition(_PART)[0]


def _party(ask: Ask, event: BusinessEvent) -> str | None:
    """The customer an entry belongs to: that of its bill, else that of the event, where it belongs to one."""
    if ask.bill is not None:
        return ask.bill.issued.party
    return ask.party or (str(event.root) if ask.is_of_party else None)


def cancelled_by(asked: str) -> list[str]:
    """The entries that an event cancelled and put no other in their place, by their ids, from what it asked for."""
    word, *names = asked.split() or [""]
    return names if word == _CANCEL else []
