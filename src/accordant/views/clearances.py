"""Which customers the gates hold, and on what evidence: the newest finding of each check, beside the verdicts of today.

The counts judge every customer that has a finding; whoever has none is held by every gate that asks.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from accordant.canonical.charter import Charter, GatePart
from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance
from accordant.canonical.refs import EntityKind
from accordant.governance.gates import judge_gate
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import clearance, entity

LINES_MAX = 200

_Findings = dict[tuple[str, CheckKind], Clearance]


class GateStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How many customers a gate lets through now; ``unknown`` are those of ``held`` without any finding."""

    gate: str
    check: CheckKind
    open: int
    held: int
    unknown: int


class ClearanceLine(msgspec.Struct, frozen=True, kw_only=True):
    """The newest finding of one check, None where there is none, and what each gate that asks for it says today."""

    account_id: str
    ref: str
    check: CheckKind
    finding: Clearance | None
    is_open: bool
    verdicts: tuple[str, ...]


class Clearances(msgspec.Struct, frozen=True, kw_only=True):
    """Gates with their counts, and lines: the newest ``LINES_MAX`` findings of everybody."""

    gates: tuple[GateStanding, ...]
    lines: tuple[ClearanceLine, ...]
    partial: bool


def clearances(database: Database, charter: Charter, *, now: datetime) -> Clearances:
    """How every gate stands, and the newest findings."""
    with database.read() as connection:
        found = _findings(connection)
        accounts = connection.execute(
            select(func.count()).select_from(entity).where(entity.c.kind == EntityKind.ACCOUNT.value)
        ).scalar_one()
        newest = sorted(found.values(), key=lambda one: one.recorded_at, reverse=True)[:LINES_MAX]
        refs = _refs(connection, {one.account_id for one in newest})
    return Clearances(
        gates=tuple(_standing(gate, found, accounts, now) for gate in charter.gates),
        lines=tuple(_line(refs.get(one.account_id, ""), one, charter, now=now) for one in newest),
        partial=len(found) > LINES_MAX,
    )


def clearances_of(database: Database, charter: Charter, account_id: str, *, now: datetime) -> tuple[ClearanceLine, ...]:
    """Every check that a gate asks for, with what was found of this customer; unknown ones included."""
    with database.read() as connection:
        found = _findings(connection, account_id)
        refs = _refs(connection, {account_id})
    ref = refs.get(account_id, "")
    checks = dict.fromkeys(gate.check for gate in charter.gates)
    return tuple(
        _line(ref, found.get((account_id, check)) or _Nothing(account_id, check), charter, now=now) for check in checks
    )


class _Nothing(msgspec.Struct, frozen=True):
    """No finding of this check."""

    account_id: str
    check: CheckKind


def _findings(connection: Connection, account_id: str | None = None) -> _Findings:
    """The newest row of each customer and check."""
    last = select(func.max(clearance.c.id)).group_by(clearance.c.account_id, clearance.c.kind)
    if account_id is not None:
        last = last.where(clearance.c.account_id == account_id)
    rows = connection.execute(select(clearance).where(clearance.c.id.in_(last)))
    return {
        (row.account_id, CheckKind(row.kind)): Clearance(
            account_id=row.account_id,
            check=CheckKind(row.kind),
            status=CheckStatus(row.status),
            evidence=row.evidence,
            reason=row.reason,
            checked_at=from_micros(row.checked_at),
            recorded_by=row.recorded_by,
            recorded_at=from_micros(row.recorded_at),
        )
        for row in rows
    }


def _refs(connection: Connection, account_ids: Iterable[str]) -> dict[str, str]:
    rows = connection.execute(select(entity.c.id, entity.c.ref).where(entity.c.id.in_(sorted(account_ids))))
    return {str(row.id): str(row.ref) for row in rows}


def _standing(gate: GatePart, found: _Findings, accounts: int, now: datetime) -> GateStanding:
    asked = [one for (_, check), one in found.items() if check is gate.check]
    opened = sum(judge_gate(gate, one, now=now).is_open for one in asked)
    return GateStanding(
        gate=gate.name, check=gate.check, open=opened, held=accounts - opened, unknown=accounts - len(asked)
    )


def _line(ref: str, found: Clearance | _Nothing, charter: Charter, *, now: datetime) -> ClearanceLine:
    finding = found if isinstance(found, Clearance) else None
    verdicts = [judge_gate(gate, finding, now=now) for gate in charter.gates if gate.check is found.check]
    return ClearanceLine(
        account_id=found.account_id,
        ref=ref,
        check=found.check,
        finding=finding,
        is_open=all(verdict.is_open for verdict in verdicts),
        verdicts=tuple(str(verdict) for verdict in verdicts),
    )
