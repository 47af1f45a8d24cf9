"""Prepaid credits: sold by a bill, drawn by use, lost when they end. What is drawn of them is earned.

Source: ASC 606-10-55-46 to 55-49 and IFRS 15.B44 to B47, customers' unexercised rights. Next: `earning.py` for what a
bill defers of them.
"""

from fractions import Fraction

from accordant.canonical.books import ServiceKind
from accordant.kernel.money import Money, round_half_up, split_minor
from accordant.ledger import patterns
from accordant.ledger.bills import Bill
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Ask, Occurrence, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.reading import Reading, is_draw_of_grant
from accordant.ledger.schedule import RevenueSchedule, cut, earned_before


def credits_granted(_told: Occurrence, _reading: Reading) -> Ask | None:
    """Which bill sold the credits of a grant: the sale is the bill's, and draws find it by this."""
    return None


def credits_drawn(told: Occurrence, reading: Reading) -> Ask | None:
    """Prepaid credits were used, or ended: so much of what the bill deferred for them is earned, on that day. Below
    zero they came back, since the bill that they had paid is void.
    """
    bill, amount = _sold_by(told, reading), told.event.amount
    if bill is None or isinstance(bill, Ask):
        return bill
    left = _left(bill, told, reading)
    if amount is None or left is None:
        return refused("the bill has no prepaid credits that last", "Say under ledger.services which products are.")
    if amount.currency != bill.currency:
        return contradicted(f"the bill is in {bill.currency}, and not in {amount.currency}", "Compare both.")
    if is_draw_of_grant(told.event):
        return _of_grant(told, reading, bill, left)
    if amount.amount_minor > sum(left):
        what = f"{amount} is more than the {Money(sum(left), bill.currency)} that is left"
        return contradicted(what, "Compare the use.")
    return _earned(told, reading, bill, split_minor(amount.amount_minor, left))


def _sold_by(told: Occurrence, reading: Reading) -> Bill | Ask | None:
    """The bill that sold them, or what is waited for; None where it never sold any, or not any more."""
    subject = told.event.subject
    if not is_draw_of_grant(told.event):
        return reading.posted_bill(subject, "the bill")
    grant = reading.grant(subject)
    if grant is None:
        what = "the grant of the credits is not known"
        return refused(what, "It follows its grant by itself.", waits_for=subject)
    if grant.bill is None:
        # What was given for nothing was never deferred.
        return None
    bill = reading.posted_bill(grant.bill, "the bill")
    # Of a void bill the sale was taken back, and with it whatever was earned of it.
    return None if isinstance(bill, Bill) and bill.is_void else bill


def _left(bill: Bill, told: Occurrence, reading: Reading) -> list[int] | None:
    """What is left of the prepaid credits in each line, in minor units; None where no line has any that last."""
    lasting = [_is_prepaid(one, reading) and not earned_before(one, told.day) for one in bill.schedules]
    if not any(lasting):
        return None
    return [one.minor if lasts else 0 for one, lasts in zip(bill.schedules, lasting, strict=True)]


def _is_prepaid(schedule: RevenueSchedule, reading: Reading) -> bool:
    return reading.setting.services.get(schedule.product or "") is ServiceKind.PREPAID


def _of_grant(told: Occurrence, reading: Reading, bill: Bill, left: list[int]) -> Ask | None:
    """A draw by what its system counts. Credits may be sold for less than they pay: each earns its part of the price,
    on the running total, so that all of them earn all of it. What goes beyond all or nothing earns nothing: of one
    second nobody knows what was first, credits that came back or those that ended.
    """
    amount = told.event.amount
    assert amount is not None  # noqa: S101  the caller has looked; said for the type checker
    granted, before = reading.granted(bill.ref), reading.drawn(bill.ref)
    after = before + amount.amount_minor
    sold = [one.billed_minor if _is_prepaid(one, reading) else 0 for one in bill.schedules]
    upto, done = (round_half_up(Fraction(sum(sold) * min(max(one, 0), granted), granted)) for one in (after, before))
    minor = upto - done
    room = left if minor > 0 else [whole - rest for whole, rest in zip(sold, left, strict=True)]
    # What was given back or credited of the bill is not there to be earned.
    minor = max(min(minor, sum(room)), -sum(room))
    if not minor:
        reading.draw(bill.ref, amount.amount_minor)
        return None
    return _earned(told, reading, bill, split_minor(minor, room), granted=amount.amount_minor)


def _earned(told: Occurrence, reading: Reading, bill: Bill, parts: tuple[int, ...], *, granted: int = 0) -> Ask:
    """The ask that earns so much of each line of a bill; ``granted`` is what that was in the grant."""
    after = [
        one if not part else cut(one, told.day, remaining_minor=one.minor - part)
        for one, part in zip(bill.schedules, parts, strict=True)
    ]
    legs = [
        patterns.revenue_recognised(part, deferred=part, product=one.product)
        for one, part in zip(bill.schedules, parts, strict=True)
        if part
    ]

    def keep(_entry: JournalEntry) -> None:
        bill.schedules = after
        reading.draw(bill.ref, granted)

    ask = Ask(
        legs=[one[0] for one in legs] + [leg for one in legs for leg in one[1:]],
        currency=bill.currency,
        rule="credits_drawn",
        text=f"Credits {'drawn' if sum(parts) > 0 else 'reinstated'} of {bill.issued.text}",
        total_legs=len(legs),
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    return carried(ask, bill, reading.rate(bill.currency, told.books, told.day), leaves=after)
