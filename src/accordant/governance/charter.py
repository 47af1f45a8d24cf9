"""What the types cannot say of a charter: each defect with place and remedy, go or no-go per flow, old against new.

Pure; the folder is read by `store/charter_folder.py`. Each check is a function of its own, and all are asked.
"""

import zoneinfo
from collections.abc import Callable, Iterator, Mapping

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.canonical.people import bare_name, same_person
from accordant.governance.check_commissions import check_commissions
from accordant.governance.check_flows import check_flows, check_mappings
from accordant.governance.check_gates import check_gates
from accordant.governance.check_identity import check_identity
from accordant.governance.check_ledger import check_ledger
from accordant.governance.check_openings import check_openings
from accordant.governance.check_ownership import check_ownership
from accordant.governance.check_phases import check_phases
from accordant.governance.check_red_flags import check_red_flags
from accordant.governance.check_schedules import check_schedules
from accordant.governance.check_sensitivity import check_sensitivity
from accordant.governance.check_systems import check_secrets, check_systems
from accordant.governance.check_vat import check_vat
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.governance.gates import stands_before
from accordant.governance.phases import may_become, next_phase

#: From this share of yesterday's flows on, a change needs a second person. Percent.
SECOND_PERSON_ABOVE_PERCENT = 30

ATTEMPTS_MAX = 100  # a hundred tries at the longest pause are more than a day
#: After three tries an event is handed out alone; set aside before that, its neighbors of one crash would be as well.
RECEIVES_MIN = 4

Check = Callable[[Charter, Mapping[str, ConnectorFacts]], Iterator[Defect]]


class FlowVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a flow may go as the charter stands; ``missing`` says, in sentences, what it lacks."""

    flow: str
    go: bool
    missing: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A charter against the one in force. ``changed`` names yesterday's flows that would work otherwise or be gone."""

    defects: tuple[Defect, ...]
    changed: tuple[str, ...]
    needs_second_person: bool


def check_charter(charter: Charter, *, connectors: Mapping[str, ConnectorFacts]) -> tuple[Defect, ...]:
    """Everything wrong with a charter, all at once. ``connectors`` is what is installed, by name."""
    return tuple(defect for check in CHECKS for defect in check(charter, connectors))


def is_refused(defects: tuple[Defect, ...]) -> bool:
    """Whether these defects keep a charter from coming into force."""
    return any(defect.severity is Severity.ERROR for defect in defects)


def go_no_go(charter: Charter, *, connectors: Mapping[str, ConnectorFacts]) -> tuple[FlowVerdict, ...]:
    """For each flow, whether everything it needs is there. A draft is judged as if it were to take its first step."""
    started = tuple(
        msgspec.structs.replace(flow, phase=next_phase(flow.phase)) if flow.phase is Phase.DRAFT else flow
        for flow in charter.flows
    )
    checked = check_charter(msgspec.structs.replace(charter, flows=started), connectors=connectors)
    defects = [defect for defect in checked if defect.severity is Severity.ERROR]
    verdicts = []
    for flow in charter.flows:
        missing = tuple(
            f"{defect.problem} {defect.remedy}"
            for defect in defects
            if defect.flows is None or flow.name in defect.flows
        )
        verdicts.append(FlowVerdict(flow=flow.name, go=not missing, missing=missing))
    return tuple(verdicts)


def compare_versions(old: Charter | None, new: Charter) -> Comparison:
    """What a new charter would change. ``old`` is the one in force, None on the first day.

    Refuses a charter that lost all its flows, which is a lost file rather than a wish, and a phase that is skipped.
    """
    if old is None:
        return Comparison(defects=(), changed=(), needs_second_person=False)
    before = {flow.name: flow for flow in old.flows}
    after = {flow.name: flow for flow in new.flows}
    changed = tuple(
        name for name, flow in before.items() if name not in after or _meaning(old, flow) != _meaning(new, after[name])
    )
    defects = [*_lost_flows(old, new), *_skipped_phases(before, new)]
    return Comparison(
        defects=tuple(defects),
        changed=changed,
        needs_second_person=100 * len(changed) > SECOND_PERSON_ABOVE_PERCENT * len(before),
    )


def adoption_defects(
    in_force: Charter | None, proposed: Charter, *, actor: str, approved_by: str | None
) -> tuple[Defect, ...]:
    """Why ``actor`` may not put a sound charter in force instead of this one; ``approved_by`` is who approved it.

    A change of many flows, or of who approves, asks for a second person where the charter in force names approvers;
    where it names none there is nobody to ask.
    """
    comparison = compare_versions(in_force, proposed)
    if in_force is None or not in_force.phases.approvers:
        return comparison.defects
    approvers = in_force.phases.approvers
    reasons = []
    if comparison.needs_second_person:
        reasons.append(f"{len(comparison.changed)} of {len(in_force.flows)} flows would work otherwise.")
    if in_force.phases != proposed.phases:
        reasons.append("Who approves, and on what evidence, would change.")
    if in_force.red_flags != proposed.red_flags:
        reasons.append("What is a red flag, and who takes it down, would change.")
    second = approved_by is not None and not same_person(approved_by, actor)
    if not reasons or (second and any(same_person(approved_by or "", name) for name in approvers)):
        return comparison.defects
    who = (
        "Nobody has approved it"
        if approved_by is None
        else f"{bare_name(approved_by)} may not approve it for {bare_name(actor)}"
    )
    return (
        *comparison.defects,
        Defect(
            where="phases",
            problem=f"{' '.join(reasons)} That needs a second person. {who}.",
            remedy=f"One of {', '.join(approvers)} runs: accordant charter approve {proposed.version} --as NAME.",
        ),
    )


def _lost_flows(old: Charter, new: Charter) -> Iterator[Defect]:
    if old.flows and not new.flows:
        yield Defect(
            where="flows",
            problem=f"The charter in force has {len(old.flows)} flows, this one has none.",
            remedy="Restore the file that holds them; to stop everything, pause each flow or stop all writes.",
        )


def _skipped_phases(before: Mapping[str, FlowPart], new: Charter) -> Iterator[Defect]:
    for index, flow in enumerate(new.flows):
        known = before.get(flow.name)
        if may_become(known.phase if known else None, flow.phase):
            continue
        came_from = f"was {known.phase}" if known else "is new"
        first = next_phase(known.phase) if known else "read_only"
        yield Defect(
            where=place("flows", index, "phase"),
            problem=f"{flow.name} {came_from} and cannot become {flow.phase} at once.",
            remedy=f"Set the phase to {first}, review what it does, then widen it.",
            flows=(flow.name,),
        )


def _meaning(charter: Charter, flow: FlowPart) -> tuple[object, ...]:
    """Everything that decides what a flow does."""
    return (
        flow,
        charter.mapping_of(flow),
        tuple(part for part in charter.ownership if part.entity == flow.entity),
        tuple(gate for gate in charter.gates if stands_before(gate, flow)),
        charter.systems.get(flow.source),
        charter.systems.get(flow.target),
    )


def _check_company(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    if not charter.company.strip():
        yield Defect(where="company", problem="The company has no name.", remedy="Write the company's name.")
    if not _is_timezone(charter.timezone):
        yield Defect(
            where="timezone",
            problem=f"{charter.timezone!r} is no time zone.",
            remedy="Use a name of the IANA list such as Europe/Berlin, America/New_York or UTC.",
        )


def _is_timezone(name: str) -> bool:
    if name == "UTC":  # known even where the machine has no time zone database
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_courier(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    courier = charter.courier
    if not 1 <= courier.attempts_max <= ATTEMPTS_MAX:
        yield Defect(
            where=place("courier", "attempts_max"),
            problem=f"The courier cannot try {courier.attempts_max} times.",
            remedy=f"Give a number from 1 to {ATTEMPTS_MAX}.",
        )
    if not 1 <= courier.backoff_base_s <= courier.backoff_max_s:
        yield Defect(
            where=place("courier", "backoff_base_s"),
            problem=f"The courier's pauses go from {courier.backoff_base_s} to {courier.backoff_max_s} seconds.",
            remedy="Start at 1 second or more, and end no lower than the start.",
        )


def _check_lanes(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    lanes = charter.lanes
    if not RECEIVES_MIN <= lanes.receives_max <= ATTEMPTS_MAX:
        yield Defect(
            where=place("lanes", "receives_max"),
            problem=f"An event cannot be set aside after it was handed out {lanes.receives_max} times.",
            remedy=f"Give a number from {RECEIVES_MIN} to {ATTEMPTS_MAX}.",
        )
    for index, name in enumerate(lanes.redrivers):
        if not name.strip():
            yield Defect(
                where=place("lanes", "redrivers", index),
                problem="A person who may redrive has no name.",
                remedy="Give the name they sign in with, or leave the line out.",
            )


#: Every check, in the order in which a person reads a charter.
CHECKS: tuple[Check, ...] = (
    _check_company,
    check_systems,
    check_secrets,
    check_ownership,
    check_mappings,
    check_flows,
    check_openings,
    check_identity,
    check_gates,
    check_vat,
    check_phases,
    check_red_flags,
    _check_courier,
    _check_lanes,
    check_schedules,
    check_sensitivity,
    check_ledger,
    check_commissions,
)
