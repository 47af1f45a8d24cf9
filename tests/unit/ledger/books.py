"""A small company's books for the tests: one chart, the periods of a year, a few tax codes."""

from __future__ import annotations

from datetime import UTC, date, datetime

from accordant.canonical.books import AccountType, Role
from accordant.ledger.chart import AccountRule, Chart, LedgerAccount
from accordant.ledger.compose import Books, Request
from accordant.ledger.entries import Cause
from accordant.ledger.patterns import BilledLine, Leg, invoice_issued
from accordant.ledger.periods import Period, months

RECORDED = datetime(2027, 3, 1, tzinfo=UTC)
#: role -> code, name, type
ACCOUNTS = {
    Role.RECEIVABLE: ("1200", "Accounts receivable", AccountType.ASSET),
    Role.CLEARING: ("1090", "Processor clearing", AccountType.ASSET),
    Role.BANK: ("1000", "Bank", AccountType.ASSET),
    Role.CONTRACT_ASSET: ("1250", "Contract asset", AccountType.ASSET),
    Role.DEFERRED_REVENUE: ("2400", "Deferred revenue", AccountType.LIABILITY),
    Role.SALES_TAX: ("2200", "Sales tax", AccountType.LIABILITY),
    Role.CUSTOMER_BALANCE: ("2450", "Customer balances", AccountType.LIABILITY),
    Role.REVENUE: ("4000", "Revenue", AccountType.REVENUE),
    Role.CONTRA_REVENUE: ("4900", "Refunds & credits", AccountType.REVENUE),
    Role.PROCESSING_FEES: ("6100", "Processing fees", AccountType.EXPENSE),
    Role.DISPUTE_FEES: ("6110", "Dispute fees", AccountType.EXPENSE),
    Role.BAD_DEBT: ("6200", "Bad debt", AccountType.EXPENSE),
    Role.FX_REALISED: ("7100", "Exchange differences", AccountType.EXPENSE),
}


def a_chart(legal_entity: str = "Example Inc.", currency: str = "USD") -> Chart:
    return Chart(
        legal_entity=legal_entity,
        currency=currency,
        accounts={code: LedgerAccount(code=code, name=name, type=kind) for code, name, kind in ACCOUNTS.values()},
        rules=tuple(AccountRule(role=role, account=code) for role, (code, _, _) in ACCOUNTS.items()),
    )


def some_books(chart: Chart | None = None, periods: tuple[Period, ...] | None = None) -> Books:
    return Books(
        chart=chart or a_chart(),
        periods=periods or months("Example Inc.", year=2027),
        tax_codes=frozenset({"NY"}),
    )


def a_bill(
    *, net: int = 10_000, tax: int = 888, source: int | None = None, on: date = date(2027, 2, 3), event: str = "bev_1"
) -> Request:
    legs = invoice_issued([BilledLine(product="pro", net_minor=net, tax_code="NY" if tax else None, tax_minor=tax)])
    return a_request(legs, source=net + tax if source is None else source, on=on, event=event, rule="invoice_issued")


def a_request(
    legs: list[Leg], *, source: int, on: date = date(2027, 2, 3), event: str = "bev_1", rule: str = "invoice_issued"
) -> Request:
    return Request(
        legs=tuple(legs),
        currency="USD",
        source_minor=source,
        happened_on=on,
        cause=Cause(event=event, subject="invoice EXAMPLE-1", rule=rule),
        text="Invoice EXAMPLE-1",
        party="acc_1",
    )
