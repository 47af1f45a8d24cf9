"""The chart of accounts of each legal entity, and the dated rows that say which account an amount belongs on.

The most specific row that holds on the day decides; a missing row is told by name, never guessed.
"""

from datetime import date

import msgspec

from accordant.canonical.books import AccountType, Role


class LedgerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a chart. ``code`` is what the ERP knows it by; ``open`` is false once it takes no postings."""

    code: str
    name: str
    type: AccountType
    is_open: bool = True


class AccountRule(msgspec.Struct, frozen=True, kw_only=True):
    """One dated row: amounts of ``role`` go on ``account``, for one product, tax code or processor where it names one.

    ``from_on`` is the first day it holds, ``until_on`` the first day it does not; None is without end.
    """

    role: Role
    account: str
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None
    from_on: date | None = None
    until_on: date | None = None

    def holds_on(self, day: date) -> bool:
        """Whether the row is in force on ``day``."""
        return (self.from_on is None or self.from_on <= day) and (self.until_on is None or day < self.until_on)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What an account is wanted for."""

    role: Role
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None

    def __str__(self) -> str:
        details = [
            f"{word} {value}"
            for word, value in (("product", self.product), ("tax code", self.tax_code), ("processor", self.processor))
            if value is not None
        ]
        return f"{self.role.value} ({', '.join(details)})" if details else self.role.value


class RowMissing(msgspec.Struct, frozen=True, kw_only=True):
    """No row of the charter says where an amount belongs, or the one that does names an account that takes nothing."""

    legal_entity: str
    use: Use
    day: date
    why: str = ""

    def __str__(self) -> str:
        return self.why or (
            f"The ledger of {self.legal_entity} has no row for {self.use} on {self.day.isoformat()}: "
            "add one under ledger.accounts."
        )


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of one legal entity and the rows that lead to them. ``currency`` is that of its books."""

    legal_entity: str
    currency: str
    accounts: dict[str, LedgerAccount]
    rules: tuple[AccountRule, ...]

    def account_for(self, use: Use, day: date) -> LedgerAccount | RowMissing:
        """The account for one use on one day. Of the rows that hold, the one that names most of the use decides."""
        fitting = [rule for rule in self.rules if rule.role is use.role and rule.holds_on(day) and _fits(rule, use)]
        if len(fitting) == 1 and (only := self.accounts.get(fitting[0].account)) is not None and only.is_open:
            return only
        if not fitting:
            return RowMissing(legal_entity=self.legal_entity, use=use, day=day)
        best = max(fitting, key=_specificity)
        account = self.accounts.get(best.account)
        if account is None or not account.is_open:
            state = "is not in its chart" if account is None else "is closed"
            why = f"The row for {use} leads to the account {best.account}, which {state} ({self.legal_entity})."
            return RowMissing(legal_entity=self.legal_entity, use=use, day=day, why=why)
        return account


def _fits(rule: AccountRule, use: Use) -> bool:
    asked = ((rule.product, use.product), (rule.tax_code, use.tax_code), (rule.processor, use.processor))
    return all(named is None or named == wanted for named, wanted in asked)


def _specificity(rule: AccountRule) -> tuple[int, date]:
    named = sum(value is not None for value in (rule.product, rule.tax_code, rule.processor))
    return named, rule.from_on or date.min
