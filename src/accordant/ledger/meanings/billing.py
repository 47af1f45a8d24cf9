"""Bills and what corrects them: issued, void, credited, written off. Next: `earning.py`."""

from collections.abc import Sequence
from datetime import date

from accordant.canonical.books import Role
from accordant.canonical.entities import CreditNote, Invoice, InvoiceLine
from accordant.canonical.refs import ExternalRef
from accordant.ledger import patterns
from accordant.ledger.bills import Bill, TakenBack, booked, net_lines
from accordant.ledger.entries import JournalEntry
from accordant.ledger.exchange import Movement
from accordant.ledger.meanings.asking import Ask, Occurrence, contradicted, refused
from accordant.ledger.meanings.carried import carried
from accordant.ledger.meanings.earning import Promise, earnings, promises
from accordant.ledger.meanings.reading import Reading
from accordant.ledger.patterns import BilledLine

#: A service that is promised for longer is none.
SERVICE_YEARS_MAX = 100


def issued(told: Occurrence, reading: Reading) -> Ask | None:
    """A receivable against what is deferred, and tax."""
    event = told.event
    bill = reading.objects.get(event.subject)
    if not isinstance(bill, Invoice) or not bill.lines_complete:
        return refused("its lines are not known", "Have the bill read again.", waits_for=event.subject)
    unknown = reading.unknown_price(bill, event.subject.system, told.books)
    if unknown is not None:
        what = "what one of its lines sells is not known"
        return refused(what, "Load the prices and products of its system.", waits_for=unknown)
    if bill.reverse_charge and reading.setting.reverse_codes.get(event.subject.system) is None:
        what = "its customer owes the tax, and the ledger has no code for that"
        return refused(what, "Add reverse_charge_code to the legal entity.")
    nets = net_lines(bill)
    if not bill.total.amount_minor and not any(nets):
        return None
    endless = next((line for line in bill.lines if _is_endless(line, told.day)), None)
    if endless is not None:
        what = f"the service of its line {endless.external_id} lasts until {endless.period_ends_at}"
        return refused(what, "A period of more than a hundred years is a mistake at its source: correct it there.")
    promised = promises(bill, nets, told, reading)
    due_on = (bill.due_at or event.occurred_at).astimezone(reading.setting.zone).date()

    def keep(entry: JournalEntry) -> None:
        reading.keep(_posted(bill, promised, entry, told, reading, due_on=due_on))

    return Ask(
        legs=patterns.invoice_issued(_billed(bill, promised, told, reading)),
        currency=bill.total.currency,
        rule="invoice_issued",
        text=f"Invoice {bill.number or bill.external_id}",
        stated=bill.total.amount_minor,
        number=bill.number,
        due_on=due_on,
        then=keep,
    )


def _is_endless(line: InvoiceLine, day: date) -> bool:
    """Milliseconds taken for seconds, or a date that stands for none: no schedule is made of it."""
    return line.period_ends_at is not None and line.period_ends_at.year > day.year + SERVICE_YEARS_MAX


def _billed(bill: Invoice, promised: Sequence[Promise], told: Occurrence, reading: Reading) -> list[BilledLine]:
    tax = 0 if bill.tax is None else bill.tax.amount_minor
    codes = reading.setting.reverse_codes if bill.reverse_charge else reading.setting.tax_codes
    code = codes.get(told.event.subject.system)
    lines = [
        BilledLine(
            product=one.product,
            net_minor=one.net_minor,
            tax_code=code if tax or bill.reverse_charge else None,
            treatment=one.treatment,
        )
        for one in promised
    ]
    return [*lines, BilledLine(product=None, net_minor=0, tax_code=code, tax_minor=tax)]


def _posted(
    bill: Invoice,
    promised: Sequence[Promise],
    entry: JournalEntry,
    told: Occurrence,
    reading: Reading,
    *,
    due_on: date,
) -> Bill:
    total = bill.total.amount_minor
    earned = earnings(bill, promised, entry, told, reading)
    return Bill(
        ref=told.event.subject,
        books=told.books,
        currency=bill.total.currency,
        total=total,
        tax=0 if bill.tax is None else bill.tax.amount_minor,
        open_minor=total,
        issued=entry,
        booked_on=told.day,
        due_on=due_on,
        schedules=[one.schedule for one in earned],
        lines=[one.line for one in earned],
        agreed=[one.agreed for one in earned],
        contra=[0] * len(earned),
        disputed={},
        later=[],
        movements=[Movement(original_minor=total, books_minor=entry.postings[0].amount.amount_minor)],
    )


def voided(told: Occurrence, reading: Reading) -> Ask | None:
    """The bill's entry the other way round, and with it all that followed; what was paid is the customer's."""
    bill = reading.posted_bill(told.event.subject, "the bill")
    return bill if isinstance(bill, Ask) else Ask(cancels=bill)


def balance_applied(told: Occurrence, reading: Reading) -> Ask | None:
    """What the customer has with us pays some of a bill; what a bill gives back becomes theirs."""
    bill = reading.posted_bill(told.event.subject, "the bill")
    if isinstance(bill, Ask):
        return bill
    amount = told.event.amount
    if amount is None or not amount.amount_minor:
        return None
    minor = amount.amount_minor
    if minor > max(bill.open_minor, 0):
        return contradicted("more is applied to it than is open", "Compare the bill with its source.")

    def keep(entry: JournalEntry) -> None:
        bill.settle(minor, -booked(entry, Role.RECEIVABLE))

    ask = Ask(
        legs=patterns.balance_applied(minor),
        currency=bill.currency,
        rule="balance_applied",
        text=f"Customer balance applied to {bill.issued.text}",
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    return carried(ask, bill, reading.rate(bill.currency, told.books, told.day))


def credited(told: Occurrence, reading: Reading) -> Ask | None:
    """A credit note takes from what is owed; on a paid bill it leaves us owing."""
    event, day = told.event, told.day
    note = reading.objects.get(event.subject)
    if not isinstance(note, CreditNote):
        return refused("the credit note is not known", "Have it read again.", waits_for=event.subject)
    named = ExternalRef(event.subject.system, "invoice", note.invoice_id or "")
    bill = reading.posted_bill(named, "the bill it corrects")
    if isinstance(bill, Ask):
        return bill
    share = bill.share(note.total.amount_minor, day)
    if share is None:
        return contradicted("more is credited than was billed", "Compare both at their source.")
    unpaid = min(share.total, bill.open_minor)
    kept = 0 if note.to_balance is None else min(note.to_balance.amount_minor, share.total - unpaid)
    owed = share.total - unpaid - kept

    def keep(entry: JournalEntry) -> None:
        if unpaid:
            bill.settle(unpaid, -booked(entry, Role.RECEIVABLE))
        bill.owed_back += owed
        bill.owed_back_books -= booked(entry, Role.REFUND_LIABILITY)
        bill.take_back(share, day)

    # Where the money goes is told by what follows, unless it is kept for the customer: until then it is owed.
    legs = bill.by_product(patterns.credit_note(share, unpaid=unpaid, to_balance=kept, owed=owed), day)
    ask = Ask(
        legs=reading.treated(bill, legs),
        currency=note.total.currency,
        rule="credit_note",
        text=f"Credit note {note.number or note.external_id}",
        total_legs=4,
        rate_on=bill.issued.effective_on,
        number=note.number,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))


def written_off(told: Occurrence, reading: Reading) -> Ask | None:
    """Nobody will pay what is open: what was earned of it is lost, the rest never was revenue."""
    day, from_allowance = told.day, told.books.write_off_from_allowance
    bill = reading.posted_bill(told.event.subject, "the bill")
    if isinstance(bill, Ask):
        return bill
    if not bill.open_minor:
        # A system tells of it whatever is open; a person who says it means something.
        nothing = contradicted("there is nothing of it left", "Look at the bill in the journal.")
        return None if told.event.said is None else nothing
    said = told.event.amount
    share = bill.share(bill.open_minor if said is None else min(said.amount_minor, bill.open_minor), day)
    if share is None:
        return contradicted("more is open than the bill still holds", "Compare the bill with its source.")

    def keep(entry: JournalEntry) -> None:
        bill.written_off = TakenBack(
            since_on=day,
            share=share,
            schedules=tuple(bill.schedules),
            lost_books=booked(entry, patterns.lost_role(from_allowance=from_allowance)),
            from_allowance=from_allowance,
        )
        bill.settle(share.total, -booked(entry, Role.RECEIVABLE))
        bill.take_back(share, day)

    ask = Ask(
        legs=bill.by_product(patterns.written_off(share, from_allowance=from_allowance), day),
        currency=bill.currency,
        rule="written_off",
        text=f"{bill.issued.text} written off",
        rate_on=bill.issued.effective_on,
        bill=bill,
        then=keep,
    )
    rate = reading.rate(bill.currency, told.books, day)
    return carried(ask, bill, rate, leaves=bill.shrunk(share.unearned, day))
