"""Tryton's own ids of what our documents name: companies, accounts, journals, currencies, customers, periods.
Guarantees that a code is never guessed: one that Tryton does not know is refused with where to add it.
Next: documents.py, which puts the ids into documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.ledger_documents import Unusable, unusable
from accordant.connectors.tryton.errors import PERIOD_CLOSED
from accordant.connectors.tryton.rpc import Rpc
from accordant.connectors.tryton.wire import Json


class Company(msgspec.Struct, frozen=True):
    """A company, with the currency of its books (ISO 4217)."""

    id: int
    currency: str


class Account(msgspec.Struct, frozen=True):
    """One account of a company's chart. ``on_invoices``: it may stand on a line of a customer's invoice."""

    id: int
    code: str
    party_required: bool
    receivable: bool
    on_invoices: bool


class Tax(msgspec.Struct, frozen=True):
    """A tax of Tryton's. ``computes_nothing``: put on a line of an invoice it adds no amount."""

    id: int
    computes_nothing: bool


class Period(msgspec.Struct, frozen=True):
    """An open period, with the days of its fiscal year: within that numbers follow each other."""

    id: int
    year_starts_on: date
    year_ends_on: date


class Lookups:
    """Asks for each code once; what does not change while a connection is open is remembered."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._rights: dict[str, Json] | None = None
        self._companies: dict[str, Company] = {}
        self._accounts: dict[tuple[int, str], Account] = {}
        self._taxes: dict[tuple[int, str], Tax] = {}
        self._journals: dict[str, int] = {}
        self._currencies: dict[str, int] = {}
        self._countries: dict[str, int] = {}
        self._user: int | None = None

    async def user_id(self) -> int:
        """The id of our user."""
        if self._user is None:
            found = await self._rpc.find("res.user", [["login", "=", self._rpc.user]], ["login"])
            self._user = int(found[0]["id"])
        return self._user

    async def context(self, company: Company | None = None) -> dict[str, Json]:
        """What goes along with a call: whose books, in English, with the groups of our user.

        The groups decide which fields a user may still write once a document is posted.
        """
        if self._rights is None:
            told = await self._rpc.call("res.user", "get_preferences", True, context={})
            self._rights = {name: told[name] for name in ("groups", "administrator") if name in told}
        return {"language": "en", **self._rights, **({} if company is None else {"company": company.id})}

    async def company(self, name: str) -> Company:
        """A company by the name of its party. Raises Unusable."""
        if name not in self._companies:
            found = await self._rpc.find("company.company", [["party.name", "=", name]], ["currency.code"])
            if len(found) != 1:
                what = "no company" if not found else "several companies"
                raise unusable("COMPANY_UNKNOWN", f"Tryton has {what} of the name {name!r}.", "company")
            self._companies[name] = Company(found[0]["id"], found[0]["currency."]["code"])
        return self._companies[name]

    async def accounts(self, company: Company, codes: Iterable[str]) -> dict[str, Account]:
        """Accounts by code. Raises Unusable for one that is missing or closed."""
        wanted = sorted(set(codes))
        missing = [code for code in wanted if (company.id, code) not in self._accounts]
        if missing:
            await self._load_accounts(company, missing)
        for code in missing:
            if (company.id, code) not in self._accounts:
                raise unusable(
                    "ACCOUNT_UNKNOWN",
                    f"Tryton has no open account {code!r}. Add it to the company's chart of accounts, or correct the "
                    "charter's.",
                    "lines",
                )
        return {code: self._accounts[company.id, code] for code in wanted}

    async def _load_accounts(self, company: Company, codes: list[str]) -> None:
        domain = [["company", "=", company.id], ["code", "in", codes], ["closed", "!=", True], ["type", "!=", None]]
        rows = await self._rpc.find(
            "account.account",
            domain,
            ["code", "party_required", "type"],
            context=await self.context(company),
        )
        types = await self._types(company, [row["type"] for row in rows])
        for row in rows:
            kind = types[row["type"]]
            self._accounts[company.id, row["code"]] = Account(
                id=row["id"],
                code=row["code"],
                party_required=bool(row["party_required"]),
                receivable=bool(kind.get("receivable")),
                on_invoices=bool(kind.get("revenue") or kind.get("deposit")),
            )

    async def _types(self, company: Company, ids: list[int]) -> dict[int, dict[str, Json]]:
        """Types of accounts. ``deposit`` is there only with Tryton's module of that name, and asked for with all."""
        context = await self.context(company)
        known = await self._rpc.call("account.account.type", "fields_get", ["deposit"], context=context)
        fields = ["receivable", "revenue", *(name for name in ("deposit",) if name in known)]
        rows = await self._rpc.call("account.account.type", "read", sorted(set(ids)), fields, context=context)
        return {row["id"]: row for row in rows}

    async def taxes(self, company: Company, codes: Iterable[str]) -> dict[str, Tax]:
        """Taxes by their names, which are the tax codes of the charter. One that Tryton has not is left out.

        Raises Unusable for a name that several have: whose report it belongs in is not guessed.
        """
        wanted = sorted(set(codes))
        missing = [code for code in wanted if (company.id, code) not in self._taxes]
        if missing:
            domain = [["company", "=", company.id], ["name", "in", missing], ["parent", "=", None]]
            fields = ["name", "type", "rate", "childs"]
            rows = await self._rpc.find("account.tax", domain, fields, context=await self.context(company))
            names = [row["name"] for row in rows]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise unusable("TAX_AMBIGUOUS", f"Tryton has several taxes of the name {twice!r}: rename one.", "lines")
            for row in rows:
                nothing = not row["childs"] and (row["type"] == "none" or not row["rate"])
                self._taxes[company.id, row["name"]] = Tax(id=row["id"], computes_nothing=nothing)
        return {code: self._taxes[company.id, code] for code in wanted if (company.id, code) in self._taxes}

    async def journal(self, code: str) -> int:
        """A journal by its code. Raises Unusable."""
        if code not in self._journals:
            found = await self._rpc.find("account.journal", [["code", "=", code]], ["code"])
            if len(found) != 1:
                raise unusable("JOURNAL_UNKNOWN", f"Tryton has no journal {code!r}: correct the connection's setting.")
            self._journals[code] = found[0]["id"]
        return self._journals[code]

    async def currency(self, code: str) -> int:
        """A currency by its ISO code. Raises Unusable."""
        if code not in self._currencies:
            found = await self._rpc.find("currency.currency", [["code", "=", code]], ["code"])
            if len(found) != 1:
                raise unusable("CURRENCY_UNKNOWN", f"Tryton has no currency {code!r}: add it there.", "currency")
            self._currencies[code] = found[0]["id"]
        return self._currencies[code]

    async def country(self, code: str) -> int:
        """A country by its ISO 3166 code of two letters. Raises Unusable."""
        if code not in self._countries:
            found = await self._rpc.find("country.country", [["code", "=", code]], ["code"])
            if len(found) != 1:
                raise unusable(
                    "COUNTRY_UNKNOWN",
                    f"Tryton has no country {code!r}: load its countries there (trytond_import_countries).",
                    "country",
                )
            self._countries[code] = found[0]["id"]
        return self._countries[code]

    async def parties(self, codes: Iterable[str]) -> dict[str, dict[str, Json]]:
        """Customers by code, each with its id and addresses. Raises Unusable."""
        wanted = sorted(set(codes))
        if not wanted:
            return {}
        found = await self._rpc.find(
            "party.party", [["code", "in", wanted]], ["code", "addresses"], context=await self.context(), limit=None
        )
        by_code = {row["code"]: row for row in found}
        for code in wanted:
            if code not in by_code:
                raise unusable("PARTY_UNKNOWN", f"Tryton has no party {code!r}: the customer comes first.", "party")
        return by_code

    async def open_period(self, company: Company, day: date) -> Period:
        """The period a day falls in, which has to be open. Raises Unusable: PERIOD_CLOSED."""
        domain = [
            ["company", "=", company.id], ["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"],
        ]  # fmt: skip
        fields = ["name", "state", "fiscalyear.start_date", "fiscalyear.end_date"]
        found = await self._rpc.find("account.period", domain, fields, context=await self.context(company))
        if len(found) != 1:
            raise _closed(f"Tryton has no period for {day}: make its fiscal year there")
        if found[0]["state"] != "open":
            raise _closed(f"The period {found[0]['name']!r} of Tryton is {found[0]['state']}: reopen it there")
        year = found[0]["fiscalyear."]
        return Period(found[0]["id"], year["start_date"], year["end_date"])

    async def last_numbered_on(self, company: Company, period: Period) -> date | None:
        """The latest day by which an invoice of the fiscal year was numbered: Tryton numbers none before it."""
        year = [["accounting_date", ">=", period.year_starts_on], ["accounting_date", "<=", period.year_ends_on]]
        undated = ["AND", ["accounting_date", "=", None], ["invoice_date", ">=", period.year_starts_on]]
        domain = [
            ["company", "=", company.id], ["type", "=", "out"], ["number", "!=", None], ["OR", ["AND", *year], undated],
        ]  # fmt: skip
        context = await self.context(company)
        rows = await self._rpc.call(
            "account.invoice",
            "search_read",
            domain,
            0,
            1,
            [["invoice_date", "DESC"]],
            ["invoice_date"],
            context=context,
        )
        return rows[0]["invoice_date"] if rows else None


def _closed(message: str) -> Unusable:
    said = f"{message}, or post on a day of an open period; then redrive it."
    return Unusable(Refused(cause=RefusalClass.BUSINESS_RULE, code=PERIOD_CLOSED, message=said, fields=("date",)))
