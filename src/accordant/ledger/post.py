"""What events mean in the books, read one after the other: each is posted, or refused with every reason.

They are read in the order in which they happened; what was posted and would be posted otherwise now is cancelled and
posted anew. Next: `draft.py` reads a whole history, `pipeline/bookkeep.py` what arrives.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, Payment, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.kernel.hashing import digest
from accordant.kernel.money import split_minor
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, Disputed, net_lines
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry, reverse
from accordant.ledger.exchange import Movement, Rate, booked_for, converted, recorded, settled
from accordant.ledger.modify import Modification, decide
from accordant.ledger.patterns import BilledLine, Leg
from accordant.ledger.periods import PeriodRefused, posting_day
from accordant.ledger.schedule import RevenueSchedule, earned_before, straight_line
from accordant.ledger.setting import Setting

#: At one moment a bill is issued before it is paid, and paid before anything is given back.
_RANK = {EventType.INVOICE_ISSUED: 0, EventType.PAYMENT_APPLIED: 1, EventType.CREDIT_APPROVED: 2}
#: The events that mean something in the books.
MEANING = frozenset(
    {
        EventType.INVOICE_ISSUED,
        EventType.INVOICE_VOIDED,
        EventType.PAYMENT_APPLIED,
        EventType.REFUND_ISSUED,
        EventType.CREDIT_APPROVED,
        EventType.DISPUTE_OPENED,
        EventType.DISPUTE_CLOSED,
        EventType.PAYOUT_PAID,
        EventType.FEE_CHARGED,
    }
)
#: A subscription is a service that stands ready: what a change in mid-term adds is always distinct from the past.
_CHANGED = decide(Modification(adds_distinct=False, at_standalone_price=False, remaining_distinct=(True,))).treatment
#: Payments by system and their owner's id.
Payments = Mapping[tuple[str, str], Payment]
#: How a processor says that a dispute ended for us.
_WON = frozenset({"won", "warning_closed"})


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that the books hold, with the fingerprint of what was asked of them."""

    entry: JournalEntry
    asked: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event. ``entry`` is the one that stands for it, ``fresh`` are those that are new with it: the
    entry itself where it is, and before it the cancellation of one that no longer holds.

    With ``refusals`` nothing stands for it. With neither it says nothing to the books.
    """

    event: BusinessEvent
    happened_on: date
    entry: JournalEntry | None = None
    asked: str = ""
    fresh: tuple[JournalEntry, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    bill: ExternalRef | None = None


def in_order(events: Sequence[BusinessEvent]) -> list[BusinessEvent]:
    """Events in the order in which they happened."""
    return sorted(events, key=lambda one: (one.occurred_at, _RANK.get(one.type, 9), one.id))


def bill_of(event: BusinessEvent, objects: Mapping[ExternalRef, Entity], payments: Payments) -> ExternalRef | None:
    """The bill an event is about; None where it is about none, or nobody knows yet."""
    system, what = event.subject.system, objects.get(event.subject)
    match what:
        case Invoice():
            return event.subject
        case CreditNote():
            return None if what.invoice_id is None else ExternalRef(system, "invoice", what.invoice_id)
        case Payment():
            payment: Payment | None = what
        case Refund() | Dispute():
            payment = payments.get((system, what.payment_id or ""))
        case _:
            return event.subject if event.subject.object_type == "invoice" else None
    if payment is None or payment.invoice_id is None:
        return None
    return ExternalRef(system, "invoice", payment.invoice_id)


def _nothing_more(_entry: JournalEntry) -> None:
    """What is posted changes nothing else."""


class _Ask(msgspec.Struct, kw_only=True):
    """One thing an event asks the books for: a pattern with its words, or the reason why it cannot be said.

    ``rate_on`` is the day whose rate counts: what is taken back has that of its bill, as the revenue it was has.
    ``stated`` is the total the source states, where the legs may come to another; ``then`` is called once it is posted.
    ``cancels`` is a bill that is void, ``bill`` the one it pays or lowers, ``number`` the source's name for the
    document, ``due_on`` its day of payment.
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
    cancels: Bill | None = None
    bill: Bill | None = None
    number: str | None = None
    due_on: date | None = None
    then: Callable[[JournalEntry], None] = _nothing_more

    @property
    def asked(self) -> str:
        """The fingerprint of what is asked: the amounts by what they are. Accounts may be called otherwise since."""
        legs = [f"{leg.use.role.value} {leg.minor} {leg.original}" for leg in self.legs if leg.minor]
        return digest("\n".join([self.rule, self.currency, *legs]).encode()).hex()

    @property
    def total(self) -> int:
        """What the total of the pattern comes to."""
        return abs(sum(leg.minor for leg in self.legs[: self.total_legs]))


class Reader:
    """One reading of events. Each kind of event has a method; what has no meaning in the books has none.

    ``posted`` is what the books hold for events already, by the event's id.
    """

    def __init__(
        self,
        setting: Setting,
        objects: Mapping[ExternalRef, Entity],
        *,
        products: Mapping[str, str | None],
        posted: Mapping[str, Posted] | None = None,
    ) -> None:
        self.bills: dict[ExternalRef, Bill] = {}
        self._objects = objects
        self._products = products
        self._setting = setting
        self._posted = posted or {}
        self._payments = {(ref.system, ref.id): one for ref, one in objects.items() if isinstance(one, Payment)}
        self._means: dict[EventType, Callable[[BusinessEvent, Books, date], _Ask | None]] = {
            EventType.INVOICE_ISSUED: self._issued,
            EventType.INVOICE_VOIDED: self._voided,
            EventType.PAYMENT_APPLIED: self._paid,
            EventType.REFUND_ISSUED: self._refunded,
            EventType.CREDIT_APPROVED: self._credited,
            EventType.DISPUTE_OPENED: self._disputed,
            EventType.DISPUTE_CLOSED: self._dispute_closed,
            EventType.PAYOUT_PAID: self._payout,
            EventType.FEE_CHARGED: self._fee,
        }

    def take(self, event: BusinessEvent) -> Outcome | None:
        """What becomes of the next event, in the order of `in_order`; None where these books are not concerned."""
        books = self._setting.books.get(event.subject.system)
        meaning = self._means.get(event.type)
        if books is None or meaning is None:
            return None
        day = event.occurred_at.astimezone(self._setting.zone).date()
        ask = meaning(event, books, day)
        if ask is None:
            return Outcome(event=event, happened_on=day)
        outcome = self._cancel(ask, event, books, day) if ask.cancels else self._post(ask, event, books, day)
        return msgspec.structs.replace(outcome, bill=bill_of(event, self._objects, self._payments))

    # -- posting ------------------------------------------------------------------------------------------------------

    def _post(self, ask: "_Ask", event: BusinessEvent, books: Books, day: date) -> Outcome:
        held = self._posted.get(event.id)
        if ask.refusal is not None:
            return self._stays(held, event, day, (ask.refusal,))
        if held is not None and held.asked == ask.asked:
            ask.then(held.entry)
            return Outcome(event=event, happened_on=day, entry=held.entry, asked=held.asked)
        made = compose(self._request(ask, event, books, day, held), books, recorded_at=self._setting.recorded_at)
        if not isinstance(made, JournalEntry):
            return self._stays(held, event, day, made)
        ask.then(made)
        cancelled = () if held is None else (self._correction(held.entry, event, made),)
        return Outcome(event=event, happened_on=day, entry=made, asked=ask.asked, fresh=(*cancelled, made))

    def _request(self, ask: "_Ask", event: BusinessEvent, books: Books, day: date, held: Posted | None) -> Request:
        return Request(
            legs=tuple(ask.legs),
            currency=ask.currency,
            source_minor=ask.total if ask.stated is None else abs(ask.stated),
            happened_on=day,
            cause=Cause(
                event=event.id,
                subject=str(event.subject),
                rule=ask.rule,
                rule_version=1 if held is None else held.entry.cause.rule_version + 1,
            ),
            text=ask.text,
            party=str(event.root) if ask.bill is None else ask.bill.issued.party,
            rate=self._rate(ask.currency, books, ask.rate_on or day),
            total_legs=ask.total_legs,
            original_currency=ask.original_currency,
            number=ask.number or event.subject.id,
            due_on=ask.due_on,
            settles=None if ask.bill is None else ask.bill.issued.id,
        )

    def _correction(self, wrong: JournalEntry, event: BusinessEvent, right: JournalEntry) -> JournalEntry:
        """What no longer holds is cancelled on the day on which what holds is posted."""
        return reverse(
            wrong,
            posted_on=right.posted_on,
            effective_on=right.effective_on,
            event=event.id,
            text=f"{wrong.text} corrected",
            recorded_at=self._setting.recorded_at,
        )

    def _stays(self, held: Posted | None, event: BusinessEvent, day: date, refusals: tuple[Refusal, ...]) -> Outcome:
        """Refused. What was posted for the event before stays: the books never lose an entry to a doubt."""
        entry, asked = (None, "") if held is None else (held.entry, held.asked)
        return Outcome(event=event, happened_on=day, entry=entry, asked=asked, refusals=refusals)

    def _cancel(self, ask: "_Ask", event: BusinessEvent, books: Books, day: date) -> Outcome:
        """A bill that is void: its entry the other way round, in an open period."""
        bill = ask.cancels
        assert bill is not None  # noqa: S101  the caller has looked; said for the type checker
        held = self._posted.get(event.id)
        if held is not None and held.entry.reverses == bill.issued.id:
            bill.stop(day)
            return Outcome(event=event, happened_on=day, entry=held.entry, asked=held.asked)
        on = posting_day(books.periods, max(day, bill.issued.posted_on))
        if isinstance(on, PeriodRefused):
            refusal = Refusal(check="open_period", reason=on.reason, remedy=on.remedy)
            return self._stays(held, event, day, (refusal,))
        made = reverse(
            bill.issued,
            posted_on=on,
            effective_on=day,
            event=event.id,
            text=f"{bill.issued.text} voided",
            recorded_at=self._setting.recorded_at,
        )
        bill.stop(day)
        return Outcome(event=event, happened_on=day, entry=made, asked=f"cancel {bill.issued.id}", fresh=(made,))

    def _rate(self, currency: str, books: Books, day: date) -> Rate | None:
        own = books.chart.currency
        return None if currency == own else self._setting.rate_of(currency, own, day)

    # -- what each event means ----------------------------------------------------------------------------------------

    def _issued(self, event: BusinessEvent, books: Books, day: date) -> "_Ask | None":
        bill = self._objects.get(event.subject)
        if not isinstance(bill, Invoice) or not bill.lines_complete:
            return _refused("its lines are not known", "Have the bill read again.", waits_for=event.subject)
        unknown = self._unknown_price(bill, event.subject.system, books)
        if unknown is not None:
            what = "what one of its lines sells is not known"
            return _refused(what, "Load the prices and products of its system.", waits_for=unknown)
        nets = net_lines(bill)
        if not bill.total.amount_minor and not any(nets):
            return None
        tax = 0 if bill.tax is None else bill.tax.amount_minor
        code = self._setting.tax_codes.get(event.subject.system)
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
        due_on = (bill.due_at or event.occurred_at).astimezone(self._setting.zone).date()

        def keep(entry: JournalEntry) -> None:
            self.bills[event.subject] = Bill(
                ref=event.subject,
                books=books,
                currency=bill.total.currency,
                total=bill.total.amount_minor,
                tax=tax,
                open_minor=bill.total.amount_minor,
                issued=entry,
                booked_on=day,
                due_on=due_on,
                schedules=self._schedules(bill, nets, entry, event.occurred_at),
                disputed={},
                movements=[
                    Movement(original_minor=bill.total.amount_minor, books_minor=entry.postings[0].amount.amount_minor)
                ],
            )

        return _Ask(
            legs=patterns.invoice_issued([*billed, taxed]),
            currency=bill.total.currency,
            rule="invoice_issued",
            text=f"Invoice {bill.number or bill.external_id}",
            stated=bill.total.amount_minor,
            number=bill.number,
            due_on=due_on,
            then=keep,
        )

    def _voided(self, event: BusinessEvent, _books: Books, _day: date) -> "_Ask | None":
        bill = self.bills.get(event.subject)
        if bill is None:
            return _refused("the bill is not posted", "It follows its bill by itself.", waits_for=event.subject)
        return _Ask(cancels=bill) if bill.open_minor else None

    def _paid(self, event: BusinessEvent, books: Books, day: date) -> "_Ask | None":
        if event.amount is None or not event.amount.amount_minor:
            return None
        named = self._bill_named(event)
        if isinstance(named, _Ask):
            return named
        bill = None if named is None else self.bills.get(named)
        if named is not None and bill is None:
            return _refused("the bill it pays is not posted", "It follows its bill by itself.", waits_for=named)
        # What is paid elsewhere did not pass the processor: the bill itself says so.
        processor = None if event.subject == named else event.subject.system
        rate = self._rate(event.amount.currency, books, day)
        if rate is not None and bill is not None and 0 < event.amount.amount_minor <= bill.open_minor:
            return self._paid_abroad(event, bill, rate, processor)
        amount = event.amount.amount_minor
        owed = 0 if bill is None else min(amount, bill.open_minor)

        def keep(entry: JournalEntry) -> None:
            if bill is not None and owed:
                bill.settle(owed, -entry.postings[1].amount.amount_minor)

        return _Ask(
            legs=patterns.payment_applied(amount, open_minor=owed, processor=processor),
            currency=event.amount.currency,
            rule="payment_applied",
            text=f"Payment {event.subject.id}",
            bill=bill if owed else None,
            then=keep,
        )

    def _bill_named(self, event: BusinessEvent) -> "ExternalRef | _Ask | None":
        """The bill a payment is for; None where it is for none. A payment nobody has described has to be read first."""
        if event.subject.object_type != "invoice" and event.subject not in self._objects:
            return _refused("the payment is not known", "Have it read again.", waits_for=event.subject)
        return bill_of(event, self._objects, self._payments)

    def _paid_abroad(self, event: BusinessEvent, bill: Bill, rate: Rate, processor: str | None) -> "_Ask":
        """A bill in another currency, paid: what today's rate makes of it against what it was booked at."""
        amount = 0 if event.amount is None else event.amount.amount_minor
        received, booked = converted(amount, rate), booked_for(bill.movements, amount)
        return _Ask(
            legs=[
                msgspec.structs.replace(leg, dimensions=recorded(rate))
                for leg in settled(received=received, booked=booked, original=amount, processor=processor)
            ],
            currency=bill.books.chart.currency,
            original_currency=bill.currency,
            rule="payment_applied",
            text=f"Payment {event.subject.id}",
            bill=bill,
            then=lambda _entry: bill.settle(amount, booked),
        )

    def _refunded(self, event: BusinessEvent, _books: Books, day: date) -> "_Ask | None":
        refund = self._objects.get(event.subject)
        if not isinstance(refund, Refund):
            return _refused("the refund is not known", "Have it read again.", waits_for=event.subject)
        bill = self._bill_of_payment(event, refund.payment_id, "charge")
        if isinstance(bill, _Ask):
            return bill
        amount = refund.amount.amount_minor
        owed = min(amount, bill.owed_back)
        share = bill.share(amount - owed, day)
        if share is None:
            return _refused("more is given back than was billed", "Compare it with the bill at its source.")
        legs = bill.by_product(patterns.refunded(share, processor=event.subject.system), day)
        if owed:
            legs = patterns.owed_sent(legs, owed)

        def keep(_entry: JournalEntry) -> None:
            bill.owed_back -= owed
            bill.shrink(share.unearned, day)

        return _Ask(
            legs=legs,
            currency=refund.amount.currency,
            rule="refunded",
            text=f"Refund {refund.external_id}",
            rate_on=bill.issued.effective_on,
            bill=bill,
            then=keep,
        )

    def _credited(self, event: BusinessEvent, _books: Books, day: date) -> "_Ask | None":
        note = self._objects.get(event.subject)
        if not isinstance(note, CreditNote):
            return _refused("the credit note is not known", "Have it read again.", waits_for=event.subject)
        named = ExternalRef(event.subject.system, "invoice", note.invoice_id or "")
        bill = self.bills.get(named)
        if bill is None:
            return _refused("the bill it corrects is not posted", "It follows its bill by itself.", waits_for=named)
        share = bill.share(note.total.amount_minor, day)
        if share is None:
            return _refused("more is credited than was billed", "Compare both at their source.")
        paid = note.total.amount_minor > bill.open_minor

        def keep(entry: JournalEntry) -> None:
            if paid:
                bill.owed_back += share.total
            else:
                bill.settle(share.total, -entry.postings[0].amount.amount_minor)
            bill.shrink(share.unearned, day)

        # Where the money goes is told by what follows: until then it is owed.
        legs = patterns.credit_note_paid(share, owed=share.total) if paid else patterns.credit_note_unpaid(share)
        return _Ask(
            legs=bill.by_product(legs, day),
            currency=note.total.currency,
            rule="credit_note",
            text=f"Credit note {note.number or note.external_id}",
            total_legs=3 if paid else 1,
            rate_on=bill.issued.effective_on,
            number=note.number,
            bill=bill,
            then=keep,
        )

    def _disputed(self, event: BusinessEvent, _books: Books, day: date) -> "_Ask | None":
        dispute = self._objects.get(event.subject)
        if not isinstance(dispute, Dispute):
            return _refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
        bill = self._bill_of_payment(event, dispute.payment_id, "charge")
        if isinstance(bill, _Ask):
            return bill
        share = bill.share(dispute.amount.amount_minor, day)
        if share is None:
            return _refused("more is disputed than was billed", "Compare it with the bill at its source.")

        def keep(_entry: JournalEntry) -> None:
            kept = Disputed(opened_on=day, share=share, schedules=tuple(bill.schedules))
            bill.disputed[dispute.external_id] = kept
            bill.shrink(share.unearned, day)

        return _Ask(
            legs=bill.by_product(patterns.dispute_opened(share, fee=0, processor=event.subject.system), day),
            currency=dispute.amount.currency,
            rule="dispute_opened",
            text=f"Dispute {dispute.external_id}",
            rate_on=bill.issued.effective_on,
            bill=bill,
            then=keep,
        )

    def _dispute_closed(self, event: BusinessEvent, _books: Books, day: date) -> "_Ask | None":
        dispute = self._objects.get(event.subject)
        if not isinstance(dispute, Dispute):
            return _refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
        if dispute.status not in _WON:
            return None
        bill = self._bill_of_payment(event, dispute.payment_id, "charge")
        if isinstance(bill, _Ask):
            return bill
        known = bill.disputed.get(dispute.external_id)
        if known is None:
            return _refused("its beginning is not posted", "It follows it by itself.", waits_for=event.subject)
        share = known.share
        would_be = sum(earned_before(one, day) for one in known.schedules)
        caught_up = min(max(would_be - bill.earned(day), 0), share.unearned)
        legs = patterns.dispute_won(share, caught_up=caught_up, processor=event.subject.system)
        return _Ask(
            legs=bill.by_product(legs, known.opened_on),
            currency=dispute.amount.currency,
            rule="dispute_won",
            text=f"Dispute {dispute.external_id} won",
            rate_on=bill.issued.effective_on,
            bill=bill,
            then=lambda _entry: bill.grow(share.unearned - caught_up, day),
        )

    def _payout(self, event: BusinessEvent, _books: Books, _day: date) -> "_Ask | None":
        if event.amount is None or not event.amount.amount_minor:
            return None
        return _Ask(
            legs=patterns.payout_paid(event.amount.amount_minor, processor=event.subject.system),
            currency=event.amount.currency,
            rule="payout_paid",
            text=f"Payout {event.subject.id}",
        )

    def _fee(self, event: BusinessEvent, _books: Books, _day: date) -> "_Ask | None":
        """What the processor keeps of a movement of its balance; a negative fee is one that it gives back."""
        if event.amount is None or not event.amount.amount_minor:
            return None
        of_dispute = (event.note or "").startswith("dispute")
        return _Ask(
            legs=patterns.fee_charged(event.amount.amount_minor, processor=event.subject.system, of_dispute=of_dispute),
            currency=event.amount.currency,
            rule="fee_charged",
            text=f"Fee of {event.subject.id}",
        )

    # -- what belongs to what -----------------------------------------------------------------------------------------

    def _product(self, price_id: str | None) -> str | None:
        return None if price_id is None else self._products.get(price_id)

    def _unknown_price(self, bill: Invoice, system: str, books: Books) -> ExternalRef | None:
        """A price of which nobody knows what it sells, where the books tell products apart."""
        if not self._setting.grains and not any(rule.product for rule in books.chart.rules):
            return None
        named = (line.price_id for line in bill.lines if line.price_id is not None)
        missing = next((price_id for price_id in named if price_id not in self._products), None)
        return None if missing is None else ExternalRef(system, "price", missing)

    def _schedules(
        self, bill: Invoice, nets: Sequence[int], entry: JournalEntry, issued_at: datetime
    ) -> list[RevenueSchedule]:
        """How each line is earned: what it sold and what it came to in the books are what the entry says."""
        billed = [(line, net) for line, net in zip(bill.lines, nets, strict=True) if net]
        booked = _deferred(entry, [net for _, net in billed])
        sold = [one.dimensions.get("product") for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
        if len(sold) != len(billed):
            sold = [self._product(line.price_id) for line, _ in billed]
        made: list[RevenueSchedule] = []
        for (line, net), in_books in zip(billed, booked, strict=True):
            product = sold[len(made)]
            starts = line.period_starts_at or issued_at
            one = straight_line(
                line=f"{bill.external_id}/{line.external_id}",
                currency=bill.total.currency,
                minor=net,
                starts_at=starts,
                ends_at=max(line.period_ends_at or starts, starts),
                grain=self._setting.grains.get(product or "", self._setting.grain),
                zone=self._setting.zone,
            )
            made.append(msgspec.structs.replace(one, product=product, billed_minor=net, booked_minor=in_books))
        return made

    def _bill_of_payment(self, event: BusinessEvent, payment_id: str | None, word: str) -> "Bill | _Ask":
        """The posted bill of the payment an object names, or why not. ``word`` is the owner's for a payment."""
        payment = self._payments.get((event.subject.system, payment_id or ""))
        if payment is None:
            waits = ExternalRef(event.subject.system, word, payment_id or "")
            return _refused("the payment it is about is not known", "Load the history of it first.", waits_for=waits)
        if payment.invoice_id is None:
            return _refused("its payment names no bill", "Book it by hand: the books do not say what was sold.")
        named = ExternalRef(event.subject.system, "invoice", payment.invoice_id)
        bill = self.bills.get(named)
        if bill is None:
            return _refused("the bill that was paid is not posted", "It follows its bill by itself.", waits_for=named)
        return bill


def _deferred(entry: JournalEntry, nets: Sequence[int]) -> Sequence[int]:
    """What a bill's entry deferred for each of its lines, in the currency of the books."""
    found = [-one.amount.amount_minor for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    # A line of less than a minor unit of the books has no posting: what was deferred is spread again then.
    return found if len(found) == len(nets) else split_minor(sum(found), [max(net, 0) for net in nets])


def _refused(what: str, remedy: str, *, waits_for: ExternalRef | None = None) -> _Ask:
    waiting = None if waits_for is None else str(waits_for)
    named = "" if waits_for is None else f" ({waits_for})"
    reason = f"It cannot be posted: {what}{named}."
    return _Ask(refusal=Refusal(check="source", reason=reason, remedy=remedy, waits_for=waiting))
