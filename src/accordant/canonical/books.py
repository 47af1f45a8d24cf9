"""The words of the charter's ledger part: legal entities, their accounts, and the dated rows that lead to them.

What is posted with them is decided in `ledger`; `governance/check_ledger.py` checks what the types cannot say.
"""

from datetime import date
from enum import StrEnum

import msgspec


class AccountType(StrEnum):
    """What a ledger account is; it decides on which side the account grows and where reports show it."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    REVENUE = "revenue"
    EXPENSE = "expense"

    @property
    def grows_by_debit(self) -> bool:
        """Assets and expenses grow on the debit side."""
        return self in {AccountType.ASSET, AccountType.EXPENSE}


class Role(StrEnum):
    """What an amount is to the rules, whatever number the company's chart gives it."""

    RECEIVABLE = "receivable"
    CLEARING = "clearing"
    BANK = "bank"
    PROCESSING_FEES = "processing_fees"
    DISPUTE_FEES = "dispute_fees"
    DEFERRED_REVENUE = "deferred_revenue"
    CONTRACT_ASSET = "contract_asset"
    REVENUE = "revenue"
    CONTRA_REVENUE = "contra_revenue"
    SALES_TAX = "sales_tax"
    CUSTOMER_BALANCE = "customer_balance"
    REFUND_LIABILITY = "refund_liability"
    BAD_DEBT = "bad_debt"
    BAD_DEBT_ALLOWANCE = "bad_debt_allowance"
    FX_REALISED = "fx_realised"
    FX_UNREALISED = "fx_unrealised"
    INTERCOMPANY_RECEIVABLE = "intercompany_receivable"
    INTERCOMPANY_PAYABLE = "intercompany_payable"
    INTERCOMPANY_REVENUE = "intercompany_revenue"
    INTERCOMPANY_COST = "intercompany_cost"
    DEFERRED_COMMISSION = "deferred_commission"
    COMMISSION_EXPENSE = "commission_expense"
    COMMISSIONS_PAYABLE = "commissions_payable"
    SELLERS_PAYABLE = "sellers_payable"
    WITHHOLDING_PAYABLE = "withholding_payable"


class Grain(StrEnum):
    """How finely time is counted (finance.md 3.2; the four that one vendor publishes an example of)."""

    DAY = "day"
    MILLISECOND = "millisecond"
    EVEN_MONTHS = "even_months"
    EVEN_MONTHS_ENDS_PRORATED = "even_months_ends_prorated"


class ServiceKind(StrEnum):
    """How what a product promises is delivered, which says when it is earned (finance.md 3.2).

    A service that stands ready is earned by time. Usage is earned when it is used, also where that is billed later.
    Prepaid credits are earned when they are drawn; what is left of them at the end of their period is earned then. A
    project is one obligation in progress: it is earned as far as its progress was measured (ASC 606-10-25-31).
    """

    STAND_READY = "stand_ready"
    USAGE = "usage"
    PREPAID = "prepaid"
    PROJECT = "project"


class ProrationRule(StrEnum):
    """How finely time is counted, and over which period (finance.md 3.1)."""

    SECOND = "second"
    MILLISECOND = "millisecond"
    MINUTE = "minute"
    DAY = "day"
    PLAN_PERIOD = "plan_period"


class LedgerAccountPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account of a chart, by the code the ERP knows it by. A closed one takes no postings."""

    name: str
    type: AccountType
    closed: bool = False


class AccountRulePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts of ``role`` go on ``account``; of one product, tax code or processor only, where one is named.

    ``from_on`` is the first day the row holds, ``until_on`` the first day it does not. Of the rows that hold the one
    that names most decides, then the one that began last.
    """

    role: Role
    account: str
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None
    from_on: date | None = None
    until_on: date | None = None


class LegalEntityPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One company of the group. ``currency`` is that of its books; its fiscal year starts with ``year_starts_month``.

    ``tax_code`` stands on amounts of tax for which the source names none, ``reverse_charge_code`` on bills whose tax
    the customer owes. ``closed_before`` is the first day that still takes postings; None where no period was closed.
    With ``write_off_from_allowance`` a bill that nobody will pay is taken from what was expected to be lost.
    """

    currency: str
    accounts: dict[str, LedgerAccountPart]
    rules: tuple[AccountRulePart, ...]
    tax_codes: tuple[str, ...] = ()
    tax_code: str | None = None
    reverse_charge_code: str | None = None
    year_starts_month: int = 1
    write_off_from_allowance: bool = False
    closed_before: date | None = None


class BundlePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product that is a bundle: each of ``parts`` by its stand-alone price, as decimal text in any one currency.

    What a bundle is billed at falls on its parts in that proportion. ``from_on`` is the first day the row holds,
    ``until_on`` the first day it does not, by the day of the bill.
    """

    product: str
    parts: dict[str, str]
    from_on: date | None = None
    until_on: date | None = None

    def holds_on(self, day: date) -> bool:
        """Whether the row is in force on ``day``."""
        return (self.from_on is None or self.from_on <= day) and (self.until_on is None or day < self.until_on)


class LedgerPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The books. ``systems``: which company the bills of a billing system belong to. ``grain``: how finely service
    time is counted; a product may have one of its own. ``services``: how a product is delivered, where it does not
    stand ready. ``bundles``: products that are several. ``proration``: how a billing system counts what is left of a
    period, where that is not by the second.
    """

    legal_entities: dict[str, LegalEntityPart] = {}
    systems: dict[str, str] = {}
    grain: Grain = Grain.DAY
    products: dict[str, Grain] = {}
    services: dict[str, ServiceKind] = {}
    bundles: tuple[BundlePart, ...] = ()
    proration: dict[str, ProrationRule] = {}
