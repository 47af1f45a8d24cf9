"""Money that moves: paid by customers, paid out to the bank, kept by the processor."""

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.ledger import patterns
from accordant.ledger.bills import Bill
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Rate, booked_for, converted, recorded, settled
from accordant.ledger.meanings.asking import Ask, Occurrence, refused
from accordant.ledger.meanings.reading import Reading


def paid(told: Occurrence, reading: Reading) -> Ask | None:
    """Money against what is owed; what is too much stays the customer's."""
    event = told.event
    if event.amount is None or not event.amount.amount_minor:
        return None
    named = _bill_named(told, reading)
    if isinstance(named, Ask):
        return named
    bill = None if named is None else reading.posted_bill(named, "the bill it pays")
    if isinstance(bill, Ask):
        return bill
    # What is paid elsewhere did not pass the processor: the bill itself says so.
    processor = None if event.subject == named else event.subject.system
    rate = reading.rate(event.amount.currency, told.books, told.day)
    amount = event.amount.amount_minor
    if rate is not None and bill is not None and 0 < amount <= bill.open_minor:
        return _paid_abroad(told, amount, bill, rate, processor)
    owed = 0 if bill is None else min(amount, bill.open_minor)

    def keep(entry: JournalEntry) -> None:
        if bill is not None and owed:
            bill.settle(owed, -entry.postings[1].amount.amount_minor)

    return Ask(
        legs=patterns.payment_applied(amount, open_minor=owed, processor=processor),
        currency=event.amount.currency,
        rule="payment_applied",
        text=f"Payment {event.subject.id}",
        bill=bill if owed else None,
        then=keep,
    )


def _bill_named(told: Occurrence, reading: Reading) -> ExternalRef | Ask | None:
    """The bill a payment is for; None where it is for none. A payment nobody has described has to be read first."""
    subject = told.event.subject
    if subject.object_type != "invoice" and subject not in reading.objects:
        return refused("the payment is not known", "Have it read again.", waits_for=subject)
    return reading.bill_of(told.event)


def _paid_abroad(told: Occurrence, amount: int, bill: Bill, rate: Rate, processor: str | None) -> Ask:
    """A bill in another currency, paid: what today's rate makes of it against what it was booked at."""
    received, booked = converted(amount, rate), booked_for(bill.movements, amount)
    return Ask(
        legs=[
            msgspec.structs.replace(leg, dimensions=recorded(rate))
            for leg in settled(received=received, booked=booked, original=amount, processor=processor)
        ],
        currency=bill.books.chart.currency,
        original_currency=bill.currency,
        rule="payment_applied",
        text=f"Payment {told.event.subject.id}",
        bill=bill,
        then=lambda _entry: bill.settle(amount, booked),
    )


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
