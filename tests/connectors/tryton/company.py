"""The company every test's Tryton holds: Example GmbH in euros, its chart, three fiscal years, a rate of the dollar.

Made as its accountant would make it, by calls of our own client. The codes are those of the charter in the tests.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from accordant.connectors.tryton.rpc import Rpc

COMPANY = "Example GmbH"
YEARS = (2024, 2026, 2027)
RECEIVABLE, BANK, CLEARING, DEFERRED, TAX, REVENUE, FEES, BAD_DEBT, FX = (
    "1200", "1000", "1090", "2400", "2200", "4000", "6100", "6200", "7100",
)  # fmt: skip
PAYABLE = "2000"
#: code -> name, kind of account
CHART = {
    RECEIVABLE: ("Accounts receivable", "receivable"),
    BANK: ("Bank", "asset"),
    CLEARING: ("Processor clearing", "asset"),
    "1250": ("Contract asset", "asset"),
    PAYABLE: ("Accounts payable", "payable"),
    TAX: ("Sales tax", "liability"),
    DEFERRED: ("Deferred revenue", "deposit"),
    "2450": ("Customer balances", "liability"),
    "2460": ("Refunds owed", "liability"),
    REVENUE: ("Revenue", "revenue"),
    "4900": ("Refunds and credits", "revenue"),
    FEES: ("Processing fees", "expense"),
    "6110": ("Dispute fees", "expense"),
    BAD_DEBT: ("Bad debt", "expense"),
    FX: ("Exchange differences", "expense"),
}
#: What Tryton calls a type of accounts. Only revenue and deposits may stand on the lines of a customer's invoice.
_TYPES: dict[str, dict[str, Any]] = {
    "receivable": {"statement": "balance", "assets": True, "receivable": True},
    "asset": {"statement": "balance", "assets": True},
    "payable": {"statement": "balance", "payable": True},
    "liability": {"statement": "balance"},
    "deposit": {"statement": "balance", "deposit": True},
    "revenue": {"statement": "income", "revenue": True},
    "expense": {"statement": "income", "expense": True},
}


async def found(rpc: Rpc) -> None:
    """Make it all in an empty database."""
    company = await _company(rpc)
    context = {"company": company}
    accounts = await _chart(rpc, company, context)
    defaults = {"default_account_receivable": accounts[RECEIVABLE], "default_account_payable": accounts[PAYABLE]}
    await rpc.call("account.configuration", "write", [1], defaults, context=context)
    for year in YEARS:
        await _fiscal_year(rpc, company, year, context)
    await _print_plainly(rpc)


async def _company(rpc: Rpc) -> int:
    euro = {"name": "Euro", "code": "EUR", "symbol": "€", "rates": [["create", [_rate("1")]]]}
    dollar = {"name": "US Dollar", "code": "USD", "symbol": "$", "rates": [["create", [_rate("1.1")]]]}
    currencies = await rpc.call("currency.currency", "create", [euro, dollar])
    countries = [{"name": "Germany", "code": "DE"}, {"name": "United States", "code": "US"}]
    await rpc.call("country.country", "create", countries)
    party = await rpc.call("party.party", "create", [{"name": COMPANY, "addresses": [["create", [{}]]]}])
    companies = await rpc.call("company.company", "create", [{"party": party[0], "currency": currencies[0]}])
    users = await rpc.find("res.user", [["login", "=", "admin"]], ["login"])
    await rpc.call("res.user", "write", [users[0]["id"]], {"companies": [["add", companies]], "company": companies[0]})
    return int(companies[0])


def _rate(text: str) -> dict[str, Any]:
    return {"date": date(2020, 1, 1), "rate": Decimal(text)}


async def _chart(rpc: Rpc, company: int, context: dict[str, Any]) -> dict[str, int]:
    types = await rpc.call(
        "account.account.type",
        "create",
        [{"name": name, "company": company, **kind} for name, kind in _TYPES.items()],
        context=context,
    )
    type_ids = dict(zip(_TYPES, types, strict=True))
    owed = {"receivable", "payable"}
    made = await rpc.call(
        "account.account",
        "create",
        [
            {
                "code": code, "name": name, "type": type_ids[kind], "company": company,
                "party_required": kind in owed, "reconcile": kind in owed,
            }
            for code, (name, kind) in CHART.items()
        ],
        context=context,
    )  # fmt: skip
    return dict(zip(CHART, made, strict=True))


async def _fiscal_year(rpc: Rpc, company: int, year: int, context: dict[str, Any]) -> None:
    rows = await rpc.find("ir.sequence.type", [], ["name"])
    types = {row["name"]: row["id"] for row in rows}
    moves, invoices, credit_notes = await rpc.call(
        "ir.sequence.strict",
        "create",
        [
            {
                "name": f"{prefix} {year}",
                "sequence_type": types[kind],
                "company": company,
                "prefix": f"{prefix}/{year}/",
            }
            for prefix, kind in (("MV", "Account Move"), ("INV", "Invoice"), ("CN", "Invoice"))
        ],
        context=context,
    )
    numbers = {
        "company": company,
        "in_invoice_sequence": invoices,
        "in_credit_note_sequence": credit_notes,
        "out_invoice_sequence": invoices,
        "out_credit_note_sequence": credit_notes,
    }
    values = {
        "name": str(year),
        "company": company,
        "start_date": date(year, 1, 1),
        "end_date": date(year, 12, 31),
        "move_sequence": moves,
        "invoice_sequences": [["create", [numbers]]],
    }
    made = await rpc.call("account.fiscalyear", "create", [values], context=context)
    await rpc.call("account.fiscalyear", "create_period", made, context=context)


async def _print_plainly(rpc: Rpc) -> None:
    """Tryton prints an invoice when it posts it. To lay out a page takes a second, and no test looks at it."""
    found = await rpc.find("ir.action.report", [["report_name", "=", "account.invoice"]], ["name"])
    plain = {"__class__": "bytes", "base64": "YW4gaW52b2ljZQ=="}
    change = {"template_extension": "txt", "extension": "", "report_content_custom": plain}
    await rpc.call("ir.action.report", "write", [row["id"] for row in found], change)
