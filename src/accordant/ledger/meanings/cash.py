"""Money that moves: paid by customers, paid out to the bank, kept by the processor."""

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.refs import ExternalRef
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, booked
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Rate
from accordant.ledger.exchange import converted as in_books_at
from accordant.ledger.meanings.asking import Ask, Occurrence, Sister, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.reading import Reading, source_of


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
    amount = event.amount.amount_minor
    owed = 0 if bill is None else min(amount, bill.open_minor)

    def keep(entry: JournalEntry) -> None:
        if bill is not None and owed:
            bill.settle(owed, -booked(entry, Role.RECEIVABLE))

    ask = Ask(
        legs=patterns.payment_applied(amount, open_minor=owed, processor=processor),
        currency=event.amount.currency,
        rule="payment_applied",
        text=f"Payment {event.subject.id}",
        bill=bill if owed else None,
        then=keep,
    )
    if bill is None:
        return ask
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


def _bill_named(told: Occurrence, reading: Reading) -> ExternalRef | Ask | None:
    """The bill a payment is for; None where it is for none. A payment nobody has described has to be read first."""
    subject = told.event.subject
    if subject.object_type != "invoice" and subject not in reading.objects:
        return refused("the payment is not known", "Have it read again.", waits_for=subject)
    return reading.bill_of(told.event)


def collected_by_sister(told: Occurrence, reading: Reading) -> Ask | None:
    """The customer has paid another company of the group: that owes us what the customer does not any more."""
    bill = reading.posted_bill(told.event.subject, "the bill")
    if isinstance(bill, Ask):
        return bill
    said = told.event.amount
    minor = bill.open_minor if said is None else said.amount_minor
    if not 0 < minor <= bill.open_minor:
        return contradicted("more was collected than is open", "Compare the bill with its source.")
    ask = Ask(
        legs=patterns.collected_by_sister(minor),
        currency=bill.currency,
        rule="collected_by_sister",
        text=f"{bill.issued.text} collected by a sister",
        bill=bill,
        then=lambda entry: bill.settle(minor, -booked(entry, Role.RECEIVABLE)),
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


def allocated(_told: Occurrence, _reading: Reading) -> Ask | None:
    """Which bill a payment pays: no money moves, and the payment itself is read again with it."""
    return None


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
