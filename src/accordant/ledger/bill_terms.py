"""What one bill comes to at each place that keeps it, and where it does not add up or two places do not say the same.

A bill is its lines and its tax; what is open of it is that less credits, payments and whatever else took from it
(reliability.md MO4). Minor units throughout. Pure; `operations/compare_bills.py` asks the places.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine
from accordant.canonical.entities import Invoice
from accordant.kernel.money import exponent_of
from accordant.ledger.bills import net_lines
from accordant.ledger.entries import JournalEntry


class Place(StrEnum):
    """Who keeps a bill: its owner, the hub's copy of that, the hub's books, and the ERP."""

    SOURCE = "source"
    HUB = "hub"
    BOOKS = "books"
    ERP = "erp"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One bill at one place, in one currency. None is what the place does not say; ``other`` is what else took from it
    (a write-off, a lost dispute, a cancellation), ``off`` by how much its documents do not balance.
    """

    place: Place
    currency: str
    total: int
    open: int | None
    lines: int | None = None
    tax: int | None = None
    credits: int | None = None
    paid: int | None = None
    other: int = 0
    off: int = 0


class GapKind(StrEnum):
    """Whether a place contradicts itself or the others."""

    SUM = "does_not_add_up"
    DIFFERS = "places_differ"


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: what ``term`` is at ``place``, and what its own parts or the other places come to."""

    kind: GapKind
    place: Place
    term: str
    currency: str
    expected: int
    actual: int


_TERMS = ("lines", "tax", "total", "credits", "paid", "open")
#: After these states the owner does not say what is open any more.
_CLOSED_OTHERWISE = frozenset({"void", "uncollectible"})
_RULE_OF_CREDIT, _RULES_OF_PAYMENT = "credit_note", ("payment_applied", "payment_allocated")


def stated(place: Place, bill: Invoice) -> Terms:
    """What the owner says of its bill, or the hub after it."""
    closed = bill.status in _CLOSED_OTHERWISE
    return Terms(
        place=place,
        currency=bill.total.currency,
        total=bill.total.amount_minor,
        open=None if closed else bill.amount_remaining.amount_minor,
        lines=sum(net_lines(bill)) if bill.lines_complete else None,
        tax=0 if bill.tax is None else bill.tax.amount_minor,
        credits=None if closed else bill.total.amount_minor - bill.amount_due.amount_minor,
        paid=None if closed else bill.amount_paid.amount_minor,
    )


def journaled(
    place: Place,
    issued: JournalEntry,
    later: Iterable[JournalEntry],
    *,
    open_minor: int | None = None,
    documents: Mapping[str, Sequence[DocumentLine]] | None = None,
) -> Terms:
    """What the entries of a bill come to in the currency of the books, or the ``documents`` that an ERP has of them.

    An entry of which there is no document counts as it stands. Without ``open_minor`` the sum of it all is open.
    """
    first = _amounts(issued, documents)
    moved: Counter[str] = Counter()
    off = sum(first.values())
    for one in later:
        amounts = _amounts(one, documents)
        moved[one.cause.rule] += amounts.get(Role.RECEIVABLE, 0)
        off += sum(amounts.values())
    total = first.get(Role.RECEIVABLE, 0)
    paid = -sum(moved.pop(rule, 0) for rule in _RULES_OF_PAYMENT)
    credited = -moved.pop(_RULE_OF_CREDIT, 0)
    other = -sum(moved.values())
    tax = -first.get(Role.SALES_TAX, 0)
    return Terms(
        place=place,
        currency=issued.currency,
        total=total,
        open=total - credited - paid - other if open_minor is None else open_minor,
        lines=-sum(minor for role, minor in first.items() if role not in {Role.RECEIVABLE, Role.SALES_TAX}),
        tax=tax,
        credits=credited,
        paid=paid,
        other=other,
        off=off,
    )


def gaps(places: Sequence[Terms]) -> Iterator[Gap]:
    """Everything that does not fit: each place by itself, and then all of them, which have one currency."""
    for one in places:
        yield from _own_gaps(one)
    for term in _TERMS:
        said = {one.place: value for one in places if (value := getattr(one, term)) is not None}
        if len(set(said.values())) < 2:
            continue
        # What most places say is expected; where it is one against one, what the first says.
        expected, count = Counter(said.values()).most_common(1)[0]
        expected = expected if count > 1 else next(iter(said.values()))
        for place, actual in said.items():
            if actual != expected:
                yield Gap(
                    kind=GapKind.DIFFERS,
                    place=place,
                    term=term,
                    currency=places[0].currency,
                    expected=expected,
                    actual=actual,
                )


def _own_gaps(one: Terms) -> Iterator[Gap]:
    sums = [("balance", 0, one.off)]
    if one.lines is not None and one.tax is not None:
        sums.append(("total", one.lines + one.tax, one.total))
    if one.open is not None and one.credits is not None and one.paid is not None:
        sums.append(("open", one.total - one.credits - one.paid - one.other, one.open))
    for term, expected, actual in sums:
        if expected != actual:
            yield Gap(
                kind=GapKind.SUM, place=one.place, term=term, currency=one.currency, expected=expected, actual=actual
            )


def _amounts(entry: JournalEntry, documents: Mapping[str, Sequence[DocumentLine]] | None) -> dict[Role | None, int]:
    """Debits less credits by role. An ERP may not keep a role: then the account tells it, as the entry has it."""
    document = None if documents is None else documents.get(entry.id)
    found: Counter[Role | None] = Counter()
    if document is None:
        for posting in entry.postings:
            found[posting.role] += posting.amount.amount_minor
        return dict(found)
    roles = {posting.account: posting.role for posting in entry.postings}
    for line in document:
        minor = (Decimal(line.debit) - Decimal(line.credit)).scaleb(exponent_of(entry.currency))
        if minor != minor.to_integral_value():
            minor = minor.to_integral_value() + 1  # a part of a minor unit is a difference, and never rounds to none
        found[roles.get(line.account, line.role)] += int(minor)
    return dict(found)
