"""Record what a compliance check found about a customer: by whom, on what evidence, and of which day.

Nothing is judged here: the gates of the charter are asked with it when a write is planned and again when it is sent.
"""

from datetime import datetime

from accordant.canonical.charter import Charter
from accordant.canonical.clearances import CheckStatus, Clearance
from accordant.canonical.entities import Account
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.clearances import ClearanceBook
from accordant.ports.state import State

EVIDENCE_LENGTH_MAX = 200
REASON_LENGTH_MAX = 500


class ClearanceRefused(RejectedError):
    """The finding cannot be recorded as it stands."""


def record_clearance(found: Clearance, *, charter: Charter, book: ClearanceBook, state: State, now: datetime) -> None:
    """Keep a finding, with its line in the trail. Raises: ClearanceRefused, with what is missing."""
    stored = state.entities([found.account_id]).get(found.account_id)
    if stored is None or not isinstance(stored.entity, Account):
        raise ClearanceRefused(
            f"The hub keeps no customer {found.account_id}.",
            remedy="Name it by an id of billing, of the CRM or of the hub.",
        )
    if all(gate.check is not found.check for gate in charter.gates):
        asked = ", ".join(sorted({gate.check.value for gate in charter.gates})) or "none"
        raise ClearanceRefused(
            f"No gate of the charter asks for {found.check}, so the finding would change nothing.",
            remedy=f"Checks that gates ask for: {asked}. Add a gate to the charter first.",
        )
    if found.checked_at > now:
        raise ClearanceRefused(
            f"The check is dated {found.checked_at:%Y-%m-%d}, which is still to come.",
            remedy="Give the day it was made.",
        )
    for name, text, most in (
        ("evidence", found.evidence, EVIDENCE_LENGTH_MAX),
        ("reason", found.reason, REASON_LENGTH_MAX),
    ):
        if len(text) > most:
            raise ClearanceRefused(
                f"The {name} has {len(text)} characters.", remedy=f"Name it in {most}; documents stay where they are."
            )
    if not found.recorded_by.strip() or not found.evidence.strip():
        raise ClearanceRefused(
            "A finding is recorded by a named person on named evidence.",
            remedy="Say who you are, and give the case or document number.",
        )
    if found.status is CheckStatus.FAILED and not found.reason.strip():
        raise ClearanceRefused(
            "A failed check holds a customer's records, and nobody could say why.",
            remedy="Give the reason in a sentence.",
        )
    book.record(found, entry=_entry(found, now))


def _entry(found: Clearance, now: datetime) -> AuditEntry:
    return AuditEntry(
        kind="compliance.clearance.recorded",
        actor=found.recorded_by.strip(),
        subject=f"account/{found.account_id}",
        cause=None,
        at=now,
        body={
            "check": found.check.value,
            "status": found.status.value,
            "evidence": found.evidence,
            "checked_on": f"{found.checked_at:%Y-%m-%d}",
        },
    )
