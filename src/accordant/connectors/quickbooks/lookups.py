"""What a document of ours names, in QuickBooks' own ids: the currency of the books, accounts, items, customers.
Guarantees that a number is never guessed: one that QuickBooks does not know is refused with where to add it.
Next: documents.py, which writes with them.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.customers import Customers, key_of
from accordant.connectors.quickbooks.wire import listed
from accordant.connectors.sdk.ledger_documents import unusable

_OWED = "Accounts Receivable"
_MONEY = frozenset({"Bank", "Other Current Asset"})


class Account(msgspec.Struct, frozen=True):
    """One account by its number. ``owed``: of what customers owe; ``money``: it takes payments.

    ``item`` is the id of the service that posts to it, None where there is none: then no invoice can.
    """

    id: str
    number: str
    owed: bool
    money: bool
    item: str | None


class Lookups:
    """Asks once; what does not change while a connection is open is remembered."""

    def __init__(self, api: Api, customers: Customers, *, company: str) -> None:
        self._api = api
        self._customers = customers
        self._company = company
        self._currency = ""
        self._accounts: dict[str, Account] = {}
        self._by_id: dict[str, str] = {}
        self._parties: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    @property
    def company(self) -> str:
        """The charter's name of the company."""
        return self._company

    async def currency(self) -> str:
        """That of the books."""
        if not self._currency:
            preferences = await self._api.rows("Preferences")
            told = (preferences[0].get("CurrencyPrefs") or {}) if preferences else {}
            self._currency = str((told.get("HomeCurrency") or {}).get("value") or "USD")
        return self._currency

    async def accounts(self, numbers: Iterable[str]) -> dict[str, Account]:
        """Accounts by number. Raises Unusable for one that is missing or inactive."""
        wanted = sorted(set(numbers))
        if missing := [one for one in wanted if one not in self._accounts]:
            await self._load(missing)
        for one in wanted:
            if one not in self._accounts:
                raise unusable(
                    "ACCOUNT_UNKNOWN",
                    f"QuickBooks has no active account of the number {one!r}. Switch account numbers on and add it to "
                    "the chart of accounts, or correct the charter's.",
                    "lines",
                )
        return {one: self._accounts[one] for one in wanted}

    async def _load(self, numbers: list[str]) -> None:
        rows = await self._api.rows("Account", f"AcctNum in {listed(numbers)}")
        items = await self._api.rows("Item", f"Name in {listed(numbers)}")
        services = {
            (str(item["Name"]), str((item.get("IncomeAccountRef") or {}).get("value"))): str(item["Id"])
            for item in items
            if item.get("Active", True)
        }
        for row in rows:
            number, own = str(row["AcctNum"]), str(row["Id"])
            kind = row.get("AccountType")
            self._accounts[number] = Account(own, number, kind == _OWED, kind in _MONEY, services.get((number, own)))
            self._by_id[own] = number

    async def number_of(self, account: str) -> str:
        """The number of an account by QuickBooks' id; the id itself, marked, where it has none."""
        if account not in self._by_id:
            row = await self._api.one("Account", account)
            self._by_id[account] = str((row or {}).get("AcctNum") or f"#{account}")
        return self._by_id[account]

    async def account_of_item(self, item: str) -> str:
        """The number of the account that a service posts to, by the service's id."""
        known = next((one.number for one in self._accounts.values() if one.item == item), None)
        if known is not None:
            return known
        row = await self._api.one("Item", item)
        return await self.number_of(str(((row or {}).get("IncomeAccountRef") or {}).get("value")))

    async def owed_number(self) -> str:
        """The number of the account of what customers owe that QuickBooks' own documents write to."""
        known = next((one.number for one in self._accounts.values() if one.owed), None)
        if known is not None:
            return known
        rows = await self._api.rows("Account", f"AccountType = '{_OWED}'")
        if not rows:
            raise unusable("ACCOUNT_UNKNOWN", "QuickBooks shows no account of what customers owe.", "lines")
        await self._load([str(rows[0].get("AcctNum"))])
        return str(rows[0].get("AcctNum"))

    async def party(self, key: str) -> str:
        """QuickBooks' id of a customer. Raises Unusable."""
        if key not in self._parties:
            row = await self._customers.row(key)
            if row is None:
                raise unusable(
                    "PARTY_UNKNOWN", f"QuickBooks has no customer {key!r}: the customer comes first.", "party"
                )
            self._parties[key] = str(row["Id"])
        return self._parties[key]

    async def key_of(self, customer: str) -> str | None:
        """The key of a customer by QuickBooks' id."""
        if customer not in self._keys:
            row = await self._api.one("Customer", customer)
            key = key_of(row) if row is not None else None
            if key is None:
                return None
            self._keys[customer] = key
        return self._keys[customer]
