"""Put right what a comparison found, through the same rooms as everything else: the desk plans, the courier writes.

Only causes the hub may mend are touched; a record that nobody asked for is never deleted.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.reconcile import ReconcileBook
from accordant.ports.state import Changes, State

#: Plans these accounts again, writing the named records even if they should hold what they should have held before.
Replan = Callable[[tuple[str, ...], frozenset[str]], int]


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair planned. ``left`` counts findings that need a person."""

    records: int
    accounts: int
    left: int


def repair(*, run_id: str, book: ReconcileBook, state: State, replan: Replan, actor: str, now: datetime) -> Repair:
    """Plan a write for each repairable finding of a run; the courier then sends what still differs.

    Raises RejectedError without a name: a repair is started by a person, or by a schedule that is named.
    """
    if not actor.strip():
        raise RejectedError("A repair is started by a named person.", remedy="Say who you are.")
    findings = book.findings(run_id)
    chosen = [found for found in findings if found.repairable and found.account_id is not None]
    refs = frozenset(found.record for found in chosen)
    accounts = tuple(sorted({found.account_id for found in chosen if found.account_id is not None}))
    if accounts:
        replan(accounts, refs)
    entry = AuditEntry(
        kind="operations.repair.planned",
        actor=actor.strip(),
        subject=f"reconcile/{run_id}",
        cause=None,
        at=now,
        body={"records": len(refs), "accounts": len(accounts), "left": len(findings) - len(chosen)},
    )
    state.commit(Changes(audit=[entry]), now=now)
    return Repair(records=len(refs), accounts=len(accounts), left=len(findings) - len(chosen))
