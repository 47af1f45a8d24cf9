"""The four artifacts of a charter as tables to read: inventory, entity map, sensitivity policy, gate list.

Values only, so that the command line, its files and the console show the same. Next: `charter_text.py` writes files.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from accordant.canonical.charter import Audience, Charter, FlowPart, IntegrationPath, Phase, Sensitivity, SyncMode
from accordant.canonical.clearances import GateAction
from accordant.canonical.facts import FACTS
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import FlowVerdict
from accordant.governance.financial import is_financial
from accordant.governance.findings import Category, ConnectorFacts
from accordant.governance.gates import CHECK_WORDS, stands_before
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.governance.sensitivity import kind_of_fact, masks_of

Row = tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table: ``empty`` is said instead of rows where there are none."""

    title: str
    lead: str
    header: Row
    rows: tuple[Row, ...]
    empty: str = "Nothing is written here yet."


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One page a person can read by itself; ``slug`` names its file and its address."""

    slug: str
    title: str
    lead: str
    tables: tuple[Table, ...]


def artifacts(
    charter: Charter, *, connectors: Mapping[str, ConnectorFacts], verdicts: Iterable[FlowVerdict] = ()
) -> tuple[Artifact, ...]:
    """The four artifacts. ``verdicts`` are those of the check, shown beside the flows where they are given."""
    return (
        _inventory(charter, connectors),
        _entity_map(charter, tuple(verdicts)),
        _sensitivity(charter),
        _gates(charter),
    )


def span(seconds: int) -> str:
    """Seconds in words, as large a unit as comes out even: 5400 is 90 minutes."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    raise AssertionError  # every number of seconds is a number of seconds


# -- system inventory ------------------------------------------------------------------------------------------------

_CATEGORY_WORDS: dict[Category, str] = {
    Category.BILLING: "billing",
    Category.CRM: "CRM",
    Category.ERP: "ERP",
    Category.SUPPORT: "support",
    Category.OTHER: "other",
}


_PATH_WORDS = {
    IntegrationPath.DIRECT: "direct, by API and webhooks",
    IntegrationPath.WRAPPER: "a wrapped connector",
    IntegrationPath.NATIVE: "the vendor's own connector",
}


def _ways_in(charter: Charter) -> Table:
    return Table(
        title="Ways in",
        lead="How each system is reached, who chose that, and what is promised where the hub cannot see to it.",
        header=("System", "Path", "Decided", "Promised in writing"),
        rows=tuple(
            (
                name,
                _PATH_WORDS[system.path],
                system.path_because or "the hub's own connector, by default",
                "; ".join(f"{key}: {text}" for key, text in sorted(system.assurances.items()))
                or "held by the hub's own tests",
            )
            for name, system in charter.systems.items()
        ),
    )


def _inventory(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Artifact:
    rows, secrets = [], []
    for name, system in charter.systems.items():
        facts = connectors.get(system.connector)
        category = _CATEGORY_WORDS[facts.category] if facts is not None else "unknown"
        stand_in = ", a stand-in on this machine" if system.stand_in else ""
        rows.append(
            (
                name,
                f"{category} ({system.connector}{stand_in})",
                ", ".join(_roles(name, charter)) or "connected, no flow yet",
                system.owner,
                ", ".join(system.stakeholders) or "nobody named",
                facts.tier.value if facts is not None else "unknown",
                f"{system.rate_per_s:,}",
            )
        )
        secrets += [(name, setting, variable) for setting, variable in _references(system.settings)]
    kinds = {facts.category for one in charter.systems.values() if (facts := connectors.get(one.connector))}
    missing = [(_CATEGORY_WORDS[kind], "No system of this kind is connected.") for kind in Category
               if kind is not Category.OTHER and kind not in kinds]  # fmt: skip
    return Artifact(
        slug="system-inventory",
        title="System inventory",
        lead="Every system the hub is connected to, who answers for it, and who else has a say.",
        tables=(
            Table(
                title="Systems",
                lead="The owner is asked when a system is in doubt; stakeholders hear of tax, reporting and payouts.",
                header=("System", "What it is", "Part it plays", "Owner", "Stakeholders", "Proved", "Calls a second"),
                rows=tuple(rows),
            ),
            _ways_in(charter),
            Table(
                title="Secrets",
                lead="Where each secret comes from when the hub starts. No secret stands in the charter.",
                header=("System", "Setting", "Environment variable"),
                rows=tuple(secrets),
                empty="No system needs a secret.",
            ),
            Table(
                title="Not connected",
                lead="Kinds of system a company usually has and this charter does not name.",
                header=("Kind", "What that means"),
                rows=tuple(missing),
                empty="Billing, CRM, ERP and support are all connected.",
            ),
        ),
    )


def _roles(system: str, charter: Charter) -> Iterator[str]:
    if any(flow.source == system for flow in charter.flows):
        yield "read"
    if any(flow.target == system and flow.phase in {Phase.CONTROLLED, Phase.AUTOMATED} for flow in charter.flows):
        yield "written"
    elif any(flow.target == system for flow in charter.flows):
        yield "compared"


def _references(settings: Mapping[str, str | int | bool | tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str) and one.startswith("env:"):
                yield name, one.removeprefix("env:")


# -- entity map ------------------------------------------------------------------------------------------------------


def _entity_map(charter: Charter, verdicts: tuple[FlowVerdict, ...]) -> Artifact:
    return Artifact(
        slug="entity-map",
        title="Entity map",
        lead="Which system owns the truth about what, who may show it, and how quickly it arrives.",
        tables=(
            _owned(charter),
            _exceptions(charter),
            _matrix(charter),
            _timetable(charter),
            _writes(charter, verdicts),
        ),
    )


def _owned(charter: Charter) -> Table:
    return Table(
        title="Who owns what",
        lead="One system of record each. Outbound goes from its owner to the readers, inbound is told to nobody, both"
        " also lets the owners of single facts write those back.",
        header=("Entity", "System of record", "Answers for it", "Direction", "Readers", "When two differ", "Why"),
        rows=tuple(
            (
                _words(part.entity),
                part.system_of_record,
                _owner_of(part.system_of_record, charter),
                part.direction.value,
                ", ".join(part.readers) or "nobody",
                _words(part.winner),
                part.purpose,
            )
            for part in charter.ownership
        ),
        empty="No entity has an owner, so nothing may be written.",
    )


def _exceptions(charter: Charter) -> Table:
    rows: list[Row] = []
    for part in charter.ownership:
        if part.financial is not None:
            rows.append((_words(part.entity), "every financial fact", part.financial))
        rows += [(_words(part.entity), fact, system) for fact, system in part.fields.items()]
    return Table(
        title="Exceptions",
        lead="Facts that belong to another system than the rest of their entity.",
        header=("Entity", "Fact", "Belongs to"),
        rows=tuple(rows),
        empty="There are none: each entity belongs to its system of record whole.",
    )


def _matrix(charter: Charter) -> Table:
    shown: dict[tuple[EntityKind, str], list[str]] = {}
    for flow in charter.flows:
        mapping = charter.mapping_of(flow)
        for name, field in mapping.fields.items() if mapping is not None else ():
            for fact in facts_of(field):
                shown.setdefault((flow.entity, fact), []).append(f"{flow.target} {flow.object}.{name}")
    cells = OwnershipMatrix.from_charter(charter).cells()
    return Table(
        title="Every fact",
        lead="The ownership matrix written out. A financial fact never belongs to a CRM or a support system.",
        header=("Entity", "Fact", "Financial", "Belongs to", "Shown in"),
        rows=tuple(
            (
                _words(cell.entity),
                cell.fact,
                "yes" if is_financial(cell.entity, cell.fact) else "no",
                cell.owner or "nobody",
                ", ".join(dict.fromkeys(shown.get((cell.entity, cell.fact), ()))) or "nowhere",
            )
            for cell in cells
        ),
    )


def _timetable(charter: Charter) -> Table:
    """The table of requirement 162: what support looks at before it calls a value wrong."""
    owners = OwnershipMatrix.from_charter(charter)
    return Table(
        title="Real time or batch",
        lead="How old a value may be, where its latest state stands, and from when its lag is an incident.",
        header=("Flow", "Carries", "Source of truth", "Answers for it", "Mode", "Expected lag", "Where to verify",
                "Incident after"),
        rows=tuple(
            (
                flow.name,
                f"{_words(flow.entity)} to {flow.target} {flow.object}",
                owners.entities.get(flow.entity) or "nobody",
                flow.owner or _owner_of(owners.entities.get(flow.entity) or flow.source, charter),
                _mode(flow),
                span(flow.expected_lag_s),
                flow.verify or "not written yet",
                span(flow.incident_lag_s),
            )
            for flow in charter.flows
        ),
        empty="No flow carries anything yet.",
    )  # fmt: skip


def _mode(flow: FlowPart) -> str:
    if flow.sync is SyncMode.REAL_TIME:
        return "real time"
    return f"batch, at {flow.schedule}" if flow.schedule else "batch"


def _writes(charter: Charter, verdicts: tuple[FlowVerdict, ...]) -> Table:
    said = {one.flow: one for one in verdicts}
    return Table(
        title="What each flow may do",
        lead="The widest phase the charter wishes; how far a flow may go today also hangs on its grant.",
        header=("Flow", "Phase", "Go or no-go", "Released fields", "Held by gates"),
        rows=tuple(
            (
                flow.name,
                _words(flow.phase) + (", paused" if flow.paused else ""),
                _verdict(said.get(flow.name)),
                _released(flow),
                ", ".join(gate.name for gate in charter.gates if stands_before(gate, flow)) or "no gate",
            )
            for flow in charter.flows
        ),
        empty="No flow carries anything yet.",
    )


def _verdict(verdict: FlowVerdict | None) -> str:
    if verdict is None:
        return "not asked"
    return "go" if verdict.go else "no-go: " + " ".join(verdict.missing)


def _released(flow: FlowPart) -> str:
    if flow.phase is Phase.AUTOMATED:
        return "every mapped field"
    if flow.phase is Phase.CONTROLLED:
        return ", ".join(flow.write_fields)
    return "none"


# -- sensitivity policy ----------------------------------------------------------------------------------------------


def _sensitivity(charter: Charter) -> Artifact:
    masks = {audience: masks_of(charter, audience) for audience in Audience}
    kinds = [kind for kind in Sensitivity if kind is not Sensitivity.OPEN]
    declared = charter.sensitivity.facts
    classes = [
        (_words(entity), fact, _words(kind))
        for entity, facts in FACTS.items()
        for fact in {**facts, **declared.get(entity, {})}
        if (kind := declared.get(entity, {}).get(fact) or kind_of_fact(entity, fact)) is not Sensitivity.OPEN
    ]
    return Artifact(
        slug="sensitivity-policy",
        title="Sensitivity policy",
        lead="What is personal, and how much of it each audience is shown in pages, files, logs and alerts.",
        tables=(
            Table(
                title="Who sees how much",
                lead="show: all of it. part: its shortened form. hide: that there is a value.",
                header=("Kind of value", *map(_words, masks)),
                rows=tuple((_words(kind), *(seen[kind].value for seen in masks.values())) for kind in kinds),
            ),
            Table(
                title="Personal facts",
                lead="Facts the hub covers. Everything that is not listed is open.",
                header=("Entity", "Fact", "Kind"),
                rows=tuple(classes),
            ),
            Table(
                title="Personal fields of targets",
                lead="Fields whose kind the charter names itself.",
                header=("Field", "Kind"),
                rows=tuple((name, _words(kind)) for name, kind in charter.sensitivity.fields.items()),
                empty="None: a target field has the kind of the fact it is filled from.",
            ),
        ),
    )


# -- gate list -------------------------------------------------------------------------------------------------------

_ACTION_WORDS: dict[GateAction, str] = {
    GateAction.WRITE: "every write",
    GateAction.WRITE_FINANCIAL: "writes of financial fields",
}


def _gates(charter: Charter) -> Artifact:
    return Artifact(
        slug="gate-list",
        title="Compliance gates",
        lead="Which check has to say what before something is written. Unknown, pending, failed and stale all hold.",
        tables=(
            Table(
                title="Gates",
                lead="Who reads here why a customer is held finds under Next action what to do.",
                header=("Gate", "Check", "Holds", "Opens on", "Evidence no older than", "Why", "Next action"),
                rows=tuple(
                    (
                        gate.name,
                        CHECK_WORDS[gate.check],
                        f"{_ACTION_WORDS[gate.action]} of {_words(gate.entity)}"
                        + (f" by {', '.join(gate.flows)}" if gate.flows else ""),
                        ", ".join(_words(status) for status in gate.opens_on),
                        span(gate.evidence_days_max * 86_400),
                        gate.purpose,
                        gate.next_action,
                    )
                    for gate in charter.gates
                ),
                empty="There are no gates: no check of a customer holds anything back.",
            ),
        ),
    )


def _owner_of(system: str, charter: Charter) -> str:
    part = charter.systems.get(system)
    return part.owner if part is not None else "nobody"


def _words(word: str) -> str:
    return str(word).replace("_", " ")
