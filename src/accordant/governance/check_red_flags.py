"""What the charter says of red flags: people who exist where two are asked for, and limits that ask for something."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Automation, Charter
from accordant.canonical.people import same_person
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place

REUSES_MAX = 100


def check_red_flags(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """The part ``red_flags``."""
    part = charter.red_flags
    if not 1 <= part.reuses_max <= REUSES_MAX:
        yield Defect(
            where=place("red_flags", "reuses_max"),
            problem=f"A key cannot be a red flag after {part.reuses_max} reuses.",
            remedy=f"Give a number from 1 to {REUSES_MAX}.",
        )
    seen: list[str] = []
    for index, name in enumerate(part.approvers):
        if not name.strip() or any(same_person(name, other) for other in seen):
            yield Defect(
                where=place("red_flags", "approvers", index),
                problem="An approver has no name." if not name.strip() else f"{name} is named twice.",
                remedy="Name each approver once, with the name this person signs in with.",
            )
        seen.append(name)
    if part.two_persons and len(part.approvers) == 1:
        yield Defect(
            where=place("red_flags", "approvers"),
            problem=f"Two persons have to approve, and only {part.approvers[0]} may: no such flag could be taken down.",
            remedy="Name at least two approvers, or ask for two persons for none.",
        )
    ignored = [kind.value for kind in part.two_persons if kind not in part.stop_on]
    if ignored:
        yield Defect(
            where=place("red_flags", "two_persons"),
            problem=f"Two persons are asked for {', '.join(ignored)}, which is not looked for.",
            remedy="Add it to stop_on, or take it out here.",
            severity=Severity.WARNING,
        )
    for system in part.own_users:
        if system not in charter.systems:
            yield Defect(
                where=place("red_flags", "own_users", system),
                problem=f"There is no system {system}.",
                remedy=f"Its systems are: {', '.join(sorted(charter.systems))}.",
            )
    if Automation.RECORD_SYNC in part.pauses:
        yield Defect(
            where=place("red_flags", "pauses"),
            problem="One red flag would stop the records of every customer.",
            remedy="Name classes of automation, such as money_moving; a customer's own records stop anyhow.",
        )
