"""What a ledger document is to Xero: which of its own documents posts the very lines of the books, and its values.
Guarantees that the choice is made before anything is sent, from the lines and the chart of accounts alone.
Next: documents.py, which reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from accordant.canonical.documents import DocumentLine
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk import ledger_native
from accordant.connectors.sdk.ledger_documents import OF_A_LINE, Desired, amount_of, facts_of, tag, unusable
from accordant.connectors.sdk.ledger_native import described, is_mere_payment, told_facts
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.lookups import Account

BILLS, ENTRIES = "Invoices", "ManualJournals"
#: Where each object of a mapping keeps our key.
KEY_FIELD = {BILLS: "InvoiceNumber", ENTRIES: "Narration"}


class Form(StrEnum):
    """A document of Xero's, by the name of its collection."""

    INVOICE = "Invoices"
    CREDIT_NOTE = "CreditNotes"
    PAYMENT = "Payments"
    JOURNAL = "ManualJournals"


#: Under which name each keeps its own id, and where it keeps our key.
ID_FIELD = {
    Form.INVOICE: "InvoiceID",
    Form.CREDIT_NOTE: "CreditNoteID",
    Form.PAYMENT: "PaymentID",
    Form.JOURNAL: "ManualJournalID",
}
NUMBER_FIELD = {
    Form.INVOICE: "InvoiceNumber",
    Form.CREDIT_NOTE: "CreditNoteNumber",
    Form.PAYMENT: "Reference",
    Form.JOURNAL: "Narration",
}


Shape: TypeAlias = ledger_native.Shape[Form]


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """A document's fields as they come back. Raises ValueUnreadable."""
    return ledger_native.canonical_document(spec, fields, bills=BILLS)


def shape_of(document: Desired, accounts: Mapping[str, Account]) -> Shape:
    """Which document of Xero's posts these lines.

    Xero lets nobody write to the account of what customers owe but its own documents, and to a bank account only a
    payment: what a customer owes more is an invoice, what he owes less a payment where that says it all, else a credit
    note; whatever touches neither is a journal. Raises Unusable where none of them can hold the lines.
    """
    owed = [line for line in document.lines if accounts[line.account].owed]
    others = tuple(line for line in document.lines if not accounts[line.account].owed)
    if len(owed) > 1:
        raise unusable(
            "SEVERAL_RECEIVABLES",
            "Xero takes one line of what a customer owes in a document, and this one has several.",
            "lines",
        )
    line = owed[0] if owed else None
    if line is not None and line.party is None and document.party is None:
        raise unusable("PARTY_MISSING", f"Xero takes no amount on {line.account} without a contact.", "lines")
    form = _form(document, line, others, accounts)
    if form is not Form.PAYMENT and (banks := [one.account for one in others if accounts[one.account].bank]):
        raise unusable(
            "BANK_ACCOUNT",
            f"Xero lets only payments and bank feeds write to the bank account {banks[0]}: map the role to an account "
            "of current assets that takes payments, and match the bank's own lines with that.",
            "lines",
        )
    return Shape(form=form, owed=line, others=others)


def _form(
    document: Desired, owed: DocumentLine | None, others: tuple[DocumentLine, ...], accounts: Mapping[str, Account]
) -> Form:
    if owed is None:
        return Form.JOURNAL
    if amount_of(owed) > 0:
        return Form.INVOICE
    pays = is_mere_payment(document, owed, others) and accounts[others[0].account].payable
    return Form.PAYMENT if pays else Form.CREDIT_NOTE


def told_of(object_name: str, document: Desired, shape: Shape) -> str:
    """What of a document has no field: its object, what it settles and cancels, and the facts of its owed line."""
    return tag(
        told_facts(
            document,
            of_bills=object_name == BILLS,
            made=shape.owed,
            tells_due=shape.form is not Form.INVOICE,
            is_journal=shape.form is Form.JOURNAL,
        )
    )


def bill_values(
    object_name: str, document: Desired, shape: Shape, *, contact: str, books_currency: str, tracking: str
) -> Row:
    """The values of an invoice or a credit note: in the currency of the books, with the amounts of the lines as they
    are. Xero would compute a foreign currency and every tax at its own rates; what was agreed stands in the lines.
    """
    sign = 1 if shape.form is Form.CREDIT_NOTE else -1
    values: Row = {
        "Type": "ACCRECCREDIT" if shape.form is Form.CREDIT_NOTE else "ACCREC",
        "Contact": {"ContactID": contact},
        "Date": document.day.isoformat(),
        "LineAmountTypes": "NoTax",
        "Status": "AUTHORISED",
        "CurrencyCode": books_currency,
        NUMBER_FIELD[shape.form]: document.key,
        "Reference": f"{document.description or ''} {told_of(object_name, document, shape)}".strip(),
        "LineItems": [_item(line, sign, tracking) for line in shape.others],
    }
    if shape.form is Form.INVOICE:
        values["DueDate"] = (document.due_on or document.day).isoformat()
    return values


def _item(line: DocumentLine, sign: int, tracking: str) -> Row:
    return {
        "Description": described(line),
        "Quantity": 1,
        "UnitAmount": sign * amount_of(line),
        "AccountCode": line.account,
        "TaxType": "NONE",
        **_tracked(line, tracking),
    }


def payment_values(object_name: str, document: Desired, shape: Shape, *, invoice: str) -> Row:
    """The values of a payment of an invoice; what it is of stands behind our key."""
    (money,) = shape.others
    told = {"of": None if object_name == BILLS else "entries", "customer": shape.party_in(document)}
    told |= facts_of(money, OF_A_LINE)
    return {
        "Invoice": {"InvoiceID": invoice},
        "Account": {"Code": money.account},
        "Date": document.day.isoformat(),
        "Amount": amount_of(money),
        "Reference": f"{document.key} {tag(told)}",
    }


def journal_values(object_name: str, document: Desired, shape: Shape, *, tracking: str) -> Row:
    """The values of a journal with the lines of a document."""
    return {
        "Narration": f"{document.key} {told_of(object_name, document, shape)}".strip(),
        "Date": document.day.isoformat(),
        "LineAmountTypes": "NoTax",
        "Status": "POSTED",
        "JournalLines": [
            {
                "LineAmount": amount_of(line),
                "AccountCode": line.account,
                "Description": described(line),
                "TaxType": "NONE",
                **_tracked(line, tracking),
            }
            for line in document.lines
        ],
    }


def _tracked(line: DocumentLine, tracking: str) -> Row:
    if not tracking or line.product is None:
        return {}
    return {"Tracking": [{"Name": tracking, "Option": line.product}]}
