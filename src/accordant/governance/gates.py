"""Compliance gates: is a check of this customer good enough, and fresh enough, for this action? If in doubt, it holds.

Unknown, pending, failed, stale and post-dated evidence all hold; only a fresh finding the gate names opens it. Pure;
`decide.py` asks with what `pipeline/plan.py` and `pipeline/dispatch.py` have loaded.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import FlowPart, GatePart, MappingPart
from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance, GateAction
from accordant.governance.financial import is_financial
from accordant.governance.ownership import facts_of

#: The clearances of one customer: the newest of each check.
Clearances = Mapping[CheckKind, Clearance]

_NOTHING_RECORDED: Clearances = {}

#: How a check is called in a sentence.
CHECK_WORDS: dict[CheckKind, str] = {
    CheckKind.KYC: "KYC",
    CheckKind.KYB: "KYB",
    CheckKind.AML: "AML",
    CheckKind.VAT: "VAT",
    CheckKind.TAX_FORM: "tax form",
}


class CompiledGate(msgspec.Struct, frozen=True, kw_only=True):
    """A gate of one flow, with the target fields it stops."""

    part: GatePart
    fields: frozenset[str]


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a gate is open for one customer, and why (requirement 184).

    ``evidence`` and ``since`` are None where no check was recorded; ``next_action`` is the charter's own sentence.
    """

    gate: str
    is_open: bool
    reason: str
    evidence: str | None
    since: datetime | None
    next_action: str

    def __str__(self) -> str:
        return self.reason if self.is_open else f"{self.reason} {self.next_action}"


#: Asks the gates of a flow about one customer, by the hub's id, with what is recorded at this moment.
AskGates = Callable[[Iterable[CompiledGate], str], dict[str, GateVerdict]]


def nobody_asks(_gates: Iterable[CompiledGate], _account_id: str) -> dict[str, GateVerdict]:
    """Where clearances cannot be looked up: every gate holds."""
    return {}


def compile_gates(gates: Iterable[GatePart], flow: FlowPart, mapping: MappingPart) -> tuple[CompiledGate, ...]:
    """Those of the gates that stand before a flow."""
    return tuple(compile_gate(gate, mapping) for gate in gates if stands_before(gate, flow))


def compile_gate(gate: GatePart, mapping: MappingPart) -> CompiledGate:
    """A gate with the fields of this mapping that it stops."""
    return CompiledGate(part=gate, fields=_stopped(gate, mapping))


def stands_before(gate: GatePart, flow: FlowPart) -> bool:
    """Whether a gate asks about what this flow writes."""
    return gate.entity == flow.entity and (not gate.flows or flow.name in gate.flows)


def _stopped(gate: GatePart, mapping: MappingPart) -> frozenset[str]:
    if gate.action is GateAction.WRITE:
        return frozenset(mapping.fields)
    return frozenset(
        name
        for name, field in mapping.fields.items()
        if any(is_financial(mapping.entity, fact) for fact in facts_of(field))
    )


def judge_gates(
    gates: Iterable[CompiledGate], clearances: Clearances | None, *, now: datetime
) -> dict[str, GateVerdict]:
    """The verdict of each gate by name, for one customer. ``clearances`` None: nothing was ever recorded."""
    known = clearances if clearances is not None else _NOTHING_RECORDED
    return {gate.part.name: judge_gate(gate.part, known.get(gate.part.check), now=now) for gate in gates}


def judge_gate(gate: GatePart, clearance: Clearance | None, *, now: datetime) -> GateVerdict:
    """Whether one finding opens one gate now. Evidence is fresh up to and including its last second."""
    check = CHECK_WORDS[gate.check]
    if clearance is None:
        return _holds(gate, None, f"No {check} check of this customer is recorded.")
    day = f"{clearance.checked_at:%Y-%m-%d}"
    if clearance.status not in gate.opens_on:
        why = f" {clearance.reason.rstrip('.')}." if clearance.reason else ""
        return _holds(gate, clearance, f"The {check} check is {_said(clearance.status)} since {day}.{why}")
    if clearance.checked_at > now:
        return _holds(gate, clearance, f"The {check} check is dated {day}, which is still to come.")
    if now - clearance.checked_at > timedelta(days=gate.evidence_days_max):
        return _holds(
            gate,
            clearance,
            f"The {check} check of {day} is older than the {gate.evidence_days_max} days that {gate.name} takes.",
        )
    return GateVerdict(
        gate=gate.name,
        is_open=True,
        reason=f"The {check} check is {_said(clearance.status)} since {day}.",
        evidence=clearance.evidence,
        since=clearance.checked_at,
        next_action="",
    )


def _holds(gate: GatePart, clearance: Clearance | None, reason: str) -> GateVerdict:
    evidence = clearance.evidence if clearance is not None else None
    named = f" Evidence: {evidence}." if evidence else ""
    return GateVerdict(
        gate=gate.name,
        is_open=False,
        reason=f"{gate.name} holds: {reason}{named}",
        evidence=evidence,
        since=clearance.checked_at if clearance is not None else None,
        next_action=gate.next_action,
    )


def _said(status: CheckStatus) -> str:
    return status.value.replace("_", " ")
