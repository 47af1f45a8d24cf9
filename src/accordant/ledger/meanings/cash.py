"""Money that moves: paid by customers, paid out to the bank, kept by the processor."""

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Payment
from accordant.canonical.refs import ExternalRef
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, booked
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Rate
from accordant.ledger.exchange import converted as in_books_at
from accordant.ledger.meanings.asking import Ask, Occurrence, Sister, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.reading import Reading, source_of
from accordant.ledger.patterns import Leg


def paid(told: Occurrence, reading: Reading) -> Ask | None:
    """Money against what is owed; what is too much, or names no bill, is the customer's."""
    event = told.event
    if event.amount is None or not event.amount.amount_minor:
        return None
    subject, amount = event.subject, event.amount.amount_minor
    payment = reading.objects.get(subject)
    if subject.object_type == "invoice":
        # What is paid elsewhere did not pass the processor: the bill itself says so.
        named, processor = subject, None
    elif not isinstance(payment, Payment):
        return refused("the payment is not known", "Have it read again.", waits_for=subject)
    elif (own := reading.own_bill(subject.system, payment)) is None:
        return Ask(
            legs=patterns.payment_applied(amount, open_minor=0, processor=subject.system),
            currency=event.amount.currency,
            rule="payment_applied",
            text=f"Payment {subject.id}",
        )
    else:
        named, processor = own, subject.system
    bill = reading.posted_bill(named, "the bill it pays")
    if isinstance(bill, Ask):
        return bill
    owed = min(amount, bill.open_minor)
    if processor is None:
        # Billing is told that such a bill is paid, since nothing comes for it there: it is the sister's money again.
        amount -= min(bill.collected_minor, amount - owed)
        if not amount:
            return None
    legs = patterns.payment_applied(amount, open_minor=owed, processor=processor)
    return _settles(told, reading, bill, legs, rule="payment_applied", text=f"Payment {subject.id}")


def allocated(told: Occurrence, reading: Reading) -> Ask | None:
    """A payment that names no bill was the customer's, and pays this one. Where it names its own, nothing more is said.

    Source: docs.stripe.com/api/invoice-payment, one for each bill that a payment pays.
    """
    event = told.event
    if reading.names_itself(event.subject):
        return None
    bill = reading.posted_bill(event.root, "the bill it pays")
    if isinstance(bill, Ask):
        return bill
    open_minor = max(bill.open_minor, 0)
    amount = open_minor if event.amount is None else event.amount.amount_minor
    lost = 0 if bill.written_off is None else bill.written_off.share.total
    amount = min(amount, open_minor + lost)
    if not amount:
        return None
    legs = patterns.payment_allocated(amount, open_minor=open_minor)
    text = f"Payment {event.subject.id} of {bill.issued.text}"
    return _settles(told, reading, bill, legs, rule="payment_allocated", text=text)


def _settles(told: Occurrence, reading: Reading, bill: Bill, legs: list[Leg], *, rule: str, text: str) -> Ask:
    """The ask of ``legs`` that pay a bill: the money, what is owed of it, and what is too much."""
    owed, amount = -legs[1].minor, legs[0].minor

    def keep(entry: JournalEntry) -> None:
        if owed:
            bill.settle(owed, -booked(entry, Role.RECEIVABLE))

    ask = Ask(legs=legs, currency=bill.currency, rule=rule, text=text, bill=bill if owed else None, then=keep)
    rate = reading.rate(bill.currency, told.books, told.day)
    if bill.written_off is not None and amount > owed:
        return _recovered(ask, bill, told, rate, amount - owed)
    return carried(ask, bill, rate) if owed else ask


def _recovered(ask: Ask, bill: Bill, told: Occurrence, rate: Rate | None, amount: int) -> Ask:
    """Somebody pays what was written off: as far as it was, that is undone."""
    gone, day, settle = bill.written_off, told.day, ask.then
    assert gone is not None  # noqa: S101  the caller has looked; said for the type checker
    share = gone.share.part(min(amount, gone.share.total))
    caught_up = bill.caught_up(share, gone, day)
    lost = patterns.lost_role(from_allowance=gone.from_allowance)

    def keep(entry: JournalEntry) -> None:
        settle(entry)
        bill.bring_back(share, gone, day, caught_up=caught_up)
        left, still = gone.share.less(share), gone.lost_books + booked(entry, lost)
        bill.written_off = msgspec.structs.replace(gone, share=left, lost_books=still) if left.total else None

    legs = patterns.recovered(ask.legs, share, caught_up=caught_up, from_allowance=gone.from_allowance)
    ask.legs = bill.by_product(legs, day, gone=gone)
    ask.rule, ask.text, ask.bill, ask.then = "recovered", f"{ask.text} of a bill written off", bill, keep
    return carried(ask, bill, rate, leaves=bill.grown(share.unearned - caught_up, gone, day))


def collected_by_sister(told: Occurrence, reading: Reading) -> Ask | None:
    """The customer has paid another company of the group: that owes us what the customer does not any more."""
    bill = reading.posted_bill(told.event.subject, "the bill")
    if isinstance(bill, Ask):
        return bill
    said = told.event.amount
    minor = bill.open_minor if said is None else said.amount_minor
    if not 0 < minor <= bill.open_minor:
        return contradicted("more was collected than is open", "Compare the bill with its source.")

    def keep(entry: JournalEntry) -> None:
        bill.settle(minor, -booked(entry, Role.RECEIVABLE))
        bill.collected_minor += minor

    ask = Ask(
        legs=patterns.collected_by_sister(minor),
        currency=bill.currency,
        rule="collected_by_sister",
        text=f"{bill.issued.text} collected by a sister",
        bill=bill,
        then=keep,
    )
    if told.event.said is not None and told.event.said.sister is not None:
        ask.sister = Sister(
            legal_entity=told.event.said.sister,
            rule="collected_for_sister",
            text=f"Collected for {bill.issued.legal_entity}: {ask.text}",
            currency=bill.currency,
            legs=patterns.collected_for_sister(minor),
        )
    return carried(ask, bill, reading.rate(bill.currency, told.books, told.day))


def paid_out(told: Occurrence, _reading: Reading) -> Ask | None:
    """The processor's money in the bank."""
    event = told.event
    if event.amount is None or not event.amount.amount_minor:
        return None
    return Ask(
        legs=patterns.payout_paid(event.amount.amount_minor, processor=event.subject.system),
        currency=event.amount.currency,
        rule="payout_paid",
        text=f"Payout {event.subject.id}",
    )


def fee_charged(told: Occurrence, _reading: Reading) -> Ask | None:
    """What the processor keeps of a movement of its balance; a negative fee is one that it gives back."""
    event = told.event
    if event.amount is None or not event.amount.amount_minor:
        return None
    of_dispute = (event.note or "").startswith("dispute")
    return Ask(
        legs=patterns.fee_charged(event.amount.amount_minor, processor=event.subject.system, of_dispute=of_dispute),
        currency=event.amount.currency,
        rule="fee_charged",
        text=f"Fee of {event.subject.id}",
    )


def converted(told: Occurrence, reading: Reading) -> Ask | None:
    """What the processor's own rate made of a payment or a refund, against what the books took it for.

    So the clearing account of a payout returns to zero: the difference of the two rates is realised.
    """
    event, own = told.event, told.books.chart.currency
    source = source_of(event, reading.objects)
    if event.amount is None or source is None:
        return refused("what was converted is not known", "Have the payout settled again.", waits_for=event.subject)
    came = event.amount.amount_minor > 0
    posted = reading.cleared(event.subject.system, source, came=came)
    if posted is None:
        waits = ExternalRef(event.subject.system, "charge" if came else "refund", source)
        return refused("what was converted is not posted", "It follows it by itself.", waits_for=waits)
    rate = reading.rate(event.amount.currency, told.books, told.day)
    if rate is None and event.amount.currency != own:
        return refused(
            f"no rate from {event.amount.currency} into {own} is known",
            "Load the rates of that day: `accordant books rates FILE`.",
        )
    worth = event.amount.amount_minor if rate is None else in_books_at(event.amount.amount_minor, rate)
    if worth == posted:
        return None
    return Ask(
        legs=patterns.funds_converted(worth - posted, processor=event.subject.system),
        currency=own,
        rule="funds_converted",
        text=f"Conversion of {source}",
    )
