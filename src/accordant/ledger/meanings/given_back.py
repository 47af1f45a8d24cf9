"""What customers get back of what they paid: refunds, and disputes while they last."""

from accordant.canonical.books import Role
from accordant.canonical.entities import Dispute, Refund
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, TakenBack, booked
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Ask, Occurrence, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.reading import Reading
from accordant.ledger.patterns import Share

#: How a processor says that a dispute ended for us.
_WON = frozenset({"won", "warning_closed"})
#: What a dispute about a void bill takes back of it: the bill never was.
_NOTHING = Share(earned=0, unearned=0)


def refunded(told: Occurrence, reading: Reading) -> Ask | None:
    """Money given back: what was earned of it against contra revenue, the rest out of what is deferred."""
    event, day = told.event, told.day
    refund = reading.objects.get(event.subject)
    if not isinstance(refund, Refund):
        return refused("the refund is not known", "Have it read again.", waits_for=event.subject)
    bill = reading.bill_of_payment(event, refund.payment_id, "charge")
    if isinstance(bill, Ask):
        return bill
    if bill.is_void:
        return _out_of_balance(
            told, reading, bill, refund.amount.amount_minor, rule="refunded", text=f"Refund {refund.external_id}"
        )
    amount = refund.amount.amount_minor
    owed = min(amount, bill.owed_back)
    share = bill.share(amount - owed, day)
    if share is None:
        return contradicted("more is given back than was billed", "Compare it with the bill at its source.")
    legs = bill.by_product(patterns.refunded(share, processor=event.subject.system), day)
    if owed:
        legs = patterns.owed_sent(legs, owed)

    def keep(entry: JournalEntry) -> None:
        bill.owed_back -= owed
        bill.owed_back_books -= booked(entry, Role.REFUND_LIABILITY)
        bill.take_back(share, day)

    ask = Ask(
        legs=legs,
        currency=refund.amount.currency,
        rule="refunded",
        text=f"Refund {refund.external_id}",
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))


def dispute_opened(told: Occurrence, reading: Reading) -> Ask | None:
    """The processor takes the amount at once: what was earned of it is doubtful, the rest is not earned."""
    event, day = told.event, told.day
    dispute = reading.objects.get(event.subject)
    if not isinstance(dispute, Dispute):
        return refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
    bill = reading.bill_of_payment(event, dispute.payment_id, "charge")
    if isinstance(bill, Ask):
        return bill
    if bill.is_void:
        return _disputed_void(told, reading, bill, dispute)
    share = bill.share(dispute.amount.amount_minor, day)
    if share is None:
        return contradicted("more is disputed than was billed", "Compare it with the bill at its source.")

    def keep(_entry: JournalEntry) -> None:
        kept = TakenBack(since_on=day, share=share, schedules=tuple(bill.schedules))
        bill.disputed[dispute.external_id] = kept
        bill.take_back(share, day)

    ask = Ask(
        legs=bill.by_product(patterns.dispute_opened(share, fee=0, processor=event.subject.system), day),
        currency=dispute.amount.currency,
        rule="dispute_opened",
        text=f"Dispute {dispute.external_id}",
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))


def _disputed_void(told: Occurrence, reading: Reading, bill: Bill, dispute: Dispute) -> Ask:
    text = f"Dispute {dispute.external_id}"
    ask = _out_of_balance(told, reading, bill, dispute.amount.amount_minor, rule="dispute_opened", text=text)
    take = ask.then

    def keep(entry: JournalEntry) -> None:
        take(entry)
        bill.disputed[dispute.external_id] = TakenBack(since_on=told.day, share=_NOTHING, schedules=())

    ask.then = keep
    return ask


def dispute_closed(told: Occurrence, reading: Reading) -> Ask | None:
    """A dispute that was won brings the money back; one that was lost leaves everything as it is."""
    event, day = told.event, told.day
    dispute = reading.objects.get(event.subject)
    if not isinstance(dispute, Dispute):
        return refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
    if dispute.status not in _WON:
        return None
    bill = reading.bill_of_payment(event, dispute.payment_id, "charge")
    if isinstance(bill, Ask):
        return bill
    known = bill.disputed.get(dispute.external_id)
    if known is None:
        return contradicted("its beginning is not posted", "It follows it by itself.", waits_for=event.subject)
    if bill.is_void:
        text = f"Dispute {dispute.external_id} won"
        return _out_of_balance(told, reading, bill, -dispute.amount.amount_minor, rule="dispute_won", text=text)
    share = known.share
    caught_up = bill.caught_up(share, known, day)
    legs = patterns.dispute_won(share, caught_up=caught_up, processor=event.subject.system)
    ask = Ask(
        legs=bill.by_product(legs, day, gone=known),
        currency=dispute.amount.currency,
        rule="dispute_won",
        text=f"Dispute {dispute.external_id} won",
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=lambda _entry: bill.bring_back(share, known, day, caught_up=caught_up),
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.grown(share.unearned - caught_up, known, day))


def _out_of_balance(told: Occurrence, reading: Reading, bill: Bill, minor: int, *, rule: str, text: str) -> Ask:
    """Of a bill that is void nothing was sold: what goes back, or comes again, is what the customer has with us."""
    if minor > bill.kept_minor:
        return contradicted("more is given back than was paid", "Compare it with the bill at its source.")

    def keep(_entry: JournalEntry) -> None:
        bill.kept_minor -= minor

    ask = Ask(
        legs=patterns.balance_returned(minor, processor=told.event.subject.system),
        currency=bill.currency,
        rule=rule,
        text=text,
        party=bill.issued.party,
        then=keep,
    )
    return carried(ask, bill, reading.rate(bill.currency, told.books, told.day))
