"""The charter of the company's year: two legal entities, their tax codes, and billing opened from won opportunities."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml

from accordant.canonical.books import Role
from tests.connectors.tryton.company import (
    BAD_DEBT,
    BANK,
    CHART,
    CLEARING,
    COMPANY,
    DEFERRED,
    FEES,
    FX,
    PAYABLE,
    RECEIVABLE,
    REVENUE,
    TAX,
)
from tests.connectors.tryton.contract_kit import opening
from tests.connectors.tryton.tax_report import RATES

SISTER = "Example Ltd"
FIRST_MONTH = date(2024, 1, 1)
#: What the company of the other tests has no accounts for: code -> name, kind in Tryton.
BETWEEN = {"1900": ("Owed by companies of the group", "asset"), "2900": ("Owed to companies of the group", "liability")}
USAGE = "prod_usage"
_TYPES = {"receivable": "asset", "payable": "liability", "deposit": "liability"}
_ACCOUNTS = {
    Role.BANK: BANK, Role.CLEARING: CLEARING, Role.RECEIVABLE: RECEIVABLE, Role.SALES_TAX: TAX,
    Role.DEFERRED_REVENUE: DEFERRED, Role.CUSTOMER_BALANCE: "2450", Role.REFUND_LIABILITY: "2460",
    Role.REVENUE: REVENUE, Role.CONTRA_REVENUE: "4900", Role.PROCESSING_FEES: FEES, Role.DISPUTE_FEES: "6110",
    Role.BAD_DEBT: BAD_DEBT, Role.FX_REALISED: FX, Role.FX_UNREALISED: FX, Role.CONTRACT_ASSET: "1250",
    Role.INTERCOMPANY_RECEIVABLE: "1900", Role.INTERCOMPANY_PAYABLE: "2900",
}  # fmt: skip


def _entity(currency: str, **more: object) -> dict[str, object]:
    chart = {code: row for code, row in (CHART | BETWEEN).items() if code != PAYABLE}
    return {
        "currency": currency,
        # Nothing was before: the first month that can be closed is the first of the year.
        "closed_before": FIRST_MONTH.replace(),  # another object: YAML would refer to the same one twice
        "accounts": {code: {"name": name, "type": _TYPES.get(kind, kind)} for code, (name, kind) in chart.items()},
        "rules": [{"role": role.value, "account": account} for role, account in _ACCOUNTS.items()],
        **more,
    }


def write(charter: Path) -> None:
    """Into a folder that holds the charter of the other stories."""
    taxed = {"tax_codes": list(RATES), "tax_code": "DE19", "reverse_charge_code": "DE-RC"}
    ledger = {
        "systems": {"stripe": COMPANY},
        "services": {USAGE: "usage"},
        "legal_entities": {COMPANY: _entity("EUR", **taxed), SISTER: _entity("GBP")},
    }
    text = yaml.safe_dump({"ledger": ledger}, sort_keys=False, allow_unicode=True)
    (charter / "ledger.yaml").write_text(text, encoding="utf-8")
    opening(charter)
