"""The charter's gates: each stands before something, asks for evidence that can expire, and says what to do next."""

from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.charter import Charter, FlowPart, GatePart
from accordant.canonical.clearances import CheckStatus
from accordant.governance.findings import ConnectorFacts, Defect, place
from accordant.governance.gates import compile_gate, stands_before

#: Findings that may open a gate at all: a check that is open or failed never does.
MAY_OPEN = frozenset({CheckStatus.PASSED, CheckStatus.NOT_REQUIRED})
#: Evidence older than this is no evidence of today. Days.
EVIDENCE_DAYS_MAX = 1830  # five years, the longest that checks of business customers are commonly left unrefreshed

_WORDS_MIN = 3  # fewer words are a label, not a sentence


def check_gates(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each gate by itself, that no two have one name, and that each stands before a field that some flow carries."""
    del connectors  # a gate is about the customer, whichever system is written to
    names: set[str] = set()
    for index, gate in enumerate(charter.gates):
        stopped = tuple(flow.name for flow in charter.flows if stands_before(gate, flow))
        for defect in (*_named(index, gate, names), *_asked(index, gate), *_before(index, gate, charter)):
            yield msgspec.structs.replace(defect, flows=stopped)
        names.add(gate.name)


def _named(index: int, gate: GatePart, names: set[str]) -> Iterator[Defect]:
    if not gate.name.strip() or gate.name in names:
        yield Defect(
            where=place("gates", index, "name"),
            problem=f"Two gates are named {gate.name}." if gate.name.strip() else "The gate has no name.",
            remedy="Give each gate a name of its own; it is told to whoever asks why a write is held.",
        )
    for setting, text, what in (
        ("purpose", gate.purpose, "why the gate stands there"),
        ("next_action", gate.next_action, "what to do, and who does it, when the gate holds"),
    ):
        if len(text.split()) < _WORDS_MIN:
            yield Defect(
                where=place("gates", index, setting),
                problem=f"No sentence of {gate.name} says {what}.",
                remedy=f"Write {setting} as one sentence.",
            )


def _asked(index: int, gate: GatePart) -> Iterator[Defect]:
    if not gate.opens_on:
        yield Defect(
            where=place("gates", index, "opens_on"),
            problem=f"Nothing opens {gate.name}, so it would hold for ever.",
            remedy="List passed, or passed and not_required.",
        )
    for at, status in enumerate(gate.opens_on):
        if status not in MAY_OPEN:
            yield Defect(
                where=place("gates", index, "opens_on", at),
                problem=f"A check that is {status} would open {gate.name}.",
                remedy="A gate opens on passed, and where you say so on not_required.",
            )
    if not 1 <= gate.evidence_days_max <= EVIDENCE_DAYS_MAX:
        yield Defect(
            where=place("gates", index, "evidence_days_max"),
            problem=f"Evidence cannot be good for {gate.evidence_days_max} days.",
            remedy=f"Give a number from 1 to {EVIDENCE_DAYS_MAX}.",
        )


def _before(index: int, gate: GatePart, charter: Charter) -> Iterator[Defect]:
    by_name: dict[str, FlowPart] = {flow.name: flow for flow in charter.flows}
    misnamed = False
    for at, name in enumerate(gate.flows):
        flow = by_name.get(name)
        if flow is None or flow.entity != gate.entity:
            misnamed = True
            what = f"There is no flow {name!r}" if flow is None else f"{name} carries {flow.entity}, not {gate.entity}"
            yield Defect(
                where=place("gates", index, "flows", at),
                problem=f"{what}, so {gate.name} would stop nothing there.",
                remedy="Name flows of this entity, or leave flows out to stop all of them.",
            )
    stopped = [
        compile_gate(gate, mapping).fields
        for flow in charter.flows
        if stands_before(gate, flow) and (mapping := charter.mapping_of(flow)) is not None
    ]
    if not misnamed and not any(stopped):
        yield Defect(
            where=place("gates", index, "entity"),
            problem=f"No flow carries a field of {gate.entity} that {gate.name} could stop.",
            remedy="Name an entity that flows, or remove the gate: a gate that stops nothing protects nobody.",
        )
