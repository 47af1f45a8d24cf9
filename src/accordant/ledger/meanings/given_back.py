"""What customers get back of what they paid: refunds, and disputes while they last."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Dispute, Payment, Refund
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, TakenBack, booked
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Ask, Occurrence, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.reading import Part, Reading

#: How a processor says that a dispute ended for us.
WON = frozenset({"won", "warning_closed"})


class _Giving(NamedTuple):
    """What goes back, or comes again, of which payment."""

    told: Occurrence
    reading: Reading
    payment: Payment


def refunded(told: Occurrence, reading: Reading) -> Ask | None:
    """Money given back: what was earned of it against contra revenue, the rest out of what is deferred."""
    event = told.event
    refund = reading.objects.get(event.subject)
    if not isinstance(refund, Refund):
        return refused("the refund is not known", "Have it read again.", waits_for=event.subject)
    payment = reading.payment_of(event, refund.payment_id)
    if isinstance(payment, Ask):
        return payment
    parts = reading.given_parts(event.subject.system, payment, refund.amount.amount_minor)
    if parts is None:
        return _more_than_paid()
    giving = _Giving(told, reading, payment)
    return _shared([_refunded(giving, refund, part) for part in parts], parts, giving)


def _refunded(giving: _Giving, refund: Refund, part: Part) -> Ask:
    told, reading = giving.told, giving.reading
    event, day, amount = told.event, told.day, part.minor or 0
    text = f"Refund {refund.external_id}"
    if part.bill is None:
        return _out_of_balance(told, refund.amount.currency, amount, rule="refunded", text=text)
    bill = reading.posted_bill(part.bill, "the bill that was paid")
    if isinstance(bill, Ask):
        return bill
    if bill.is_void:
        return _of_void(giving, bill, amount, rule="refunded", text=text)
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
        text=text,
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))


def dispute_opened(told: Occurrence, reading: Reading) -> Ask | None:
    """The processor takes the amount at once: what was earned of it is doubtful, the rest is not earned."""
    event = told.event
    dispute = reading.objects.get(event.subject)
    if not isinstance(dispute, Dispute):
        return refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
    payment = reading.payment_of(event, dispute.payment_id)
    if isinstance(payment, Ask):
        return payment
    parts = reading.given_parts(event.subject.system, payment, dispute.amount.amount_minor)
    if parts is None:
        return _more_than_paid()
    giving = _Giving(told, reading, payment)
    asks = [_opened(giving, dispute, part) for part in parts]
    for ask, part in zip(asks, parts, strict=True):
        ask.then = _after(ask.then, partial(_note, reading.disputed.setdefault(event.subject, []), part))
    return _shared(asks, parts, giving)


def _note(taken: list[Part], part: Part) -> None:
    taken.append(part)


def _opened(giving: _Giving, dispute: Dispute, part: Part) -> Ask:
    told, reading = giving.told, giving.reading
    event, day, amount = told.event, told.day, part.minor or 0
    text = f"Dispute {dispute.external_id}"
    if part.bill is None:
        return _out_of_balance(told, dispute.amount.currency, amount, rule="dispute_opened", text=text)
    bill = reading.posted_bill(part.bill, "the bill that was paid")
    if isinstance(bill, Ask):
        return bill
    if bill.is_void:
        return _of_void(giving, bill, amount, rule="dispute_opened", text=text)
    share = bill.share(amount, day)
    if share is None:
        return contradicted("more is disputed than was billed", "Compare it with the bill at its source.")

    def keep(_entry: JournalEntry) -> None:
        bill.disputed[dispute.external_id] = TakenBack(since_on=day, share=share, schedules=tuple(bill.schedules))
        bill.take_back(share, day)

    ask = Ask(
        legs=bill.by_product(patterns.dispute_opened(share, fee=0, processor=event.subject.system), day),
        currency=dispute.amount.currency,
        rule="dispute_opened",
        text=text,
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))


def dispute_closed(told: Occurrence, reading: Reading) -> Ask | None:
    """A dispute that was won brings the money back; one that was lost leaves everything as it is."""
    event = told.event
    dispute = reading.objects.get(event.subject)
    if not isinstance(dispute, Dispute):
        return refused("the dispute is not known", "Have it read again.", waits_for=event.subject)
    payment = reading.payment_of(event, dispute.payment_id)
    if isinstance(payment, Ask):
        return payment
    if dispute.status not in WON:
        return None
    parts = reading.disputed.get(event.subject)
    if not parts:
        return contradicted("its beginning is not posted", "It follows it by itself.", waits_for=event.subject)
    back = [msgspec.structs.replace(part, minor=-(part.minor or 0)) for part in parts]
    giving = _Giving(told, reading, payment)
    return _shared([_won(giving, dispute, part) for part in parts], back, giving)


def _won(giving: _Giving, dispute: Dispute, part: Part) -> Ask:
    told, reading = giving.told, giving.reading
    event, day, amount = told.event, told.day, part.minor or 0
    text = f"Dispute {dispute.external_id} won"
    if part.bill is None:
        return _out_of_balance(told, dispute.amount.currency, -amount, rule="dispute_won", text=text)
    bill = reading.posted_bill(part.bill, "the bill that was paid")
    if isinstance(bill, Ask):
        return bill
    known = bill.disputed.get(dispute.external_id)
    if bill.is_void or known is None:
        return _of_void(giving, bill, -amount, rule="dispute_won", text=text)
    share = known.share
    caught_up = bill.caught_up(share, known, day)
    legs = patterns.dispute_won(share, caught_up=caught_up, processor=event.subject.system)
    ask = Ask(
        legs=bill.by_product(legs, day, gone=known),
        currency=dispute.amount.currency,
        rule="dispute_won",
        text=text,
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=lambda _entry: bill.bring_back(share, known, day, caught_up=caught_up),
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.grown(share.unearned - caught_up, known, day))


def _more_than_paid() -> Ask:
    return contradicted("more is given back than was paid", "Compare it with the bill at its source.")


def _shared(asks: list[Ask], parts: Sequence[Part], giving: _Giving) -> Ask:
    """One ask for each part of a payment, the first with the others; each part that is posted was given back."""
    for at, (ask, part) in enumerate(zip(asks, parts, strict=True)):
        ask.part = "" if not at else "balance" if part.bill is None else part.bill.id
        ask.then = _after(
            ask.then, partial(giving.reading.give, giving.told.event.subject.system, giving.payment, part)
        )
    asks[0].others = asks[1:]
    return asks[0]


def _after(then: Callable[[JournalEntry], None], also: Callable[[], None]) -> Callable[[JournalEntry], None]:
    def both(entry: JournalEntry) -> None:
        then(entry)
        also()

    return both


def _of_void(giving: _Giving, bill: Bill, minor: int, *, rule: str, text: str) -> Ask:
    """Of a bill that is void nothing was sold: what goes back, or comes again, is what the customer has with us."""
    told, reading = giving.told, giving.reading
    # What was allocated to the bill is the customer's again without it; how much that is the payment knows.
    is_kept = reading.own_bill(told.event.subject.system, giving.payment) is not None
    if is_kept and minor > bill.kept_minor:
        return _more_than_paid()

    def keep(_entry: JournalEntry) -> None:
        bill.kept_minor -= minor if is_kept else 0

    ask = _out_of_balance(told, bill.currency, minor, rule=rule, text=text)
    ask.party = bill.issued.party
    ask.then = keep
    return carried(ask, bill, reading.rate(bill.currency, told.books, told.day))


def _out_of_balance(told: Occurrence, currency: str, minor: int, *, rule: str, text: str) -> Ask:
    """What goes back of money that pays no bill is what the customer has with us."""
    legs = patterns.balance_returned(minor, processor=told.event.subject.system)
    return Ask(legs=legs, currency=currency, rule=rule, text=text)
