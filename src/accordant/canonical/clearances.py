"""Clearances: what a compliance check found about a customer, by whom and on what evidence. Gates ask them.

A clearance names its evidence and never holds it: documents and personal details stay with who made the check.
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class CheckKind(StrEnum):
    """The checks a gate can ask for."""

    KYC = "kyc"
    KYB = "kyb"
    AML = "aml"
    VAT = "vat"
    TAX_FORM = "tax_form"


class CheckStatus(StrEnum):
    """What a check found. Where nobody recorded anything it is unknown, which opens no gate."""

    PASSED = "passed"
    PENDING = "pending"
    FAILED = "failed"
    NOT_REQUIRED = "not_required"


class GateAction(StrEnum):
    """What a gate stops: every field of the records, or those that tell of money."""

    WRITE = "write"
    WRITE_FINANCIAL = "write_financial"


class Clearance(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about one customer, the newest of its kind being the one that counts.

    ``evidence`` names what the finding rests on (a case or document number elsewhere). ``checked_at`` is when the
    check was made, ``recorded_at`` when a person or a system told the hub.
    """

    account_id: str
    check: CheckKind
    status: CheckStatus
    evidence: str
    checked_at: datetime
    recorded_by: str
    recorded_at: datetime
    reason: str = ""
