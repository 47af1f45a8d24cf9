"""The taxes a company has in Tryton, named as the charter calls them, and what its tax report says of each."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from accordant.connectors.tryton.rpc import Rpc
from tests.connectors.tryton.company import TAX

#: code -> per cent
RATES: Mapping[str, Decimal] = {"DE19": Decimal("0.19"), "DE-RC": Decimal(0)}


class Reported(NamedTuple):
    """What a return has of one code, in minor units: what was taxed, and the tax. What was taken back is taken off."""

    base: int
    tax: int


async def keep_taxes(rpc: Rpc, company: int = 1) -> None:
    """Taxes by name and a report with a line for the base and one for the tax of each, as an accountant makes them."""
    context = {"company": company}
    account = await rpc.find("account.account", [["code", "=", TAX], ["company", "=", company]], ["code"])
    for name, rate in RATES.items():
        values = {
            "name": name, "description": name, "type": "percentage", "rate": rate, "company": company,
            "invoice_account": account[0]["id"], "credit_note_account": account[0]["id"],
        }  # fmt: skip
        (tax,) = await rpc.call("account.tax", "create", [values], context=context)
        # What is credited counts above zero in Tryton's report, and is taken off.
        sides = (("invoice", "+"), ("credit", "-"))
        codes = [
            {
                "name": f"{name} {what}",
                "code": f"{name}/{what}",
                "company": company,
                "lines": [
                    ["create", [{"tax": tax, "amount": what, "type": kind, "operator": sign} for kind, sign in sides]]
                ],
            }
            for what in ("base", "tax")
        ]
        await rpc.call("account.tax.code", "create", codes, context=context)


async def tax_report(rpc: Rpc, periods: list[int], company: int = 1) -> dict[str, Reported]:
    """Tryton's own report of its tax codes over some periods; codes that say nothing are left out."""
    context: dict[str, Any] = {"company": company, "periods": periods}
    rows = await rpc.find("account.tax.code", [["company", "=", company]], ["code", "amount"], context=context)
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        name, _, what = row["code"].partition("/")
        found.setdefault(name, {})[what] = int(row["amount"] * 100)
    return {name: Reported(**amounts) for name, amounts in found.items() if any(amounts.values())}
