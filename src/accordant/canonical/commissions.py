"""The words of the charter's commissions part: dated plans that say who earns what on money that customers have paid.

What they come to is computed in `ledger/commissions.py`; `governance/check_commissions.py` checks the rest.
"""

from datetime import date
from enum import StrEnum

import msgspec

#: In ``shares``, whoever owns the deal; every other name is a person by the CRM's own id.
OWNER = "owner"


class Deal(StrEnum):
    """What a payment is for, which a plan may count or not.

    A change in the middle of a period is an expansion. What is billed after the first term of a contract is a renewal.
    """

    NEW = "new"
    EXPANSION = "expansion"
    RENEWAL = "renewal"


class OwnedAt(StrEnum):
    """Whose deal it is where it changed hands: his who owned it when it was signed, or on the day of the payment."""

    SIGNATURE = "signature"
    PAYMENT = "payment"


class TierPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From this running total of collected money on (decimal text in the currency of the books), this rate (percent as
    decimal text) for what lies above it, and for nothing below.
    """

    above: str
    percent: str


class PlanPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a plan: what it says of money that came from ``from_on`` until, not including, ``until_on``.

    ``people`` are those it is for, by the CRM's ids; without any it is for whoever has no plan of their own. ``shares``
    says how what was collected is divided, in whole parts by person; ``owner`` stands for who owns the deal, who has
    all of it where nothing is said.
    ``benefit_months`` says, for each kind of deal that counts, how many months the commission's benefit lasts: with
    renewals that earn alike it is the contract's term. With ``expense_up_to_a_year`` (ASC 340-40-25-4) commissions of
    at most twelve months are expensed at once. ``first_term_months`` is how long a contract is new where the CRM does
    not state a term. Bank and card fees lower what was collected only where ``deduct_fees``.
    """

    name: str
    legal_entity: str
    from_on: date
    until_on: date | None = None
    people: tuple[str, ...] = ()
    counts: tuple[Deal, ...]
    tiers: tuple[TierPart, ...]
    shares: dict[str, int] = {}
    owned_at: OwnedAt = OwnedAt.SIGNATURE
    deduct_fees: bool = False
    benefit_months: dict[Deal, int]
    expense_up_to_a_year: bool = True
    first_term_months: int = 12

    def holds_on(self, day: date) -> bool:
        """Whether this version is in force on ``day``."""
        return self.from_on <= day and (self.until_on is None or day < self.until_on)


class CommissionsPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commissions on collected money. ``crm`` is the system whose opportunities and companies have the owners,
    ``people`` their names by its ids, as statements show them.
    """

    crm: str
    plans: tuple[PlanPart, ...]
    people: dict[str, str] = {}
