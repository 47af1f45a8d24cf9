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
from accordant.connectors.tryton import marks
from accordant.connectors.tryton.errors import PERIOD_CLOSED
from accordant.connectors.tryton.marks import ARCHIVED_TOO
from accordant.connectors.tryton.rpc import Rpc
from accordant.connectors.tryton.wire import Json

#: How many merges of one party are followed: each took a person.
_MERGES_MAX = 20


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
            await self._check_shown(found[0]["id"], name)
            self._companies[name] = Company(found[0]["id"], found[0]["currency."]["code"])
        return self._companies[name]

    async def _check_shown(self, company: int, name: str) -> None:
        """What is written for a company that our user is not shown could never be read again. Raises Unusable."""
        told = await self._rpc.call("res.user", "get_preferences", True, context={})
        shows_all = told.get("company_filter") == "all" and company in (told.get("companies") or ())
        if not shows_all and told.get("company") != company:
            raise unusable(
                "COMPANY_HIDDEN",
                f"Tryton does not show {name!r} to the user {self._rpc.user!r}: add it to the user's companies and set "
                "the company filter to All.",
                "company",
            )

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

    async def parties(self, keys: Iterable[str]) -> dict[str, dict[str, Json]]:
        """Customers by our key, each with its id and addresses; of one that was merged the party it went into.

        Raises Unusable for one that is missing or archived.
        """
        wanted = sorted(set(keys))
        if not wanted:
            return {}
        rows = await self._parties([marks.carrying(wanted)])
        found = marks.by_key(rows, wanted)
        if missing := [key for key in wanted if key not in found]:
            found |= await self._replaced(missing)
        return found

    async def _replaced(self, keys: list[str]) -> dict[str, dict[str, Json]]:
        """What stands for customers whose party is not in use: whoever merged it has said who they are now.

        A merge archives the identifiers of the one and moves them to the other.
        """
        named = [["code", "in", [marks.mark_of(key) for key in keys]], ARCHIVED_TOO]
        moved = await self._rpc.find("party.identifier", named, ["code", "party"], context=await self.context())
        coded = await self._parties([["code", "in", keys], ARCHIVED_TOO])
        was = {row["code"]: row["id"] for row in coded} | {marks.key_in(row["code"]): row["party"] for row in moved}
        found: dict[str, dict[str, Json]] = {}
        for key in keys:
            if key not in was:
                raise unusable("PARTY_UNKNOWN", f"Tryton has no party {key!r}: the customer comes first.", "party")
            found[key] = await self._followed(key, was[key])
        return found

    async def _followed(self, key: str, party: int) -> dict[str, Json]:
        """The party that one was merged into, at last. Raises Unusable where that is archived."""
        for _ in range(_MERGES_MAX):
            (now,) = await self._parties([["id", "=", party], ARCHIVED_TOO])
            if now["active"]:
                return now
            if now["replaced_by"] is None:
                break
            party = now["replaced_by"]
        raise unusable(
            "PARTY_ARCHIVED",
            f"Somebody deactivated the party of {key!r} in Tryton: activate it there, or say in the review of matches "
            "which party the customer is now; then redrive it.",
            "party",
        )

    async def _parties(self, domain: list[Json]) -> list[dict[str, Json]]:
        fields = [*marks.KEY_FIELDS, "addresses", "active", "replaced_by"]
        return await self._rpc.find("party.party", domain, fields, context=await self.context(), limit=None)

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
    said = f"{message} with its journals, or post on a day of an open period; then redrive it."
    return Unusable(Refused(cause=RefusalClass.BUSINESS_RULE, code=PERIOD_CLOSED, message=said, fields=("date",)))
