"""What a ledger document is to Tryton: the fields a mapping may name, one taken apart, its values spelled out.
Guarantees that a native invoice is made only where Tryton's own arithmetic gives the very lines of the books.
Next: documents.py, which reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.charter import FieldType
from accordant.canonical.documents import DocumentLine, read_lines, spell_lines
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.tryton.lines import amount_of, move_line, tag
from accordant.connectors.tryton.lookups import Account, Company, unusable
from accordant.connectors.tryton.wire import Json
from accordant.kernel.errors import RejectedError

INVOICE, MOVE = "account.invoice", "account.move"
#: Where each object keeps our key; `account.move` has nothing but its description.
KEY_FIELD = {INVOICE: "reference", MOVE: "description"}
#: What a mapping may name of a document, and as what; ``description`` only of an invoice.
FIELDS: dict[str, FieldType] = {
    "company": FieldType.TEXT,
    "date": FieldType.DATE,
    "due_date": FieldType.DATE,
    "party": FieldType.LOOKUP,
    "currency": FieldType.TEXT,
    "description": FieldType.TEXT,
    "lines": FieldType.TEXT,
    "settles": FieldType.TEXT,
    "reverses": FieldType.TEXT,
    "state": FieldType.TEXT,
}
#: Only of the document that Tryton calls so.
OF_INVOICES = frozenset({"description"})
#: Without these there is no document.
NEEDED = ("company", "date", "currency", "lines")
_UNTAGGED = ("product", "tax_code", "processor")


class ValueUnreadable(RejectedError):
    """A value is not of the kind its field holds."""

    remedy = "Correct the mapping of this field."


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is wanted. ``day`` is that in the books, ``lines`` balance."""

    key: str
    company: str
    day: date
    currency: str
    lines: tuple[DocumentLine, ...]
    due_on: date | None = None
    party: str | None = None
    description: str | None = None
    settles: str | None = None
    reverses: str | None = None

    @property
    def parties(self) -> frozenset[str]:
        """Every customer that is named."""
        named = {line.party for line in self.lines} | {self.party}
        return frozenset(name for name in named if name is not None)


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """A document's fields as they come back. A due date that is the day itself is none. Raises ValueUnreadable."""
    found: dict[str, WireValue] = {}
    for name, value in fields.items():
        kind = FIELDS.get(name)
        if kind is None or name not in spec.fields or (name in OF_INVOICES and spec.name != INVOICE):
            raise ValueUnreadable(f"{spec.name} takes no field {name!r} from us; it takes {', '.join(FIELDS)}.")
        if value is not None and not isinstance(value, str):
            raise ValueUnreadable(f"{spec.name}.{name} is to be text, not {value!r}.")
        if kind is FieldType.DATE and value is not None:
            _day(name, value)
        found[name] = _spelled_again(value) if name == "lines" and value is not None else value
    if found.get("due_date") is not None and found.get("due_date") == found.get("date"):
        found["due_date"] = None
    return found


def desired(spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> Desired:
    """A document to be made. Raises Unusable where something is missing, ValueUnreadable."""
    known = canonical(spec, fields)
    for name in NEEDED:
        if known.get(name) is None:
            raise unusable("FIELD_MISSING", f"A document without {name!r} was not sent: map it in the charter.", name)
    text = {name: str(value) for name, value in known.items() if value is not None}
    return Desired(
        key=key,
        company=text["company"],
        day=_day("date", text["date"]),
        currency=text["currency"],
        lines=read_lines(text["lines"]),
        due_on=_day("due_date", text["due_date"]) if "due_date" in text else None,
        party=text.get("party"),
        description=text.get("description"),
        settles=text.get("settles"),
        reverses=text.get("reverses"),
    )


def is_native(document: Desired, company: Company, accounts: Mapping[str, Account]) -> bool:
    """Whether Tryton's own invoice posts the very lines of this document.

    It computes a foreign currency at its own rate, makes one line of the receivable without a word of ours, and takes
    only revenue and deposits on the lines. Anything else is written as the move that the invoice would have made.
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
    )


def _is_listed(line: DocumentLine, accounts: Mapping[str, Account]) -> bool:
    account = accounts[line.account]
    return not account.party_required and (line.role is Role.SALES_TAX or account.on_invoices)


def invoice_values(
    document: Desired,
    *,
    company: Company,
    accounts: Mapping[str, Account],
    party: Mapping[str, Json],
    currency: int,
    journal: int,
    numbered_on: date,
) -> dict[str, Json]:
    """The values of a native invoice of a customer; a credit note is one of less than nothing.

    ``numbered_on`` is the day by which Tryton numbers it, which is never before that of the number before.
    """
    owed = next(line for line in document.lines if line.role is Role.RECEIVABLE)
    others = [line for line in document.lines if line is not owed]
    taxes = [line for line in others if line.role is Role.SALES_TAX]
    listed = [line for line in others if line.role is not Role.SALES_TAX]
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
        "lines": [["create", [_invoice_line(line, company, accounts[line.account], currency) for line in listed]]],
        "taxes": [["create", [_invoice_tax(line, listed, accounts[line.account]) for line in taxes]]],
    }


def _invoice_line(line: DocumentLine, company: Company, account: Account, currency: int) -> dict[str, Json]:
    earned = -amount_of(line)
    return {
        "type": "line",
        "company": company.id,
        "currency": currency,
        "account": account.id,
        "quantity": 1 if earned >= 0 else -1,
        "unit_price": abs(earned),
        "description": tag(line, with_party=True),
    }


def _invoice_tax(line: DocumentLine, listed: Sequence[DocumentLine], account: Account) -> dict[str, Json]:
    taxed = [other for other in listed if other.tax_code == line.tax_code]
    return {
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
    journal: int,
    period: int,
    origin: str | None,
) -> dict[str, Json]:
    """The values of a move with the lines of a document. Raises Unusable for a receivable without a customer."""
    lines = []
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


def _spelled_again(text: str) -> str:
    try:
        return spell_lines(read_lines(text))
    except msgspec.DecodeError as error:
        raise ValueUnreadable(f"The lines of the document cannot be read: {error}.") from error


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueUnreadable(f"{name} is to be a day like 2026-03-14, not {text!r}.") from error
