"""The lines of a document to Tryton's and back: what has no field of its own there travels in the line's description.
Guarantees that what was written and read again is spelled the same, and that an edit by hand is not.
Next: documents.py, which puts lines into documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine
from accordant.connectors.sdk import ledger_documents
from accordant.connectors.sdk.ledger_documents import OF_A_LINE, amount_of, facts_of, plain, read_tag
from accordant.connectors.tryton import marks
from accordant.connectors.tryton.lookups import Account, Tax
from accordant.connectors.tryton.wire import Json


def tag(line: DocumentLine, *, with_party: bool) -> str:
    """The description of a line; ``with_party`` where its account takes no party in Tryton."""
    return ledger_documents.tag(facts_of(line, [name for name in OF_A_LINE if name != "party" or with_party]))


def deal_amount_of(line: DocumentLine) -> Decimal:
    """The amount in the currency of the deal, a debit when positive."""
    return amount_of(line) if line.original is None else Decimal(line.original)


def move_line(
    line: DocumentLine,
    *,
    account: Account,
    party: int | None,
    currency: int | None,
    due_on: date | None,
    words: str | None = None,
    tax: Tax | None = None,
) -> dict[str, Json]:
    """The values of one line of a move. ``currency`` is Tryton's id of that of the deal, where it is another.

    ``words`` stand before the facts of the line. ``tax`` is Tryton's of its code: its report counts the line as tax, or
    as what that is computed on, with the amount it has here.
    """
    values: dict[str, Json] = {
        "account": account.id,
        "debit": Decimal(line.debit),
        "credit": Decimal(line.credit),
        "description": " ".join(filter(None, (words, tag(line, with_party=not account.party_required)))),
    }
    if account.party_required:
        values["party"] = party
    if line.original is not None:
        values |= {"second_currency": currency, "amount_second_currency": Decimal(line.original)}
    if account.receivable and due_on is not None:
        values["maturity_date"] = due_on
    if tax is not None:
        counted = {"type": "tax" if line.role is Role.SALES_TAX else "base", "tax": tax.id, "amount": -amount_of(line)}
        values["tax_lines"] = [["create", [counted]]]
    return values


#: What has to be read of the lines of a move.
LINE_FIELDS = (
    "debit",
    "credit",
    "description",
    "maturity_date",
    "origin",
    "move",
    "reconciliation",
    "amount_second_currency",
    "second_currency.code",
    "account.code",
    "account.type",
    *(f"party.{name}" for name in marks.KEY_FIELDS),
)


def document_line(row: Mapping[str, Json], *, description: str | None, currency: str, receivable: bool) -> DocumentLine:
    """One line as Tryton holds it. ``currency`` is that of the books; ``description`` that of the line it came from."""
    told = read_tag(description)
    role = Role(told["role"]) if told.get("role") in set(Role) else (Role.RECEIVABLE if receivable else None)
    second = row.get("second_currency.")
    party = row.get("party.")
    return DocumentLine(
        account=row["account."]["code"],
        role=role,
        debit=plain(row["debit"], currency),
        credit=plain(row["credit"], currency),
        original=None if second is None else plain(row["amount_second_currency"] or Decimal(0), second["code"]),
        original_currency=None if second is None else second["code"],
        party=marks.named(party) if party else told.get("party"),
        product=told.get("product"),
        tax_code=told.get("tax_code"),
        processor=told.get("processor"),
    )
