"""Ledger documents: what an ERP should hold of one journal entry, in the hub's words, each under the entry's id.

A document never changes: what was wrong is cancelled by another document that names it. Lines are one text to a target,
spelled one way only, so that what comes back can be compared.
"""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money


class DocumentKind(StrEnum):
    """Which of its own documents an ERP makes of it, where it has such a one."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    JOURNAL_ENTRY = "journal_entry"
    REVERSAL = "reversal"


class DocumentState(StrEnum):
    """What a target says of a document as a whole; the hub only ever wants ``posted``."""

    POSTED = "posted"
    DRAFT = "draft"
    CANCELLED = "cancelled"
    DELETED = "deleted"


#: In which order the documents of one customer are written, after the customer and what was sold to it: nothing is paid
#: or cancelled before it is there.
STEP_OF_DOCUMENT: dict[DocumentKind, int] = {
    DocumentKind.INVOICE: 5,
    DocumentKind.CREDIT_NOTE: 6,
    DocumentKind.PAYMENT: 6,
    DocumentKind.JOURNAL_ENTRY: 6,
    DocumentKind.REVERSAL: 7,
}


class DocumentLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line, an amount on one account of the ERP.

    ``debit`` and ``credit`` are decimal text in the currency of the books with exactly its places, one of them zero.
    ``original`` is the amount in the currency of the deal, a debit when positive, where that is another currency.
    """

    account: str
    role: Role | None = None
    debit: str
    credit: str
    original: str | None = None
    original_currency: str | None = None
    party: str | None = None
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None


class LedgerDocument(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.LEDGER_DOCUMENT.value):
    """One journal entry as an ERP is to hold it. ``external_id`` is the entry's id, ``party`` the billing customer's.

    ``document`` says which of its documents the ERP makes of it; ``settles`` names the document of the bill that this
    one pays or lowers, ``reverses`` the one that it cancels, of kind ``reverses_document``. ``total`` is in the
    currency of the deal, ``books_total`` in that of the books. ``event`` and ``subject`` lead back to where it began.
    """

    external_id: str
    document: DocumentKind
    rule: str
    number: str
    text: str
    legal_entity: str
    posted_on: date
    effective_on: date
    total: Money
    books_total: Money
    lines: tuple[DocumentLine, ...]
    event: str
    subject: str
    due_on: date | None = None
    party: str | None = None
    settles: str | None = None
    reverses: str | None = None
    reverses_document: DocumentKind | None = None
    state: str = DocumentState.POSTED.value


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[DocumentLine, ...])


def sorted_lines(lines: Iterable[DocumentLine]) -> tuple[DocumentLine, ...]:
    """Lines in the order in which they are spelled, so that a target may give them back in any."""
    return tuple(sorted(lines, key=_ENCODER.encode))


def spell_lines(lines: Iterable[DocumentLine]) -> str:
    """Lines as the one text that a target's field holds: equal lines are equal text, whatever their order was."""
    return _ENCODER.encode(sorted_lines(lines)).decode()


def read_lines(text: str) -> tuple[DocumentLine, ...]:
    """The lines spelled as ``text``. Raises msgspec.ValidationError or msgspec.DecodeError where it holds none."""
    return _DECODER.decode(text)
