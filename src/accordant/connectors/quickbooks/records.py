"""What a ledger document is to QuickBooks: which of its own documents posts the very lines, and its values.
Guarantees that the choice is made before anything is sent, from the lines and the chart of accounts alone.
Next: documents.py, which reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from accordant.canonical.documents import DocumentLine
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.quickbooks.lookups import Account
from accordant.connectors.sdk import ledger_native
from accordant.connectors.sdk.ledger_documents import OF_A_LINE, OUR_KEYS, Desired, amount_of, facts_of, tag, unusable
from accordant.connectors.sdk.ledger_native import described, is_mere_payment, told_facts
from accordant.connectors.sdk.plain_json import Json, Row

BILLS, ENTRIES = "Invoice", "JournalEntry"
#: Where each object of a mapping keeps our key.
KEY_FIELD = {BILLS: "DocNumber", ENTRIES: "DocNumber"}
NUMBER_CHARS_MAX = 21
_NO_TAX = "NON"
#: What sets a credit against an invoice has a number of its own: that of the credit behind this.
_LINK = "="


class Form(StrEnum):
    """A document of QuickBooks, by the name of its entity."""

    INVOICE = "Invoice"
    CREDIT_MEMO = "CreditMemo"
    PAYMENT = "Payment"
    JOURNAL = "JournalEntry"


NUMBER_FIELD = {
    Form.INVOICE: "DocNumber",
    Form.CREDIT_MEMO: "DocNumber",
    Form.PAYMENT: "PaymentRefNum",
    Form.JOURNAL: "DocNumber",
}


Shape: TypeAlias = ledger_native.Shape[Form]


def number_of(key: str) -> str:
    """A key as a number of 21 characters: a hundred bits of an entry's id; the whole stands in the private note."""
    return key.removeprefix(OUR_KEYS)[:NUMBER_CHARS_MAX]


def link_number(key: str) -> str:
    """The number of the payment of nothing that sets a credit against an invoice."""
    return f"{_LINK}{number_of(key)}"[:NUMBER_CHARS_MAX]


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """A document's fields as they come back. Raises ValueUnreadable."""
    return ledger_native.canonical_document(spec, fields, bills=BILLS)


def shape_of(document: Desired, accounts: Mapping[str, Account], *, owed_number: str, currency: str) -> Shape:
    """Which document of QuickBooks posts these lines.

    A sales document posts by services, so that every account of its lines needs one; it makes the line of what is owed
    by itself, on one account, in the currency of the customer. A payment says all of a payment. Whatever does not come
    out equal that way is a journal, which may write to what is owed where it names the customer. Raises Unusable.
    """
    owed = [line for line in document.lines if accounts[line.account].owed]
    others = tuple(line for line in document.lines if not accounts[line.account].owed)
    if any(line.party is None and document.party is None for line in owed):
        raise unusable("PARTY_MISSING", f"QuickBooks takes no amount on {owed[0].account} without a customer.", "lines")
    if len({line.account for line in owed}) > 1:
        raise unusable("SEVERAL_RECEIVABLES", "QuickBooks takes one account of receivables in a document.", "lines")
    single = owed[0] if len(owed) == 1 else None
    form = Form.JOURNAL
    if single is not None and single.account == owed_number and document.currency == currency:
        form = _form(document, single, others, accounts)
    return Shape(form=form, owed=single, others=others)


def _form(
    document: Desired, owed: DocumentLine, others: tuple[DocumentLine, ...], accounts: Mapping[str, Account]
) -> Form:
    if is_mere_payment(document, owed, others) and accounts[others[0].account].money:
        return Form.PAYMENT
    if any(accounts[line.account].item is None for line in others):
        return Form.JOURNAL
    return Form.INVOICE if amount_of(owed) > 0 else Form.CREDIT_MEMO


def note_of(object_name: str, document: Desired, shape: Shape) -> str:
    """The private note: our key, and what of a document has no field of its own."""
    facts = told_facts(
        document,
        of_bills=object_name == BILLS,
        made=shape.owed if shape.form in {Form.INVOICE, Form.CREDIT_MEMO} else None,
        tells_due=shape.form is not Form.INVOICE,
        is_journal=shape.form is Form.JOURNAL,
    )
    if shape.form is Form.PAYMENT:
        facts |= facts_of(shape.others[0], OF_A_LINE)
    return f"{document.key} {tag(facts)}".strip()


def sales_values(
    object_name: str, document: Desired, shape: Shape, *, customer: str, accounts: Mapping[str, Account]
) -> Row:
    """The values of an invoice or a credit memo, with the amounts of the lines as they are and no tax code."""
    sign = 1 if shape.form is Form.CREDIT_MEMO else -1
    values: Row = {
        "DocNumber": number_of(document.key),
        "TxnDate": document.day.isoformat(),
        "CustomerRef": {"value": customer},
        "PrivateNote": note_of(object_name, document, shape),
        "GlobalTaxCalculation": "NotApplicable",
        "Line": [
            {
                "DetailType": "SalesItemLineDetail",
                "Amount": sign * amount_of(line),
                "Description": described(line),
                "SalesItemLineDetail": {
                    "ItemRef": {"value": accounts[line.account].item},
                    "TaxCodeRef": {"value": _NO_TAX},
                },
            }
            for line in shape.others
        ],
    }
    if document.description is not None:
        values["CustomerMemo"] = {"value": document.description}
    if shape.form is Form.INVOICE:
        values["DueDate"] = (document.due_on or document.day).isoformat()
    return values


def payment_values(
    object_name: str,
    document: Desired,
    shape: Shape,
    *,
    customer: str,
    invoice: str,
    accounts: Mapping[str, Account],
) -> Row:
    """The values of a payment of an invoice."""
    (money,) = shape.others
    paid = amount_of(money)
    return {
        "PaymentRefNum": number_of(document.key),
        "TxnDate": document.day.isoformat(),
        "CustomerRef": {"value": customer},
        "TotalAmt": paid,
        "DepositToAccountRef": {"value": accounts[money.account].id},
        "PrivateNote": note_of(object_name, document, shape),
        "Line": [{"Amount": paid, "LinkedTxn": [{"TxnId": invoice, "TxnType": "Invoice"}]}],
    }


def journal_values(
    object_name: str, document: Desired, shape: Shape, *, customers: Mapping[str, str], accounts: Mapping[str, Account]
) -> Row:
    """The values of a journal with the lines of a document; a line on what is owed names its customer."""
    return {
        "DocNumber": number_of(document.key),
        "TxnDate": document.day.isoformat(),
        "PrivateNote": note_of(object_name, document, shape),
        "Line": [_journal_line(line, document, customers, accounts) for line in document.lines],
    }


def _journal_line(
    line: DocumentLine, document: Desired, customers: Mapping[str, str], accounts: Mapping[str, Account]
) -> Row:
    value, account = amount_of(line), accounts[line.account]
    detail: Json = {
        "PostingType": "Debit" if value >= 0 else "Credit",
        "AccountRef": {"value": account.id},
    }
    if account.owed:
        party = customers[str(line.party or document.party)]
        detail["Entity"] = {"Type": "Customer", "EntityRef": {"value": party}}
    return {
        "DetailType": "JournalEntryLineDetail",
        "Amount": abs(value),
        "Description": described(line),
        "JournalEntryLineDetail": detail,
    }


def link_values(
    key: str, *, customer: str, on: str, share: Decimal, invoice: str, credit: str, credit_type: str
) -> Row:
    """The values of a payment of nothing that sets a credit against an invoice."""
    linked = ((invoice, "Invoice"), (credit, credit_type))
    return {
        "PaymentRefNum": link_number(key),
        "TxnDate": on,
        "CustomerRef": {"value": customer},
        "TotalAmt": 0,
        "PrivateNote": f"Sets {key} against its invoice.",
        "Line": [{"Amount": share, "LinkedTxn": [{"TxnId": one, "TxnType": kind}]} for one, kind in linked],
    }
