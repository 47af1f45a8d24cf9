"""A bill at its source, in the hub, in the books and at the ERP: each minor unit that is off is found, nothing else."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from accordant.canonical.documents import DocumentLine
from accordant.canonical.entities import Invoice, InvoiceLine
from accordant.kernel.money import Money
from accordant.ledger.bill_terms import Gap, GapKind, Place, Terms, gaps, journaled, stated
from accordant.ledger.compose import compose
from accordant.ledger.documents import document_of
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import BilledLine, invoice_issued
from tests.unit.ledger.books import RECORDED, a_request, some_books

BILLS = 10_000
CURRENCY = "USD"


def a_bill(number: int, dice: random.Random) -> tuple[Invoice, list[JournalEntry]]:
    """A bill of a few lines, with tax and perhaps a credit note and a payment, and what the books make of it."""
    lines = [dice.randrange(1, 500_000) for _ in range(dice.randrange(1, 5))]
    net = sum(lines)
    tax = dice.choice([0, net * 19 // 100])
    credit = dice.choice([0, 0, dice.randrange(net)])
    paid = dice.choice([0, net + tax - credit, dice.randrange(net + tax - credit + 1)])
    total = net + tax
    bill = Invoice(
        external_id=f"in_{number}",
        customer_id="cus_1",
        status="open",
        total=Money(total, CURRENCY),
        amount_due=Money(total - credit, CURRENCY),
        amount_paid=Money(paid, CURRENCY),
        amount_remaining=Money(total - credit - paid, CURRENCY),
        tax=Money(tax, CURRENCY),
        lines=tuple(InvoiceLine(external_id=f"il_{at}", amount_minor=minor) for at, minor in enumerate(lines)),
    )
    billed = [BilledLine(product="pro", net_minor=minor, tax_code=None) for minor in lines]
    billed.append(BilledLine(product=None, net_minor=0, tax_code="NY", tax_minor=tax))
    request = a_request(invoice_issued(billed), source=total, event=f"bev_{number}")
    issued = compose(request, some_books(), recorded_at=RECORDED)
    assert isinstance(issued, JournalEntry)
    entries = [issued]
    for rule, minor, account in (("credit_note", credit, "2400"), ("payment_applied", paid, "1090")):
        if minor:
            postings = tuple(
                msgspec.structs.replace(
                    issued.postings[0], account=code, role=role, amount=Money(sign * minor, CURRENCY)
                )
                for code, role, sign in ((account, None, 1), ("1200", issued.postings[0].role, -1))
            )
            cause = Cause(event=f"bev_{number}_{rule}", subject=issued.cause.subject, rule=rule)
            entries.append(
                msgspec.structs.replace(
                    issued, id=f"{issued.id}_{rule}", cause=cause, postings=postings, settles=issued.id
                )
            )
    return bill, entries


def documents_of(entries: list[JournalEntry]) -> dict[str, tuple[DocumentLine, ...]]:
    return {one.id: document_of(one).lines for one in entries}


def found(
    bill: Invoice,
    hub: Invoice,
    entries: list[JournalEntry],
    documents: dict[str, tuple[DocumentLine, ...]],
    *,
    kept_open: int | None = None,
) -> list[Gap]:
    """As `operations/compare_bills.py` asks."""
    issued, *later = entries
    open_minor = bill.amount_remaining.amount_minor if kept_open is None else kept_open
    books = journaled(Place.BOOKS, issued, later, open_minor=open_minor)
    billed = Terms(
        place=Place.BOOKS, currency=CURRENCY, total=books.total, open=books.open, lines=books.lines, tax=books.tax
    )
    erp = journaled(Place.ERP, issued, later, documents=documents)
    return [*gaps([stated(Place.SOURCE, bill), stated(Place.HUB, hub), billed]), *gaps([books, erp])]


def drifted(bill: Invoice, dice: random.Random) -> Invoice:
    """One minor unit more or less in one of the amounts the owner, or the hub's copy, has."""
    by = dice.choice([1, -1])
    name = dice.choice(["total", "amount_due", "amount_paid", "amount_remaining", "tax", "lines"])
    if name == "lines":
        at = dice.randrange(len(bill.lines))
        lines = list(bill.lines)
        lines[at] = msgspec.structs.replace(lines[at], amount_minor=lines[at].amount_minor + by)
        return msgspec.structs.replace(bill, lines=tuple(lines))
    before = getattr(bill, name)
    return msgspec.structs.replace(bill, **{name: Money(before.amount_minor + by, CURRENCY)})


def edited(documents: dict[str, tuple[DocumentLine, ...]], dice: random.Random) -> dict[str, tuple[DocumentLine, ...]]:
    """One cent more on one line that an ERP has."""
    name = dice.choice(sorted(documents))
    lines = list(documents[name])
    at = dice.randrange(len(lines))
    minor = int(lines[at].debit.replace(".", "")) or -int(lines[at].credit.replace(".", ""))
    minor += 1
    lines[at] = msgspec.structs.replace(
        lines[at], debit=f"{max(minor, 0) / 100:.2f}", credit=f"{max(-minor, 0) / 100:.2f}"
    )
    return {**documents, name: tuple(lines)}


@pytest.mark.parametrize("place", [None, Place.SOURCE, Place.HUB, Place.BOOKS, Place.ERP])
def test_one_minor_unit_off_in_ten_thousand_bills_is_found_in_each_and_never_where_none_is(place: Place | None) -> None:
    dice = random.Random(f"bills {place}")
    hit: Counter[bool] = Counter()
    for number in range(BILLS):
        bill, entries = a_bill(number, dice)
        hub, documents, kept_open = bill, documents_of(entries), None
        owner = bill
        match place:
            case Place.SOURCE:
                owner = drifted(bill, dice)
            case Place.HUB:
                hub = drifted(bill, dice)
            case Place.BOOKS:
                kept_open = bill.amount_remaining.amount_minor + dice.choice([1, -1])
            case Place.ERP:
                documents = edited(documents, dice)
            case None:
                pass
        seen = found(owner, hub, entries, documents, kept_open=kept_open if place is Place.BOOKS else bill_open(bill))
        hit[bool(seen)] += 1
        if seen and place is not Place.BOOKS:
            assert place in {one.place for one in seen}, (number, seen)
        assert all(abs(one.actual - one.expected) in {1, 2} for one in seen)
    assert hit == {place is not None: BILLS}


def bill_open(bill: Invoice) -> int:
    return bill.amount_remaining.amount_minor


def test_what_most_places_say_is_expected() -> None:
    terms = [
        Terms(place=place, currency=CURRENCY, total=total, open=None)
        for place, total in ((Place.SOURCE, 100), (Place.HUB, 99), (Place.BOOKS, 99))
    ]
    (gap,) = gaps(terms)
    assert (gap.place, gap.expected, gap.actual, gap.kind) == (Place.SOURCE, 99, 100, GapKind.DIFFERS)


def test_a_part_of_a_minor_unit_at_the_erp_is_a_difference() -> None:
    bill, entries = a_bill(1, random.Random(3))
    documents = documents_of(entries)
    lines = list(documents[entries[0].id])
    at = next(number for number, line in enumerate(lines) if line.account == "1200")
    lines[at] = msgspec.structs.replace(lines[at], debit=lines[at].debit + "1")
    documents[entries[0].id] = tuple(lines)
    assert {one.place for one in found(bill, bill, entries, documents)} == {Place.ERP}


@pytest.mark.parametrize(("changes", "term"), [({"lines": 99}, "total"), ({"tax": 20}, "total"), ({"paid": 1}, "open"),
                                               ({"credits": 2}, "open"), ({"other": 1}, "open")])  # fmt: skip
def test_what_every_place_repeats_still_has_to_add_up(changes: dict[str, int], term: str) -> None:
    sound = {"total": 119, "open": 119, "lines": 100, "tax": 19, "credits": 0, "paid": 0, "other": 0}
    terms = [Terms(place=place, currency=CURRENCY, **{**sound, **changes}) for place in Place]
    assert [(gap.place, gap.kind, gap.term) for gap in gaps(terms)] == [(place, GapKind.SUM, term) for place in Place]
    assert list(gaps([Terms(place=place, currency=CURRENCY, **sound) for place in Place])) == []
