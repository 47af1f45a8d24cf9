"""What is left of a bill that is void: what was paid of it is the customer's, whatever it was booked against before.

Every entry of the bill is cancelled, also that of a payment; the money did move, so it is stated again, against the
customer's balance, at what it was booked at. Next: `post.py`, which cancels.
"""

from collections.abc import Iterable

from accordant.canonical.books import Role
from accordant.ledger.chart import Use
from accordant.ledger.entries import JournalEntry, Posting
from accordant.ledger.patterns import Leg

#: Where money is that moved for a bill: with the processor, in the bank, at a sister.
_MOVED = frozenset({Role.CLEARING, Role.BANK, Role.INTERCOMPANY_RECEIVABLE})
_OF_RATE = ("rate", "rate_source", "rate_on")


def kept_for_customer(entry: JournalEntry) -> list[Leg]:
    """The money an entry of a void bill moved, in the currency of the books, against what the customer has with us."""
    legs: list[Leg] = []
    for posting in _moved(entry):
        minor = posting.amount.amount_minor
        original = None if posting.original is None else posting.original.amount_minor
        rate = {name: value for name, value in posting.dimensions.items() if name in _OF_RATE}
        where = Use(role=posting.role or Role.CLEARING, processor=posting.dimensions.get("processor"))
        owed = Use(role=Role.CUSTOMER_BALANCE)
        legs += [
            Leg(use=where, minor=minor, original=original, dimensions=rate),
            Leg(
                use=owed,
                minor=-minor,
                original=None if original is None else -original,
                party=True,
                dimensions=rate,
            ),
        ]
    return legs


def kept_currency(entry: JournalEntry) -> str | None:
    """The currency the money was agreed in, where that is not the one of the books."""
    return next((one.original.currency for one in _moved(entry) if one.original is not None), None)


def kept_minor(entries: Iterable[JournalEntry]) -> int:
    """What these entries moved together, in the currency of the bill: came less went."""
    return sum((one.original or one.amount).amount_minor for entry in entries for one in _moved(entry))


def _moved(entry: JournalEntry) -> list[Posting]:
    return [one for one in entry.postings if one.role in _MOVED]
