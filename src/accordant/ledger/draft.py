"""The books a history would make: its events read in order, each posted or refused with its reasons.

Nothing is stored and nothing is sent: the same rules that will post say beforehand what they would post, and what is
missing for it. Next: `views/books.py` brings the history, `cli/books.py` shows the draft.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta

import msgspec

from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, Payment, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import Money
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, Disputed, net_lines
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry, reverse
from accordant.ledger.exchange import Movement, Rate, booked_for, converted, settled
from accordant.ledger.modify import Modification, decide
from accordant.ledger.patterns import BilledLine, Leg
from accordant.ledger.schedule import RevenueSchedule, earned_before, lines, straight_line
from accordant.ledger.setting import Setting

#: At one moment a bill is issued before it is paid, and paid before anything is given back.
_RANK = {EventType.INVOICE_ISSUED: 0, EventType.PAYMENT_APPLIED: 1, EventType.CREDIT_APPROVED: 2}
#: A subscription is a service that stands ready: what a change in mid-term adds is always distinct from the past.
_CHANGED = decide(Modification(adds_distinct=False, at_standalone_price=False, remaining_distinct=(True,))).treatment
#: How a processor says that a dispute ended for us.
_WON = frozenset({"won", "warning_closed"})


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a draft is made of: the events in order, the objects as they are known now, and what each price sells."""

    events: tuple[BusinessEvent, ...]
    objects: Mapping[ExternalRef, Entity]
    products: Mapping[str, str] = {}


class Unposted(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has a meaning in the books and was refused, with every reason."""

    event: str
    type: EventType
    subject: ExternalRef
    happened_on: date
    amount: Money | None
    refusals: tuple[Refusal, ...]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The entries in order, what was refused, and the schedules with the day they were booked on."""

    entries: tuple[JournalEntry, ...]
    unposted: tuple[Unposted, ...]
    schedules: tuple[tuple[date, RevenueSchedule], ...]


def _nothing_more(_entry: JournalEntry) -> None:
    """What is posted changes nothing else."""


class _Ask(msgspec.Struct, kw_only=True):
    """One thing an event asks the books for: a pattern with its words, or the reason why it cannot be said.

    ``rate_on`` is the day whose rate counts: what is taken back has that of its bill, as the revenue it was has.
    ``stated`` is the total the source states, where the legs may come to another; ``then`` is called once it is posted.
    """

    rule: str = ""
    text: str = ""
    currency: str = ""
    legs: list[Leg] = []
    stated: int | None = None
    total_legs: int = 1
    original_currency: str | None = None
    rate_on: date | None = None
    refusal: Refusal | None = None
    then: Callable[[JournalEntry], None] = _nothing_more

    @property
    def total(self) -> int:
        """What the total of the pattern comes to."""
        return abs(sum(leg.minor for leg in self.legs[: self.total_legs]))


def draft(history: History, setting: Setting, *, before_on: date) -> Draft:
    """Read the history up to, not including, ``before_on``; revenue is recognised at the end of each month in it."""
    return _Reader(history, setting).read(before_on)


class _Reader:
    """One reading of a history. Each kind of event has a method; what has no meaning in the books has none."""

    def __init__(self, history: History, setting: Setting) -> None:
        self._history = history
        self._setting = setting
        self._payments = {(ref.system, ref.id): one for ref, one in history.objects.items() if isinstance(one, Payment)}
        self._bills: dict[ExternalRef, Bill] = {}
        self._booked: dict[str, tuple[date, Bill]] = {}
        self._entries: list[JournalEntry] = []
        self._unposted: list[Unposted] = []
        self._means: dict[EventType, Callable[[BusinessEvent, Books, date], Iterator[_Ask]]] = {
            EventType.INVOICE_ISSUED: self._issued,
            EventType.PAYMENT_APPLIED: self._paid,
            EventType.REFUND_ISSUED: self._refunded,
            EventType.CREDIT_APPROVED: self._credited,
            EventType.DISPUTE_OPENED: self._disputed,
            EventType.DISPUTE_CLOSED: self._dispute_closed,
            EventType.PAYOUT_PAID: self._payout,
        }

    def read(self, before_on: date) -> Draft:
        """The draft."""
        for event in sorted(self._history.events, key=lambda one: (one.occurred_at, _RANK.get(one.type, 9), one.id)):
            day = event.occurred_at.astimezone(self._setting.zone).date()
            books = self._setting.books.get(event.subject.system)
            if day >= before_on or books is None:
                continue
            if event.type is EventType.INVOICE_VOIDED:
                self._void(event, day)
            elif (meaning := self._means.get(event.type)) is not None:
                for ask in meaning(event, books, day):
                    self._post(ask, event, books, day)
        self._recognise(before_on)
        schedules = [(on, one) for on, bill in self._booked.values() for one in bill.schedules]
        self._entries.sort(key=lambda one: one.posted_on)
        return Draft(entries=tuple(self._entries), unposted=tuple(self._unposted), schedules=tuple(schedules))

    # -- posting ------------------------------------------------------------------------------------------------------

    def _post(self, ask: "_Ask", event: BusinessEvent, books: Books, day: date) -> None:
        if ask.refusal is not None:
            self._refuse(event, day, (ask.refusal,))
            return
        made = compose(
            Request(
                legs=tuple(ask.legs),
                currency=ask.currency,
                source_minor=ask.total if ask.stated is None else abs(ask.stated),
                happened_on=day,
                cause=Cause(event=event.id, subject=str(event.subject), rule=ask.rule),
                text=ask.text,
                party=str(event.root),
                rate=self._rate(ask.currency, books, ask.rate_on or day),
                total_legs=ask.total_legs,
                original_currency=ask.original_currency,
            ),
            books,
            recorded_at=self._setting.recorded_at,
        )
        if isinstance(made, JournalEntry):
            self._entries.append(made)
            ask.then(made)
        else:
            self._refuse(event, day, made)

    def _rate(self, currency: str, books: Books, day: date) -> Rate | None:
        own = books.chart.currency
        return None if currency == own else self._setting.rate_of(currency, own, day)

    def _refuse(self, event: BusinessEvent, day: date, refusals: tuple[Refusal, ...]) -> None:
        self._unposted.append(
            Unposted(
                event=event.id,
                type=event.type,
                subject=event.subject,
                happened_on=day,
                amount=event.amount,
                refusals=refusals,
            )
        )

    # -- what each event means ----------------------------------------------------------------------------------------

    def _issued(self, event: BusinessEvent, books: Books, day: date) -> Iterator["_Ask"]:
        bill = self._history.objects.get(event.subject)
        if not isinstance(bill, Invoice) or not bill.lines_complete:
            yield _refused("its lines are not known", "Have the bill read again, then look at the draft anew.")
            return
        tax = 0 if bill.tax is None else bill.tax.amount_minor
        code = self._setting.tax_codes.get(event.subject.system)
        nets = net_lines(bill)
        billed = [
            BilledLine(
                product=self._product(line.price_id),
                net_minor=net,
                tax_code=code if tax else None,
                treatment=_CHANGED if line.proration else None,
            )
            for line, net in zip(bill.lines, nets, strict=True)
        ]
        taxed = BilledLine(product=None, net_minor=0, tax_code=code, tax_minor=tax)
        schedules = [self._schedule(bill, index, net, event.occurred_at) for index, net in enumerate(nets) if net]

        def keep(entry: JournalEntry) -> None:
            kept = Bill(
                ref=event.subject,
                books=books,
                currency=bill.total.currency,
                total=bill.total.amount_minor,
                tax=tax,
                open_minor=bill.total.amount_minor,
                issued=entry,
                schedules=schedules,
                disputed={},
                deferred=(sum(nets), _deferred_in_books(entry, taxed=bool(tax))),
                movements=[
                    Movement(original_minor=bill.total.amount_minor, books_minor=entry.postings[0].amount.amount_minor)
                ],
            )
            self._bills[event.subject] = kept
            self._booked[event.id] = (day, kept)

        if bill.total.amount_minor or any(nets):
            legs = patterns.invoice_issued([*billed, taxed])
            text = f"Invoice {bill.number or bill.external_id}"
            yield _Ask(
                legs=legs,
                currency=bill.total.currency,
                rule="invoice_issued",
                text=text,
                stated=bill.total.amount_minor,
                then=keep,
            )

    def _void(self, event: BusinessEvent, day: date) -> None:
        bill = self._bills.get(event.subject)
        if bill is None or not bill.open_minor:
            return
        self._entries.append(
            reverse(
                bill.issued,
                posted_on=max(day, bill.issued.posted_on),
                event=event.id,
                text=f"{bill.issued.text} voided",
                recorded_at=self._setting.recorded_at,
            )
        )
        bill.stop(day)

    def _paid(self, event: BusinessEvent, books: Books, day: date) -> Iterator["_Ask"]:
        if event.amount is None or not event.amount.amount_minor:
            return
        bill = self._bill_paid_by(event)
        # What is paid elsewhere did not pass the processor: the bill itself says so.
        processor = None if event.subject in self._bills else event.subject.system
        rate = self._rate(event.amount.currency, books, day)
        if rate is not None and bill is not None and 0 < event.amount.amount_minor <= bill.open_minor:
            yield self._paid_abroad(event, bill, rate, processor)
            return
        amount, currency = event.amount.amount_minor, event.amount.currency
        owed = 0 if bill is None else min(amount, bill.open_minor)

        def keep(entry: JournalEntry) -> None:
            if bill is not None and owed:
                bill.settle(owed, -entry.postings[1].amount.amount_minor)

        legs = patterns.payment_applied(amount, open_minor=owed, processor=processor)
        yield _Ask(legs=legs, currency=currency, rule="payment_applied", text=f"Payment {event.subject.id}", then=keep)

    def _paid_abroad(self, event: BusinessEvent, bill: Bill, rate: Rate, processor: str | None) -> "_Ask":
        """A bill in another currency, paid: what today's rate makes of it against what it was booked at."""
        amount = 0 if event.amount is None else event.amount.amount_minor
        own = bill.books.chart.currency
        received, booked = converted(amount, rate), booked_for(bill.movements, amount)
        legs = settled(received=received, booked=booked, original=amount, processor=processor)
        return _Ask(
            legs=legs,
            currency=own,
            original_currency=bill.currency,
            rule="payment_applied",
            text=f"Payment {event.subject.id}",
            then=lambda _entry: bill.settle(amount, booked),
        )

    def _refunded(self, event: BusinessEvent, _books: Books, day: date) -> Iterator["_Ask"]:
        refund = self._history.objects.get(event.subject)
        if not isinstance(refund, Refund) or event.amount is None:
            return
        bill = self._bill_of_payment(event.subject.system, refund.payment_id)
        if bill is None:
            yield _refused("the bill it was paid for is not known", "Load the history of its payment first.")
            return
        amount = refund.amount.amount_minor
        owed = min(amount, bill.owed_back)
        share = bill.share(amount - owed, day)
        if share is None:
            yield _refused("more is given back than was billed", "Compare it with the bill at its source.")
            return
        legs = patterns.refunded(share, processor=event.subject.system)
        if owed:
            legs = patterns.owed_sent(legs, owed)

        def keep(_entry: JournalEntry) -> None:
            bill.owed_back -= owed
            bill.shrink(share.unearned, day)

        yield _Ask(
            legs=legs, currency=refund.amount.currency, rule="refunded", text=f"Refund {refund.external_id}", then=keep
        )

    def _credited(self, event: BusinessEvent, _books: Books, day: date) -> Iterator["_Ask"]:
        note = self._history.objects.get(event.subject)
        if not isinstance(note, CreditNote):
            return
        bill = self._bills.get(ExternalRef(event.subject.system, "invoice", note.invoice_id or ""))
        share = None if bill is None else bill.share(note.total.amount_minor, day)
        if bill is None or share is None:
            yield _refused("it does not fit the bill it corrects", "Compare both at their source.")
            return
        paid = note.total.amount_minor > bill.open_minor

        def keep(entry: JournalEntry) -> None:
            if paid:
                bill.owed_back += share.total
            else:
                bill.settle(share.total, -entry.postings[0].amount.amount_minor)
            bill.shrink(share.unearned, day)

        # Where the money goes is told by what follows: until then it is owed.
        legs = patterns.credit_note_paid(share, owed=share.total) if paid else patterns.credit_note_unpaid(share)
        text = f"Credit note {note.number or note.external_id}"
        yield _Ask(
            legs=legs,
            currency=note.total.currency,
            rule="credit_note",
            text=text,
            total_legs=3 if paid else 1,
            then=keep,
        )

    def _disputed(self, event: BusinessEvent, _books: Books, day: date) -> Iterator["_Ask"]:
        dispute = self._history.objects.get(event.subject)
        if not isinstance(dispute, Dispute):
            return
        bill = self._bill_of_payment(event.subject.system, dispute.payment_id)
        share = None if bill is None else bill.share(dispute.amount.amount_minor, day)
        if bill is None or share is None:
            yield _refused("the bill that was paid is not known", "Load the history of its payment first.")
            return

        def keep(_entry: JournalEntry) -> None:
            kept = Disputed(opened_on=day, share=share, schedules=tuple(bill.schedules))
            bill.disputed[dispute.external_id] = kept
            bill.shrink(share.unearned, day)

        legs = patterns.dispute_opened(share, fee=0, processor=event.subject.system)
        yield _Ask(
            legs=legs,
            currency=dispute.amount.currency,
            rule="dispute_opened",
            text=f"Dispute {dispute.external_id}",
            then=keep,
        )

    def _dispute_closed(self, event: BusinessEvent, _books: Books, day: date) -> Iterator["_Ask"]:
        dispute = self._history.objects.get(event.subject)
        if not isinstance(dispute, Dispute) or dispute.status not in _WON:
            return
        bill = self._bill_of_payment(event.subject.system, dispute.payment_id)
        known = None if bill is None else bill.disputed.get(dispute.external_id)
        if bill is None or known is None:
            return
        share = known.share
        would_be = sum(earned_before(one, day) for one in known.schedules)
        caught_up = min(max(would_be - bill.earned(day), 0), share.unearned)

        def keep(_entry: JournalEntry) -> None:
            bill.grow(share.unearned - caught_up, day)

        legs = patterns.dispute_won(share, caught_up=caught_up, processor=event.subject.system)
        yield _Ask(
            legs=legs,
            currency=dispute.amount.currency,
            rule="dispute_won",
            text=f"Dispute {dispute.external_id} won",
            then=keep,
        )

    def _payout(self, event: BusinessEvent, _books: Books, _day: date) -> Iterator["_Ask"]:
        if event.amount is not None and event.amount.amount_minor:
            legs = patterns.payout_paid(event.amount.amount_minor, processor=event.subject.system)
            text = f"Payout {event.subject.id}"
            yield _Ask(legs=legs, currency=event.amount.currency, rule="payout_paid", text=text)

    # -- what belongs to what -----------------------------------------------------------------------------------------

    def _product(self, price_id: str | None) -> str | None:
        return None if price_id is None else self._history.products.get(price_id)

    def _schedule(self, bill: Invoice, index: int, net: int, issued_at: datetime) -> RevenueSchedule:
        line = bill.lines[index]
        product = self._product(line.price_id)
        starts = line.period_starts_at or issued_at
        ends = max(line.period_ends_at or starts, starts)
        return straight_line(
            line=f"{bill.external_id}/{line.external_id}",
            currency=bill.total.currency,
            minor=net,
            starts_at=starts,
            ends_at=ends,
            grain=self._setting.grains.get(product or "", self._setting.grain),
            zone=self._setting.zone,
        )

    def _bill_paid_by(self, event: BusinessEvent) -> Bill | None:
        if event.subject in self._bills:
            return self._bills[event.subject]
        return self._bill_of_payment(event.subject.system, event.subject.id)

    def _bill_of_payment(self, system: str, payment_id: str | None) -> Bill | None:
        """The posted bill a payment names; None where it names none, or one that was never posted."""
        payment = self._payments.get((system, payment_id or ""))
        if payment is None or payment.invoice_id is None:
            return None
        return self._bills.get(ExternalRef(system, "invoice", payment.invoice_id))

    # -- revenue ------------------------------------------------------------------------------------------------------

    def _recognise(self, before_on: date) -> None:
        """An entry for each bill and month that is over: what its lines earned in it, product by product."""
        for _, bill in self._booked.values():
            months = sorted({line.month_on for one in bill.schedules for line in lines(one)})
            for month_on in months:
                ends_on = _next_month(month_on)
                if ends_on <= before_on:
                    self._recognise_month(bill, month_on, ends_on)

    def _recognise_month(self, bill: Bill, month_on: date, ends_on: date) -> None:
        earned = bill.earned(ends_on) - bill.earned(month_on)
        # Deferred revenue is not money: it keeps the rate it was billed at.
        minor = bill.in_books(bill.earned(ends_on)) - bill.in_books(bill.earned(month_on))
        if not minor:
            return
        own = bill.books.chart.currency
        legs = patterns.revenue_recognised(minor, deferred=minor)
        if bill.currency != own:
            legs = [msgspec.structs.replace(leg, original=earned if leg.minor > 0 else -earned) for leg in legs]
        made = compose(
            Request(
                legs=tuple(legs),
                currency=own,
                original_currency=bill.currency,
                source_minor=abs(minor),
                happened_on=ends_on - timedelta(days=1),
                cause=Cause(
                    event=f"{bill.issued.cause.event}/{month_on:%Y-%m}",
                    subject=str(bill.ref),
                    rule="revenue_recognised",
                ),
                text=f"{bill.issued.text}, {month_on:%B %Y}",
            ),
            bill.books,
            recorded_at=self._setting.recorded_at,
        )
        if isinstance(made, JournalEntry):
            self._entries.append(made)


def _deferred_in_books(entry: JournalEntry, *, taxed: bool) -> int:
    """What a bill's entry deferred, in the currency of the books: all of it but the tax, which is its last posting."""
    return entry.postings[0].amount.amount_minor + (entry.postings[-1].amount.amount_minor if taxed else 0)


def _refused(what: str, remedy: str) -> _Ask:
    return _Ask(refusal=Refusal(check="source", reason=f"It cannot be posted: {what}.", remedy=remedy))


def _next_month(month_on: date) -> date:
    return date(month_on.year + month_on.month // 12, month_on.month % 12 + 1, 1)
