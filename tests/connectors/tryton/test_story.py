"""From a signed event to a document in a real Tryton: its trial balance and receivables are those of the books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from accordant.connectors.tryton.rpc import Rpc
from tests.connectors.ledger_story import Erp, a_company, live_two_months, owed, receivables_come_back
from tests.connectors.tryton.kit import PARTY
from tests.connectors.tryton.server import PASSWORD, USER, Tryton
from tests.integration.operations.bookkit import balances, held

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
BOOKS = {"company": 1, "language": "en"}
_SYSTEM = """\
  tryton:
    connector: tryton
    owner: Finance
    stand_in: true
    rate_per_s: 200
    settings: {{url: "{url}", database: {database}, user: {user}, password: env:TRYTON_PASSWORD}}
"""


def the_erp(tryton: Tryton) -> Erp:
    """Tryton as the charter names it."""
    return Erp(
        name="tryton",
        system=_SYSTEM.format(url=tryton.url, database=tryton.database, user=USER),
        bills="account.invoice",
        entries="account.move",
        variables={"TRYTON_PASSWORD": PASSWORD},
    )


async def trial_balance(rpc: Rpc) -> dict[str, int]:
    """What Tryton has on its accounts, debits less credits, in cents; accounts at zero are left out."""
    fields = ["debit", "credit", "account.code", "move.state"]
    lines = await rpc.find("account.move.line", [], fields, context=BOOKS, limit=None)
    assert {line["move."]["state"] for line in lines} <= {"posted"}  # nothing at all in a new company
    found: dict[str, int] = {}
    for line in lines:
        code = line["account."]["code"]
        found[code] = found.get(code, 0) + int((line["debit"] - line["credit"]) * 100)
    return {code: minor for code, minor in found.items() if minor}


async def receivables(rpc: Rpc) -> dict[str, int]:
    """What Tryton says each customer owes, in cents, as of the last day."""
    parties = await rpc.find("party.party", [["code", "like", "cus_%"]], ["code", "receivable"], context=BOOKS)
    return {one["code"]: int(Decimal(one["receivable"]) * 100) for one in parties}


async def test_the_books_and_those_of_tryton_are_equal_to_the_cent(tryton: Tryton, rpc: Rpc, tmp_path: Path) -> None:
    async with a_company(the_erp(tryton), tmp_path) as one:
        live_two_months(one)
        await one.post()
        assert held(one.hub.database) == []
        assert one.left() == []
        books = balances(one.hub.database)
        assert sum(books.values()) == 0
        assert await trial_balance(rpc) == books
        told = await receivables(rpc)
        assert {party: minor for party, minor in told.items() if minor} == {p: m for p, m in owed(one).items() if m}
        invoices = await rpc.find("account.invoice", [["reference", "like", "jrn_%"]], ["state", "number"], limit=None)
        assert {row["state"] for row in invoices} >= {"paid", "cancelled"}
        assert all(row["number"] for row in invoices)
        await receivables_come_back(one)
        # The same again changes nothing, there as here.
        await one.post()
        assert await trial_balance(rpc) == books


async def test_a_month_closed_in_tryton_stops_the_document_with_its_name_and_leaves_nothing_behind(
    tryton: Tryton, rpc: Rpc, tmp_path: Path
) -> None:
    async with a_company(the_erp(tryton), tmp_path, seed=8) as one:
        before = await trial_balance(rpc)
        month = await rpc.find("account.period", [["start_date", "=", date(2024, 1, 1)]], ["name"], context=BOOKS)
        await rpc.call("account.period", "close", [month[0]["id"]], context=BOOKS)
        one.sell(1, currency="eur")
        await one.post()
        stopped = [row for row in one.left() if row.object != PARTY.name]
        assert {row.state for row in stopped} >= {"dead"}
        assert any(month[0]["name"] in (row.reason or "") for row in stopped)
        assert await trial_balance(rpc) == before
        await rpc.call("account.period", "reopen", [month[0]["id"]], context=BOOKS)
