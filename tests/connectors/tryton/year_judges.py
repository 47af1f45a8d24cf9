"""What the books and Tryton say of one day, and in what they differ: accounts, tax codes, customers, the return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from accordant.canonical.books import Role
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.ledger_documents import read_tag
from accordant.connectors.tryton.rpc import Rpc
from accordant.kernel.money import Money
from accordant.ledger.entries import JournalEntry
from accordant.ledger.export import account_names
from accordant.ledger.setting import chart_of
from accordant.store.engine import Database
from accordant.views.journal import every_entry
from tests.connectors.ledger_story import Company
from tests.connectors.tryton.company import RECEIVABLE
from tests.connectors.tryton.tax_report import Reported, tax_report
from tests.connectors.tryton.year_desk import Desk
from tests.unit.ledger.judges import beancount_says, hledger_says


class Entity(NamedTuple):
    """A company by its name in the charter and its id in Tryton; ``taxes``: it keeps taxes there."""

    name: str
    id: int
    taxes: bool

    @property
    def context(self) -> dict[str, Any]:
        return {"company": self.id, "language": "en"}


class Seen(NamedTuple):
    """The figures of one company at the end of a day, in minor units of its books. Nothing at zero is in it."""

    accounts: Mapping[str, int]
    #: by account and tax code, empty for none
    coded: Mapping[tuple[str, str], int]
    owed: Mapping[str, int]
    returned: Mapping[str, Reported]


def differences(ours: Seen, theirs: Seen) -> tuple[str, ...]:
    """Each figure that is not the same, in words."""
    pairs: Iterable[tuple[str, Mapping[Any, Any], Mapping[Any, Any]]] = (
        ("account", ours.accounts, theirs.accounts),
        ("account and tax code", ours.coded, theirs.coded),
        ("customer", ours.owed, theirs.owed),
        ("tax return", ours.returned, theirs.returned),
    )
    return tuple(
        f"{what} {name}: {mine.get(name, 0)} in the books, {other.get(name, 0)} in Tryton"
        for what, mine, other in pairs
        for name in sorted(mine.keys() | other.keys(), key=str)
        if mine.get(name, 0) != other.get(name, 0)
    )


# -- ours --------------------------------------------------------------------------------------------------------------


def entries_of(database: Database, entity: Entity, *, before_on: date, from_on: date = date.min) -> list[JournalEntry]:
    """What stands in the books of a company between two days."""
    found = every_entry(database, legal_entity=entity.name)
    return [one for one in found if from_on <= one.posted_on < before_on]


def our_figures(entries: Iterable[JournalEntry], *, year: int) -> Seen:
    """The books, summed up posting by posting. The return is that of the year."""
    accounts, owed = Counter[str](), Counter[str]()
    coded = Counter[tuple[str, str]]()
    base, tax = Counter[str](), Counter[str]()
    for entry in entries:
        for one in entry.postings:
            minor, code = one.amount.amount_minor, one.dimensions.get("tax_code", "")
            accounts[one.account] += minor
            coded[one.account, code] += minor
            if one.account == RECEIVABLE and one.party is not None:
                owed[ExternalRef.parse(one.party).id] += minor
            if code and entry.posted_on.year == year:
                (tax if one.role is Role.SALES_TAX else base)[code] -= minor
    returned = {code: Reported(base[code], tax[code]) for code in base.keys() | tax.keys()}
    return Seen(
        accounts=_some(accounts),
        coded=_some(coded),
        owed=_some(owed),
        returned={code: one for code, one in returned.items() if any(one)},
    )


def on_clearing(entries: Iterable[JournalEntry]) -> dict[str, int]:
    """What the books have at the processor, by the currency it is kept in."""
    sums = Counter[str]()
    for entry in entries:
        for one in entry.postings:
            if one.role is Role.CLEARING:
                kept = one.original or one.amount
                sums[kept.currency] += kept.amount_minor
    return _some(sums)


# -- theirs ------------------------------------------------------------------------------------------------------------


async def their_figures(rpc: Rpc, entity: Entity, *, before_on: date) -> Seen:
    """Tryton's own: the balances it shows as of a day, its lines on what customers owe, its report of the year."""
    as_of = {**entity.context, "date": before_on - timedelta(days=1)}
    mine = [["company", "=", entity.id]]
    rows = await rpc.find("account.account", mine, ["code", "balance"], context=as_of, limit=None)
    lines = await _lines(rpc, entity, before_on)
    coded, owed = Counter[tuple[str, str]](), Counter[str]()
    for line in lines:
        minor = _minor(line["debit"] - line["credit"])
        coded[line["account."]["code"], line["code"]] += minor
        if line["account."]["code"] == RECEIVABLE:
            owed[line["party."]["code"]] += minor
    year = [["start_date", ">=", date(before_on.year, 1, 1)], ["end_date", "<", before_on], *mine]
    if before_on.month == before_on.day == 1:
        year = [["start_date", ">=", date(before_on.year - 1, 1, 1)], ["end_date", "<", before_on], *mine]
    periods = await rpc.find("account.period", year, ["name"], context=entity.context, limit=None)
    ids = [row["id"] for row in periods]
    return Seen(
        accounts={row["code"]: minor for row in rows if (minor := _minor(row["balance"]))},
        coded=_some(coded),
        owed=_some(owed),
        returned=await tax_report(rpc, ids, entity.id) if entity.taxes else {},
    )


async def _lines(rpc: Rpc, entity: Entity, before_on: date) -> list[dict[str, Any]]:
    """Every posted line with its tax code: it stands in the words of the line, or of the invoice's line it came of."""
    domain = [["date", "<", before_on], ["move.state", "=", "posted"], ["move.company", "=", entity.id]]
    fields = ["debit", "credit", "party.code", "account.code", "description", "origin"]
    rows = await rpc.find("account.move.line", domain, fields, context=entity.context, limit=None)
    words: dict[str, str | None] = {}
    for model in ("account.invoice.line", "account.invoice.tax"):
        found = await rpc.find(model, [], ["description"], context=entity.context, limit=None)
        words |= {f"{model},{row['id']}": row["description"] for row in found}
    for row in rows:
        told = words.get(row["origin"] or "") or row["description"]
        row["code"] = read_tag(told).get("tax_code") or ""
    return rows


# -- strangers ---------------------------------------------------------------------------------------------------------


async def strangers_agree(
    one: Company, desk: Desk, folder: Path, *, until: date, theirs: Mapping[Entity, Seen]
) -> tuple[str, ...]:
    """What beancount and hledger make of the exported books, against Tryton's trial balances; what differs."""
    ledger = one.hub.charter.ledger
    assert ledger is not None
    names = account_names([chart_of(name, part) for name, part in ledger.legal_entities.items()])
    currencies = {name: part.currency for name, part in ledger.legal_entities.items()}
    balances = {
        (names[entity.name, code], currencies[entity.name]): Decimal(Money(minor, currencies[entity.name]).to_decimal())
        for entity, seen in theirs.items()
        for code, minor in seen.accounts.items()
    }
    found = []
    for form in ("beancount", "hledger"):
        path = folder / f"year.{form}"
        await desk.told("books", "export", str(path), "--format", form, "--until", until.isoformat())
        said = beancount_says(path)[0] if form == "beancount" else hledger_says(path)
        found += [
            f"{form} {name}: {said.get(name, 0)}, in Tryton {balances.get(name, 0)}"
            for name in sorted(said.keys() | balances.keys())
            if said.get(name, Decimal(0)) != balances.get(name, Decimal(0))
        ]
    return tuple(found)


def _some(sums: Mapping[Any, int]) -> dict[Any, int]:
    return {name: minor for name, minor in sums.items() if minor}


def _minor(amount: Decimal) -> int:
    return int(amount * 100)
