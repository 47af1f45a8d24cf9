"""The books of Xero's stand-in: contacts, documents, and a ledger of its own that every document is posted to.
Guarantees that it refuses what Xero refuses, in Xero's words, and that its trial balance comes from its own postings.
Next: simulator.py, which answers calls with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.wire import day

PLACES = Decimal("0.01")
DEBTORS = "DEBTORS"
#: Under which name each collection keeps its own id, and what became of a record.
ID_FIELD = {
    "Accounts": "AccountID",
    "Contacts": "ContactID",
    "Invoices": "InvoiceID",
    "CreditNotes": "CreditNoteID",
    "Payments": "PaymentID",
    "ManualJournals": "ManualJournalID",
}
STATUS_FIELD = dict.fromkeys(ID_FIELD, "Status") | {"Contacts": "ContactStatus"}
#: What may be done to a document that stands, of all that its status could be changed to.
_TAKEN_BACK = {"Invoices": "VOIDED", "CreditNotes": "VOIDED", "ManualJournals": "VOIDED", "Payments": "DELETED"}
#: What callers send along though it is Xero's to say.
_READ_ONLY = frozenset({"HasAttachments", "HasErrors"})
_ALIVE = frozenset({"AUTHORISED", "PAID", "POSTED"})
_LOCKED = "The document date cannot be before the organisation's lock date"


class Refused(Exception):
    """A refusal; the sentences of one element."""

    def __init__(self, *sentences: str, kind: str = "ValidationException") -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences
        self.kind = kind


class Books:
    """One organisation. ``now`` is its clock; ids follow from ``seed`` and are the same in every run."""

    def __init__(self, now: Callable[[], datetime], *, currency: str = "EUR", seed: str = "xero") -> None:
        self.now = now
        self.currency = currency
        self.lock_date: date | None = None
        self.accounts: dict[str, Row] = {}
        self.tracking: dict[str, list[str]] = {}
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in ID_FIELD}
        self.changed: dict[str, datetime] = {}
        self.made: list[tuple[str, str]] = []
        self._seed = seed
        self._count = 0

    # -- setting up, and people ----------------------------------------------------------------------------------------

    def add_account(self, code: str, name: str, kind: str = "CURRENT", *, payments: bool = False) -> None:
        """An account; ``kind`` is Xero's type, or DEBTORS for the system account of what customers owe."""
        one = self.new_id()
        self.accounts[code] = self.tables["Accounts"][one] = {
            "AccountID": one,
            "Code": code,
            "Name": name,
            "Type": "CURRENT" if kind == DEBTORS else kind,
            "Status": "ACTIVE",
            "EnablePaymentsToAccount": payments,
            "SystemAccount": kind if kind == DEBTORS else "",
        }

    def take_back(self, table: str, one: str) -> None:
        """A person voids or deletes a document. Raises Refused where Xero does not let them."""
        row = self.tables[table][one]
        if table == "Payments":
            row["Status"] = "DELETED"
            self._settle(self.tables["Invoices"][row["Invoice"]["InvoiceID"]], -row["Amount"])
        else:
            if row.get("AmountPaid") or row.get("AmountCredited") or row.get("Allocations"):
                raise Refused("This document cannot be voided as it has payments or credits applied to it")
            row["Status"] = "VOIDED"
            for name in ("AmountDue", "RemainingCredit"):
                if name in row:
                    row[name] = Decimal(0)
        self.touch(row, one)

    def touch(self, row: Row, one: str) -> None:
        """Note that a record was changed now."""
        at = self.now()
        self.changed[one] = at
        row["UpdatedDateUTC"] = spelled(at)

    def new_id(self) -> str:
        """The next id."""
        self._count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._seed}/{self._count}"))

    # -- the ledger ----------------------------------------------------------------------------------------------------

    def trial_balance(self) -> dict[str, Decimal]:
        """Account -> debits less credits, out of the documents that stand; accounts at zero are left out."""
        totals: dict[str, Decimal] = {}
        for table in ("Invoices", "CreditNotes", "Payments", "ManualJournals"):
            for row in self.tables[table].values():
                if row["Status"] in _ALIVE:
                    for code, value in self._postings(table, row):
                        totals[code] = totals.get(code, Decimal(0)) + value
        return {code: value for code, value in totals.items() if value}

    def owed(self) -> dict[str, Decimal]:
        """What each contact owes by its number: what is open, less credits that are not used."""
        found: dict[str, Decimal] = {}
        for table, name, sign in (("Invoices", "AmountDue", 1), ("CreditNotes", "RemainingCredit", -1)):
            for row in self.tables[table].values():
                if row["Status"] in _ALIVE:
                    number = self.tables["Contacts"][row["Contact"]["ContactID"]]["ContactNumber"]
                    found[number] = found.get(number, Decimal(0)) + sign * row[name]
        return found

    def _postings(self, table: str, row: Row) -> list[tuple[str, Decimal]]:
        debtors = self.debtors()
        if table == "ManualJournals":
            return [(line["AccountCode"], line["LineAmount"]) for line in row["JournalLines"]]
        if table == "Payments":
            return [(row["Account"]["Code"], row["Amount"]), (debtors, -row["Amount"])]
        sign = 1 if table == "Invoices" else -1
        return [
            (debtors, sign * row["Total"]),
            *((i["AccountCode"], -sign * i["LineAmount"]) for i in row["LineItems"]),
        ]

    def debtors(self) -> str:
        """The code of the account of what customers owe."""
        return next(code for code, row in self.accounts.items() if row["SystemAccount"] == DEBTORS)

    # -- writing -------------------------------------------------------------------------------------------------------

    def put_contact(self, given: Row, one: str | None = None) -> Row:
        """Make or change a contact. Raises Refused."""
        table = self.tables["Contacts"]
        row = dict(table[one]) if one is not None else {"ContactStatus": "ACTIVE", "Addresses": []}
        row |= given
        name, number = str(row.get("Name") or "").strip(), row.get("ContactNumber")
        if not name:
            raise Refused("The contact name is mandatory")
        for other, held in table.items():
            if other != one and held["ContactStatus"] == "ACTIVE" and held["Name"].casefold() == name.casefold():
                raise Refused(
                    f"The contact name {name} is already assigned to another contact. "
                    "The contact name must be unique across all active contacts."
                )
            if other != one and number and held["ContactStatus"] == "ACTIVE" and held.get("ContactNumber") == number:
                raise Refused(f"The contact number {number} is already assigned to another contact.")
        one = one or self.new_id()
        row["ContactID"] = one
        table[one] = row
        self._noted("Contacts", one, row)
        self.show_contact(one, row)
        return row

    def show_contact(self, one: str, contact: Row) -> None:
        """Have every document of a contact show another contact, or the same as it is now."""
        for table in ("Invoices", "CreditNotes"):
            for row in self.tables[table].values():
                if row["Contact"]["ContactID"] == one:
                    row["Contact"] = {name: contact.get(name) for name in ("ContactID", "ContactNumber", "Name")}

    def put_bill(self, table: str, given: Row) -> Row:
        """Make an invoice or a credit note of a customer. Raises Refused."""
        number_field = "InvoiceNumber" if table == "Invoices" else "CreditNoteNumber"
        wanted = "ACCREC" if table == "Invoices" else "ACCRECCREDIT"
        if given.get("Type") != wanted:
            raise Refused(f"The document type {given.get('Type')} is not valid")
        on = self._open_day(given)
        contact = self.tables["Contacts"].get((given.get("Contact") or {}).get("ContactID", ""))
        if contact is None:
            raise Refused("The contact could not be found")
        number = given.get(number_field)
        if any(row[number_field] == number and row["Status"] in _ALIVE for row in self.tables[table].values()):
            raise Refused(f"{'Invoice' if table == 'Invoices' else 'Credit Note'} # must be unique.")
        if given.get("CurrencyCode", self.currency) != self.currency:
            raise Refused("Organisation is not subscribed to currency " + str(given.get("CurrencyCode")))
        items = [self._item(one) for one in given.get("LineItems") or []]
        total = sum((one["LineAmount"] for one in items), Decimal(0))
        if not items or total < 0:
            raise Refused("The document total must not be negative, and it must have a line item")
        due = day(given.get("DueDate"))
        if table == "Invoices" and due is None:
            raise Refused("The DueDate is required for an authorised invoice")
        one = self.new_id()
        open_field = "AmountDue" if table == "Invoices" else "RemainingCredit"
        row: Row = {
            **{name: given.get(name) for name in ("Type", "LineAmountTypes", "Reference", number_field)},
            "InvoiceID" if table == "Invoices" else "CreditNoteID": one,
            "Contact": {name: contact.get(name) for name in ("ContactID", "ContactNumber", "Name")},
            "Date": spelled_day(on),
            "DateString": f"{on.isoformat()}T00:00:00",
            "Status": given.get("Status", "DRAFT"),
            "CurrencyCode": self.currency,
            "CurrencyRate": Decimal(1),
            "LineItems": items,
            "SubTotal": total,
            "TotalTax": Decimal(0),
            "Total": total,
            open_field: total,
        }
        if due is not None:
            row |= {"DueDate": spelled_day(due), "AmountPaid": Decimal(0), "AmountCredited": Decimal(0)}
        self.tables[table][one] = row
        self._noted(table, one, row)
        return row

    def put_payment(self, given: Row) -> Row:
        """Pay an invoice. Raises Refused."""
        on = self._open_day(given)
        invoice = self.tables["Invoices"].get((given.get("Invoice") or {}).get("InvoiceID", ""))
        if invoice is None or invoice["Status"] != "AUTHORISED":
            raise Refused("The invoice could not be found, or is not of valid status for payments")
        code = (given.get("Account") or {}).get("Code")
        account = self.accounts.get(code or "")
        if account is None or not (account["EnablePaymentsToAccount"] or account["Type"] == "BANK"):
            raise Refused(f"Account code {code} is not a valid account for payments")
        value = rounded(given.get("Amount"))
        if value <= 0 or value > invoice["AmountDue"]:
            raise Refused("Payment amount exceeds the amount outstanding on this document")
        one = self.new_id()
        row: Row = {
            "PaymentID": one,
            "Invoice": {name: invoice[name] for name in ("InvoiceID", "InvoiceNumber", "Type", "Contact")},
            "Account": {"AccountID": account["AccountID"], "Code": code},
            "Date": spelled_day(on),
            "Amount": value,
            "Reference": given.get("Reference"),
            "Status": "AUTHORISED",
            "PaymentType": "ACCRECPAYMENT",
            "CurrencyRate": Decimal(1),
        }
        self.tables["Payments"][one] = row
        self._settle(invoice, value)
        self._noted("Payments", one, row)
        return row

    def change(self, table: str, one: str, given: Row) -> Row:
        """Void or delete a document, or edit one that nothing is set against yet. Raises Refused."""
        row = self.tables[table].get(one)
        if row is None:
            raise Refused(f"The {table} with id {one} could not be found")
        if row["Status"] not in _ALIVE:
            raise Refused(f"The document is not of valid status for modification: {row['Status']}")
        self._check_lock(day(row.get("Date")))
        wanted = given.get("Status", row["Status"])
        if wanted == _TAKEN_BACK[table]:
            self.take_back(table, one)
            return row
        if wanted != row["Status"]:
            raise Refused(f"Invoice not of valid status for modification: {row['Status']} to {wanted}")
        if fixed := given.keys() - {ID_FIELD[table], "Status", "DueDate", "Reference", "LineItems"} - _READ_ONLY:
            raise Refused(f"This stand-in changes no {min(fixed)} of a document that is approved")
        if (due := day(given.get("DueDate"))) is not None:
            row["DueDate"] = spelled_day(due)
        row["Reference"] = given.get("Reference", row.get("Reference"))
        if given.get("LineItems"):
            self._change_items(table, row, given["LineItems"])
        self.touch(row, one)
        return row

    def _change_items(self, table: str, row: Row, given: list[Row]) -> None:
        if row.get("AmountPaid") or row.get("AmountCredited") or row.get("Allocations"):
            raise Refused("This document cannot be edited as it has a payment or credit note allocated to it.")
        items = [self._item(one) for one in given]
        total = sum((one["LineAmount"] for one in items), Decimal(0))
        if total < 0:
            raise Refused("The document total must not be negative")
        row |= {"LineItems": items, "SubTotal": total, "Total": total}
        row["AmountDue" if table == "Invoices" else "RemainingCredit"] = total

    def put_journal(self, given: Row) -> Row:
        """Make a manual journal. Raises Refused."""
        on = self._open_day(given)
        if not given.get("Narration"):
            raise Refused("Narration is required")
        lines = []
        for line in given.get("JournalLines") or []:
            self._check_code(line.get("AccountCode"))
            lines.append({**line, "LineAmount": rounded(line.get("LineAmount")), "TaxType": "NONE"})
        if len(lines) < 2 or sum((line["LineAmount"] for line in lines), Decimal(0)):
            raise Refused("The total debits must equal the total credits: the journal does not balance")
        one = self.new_id()
        row: Row = {
            "ManualJournalID": one,
            "Narration": given["Narration"],
            "Date": spelled_day(on),
            "Status": given.get("Status", "DRAFT"),
            "LineAmountTypes": "NoTax",
            "JournalLines": lines,
        }
        self.tables["ManualJournals"][one] = row
        self._noted("ManualJournals", one, row)
        return row

    def allocate(self, credit_id: str, given: Row) -> Row:
        """Set a credit note against an invoice. Raises Refused."""
        credit = self.tables["CreditNotes"].get(credit_id)
        invoice = self.tables["Invoices"].get((given.get("Invoice") or {}).get("InvoiceID", ""))
        if credit is None or invoice is None:
            raise Refused("The credit note or the invoice could not be found")
        value, on = rounded(given.get("Amount")), self._open_day(given)
        if value <= 0 or value > credit["RemainingCredit"] or value > invoice["AmountDue"]:
            raise Refused("The allocation amount is greater than the amount outstanding")
        credit["RemainingCredit"] -= value
        done: Row = {
            "AllocationID": self.new_id(),
            "Amount": value,
            "Date": spelled_day(on),
            "Invoice": {name: invoice[name] for name in ("InvoiceID", "InvoiceNumber")},
        }
        credit.setdefault("Allocations", []).append(done)
        credit["Status"] = "PAID" if not credit["RemainingCredit"] else "AUTHORISED"
        self._settle(invoice, value, name="AmountCredited")
        self.touch(credit, credit_id)
        self.made.append(("Allocations", credit_id))
        return done

    # -- checks --------------------------------------------------------------------------------------------------------

    def _noted(self, table: str, one: str, row: Row) -> None:
        self.made.append((table, one))
        self.touch(row, one)

    def _settle(self, invoice: Row, value: Decimal, *, name: str = "AmountPaid") -> None:
        invoice[name] += value
        invoice["AmountDue"] -= value
        invoice["Status"] = "AUTHORISED" if invoice["AmountDue"] else "PAID"
        self.touch(invoice, invoice["InvoiceID"])

    def _open_day(self, given: Row) -> date:
        on = day(given.get("Date"))
        if on is None:
            raise Refused("The Date is required")
        self._check_lock(on)
        return on

    def _check_lock(self, on: date | None) -> None:
        if self.lock_date is not None and on is not None and on <= self.lock_date:
            raise Refused(_LOCKED)

    def _item(self, given: Row) -> Row:
        self._check_code(given.get("AccountCode"))
        if not given.get("Description"):
            raise Refused("Description is required")
        value = rounded(Decimal(given.get("Quantity", 1)) * Decimal(given.get("UnitAmount", 0)))
        for track in given.get("Tracking") or []:
            if track.get("Option") not in self.tracking.get(track.get("Name"), ()):
                raise Refused("The tracking option could not be found")
        return {**given, "LineItemID": self.new_id(), "LineAmount": value, "TaxAmount": Decimal(0)}

    def _check_code(self, code: Any) -> None:
        account = self.accounts.get(code or "")
        if account is None or account["SystemAccount"] or account["Type"] == "BANK":
            raise Refused(f"Account code '{code}' is not a valid code for this document.")


def rounded(value: Any) -> Decimal:
    """Two places, half up, as the vendor keeps amounts. Raises Refused."""
    try:
        return Decimal(value).quantize(PLACES, ROUND_HALF_UP)
    except (TypeError, InvalidOperation):
        raise Refused("The amount must be a number") from None


def spelled(at: datetime) -> str:
    """An instant in .NET's spelling, to the millisecond."""
    return f"/Date({int(at.timestamp() * 1000)}+0000)/"


def spelled_day(on: date) -> str:
    """A day in .NET's spelling: its midnight in UTC."""
    return spelled(datetime(on.year, on.month, on.day, tzinfo=UTC))
