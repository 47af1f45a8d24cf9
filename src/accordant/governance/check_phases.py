"""What the charter asks for before a wider phase: figures that ask for something, and approvers with names."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Charter, Phase
from accordant.canonical.people import same_person
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.governance.grants import is_exempt
from accordant.governance.phases import is_wider

#: Figure of the part -> the least and the most that makes sense. The most keeps the evidence inside what is counted.
LIMITS: dict[str, tuple[int, int]] = {
    "clean_days": (1, 90),
    "min_events": (1, 1_000_000),
    "sampled_traces": (1, 500),
    "observe_days": (1, 365),
}


def check_phases(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """The part ``phases``, and whether the flows that wish to write can be approved by anybody."""
    part = charter.phases
    for name, (least, most) in LIMITS.items():
        figure = getattr(part, name)
        if not least <= figure <= most:
            yield Defect(
                where=place("phases", name),
                problem=f"{name} is {figure}: that asks for nothing, or for what never comes.",
                remedy=f"Give a number from {least} to {most}.",
            )
    yield from _approvers(charter)
    wishing = tuple(
        flow.name for flow in charter.flows if is_wider(flow.phase, Phase.READ_ONLY) and not is_exempt(charter, flow)
    )
    if wishing and not part.approvers:
        yield Defect(
            where=place("phases", "approvers"),
            problem=f"{', '.join(wishing)} may not write before somebody approves it, and nobody is named who could.",
            remedy="Name at least two approvers: who requests never approves.",
            severity=Severity.WARNING,
            flows=wishing,
        )


def _approvers(charter: Charter) -> Iterator[Defect]:
    seen: list[str] = []
    for index, name in enumerate(charter.phases.approvers):
        if not name.strip():
            yield Defect(
                where=place("phases", "approvers", index),
                problem="An approver has no name.",
                remedy="Write the name with which this person signs in.",
            )
        if any(same_person(name, other) for other in seen):
            yield Defect(
                where=place("phases", "approvers", index),
                problem=f"{name} is named twice.",
                remedy="Name each approver once.",
            )
        seen.append(name)
