"""The books of QuickBooks' stand-in: lists and transactions, and a ledger of its own that each is posted to.
Guarantees that it refuses what QuickBooks refuses, by its codes, and sums up its own postings.
Next: simulator.py, which answers calls with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from accordant.connectors.quickbooks.wire import day
from accordant.connectors.sdk.plain_json import Row

PLACES = Decimal("0.01")
OWED = "Accounts Receivable"
NUMBER_CHARS_MAX = 21
#: So many customers may stand above one.
LEVELS_BELOW = 4
TRANSACTIONS = ("Invoice", "CreditMemo", "Payment", "JournalEntry")
#: What callers send along though it is the vendor's to say.
_READ_ONLY = frozenset(
    {"sparse", "SyncToken", "MetaData", "domain", "Balance", "BalanceWithJobs", "RemainingCredit", "UnappliedAmt"}
)
_NUMBER = {"Payment": "PaymentRefNum"}


class Refused(Exception):
    """A refusal, by its code."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail or message


class Books:
    """One company. ``now`` is its clock."""

    def __init__(self, now: Callable[[], datetime], *, currency: str = "EUR") -> None:
        self.now = now
        self.currency = currency
        self.closed_until: date | None = None
        self.tables: dict[str, dict[str, Row]] = {
            name: {} for name in ("Account", "Item", "Customer", "Preferences", *TRANSACTIONS)
        }
        self.deleted: list[tuple[str, Row]] = []
        self.made: list[tuple[str, str]] = []
        self._count = 0
        self._keep("Preferences", {"CurrencyPrefs": {"HomeCurrency": {"value": currency}}})

    # -- setting up, and people ----------------------------------------------------------------------------------------

    def add_account(self, number: str, name: str, kind: str, *, service: bool = False) -> None:
        """An account of a type of QuickBooks', and a service that posts to it, named by its number."""
        account = self._keep("Account", {"AcctNum": number, "Name": name, "AccountType": kind, "Active": True})
        if service:
            item = {"Name": number, "Type": "Service", "Active": True, "IncomeAccountRef": {"value": account["Id"]}}
            self._keep("Item", item)

    def void(self, entity: str, one: str) -> None:
        """A person voids a transaction: it stays, with nothing in it."""
        row = self.tables[entity][one]
        self._unlink(row)
        row["PrivateNote"] = "Voided"
        row |= {name: Decimal(0) for name in ("TotalAmt", "Balance", "RemainingCredit") if name in row}
        for line in row["Line"]:
            line["Amount"] = Decimal(0)
        self.touch(row)

    def delete(self, entity: str, one: str) -> None:
        """A person deletes a transaction: nothing of it is left but the line in the changes."""
        row = self.tables[entity].pop(one)
        self._unlink(row)
        stamp = {"LastUpdatedTime": self.now().isoformat()}
        self.deleted.append((entity, {"Id": one, "status": "Deleted", "domain": "QBO", "MetaData": stamp}))

    def touch(self, row: Row) -> None:
        """Note that a record was changed now: its token is another one."""
        row["SyncToken"] = str(int(row.get("SyncToken", "-1")) + 1)
        row.setdefault("MetaData", {"CreateTime": self.now().isoformat()})["LastUpdatedTime"] = self.now().isoformat()

    # -- the ledger ----------------------------------------------------------------------------------------------------

    def trial_balance(self) -> dict[str, Decimal]:
        """Number of an account -> debits less credits, out of what stands; accounts at zero are left out."""
        totals: dict[str, Decimal] = {}
        for entity in TRANSACTIONS:
            for row in self.tables[entity].values():
                for account, value, _ in self._postings(entity, row):
                    number = self.tables["Account"][account]["AcctNum"]
                    totals[number] = totals.get(number, Decimal(0)) + value
        return {number: value for number, value in totals.items() if value}

    def owed(self) -> dict[str, Decimal]:
        """What each customer owes by QuickBooks' id, out of the postings."""
        found: dict[str, Decimal] = {}
        for entity in TRANSACTIONS:
            for row in self.tables[entity].values():
                for account, value, customer in self._postings(entity, row):
                    if self._is_owed(account) and customer is not None:
                        found[customer] = found.get(customer, Decimal(0)) + value
        return found

    def sum_up(self) -> None:
        """Have every customer show what is owed, as the vendor keeps it."""
        owed = self.owed()
        customers = self.tables["Customer"]
        for one, row in customers.items():
            row["Balance"] = row["BalanceWithJobs"] = owed.get(one, Decimal(0))
        for row in sorted(customers.values(), key=lambda row: -int(row.get("Level") or 0)):
            if (parent := (row.get("ParentRef") or {}).get("value")) in customers:
                customers[parent]["BalanceWithJobs"] += row["BalanceWithJobs"]

    def _postings(self, entity: str, row: Row) -> list[tuple[str, Decimal, str | None]]:
        if entity == "JournalEntry":
            return [_posting(line) for line in row["Line"]]
        customer, total = row["CustomerRef"]["value"], row["TotalAmt"]
        owed = next(one for one in self.tables["Account"] if self._is_owed(one))
        if entity == "Payment":
            if not total:
                return []
            return [(row["DepositToAccountRef"]["value"], total, None), (owed, -total, customer)]
        sign = 1 if entity == "Invoice" else -1
        sales: list[tuple[str, Decimal, str | None]] = [(owed, sign * total, customer)]
        for line in _sold(row):
            item = self.tables["Item"][line["SalesItemLineDetail"]["ItemRef"]["value"]]
            sales.append((item["IncomeAccountRef"]["value"], -sign * line["Amount"], None))
        return sales

    def _is_owed(self, account: str) -> bool:
        return bool(self.tables["Account"][account]["AccountType"] == OWED)

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(self, entity: str, given: Row) -> Row:
        """Make a record, or change the one whose id is given: sparsely, or as a whole. Raises Refused."""
        held = self._held(entity, given)
        told = {name: value for name, value in given.items() if name not in _READ_ONLY}
        if held is not None and given.get("sparse") is True:
            row = {**held, **told}
        else:  # what is not said is not there, also where there was something
            kept = {} if held is None else {name: held[name] for name in ("Id", "SyncToken", "MetaData")}
            row = kept | {name: value for name, value in told.items() if value not in ("", None)}
        if entity == "Customer":
            row.setdefault("Active", True)
            self._check_name(row)
            self._place(row)
            return self._kept(entity, row)
        if entity not in TRANSACTIONS:
            raise Refused("500", "Unsupported Operation", f"Operation on {entity} is not supported")
        self._check_transaction(entity, row)
        paid = Decimal(0) if held is None else held["TotalAmt"] - held.get("Balance", held["TotalAmt"])
        if entity == "JournalEntry":
            self._check_journal(row)
        elif entity == "Payment":
            if held is not None:
                self._unlink(held)
            self._pay(row)
        else:
            self._sell(entity, row, paid)
        return self._kept(entity, row)

    def cancel(self, entity: str, given: Row) -> Row:
        """Void a transaction. Raises Refused."""
        held = self._held(entity, given)
        if held is None or entity not in {"Invoice", "Payment"}:
            raise Refused("500", "Unsupported Operation", f"Operation void on {entity} is not supported")
        self._check_open(held)
        self.void(entity, held["Id"])
        return held

    def remove(self, entity: str, given: Row) -> Row:
        """Delete a transaction. Raises Refused."""
        held = self._held(entity, given)
        if held is None or entity not in TRANSACTIONS:
            raise Refused("500", "Unsupported Operation", f"Operation delete on {entity} is not supported")
        self._check_open(held)
        self.delete(entity, held["Id"])
        return {"Id": held["Id"], "status": "Deleted", "domain": "QBO"}

    def _held(self, entity: str, given: Row) -> Row | None:
        if "Id" not in given:
            return None
        held = self.tables[entity].get(given["Id"])
        if held is None:
            raise Refused("610", "Object Not Found", "Something you're trying to use has been made inactive.")
        if str(given.get("SyncToken")) != held["SyncToken"]:
            raise Refused("5010", "Stale Object Error", "You and another user were working on this at the same time.")
        return held

    def _check_name(self, row: Row) -> None:
        name = str(row.get("DisplayName") or "")
        if not name or ":" in name:
            raise Refused("2020", "Required parameter DisplayName is missing in the request, or it holds a colon")
        for other in self.tables["Customer"].values():
            if other["Id"] != row.get("Id") and other["DisplayName"].casefold() == name.casefold():
                raise Refused("6240", "Duplicate Name Exists Error", "The name supplied already exists.")

    def _place(self, row: Row) -> None:
        """Where a customer stands below another, up to four levels below the top. Raises Refused."""
        above, names = row, [row["DisplayName"]]
        while (parent := (above.get("ParentRef") or {}).get("value")) is not None:
            found = self.tables["Customer"].get(parent)
            if found is None or not found["Active"]:
                raise Refused("2500", "Invalid Reference Id", "ParentRef")
            if parent == row.get("Id") or len(names) > LEVELS_BELOW:
                raise Refused("6000", "A business validation error has occurred", "The parent cannot be its own child, "
                              f"and a customer has at most {LEVELS_BELOW} above it.")  # fmt: skip
            names.append(found["DisplayName"])
            above = found
        row |= {"Job": len(names) > 1, "Level": len(names) - 1, "FullyQualifiedName": ":".join(reversed(names))}

    def _check_transaction(self, entity: str, given: Row) -> None:
        field = _NUMBER.get(entity, "DocNumber")
        number = given.get(field)
        if number is not None and len(number) > NUMBER_CHARS_MAX:
            raise Refused("2050", "Invalid String Length", f"{field} is longer than {NUMBER_CHARS_MAX}")
        self._check_open(given)
        if number is not None and any(
            row.get(field) == number and row["Id"] != given.get("Id") for row in self.tables[entity].values()
        ):
            raise Refused("6140", "Duplicate Document Number Error", "You must specify a different number.")
        if entity != "JournalEntry" and self.tables["Customer"].get(given["CustomerRef"]["value"]) is None:
            raise Refused("2500", "Invalid Reference Id", "CustomerRef")

    def _check_open(self, row: Row) -> None:
        on = day(row.get("TxnDate"))
        if self.closed_until is not None and on is not None and on <= self.closed_until:
            detail = f"The account period has closed; the books cannot be updated through {self.closed_until}"
            raise Refused("6210", "Account Period Closed", detail)

    def _check_journal(self, row: Row) -> None:
        total = Decimal(0)
        for line in row["Line"]:
            line["Amount"] = rounded(line.get("Amount"))
            detail = line["JournalEntryLineDetail"]
            account = detail["AccountRef"]["value"]
            if account not in self.tables["Account"]:
                raise Refused("2500", "Invalid Reference Id", "AccountRef")
            if line["Amount"] < 0:
                raise Refused("2170", "Invalid Enumeration", "Amount has to be positive")
            if self._is_owed(account) and "Entity" not in detail:
                raise Refused("6000", "A business validation error has occurred", "When you use Accounts Receivable, "
                              "you must choose a customer in the Name field.")  # fmt: skip
            total += _posting(line)[1]
        if total or len(row["Line"]) < 2:
            raise Refused("6000", "A business validation error has occurred", "The transaction is out of balance.")
        row["TotalAmt"] = Decimal(0)

    def _sell(self, entity: str, row: Row, paid: Decimal) -> None:
        total, lines = Decimal(0), _sold(row)
        for number, line in enumerate(lines, start=1):
            line |= {"Id": str(number), "LineNum": number, "Amount": rounded(line.get("Amount"))}
            if line["SalesItemLineDetail"]["ItemRef"]["value"] not in self.tables["Item"]:
                raise Refused("2500", "Invalid Reference Id", "ItemRef")
            total += line["Amount"]
        if total < 0:
            raise Refused("6000", "A business validation error has occurred", "The amount has to be zero or greater.")
        if total < paid:
            raise Refused("6000", "A business validation error has occurred", "The amount is less than what was paid.")
        row["Line"] = [*lines, {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}]
        row |= {"TotalAmt": total, "Balance": total - paid}
        if entity == "CreditMemo":
            row["RemainingCredit"] = row["Balance"]

    def _pay(self, row: Row) -> None:
        row["TotalAmt"] = rounded(row.get("TotalAmt"))
        linked = Decimal(0)
        plan = []
        for line in row["Line"]:
            line["Amount"] = rounded(line.get("Amount"))
            (link,) = line["LinkedTxn"]
            other = self.tables[link["TxnType"]].get(link["TxnId"])
            if other is None:
                raise Refused("2500", "Invalid Reference Id", "TxnId")
            sign = 1 if link["TxnType"] == "Invoice" else -1
            if link["TxnType"] != "JournalEntry" and line["Amount"] > other["Balance"]:
                raise Refused("6000", "A business validation error has occurred", "You can't pay more than is open.")
            linked += sign * line["Amount"]
            plan.append((other, line["Amount"]))
        if linked > row["TotalAmt"]:
            raise Refused("6000", "A business validation error has occurred", "The amounts exceed the payment.")
        if row["TotalAmt"] and row["DepositToAccountRef"]["value"] not in self.tables["Account"]:
            raise Refused("2500", "Invalid Reference Id", "DepositToAccountRef")
        for other, value in plan:
            self._lower(other, value)

    def _lower(self, other: Row, value: Decimal) -> None:
        if "Balance" in other:
            other["Balance"] -= value
        if "RemainingCredit" in other:
            other["RemainingCredit"] = other["Balance"]
        self.touch(other)

    def _unlink(self, row: Row) -> None:
        """What a transaction had paid is open again."""
        for line in row.get("Line") or []:
            for link in line.get("LinkedTxn") or []:
                self._lower(self.tables[link["TxnType"]][link["TxnId"]], -line["Amount"])

    def _kept(self, entity: str, row: Row) -> Row:
        kept = self._keep(entity, row)
        self.made.append((entity, kept["Id"]))
        return kept

    def _keep(self, entity: str, row: Row) -> Row:
        if "Id" not in row:
            self._count += 1
            row["Id"] = str(self._count)
        self.tables[entity][row["Id"]] = row
        self.touch(row)
        return row


def _sold(row: Row) -> list[Row]:
    """The lines of a bill, without the sum that is added to them."""
    return [line for line in row["Line"] if "SalesItemLineDetail" in line]


def _posting(line: Row) -> tuple[str, Decimal, str | None]:
    detail = line["JournalEntryLineDetail"]
    value = line["Amount"] if detail["PostingType"] == "Debit" else -line["Amount"]
    entity = (detail.get("Entity") or {}).get("EntityRef") or {}
    return detail["AccountRef"]["value"], value, entity.get("value")


def rounded(value: Any) -> Decimal:
    """Two places, half up. Raises Refused."""
    try:
        return Decimal(value).quantize(PLACES, ROUND_HALF_UP)
    except (TypeError, InvalidOperation):
        raise Refused("2170", "Invalid Enumeration", "Amount") from None


def aware(text: str) -> datetime:
    """An instant as the vendor writes it."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
