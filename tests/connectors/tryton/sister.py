"""A second company in the tests' Tryton, in pounds, and what both need to owe each other."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from accordant.connectors.tryton.rpc import Rpc
from tests.connectors.tryton.company import PAYABLE, RECEIVABLE, _chart, _fiscal_year
from tests.connectors.tryton.year_charter import BETWEEN, FIRST_MONTH, SISTER


async def found_sister(rpc: Rpc) -> int:
    """Made as the first was; both are shown to the hub's user. The sister's id."""
    await _accounts_between(rpc, 1)
    rate = {"date": date(2020, 1, 1), "rate": Decimal("0.85")}
    pound = {"name": "Pound", "code": "GBP", "symbol": "£", "rates": [["create", [rate]]]}
    currencies = await rpc.call("currency.currency", "create", [pound])
    party = await rpc.call("party.party", "create", [{"name": SISTER, "addresses": [["create", [{}]]]}])
    made = await rpc.call("company.company", "create", [{"party": party[0], "currency": currencies[0]}])
    sister = int(made[0])
    users = await rpc.find("res.user", [["login", "=", rpc.user]], ["login"])
    shown = {"companies": [["add", made]], "company_filter": "all"}
    await rpc.call("res.user", "write", [users[0]["id"]], shown)
    context = {"company": sister}
    accounts = await _chart(rpc, sister, context)
    defaults = {"default_account_receivable": accounts[RECEIVABLE], "default_account_payable": accounts[PAYABLE]}
    await rpc.call("account.configuration", "write", [1], defaults, context=context)
    await _accounts_between(rpc, sister)
    await _fiscal_year(rpc, sister, FIRST_MONTH.year, context)
    return sister


async def _accounts_between(rpc: Rpc, company: int) -> None:
    types = await rpc.find("account.account.type", [["company", "=", company]], ["name"], context={"company": company})
    ids = {row["name"]: row["id"] for row in types}
    values = [
        {"code": code, "name": name, "type": ids[kind], "company": company} for code, (name, kind) in BETWEEN.items()
    ]
    await rpc.call("account.account", "create", values, context={"company": company})
