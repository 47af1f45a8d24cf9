"""What a document of ours names, in Xero's own terms: the organisation, its accounts, contacts and tracking options.
Guarantees that a code is never guessed: one that Xero does not know is refused with where to add it.
Next: documents.py, which writes with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.ledger_documents import Unusable, check_company, unusable
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.errors import PERIOD_CLOSED
from accordant.connectors.xero.wire import day, quoted

DEBTORS = "DEBTORS"


class Organisation(msgspec.Struct, frozen=True):
    """The books behind a connection. ``locked_until`` is the last day that takes no document; None where all do."""

    name: str
    currency: str
    locked_until: date | None


class Account(msgspec.Struct, frozen=True):
    """One account. ``owed`` is that of what customers owe, ``payable`` takes payments, ``bank`` takes no line."""

    code: str
    owed: bool
    payable: bool
    bank: bool


class Lookups:
    """Asks once; what does not change while a connection is open is remembered."""

    def __init__(self, api: Api, *, company: str, tracking: str) -> None:
        self._api = api
        self._company = company
        self._tracking = tracking
        self._organisation: Organisation | None = None
        self._accounts: dict[str, Account] = {}
        self._options: frozenset[str] = frozenset()
        self._contacts: dict[str, str] = {}

    @property
    def tracking(self) -> str:
        """The tracking category that carries the product; empty where none does."""
        return self._tracking

    async def organisation(self) -> Organisation:
        """The books. Its lock dates are asked for anew whenever a document would be behind them."""
        if self._organisation is None:
            (row,) = (await self._api.rows("Organisation"))[:1] or [{}]
            locks = [one for one in (day(row.get("PeriodLockDate")), day(row.get("EndOfYearLockDate"))) if one]
            self._organisation = Organisation(
                str(row.get("Name")), str(row.get("BaseCurrency")), max(locks, default=None)
            )
        return self._organisation

    async def books(self, company: str, on: date) -> Organisation:
        """The organisation of a company, open on a day. Raises Unusable."""
        check_company(company, self._company)
        books = await self.organisation()
        if books.locked_until is not None and on <= books.locked_until:
            self._organisation = None  # somebody may have moved the date since
            books = await self.organisation()
        if books.locked_until is not None and on <= books.locked_until:
            message = (
                f"{books.name} is locked up to {books.locked_until} in Xero, and the document is of {on}: move the "
                "lock date there, or post on a later day; then redrive it."
            )
            raise Unusable(
                Refused(cause=RefusalClass.BUSINESS_RULE, code=PERIOD_CLOSED, message=message, fields=("date",))
            )
        return books

    async def accounts(self, codes: Iterable[str]) -> dict[str, Account]:
        """Accounts by code. Raises Unusable for one that is missing or archived."""
        wanted = sorted(set(codes))
        if any(code not in self._accounts for code in wanted):
            await self._load_accounts()
        for code in wanted:
            if code not in self._accounts:
                raise unusable(
                    "ACCOUNT_UNKNOWN",
                    f"Xero has no active account {code!r}. Add it to the chart of accounts, or correct the charter's.",
                    "lines",
                )
        return {code: self._accounts[code] for code in wanted}

    async def owed_account(self) -> str:
        """The code of the account of what customers owe. Raises Unusable."""
        if not self._accounts:
            await self._load_accounts()
        found = next((one.code for one in self._accounts.values() if one.owed), None)
        if found is None:
            raise unusable("ACCOUNT_UNKNOWN", "Xero shows no account of what customers owe (DEBTORS).", "lines")
        return found

    async def _load_accounts(self) -> None:
        rows = await self._api.rows("Accounts", {"where": 'Status=="ACTIVE"'})
        self._accounts = {str(row["Code"]): _account(row) for row in rows if row.get("Code")}

    async def contacts(self, numbers: Iterable[str]) -> dict[str, str]:
        """Xero's ids of customers by their number. Raises Unusable."""
        wanted = sorted(set(numbers))
        if missing := [one for one in wanted if one not in self._contacts]:
            where = " OR ".join(f"ContactNumber=={quoted(one)}" for one in missing)
            for row in await self._api.rows("Contacts", {"where": where}):
                self._contacts[str(row["ContactNumber"])] = str(row["ContactID"])
        for one in wanted:
            if one not in self._contacts:
                raise unusable("PARTY_UNKNOWN", f"Xero has no contact {one!r}: the customer comes first.", "party")
        return {one: self._contacts[one] for one in wanted}

    async def check_options(self, options: Iterable[str]) -> None:
        """Every product has an option of the tracking category. Raises Unusable."""
        wanted = set(options) if self._tracking else set()
        if wanted - self._options:
            rows = await self._api.rows("TrackingCategories")
            self._options = frozenset(
                str(option["Name"])
                for row in rows
                if row.get("Name") == self._tracking
                for option in row.get("Options") or []
                if option.get("Status", "ACTIVE") == "ACTIVE"
            )
        if missing := sorted(wanted - self._options):
            raise unusable(
                "TRACKING_UNKNOWN",
                f"The tracking category {self._tracking!r} of Xero has no option {missing[0]!r}: add it there.",
                "lines",
            )


def _account(row: Row) -> Account:
    bank = row.get("Type") == "BANK"
    return Account(
        code=str(row["Code"]),
        owed=row.get("SystemAccount") == DEBTORS,
        payable=bank or bool(row.get("EnablePaymentsToAccount")),
        bank=bank,
    )
