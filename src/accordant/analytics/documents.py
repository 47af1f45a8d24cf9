"""Fills the vocabulary of ``canonical.facts`` for a ledger document: what an ERP may be told of one journal entry."""

from accordant.canonical.documents import LedgerDocument, spell_lines
from accordant.canonical.facts import Fact


def document_facts(document: LedgerDocument) -> dict[str, Fact]:
    """Every fact is known of every document; None says that it has none."""
    cancelled = document.reverses_document
    return {
        "external_id": document.external_id,
        "kind": document.document.value,
        "rule": document.rule,
        "number": document.number,
        "text": document.text,
        "legal_entity": document.legal_entity,
        "posted_on": document.posted_on,
        "effective_on": document.effective_on,
        "due_on": document.due_on,
        "party": document.party,
        "currency": document.total.currency,
        "books_currency": document.books_total.currency,
        "total": document.total,
        "books_total": document.books_total,
        "settles": document.settles,
        "reverses": document.reverses,
        "reverses_kind": None if cancelled is None else cancelled.value,
        "lines": spell_lines(document.lines),
        "state": document.state,
        "cause": document.event,
        "subject": document.subject,
    }
