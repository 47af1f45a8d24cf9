"""From a journal entry to the document an ERP is to hold of it. Next: `pipeline/plan.py` lays it on the desk."""

from accordant.canonical.documents import DocumentKind, DocumentLine, LedgerDocument, sorted_lines
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import Money
from accordant.ledger.entries import JournalEntry, Posting

#: Rules whose entries an ERP may have a document of its own for; of all others it gets the entry as it stands.
_KINDS = {
    "invoice_issued": DocumentKind.INVOICE,
    "credit_note": DocumentKind.CREDIT_NOTE,
    "payment_applied": DocumentKind.PAYMENT,
}


def document_kind(entry: JournalEntry) -> DocumentKind:
    """Which of its documents an ERP makes of an entry."""
    if entry.reverses is not None:
        return DocumentKind.REVERSAL
    return _KINDS.get(entry.cause.rule, DocumentKind.JOURNAL_ENTRY)


def document_of(entry: JournalEntry, reversed_entry: JournalEntry | None = None) -> LedgerDocument:
    """The document of an entry; ``reversed_entry`` is the one it cancels, where it is a cancellation."""
    cancelled = None if reversed_entry is None else document_kind(reversed_entry)
    return LedgerDocument(
        external_id=entry.id,
        document=document_kind(entry),
        rule=entry.cause.rule if entry.reverses is None else "reversal",
        number=entry.number or entry.cause.subject,
        text=entry.text,
        legal_entity=entry.legal_entity,
        posted_on=entry.posted_on,
        effective_on=entry.effective_on,
        total=_total(entry),
        books_total=Money(entry.total_minor, entry.currency),
        lines=sorted_lines(_line(one) for one in entry.postings),
        event=entry.cause.event,
        subject=entry.cause.subject,
        due_on=entry.due_on,
        party=_party(entry.party),
        settles=entry.settles,
        reverses=entry.reverses,
        reverses_document=cancelled,
    )


def _total(entry: JournalEntry) -> Money:
    """The debits in the currency of the deal, where every one of them was agreed in it."""
    debits = [one for one in entry.postings if one.debit_minor]
    originals = [one.original for one in debits if one.original is not None]
    if len(originals) == len(debits) and len({one.currency for one in originals}) == 1:
        return Money(sum(one.amount_minor for one in originals), originals[0].currency)
    return Money(entry.total_minor, entry.currency)


def _line(posting: Posting) -> DocumentLine:
    currency, original = posting.amount.currency, posting.original
    return DocumentLine(
        account=posting.account,
        role=posting.role,
        debit=f"{Money(posting.debit_minor, currency).to_decimal():f}",
        credit=f"{Money(posting.credit_minor, currency).to_decimal():f}",
        original=None if original is None else f"{original.to_decimal():f}",
        original_currency=None if original is None else original.currency,
        party=_party(posting.party),
        product=posting.dimensions.get("product"),
        tax_code=posting.dimensions.get("tax_code"),
        processor=posting.dimensions.get("processor"),
    )


def _party(party: str | None) -> str | None:
    """The owner's id of a customer, which is the key of its record at the ERP; nothing of what is no customer."""
    if party is None:
        return None
    ref = ExternalRef.parse(party)
    return ref.id if ref.object_type == "customer" else None
