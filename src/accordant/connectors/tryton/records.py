"""What a ledger document is to Tryton: the fields a mapping may name, one taken apart, its values spelled out.
Guarantees that a native invoice is made only where Tryton's own arithmetic gives the very lines of the books.
Next: documents.py, which reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk import ledger_documents
from accordant.connectors.sdk.ledger_documents import FIELDS, Desired, amount_of, unusable
from accordant.connectors.tryton.lines import move_line, tag
from accordant.connectors.tryton.lookups import Account, Company, Tax
from accordant.connectors.tryton.wire import Json

INVOICE, MOVE = "account.invoice", "account.move"
#: Where each object keeps our key; `account.move` has nothing but its description.
KEY_FIELD = {INVOICE: "reference", MOVE: "description"}
#: Only of the document that Tryton calls so.
OF_INVOICES = frozenset({"description"})
_UNTAGGED = ("product", "tax_code", "processor")


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """A document's fields as they come back. Raises ValueUnreadable."""
    takes = [name for name in FIELDS if spec.name == INVOICE or name not in OF_INVOICES]
    return ledger_documents.canonical(spec.name, fields, takes=takes, mapped=spec.fields)


def is_native(document: Desired, company: Company, accounts: Mapping[str, Account], taxes: Mapping[str, Tax]) -> bool:
    """Whether Tryton's own invoice posts the very lines of this document.

    It computes a foreign currency at its own rate, makes one line of the receivable without a word of ours, takes
    only revenue and deposits on the lines, and adds what a tax on a line comes to. Anything else is written as the move
    that the invoice would have made.
    """
    owed = [line for line in document.lines if line.role is Role.RECEIVABLE]
    return (
        document.currency == company.currency
        and all(line.original is None for line in document.lines)
        and len(owed) == 1
        and document.party is not None
        and owed[0].party == document.party
        and all(getattr(owed[0], name) is None for name in _UNTAGGED)
        and accounts[owed[0].account].receivable
        and all(_is_listed(line, accounts) for line in document.lines if line is not owed[0])
        and all(taxes[code].computes_nothing for code in _only_owed_elsewhere(document) & taxes.keys())
    )


def tax_codes(document: Desired) -> frozenset[str]:
    """The tax codes a document names."""
    return frozenset(line.tax_code for line in document.lines if line.tax_code is not None)


def _only_owed_elsewhere(document: Desired) -> frozenset[str]:
    """The codes without a line of tax: its customer owes it, or it is less than a minor unit."""
    billed = {line.tax_code for line in document.lines if line.role is Role.SALES_TAX}
    return frozenset(tax_codes(document) - billed)


def _is_listed(line: DocumentLine, accounts: Mapping[str, Account]) -> bool:
    account = accounts[line.account]
    return not account.party_required and (line.role is Role.SALES_TAX or account.on_invoices)


def invoice_values(
    document: Desired,
    *,
    company: Company,
    accounts: Mapping[str, Account],
    party: Mapping[str, Json],
    taxes: Mapping[str, Tax],
    currency: int,
    journal: int,
    numbered_on: date,
) -> dict[str, Json]:
    """The values of a native invoice of a customer; a credit note is one of less than nothing.

    ``numbered_on`` is the day by which Tryton numbers it, which is never before that of the number before. ``taxes``
    are those of its codes that Tryton knows: its report counts the amounts that stand here.
    """
    owed = next(line for line in document.lines if line.role is Role.RECEIVABLE)
    others = [line for line in document.lines if line is not owed]
    billed = [line for line in others if line.role is Role.SALES_TAX]
    listed = [line for line in others if line.role is not Role.SALES_TAX]
    on_lines = {code: taxes[code] for code in _only_owed_elsewhere(document) & taxes.keys()}
    return {
        "company": company.id,
        "type": "out",
        KEY_FIELD[INVOICE]: document.key,
        "description": document.description,
        "party": party["id"],
        "invoice_address": party["addresses"][0],
        "currency": currency,
        "account": accounts[owed.account].id,
        "journal": journal,
        "invoice_date": numbered_on,
        "accounting_date": document.day,
        "payment_term_date": document.due_on or document.day,
        "lines": [
            ["create", [_invoice_line(line, company, accounts[line.account], currency, on_lines) for line in listed]]
        ],
        "taxes": [["create", [_invoice_tax(line, listed, accounts[line.account], taxes) for line in billed]]],
    }


def _invoice_line(
    line: DocumentLine, company: Company, account: Account, currency: int, taxes: Mapping[str, Tax]
) -> dict[str, Json]:
    earned = -amount_of(line)
    known = taxes.get(line.tax_code or "")
    return {
        **({} if known is None else {"taxes": [["add", [known.id]]]}),
        "type": "line",
        "company": company.id,
        "currency": currency,
        "account": account.id,
        "quantity": 1 if earned >= 0 else -1,
        "unit_price": abs(earned),
        "description": tag(line, with_party=True),
    }


def _invoice_tax(
    line: DocumentLine, listed: Sequence[DocumentLine], account: Account, taxes: Mapping[str, Tax]
) -> dict[str, Json]:
    """One line of tax. What somebody wrote is *manual* to Tryton, which then computes neither base nor amount."""
    taxed = [other for other in listed if other.tax_code == line.tax_code]
    known = taxes.get(line.tax_code or "")
    return {
        "tax": None if known is None else known.id,
        "description": tag(line, with_party=True),
        "account": account.id,
        "base": -sum(map(amount_of, taxed)),
        "amount": -amount_of(line),
        "manual": True,
    }


def move_values(
    document: Desired,
    *,
    company: Company,
    accounts: Mapping[str, Account],
    parties: Mapping[str, Mapping[str, Json]],
    currencies: Mapping[str, int],
    taxes: Mapping[str, Tax],
    journal: int,
    period: int,
    origin: str | None,
) -> dict[str, Json]:
    """The values of a move with the lines of a document. Raises Unusable for a receivable without a customer.

    A move's own description is our key, so that the name of a bill stands on the line of what is owed.
    """
    lines: list[dict[str, Json]] = []
    named = next((line for line in document.lines if line.role is Role.RECEIVABLE), document.lines[0])
    for line in document.lines:
        account, party = accounts[line.account], line.party or document.party
        if account.party_required and party is None:
            raise unusable("PARTY_MISSING", f"The account {line.account} takes no amount without a customer.", "lines")
        lines.append(
            move_line(
                line,
                account=account,
                party=None if party is None else parties[party]["id"],
                currency=None if line.original_currency is None else currencies[line.original_currency],
                due_on=document.due_on,
                words=document.description if line is named else None,
                tax=taxes.get(line.tax_code or ""),
            )
        )
    return {
        "company": company.id,
        "period": period,
        "journal": journal,
        "date": document.day,
        KEY_FIELD[MOVE]: document.key,
        "origin": origin,
        "lines": [["create", lines]],
    }
