"""The charter's flows and the mappings that serve them: every name leads somewhere, nobody writes what another owns."""

from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.charter import Charter, FieldType, FlowPart, MappingPart, Phase, SyncMode
from accordant.canonical.documents import DocumentKind
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.governance.check_ownership import category_of
from accordant.governance.domains import domain_of
from accordant.governance.financial import is_financial
from accordant.governance.findings import Category, ConnectorFacts, Defect, Severity, place
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.governance.phases import CAP_OF_TIER, Tier, cap_of, is_wider

#: Only ids that the owner never reuses may name a record; sooner or later two companies share a name or an address.
STABLE_KEYS = frozenset({"external_id"})

#: Facts that name one record of the owner and no other: only these may look another record up.
REFERENCES = frozenset({"external_id", "account", "parent", "party", "company"})

#: A flow that may be later than this is not real time. Seconds.
REAL_TIME_LAG_S_MAX = 3600

_FIELD_TYPES: dict[FactType, frozenset[FieldType]] = {
    FactType.TEXT: frozenset({FieldType.TEXT, FieldType.LOOKUP}),
    FactType.NUMBER: frozenset({FieldType.NUMBER, FieldType.TEXT}),
    FactType.FLAG: frozenset({FieldType.FLAG, FieldType.TEXT}),
    FactType.MONEY: frozenset({FieldType.CURRENCY}),
    FactType.DAY: frozenset({FieldType.DATE, FieldType.TEXT}),
    FactType.INSTANT: frozenset({FieldType.INSTANT, FieldType.TEXT}),
}


def check_mappings(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each mapping by itself: a stable key, known facts, types that can hold them."""
    del connectors  # a mapping is judged by the hub's own vocabulary
    for system, mappings in charter.mappings.items():
        if system not in charter.systems:
            yield Defect(
                where=place("mappings", system),
                problem=f"There is no system {system!r}.",
                remedy=f"Use one of: {', '.join(sorted(charter.systems))}.",
                flows=(),
            )
        seen: set[tuple[str, str]] = set()
        for index, mapping in enumerate(mappings):
            where = place("mappings", system, index)
            flows = tuple(flow.name for flow in charter.flows if charter.mapping_of(flow) is mapping)
            if (mapping.entity, mapping.object) in seen:
                yield Defect(
                    where=where,
                    problem=f"{mapping.entity} is mapped to {system}'s {mapping.object} twice.",
                    remedy="Keep one of the two.",
                    flows=flows,
                )
            seen.add((mapping.entity, mapping.object))
            for defect in _mapping(where, mapping):
                yield msgspec.structs.replace(defect, flows=flows)


def _mapping(where: str, mapping: MappingPart) -> Iterator[Defect]:
    facts = FACTS.get(mapping.entity, {})
    if mapping.key_source not in STABLE_KEYS:
        yield Defect(
            where=place(where, "key_source"),
            problem=f"{mapping.object} would be found by {mapping.key_source!r}, which two of them may share.",
            remedy="Set key_source to external_id, the owner's own id; a company's name is never a key.",
        )
    if not mapping.fields:
        yield Defect(
            where=place(where, "fields"),
            problem=f"The mapping of {mapping.object} has no fields.",
            remedy="Map at least one field, or leave the mapping out to get the connector's own.",
        )
    for name, field in mapping.fields.items():
        if not field.source and field.type is not FieldType.LOOKUP:
            continue  # the mapping room checks paths and expressions, which have no place in this vocabulary
        fact = facts.get(field.source)
        if fact is None:
            yield Defect(
                where=place(where, "fields", name, "source"),
                problem=f"{mapping.entity} has no fact {field.source!r}."
                if field.source
                else f"{name} finds its record by no fact.",
                remedy=f"Its facts are: {', '.join(sorted(facts)) or 'none flow out yet'}.",
            )
        elif field.type not in _FIELD_TYPES[fact]:
            yield Defect(
                where=place(where, "fields", name, "type"),
                problem=f"{field.source} is of type {fact} and cannot be held by a field of type {field.type}.",
                remedy=f"Make the type {' or '.join(sorted(_FIELD_TYPES[fact]))}, or choose another source.",
            )
        elif field.type is FieldType.LOOKUP and field.source not in REFERENCES:
            yield Defect(
                where=place(where, "fields", name, "source"),
                problem=f"{name} would find its record by {field.source!r}, which two of them may share.",
                remedy=f"Look up by {' or '.join(sorted(REFERENCES))}; a company's name is never a key.",
            )


def check_flows(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each flow, and that no two write the same field. What a draft still lacks is only a warning: it does nothing."""
    owners = OwnershipMatrix.from_charter(charter)
    if not charter.flows:
        yield Defect(
            where="flows",
            problem="The charter has no flows, so nothing is done.",
            remedy="Add a flow with an entity, a source, a target and a phase.",
            severity=Severity.WARNING,
        )
    yield from _shared(charter)
    yield from _both_ways(charter)
    for index, flow in enumerate(charter.flows):
        where = place("flows", index)
        mapping = charter.mapping_of(flow)
        for defect in (
            *_route(where, flow, charter, connectors),
            *_owner(where, flow, mapping, owners),
            *_lags(where, flow),
            *_phase(where, flow, charter, connectors),
            *(_writes(where, flow, mapping, owners) if mapping is not None else _unmapped(where, flow)),
            *(_into_billing(where, flow, mapping, charter, connectors) if mapping is not None else ()),
        ):
            severity = Severity.WARNING if flow.phase is Phase.DRAFT else defect.severity
            yield msgspec.structs.replace(defect, flows=(flow.name,), severity=severity)


def _shared(charter: Charter) -> Iterator[Defect]:
    names: set[str] = set()
    writers: dict[tuple[str, ...], str] = {}
    for index, flow in enumerate(charter.flows):
        if flow.name in names or not flow.name.strip():
            yield Defect(
                where=place("flows", index, "name"),
                problem=f"Two flows are named {flow.name}." if flow.name.strip() else "The flow has no name.",
                remedy="Give each flow a name of its own.",
                flows=(flow.name,),
            )
            continue
        names.add(flow.name)
        mapping = charter.mapping_of(flow)
        if mapping is None:
            continue
        contested: dict[str, list[str]] = {}
        for field in sorted(_write_set(flow, mapping)):
            for records in _records_of(flow, mapping):
                first = writers.setdefault((flow.target, *records, field), flow.name)
                if first != flow.name and field not in contested.setdefault(first, []):
                    contested[first].append(field)
        for first, fields in contested.items():
            yield Defect(
                where=place("flows", index, "write_fields"),
                problem=f"{flow.name} and {first} would both write {', '.join(fields)} of {flow.object}.",
                remedy="Let one flow write each field.",
                flows=(flow.name, first),
            )


def _records_of(flow: FlowPart, mapping: MappingPart) -> Iterator[tuple[str, ...]]:
    """Which records of its target a flow writes: those of an object that carry its key, or the ledger documents of a
    kind and source. Two flows that find their records by different fields never meet.
    """
    if flow.entity is not EntityKind.LEDGER_DOCUMENT:
        yield (flow.object, mapping.key_field)
        return
    for document in flow.documents or DocumentKind:
        yield (flow.source, document.value)


def _route(where: str, flow: FlowPart, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    if flow.source == flow.target:
        yield Defect(
            where=place(where, "target"),
            problem=f"{flow.name} leads from {flow.source} back to itself.",
            remedy="Name another system as the target.",
        )
    for end, system in (("source", flow.source), ("target", flow.target)):
        part = charter.systems.get(system)
        facts = connectors.get(part.connector) if part is not None else None
        if part is None:
            yield Defect(
                where=place(where, end),
                problem=f"The {end} {system!r} of {flow.name} is no system of this charter.",
                remedy=f"Use one of: {', '.join(sorted(charter.systems)) or 'none is described yet'}.",
            )
        elif facts is not None and not (facts.is_source if end == "source" else facts.is_target):
            yield Defect(
                where=place(where, end),
                problem=f"The connector {facts.name} cannot be the {end} of a flow.",
                remedy=f"Choose a system that can be {'read' if end == 'source' else 'written to'}."
                if facts.declared is None
                else f"It is only declared. {facts.declared[1]}",
            )
    if flow.entity not in FACTS:
        yield Defect(
            where=place(where, "entity"),
            problem=f"{flow.entity} cannot flow out yet: it has no facts.",
            remedy=f"Use one of: {', '.join(sorted(FACTS))}.",
        )
    if not flow.verify.strip():
        yield Defect(
            where=place(where, "verify"),
            problem=f"Nothing says where a person checks that {flow.name} works.",
            remedy="Write one sentence: which report or page of which system shows it.",
            severity=Severity.WARNING,
        )


def _owner(where: str, flow: FlowPart, mapping: MappingPart | None, owners: OwnershipMatrix) -> Iterator[Defect]:
    owner = owners.entities.get(flow.entity)
    if owner is None:
        carried = sorted({fact for field in mapping.fields.values() for fact in facts_of(field)}) if mapping else []
        named = f" ({', '.join(carried)})" if carried else ""
        yield Defect(
            where=place(where, "entity"),
            problem=f"Nobody owns {flow.entity}, which {flow.name} carries{named}.",
            remedy=f"Add {flow.entity} to ownership{_as_part_of(flow.entity)}, with its system of record and"
            " one sentence of purpose.",
        )
        return
    speaks = flow.source == owner or _owns_some(flow, mapping, owners)
    closed = owners.closed_to(flow.entity, flow.target)
    if owner == flow.target and not speaks:
        yield Defect(
            where=place(where, "target"),
            problem=f"{flow.name} would write {flow.entity} into {flow.target}, which owns it.",
            remedy="Turn the flow round, or change who owns it.",
        )
    elif not speaks:
        yield Defect(
            where=place(where, "source"),
            problem=f"{flow.name} takes {flow.entity} from {flow.source}, but {owner} owns it.",
            remedy=f"Make {owner} the source.",
        )
    elif closed is not None and flow.source != flow.target:
        yield Defect(
            where=place(where, "target"),
            problem=f"{flow.name} cannot carry {flow.entity} to {flow.target}: {closed}.",
            remedy=f"Change the direction or the readers in the ownership of {flow.entity}, or leave the flow out.",
        )


def _as_part_of(entity: EntityKind) -> str:
    domain = domain_of(entity)
    return "" if domain is None else f" (it belongs to the {domain})"


def _owns_some(flow: FlowPart, mapping: MappingPart | None, owners: OwnershipMatrix) -> bool:
    fields = mapping.fields.values() if mapping is not None else ()
    return any(owners.owner_of(flow.entity, fact) == flow.source for field in fields for fact in facts_of(field))


def _both_ways(charter: Charter) -> Iterator[Defect]:
    """Two flows that carry the same facts of one entity to and fro: the wish that nobody decided (requirement 10)."""
    routes: dict[tuple[str, str, str], tuple[str, frozenset[str]]] = {}
    for index, flow in enumerate(charter.flows):
        mapping = charter.mapping_of(flow)
        if mapping is None:
            continue
        carried = frozenset(fact for field in mapping.fields.values() for fact in facts_of(field))
        back = routes.get((flow.entity, flow.target, flow.source))
        if back is not None and back[1] == carried:
            yield Defect(
                where=place("flows", index),
                problem=f"{back[0]} and {flow.name} carry the same facts of {flow.entity} both ways:"
                f" {', '.join(sorted(carried))}.",
                remedy="Give each direction a mapping of only the facts its source owns.",
                flows=(back[0], flow.name),
            )
        routes[(flow.entity, flow.source, flow.target)] = (flow.name, carried)


def _lags(where: str, flow: FlowPart) -> Iterator[Defect]:
    if flow.expected_lag_s < 1:
        yield Defect(
            where=place(where, "expected_lag_s"),
            problem=f"{flow.name} cannot be on time within {flow.expected_lag_s} seconds.",
            remedy="Give at least 1 second.",
        )
    elif flow.sync is SyncMode.REAL_TIME and flow.expected_lag_s > REAL_TIME_LAG_S_MAX:
        yield Defect(
            where=place(where, "expected_lag_s"),
            problem=f"{flow.name} is called real time and may be {flow.expected_lag_s} seconds late.",
            remedy=f"Give {REAL_TIME_LAG_S_MAX} or less, or set sync to batch.",
        )
    if flow.incident_lag_s <= flow.expected_lag_s:
        yield Defect(
            where=place(where, "incident_lag_s"),
            problem=f"{flow.name} would be an incident after {flow.incident_lag_s} seconds while still on time.",
            remedy=f"Give more than the {flow.expected_lag_s} seconds of expected_lag_s.",
        )


def _phase(where: str, flow: FlowPart, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    source = _tier(flow.source, charter, connectors)
    target = _tier(flow.target, charter, connectors)
    if source is None or target is None:
        return
    cap = cap_of(source, target)
    if is_wider(flow.phase, cap):
        short = flow.source if cap is not CAP_OF_TIER[target] else flow.target
        yield Defect(
            where=place(where, "phase"),
            problem=f"{flow.name} asks for {flow.phase}; the tiers of its connectors ({source}, {target}) allow {cap}.",
            remedy=f"Set the phase to {cap}, or finish the rules of the connector of {short}.",
        )


def _tier(system: str, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Tier | None:
    part = charter.systems.get(system)
    facts = connectors.get(part.connector) if part is not None else None
    return facts.tier if facts is not None else None


def _unmapped(where: str, flow: FlowPart) -> Iterator[Defect]:
    yield Defect(
        where=place(where, "object"),
        problem=f"No mapping says what {flow.target}'s {flow.object} is made of for {flow.entity}.",
        remedy=f"Add it to mappings.{flow.target}, or name an object that is mapped.",
    )


def _write_set(flow: FlowPart, mapping: MappingPart) -> frozenset[str]:
    """What a flow would write at its widest: an automated one every mapped field, the others what is released."""
    return frozenset(mapping.fields if flow.phase is Phase.AUTOMATED else flow.write_fields)


def _writes(where: str, flow: FlowPart, mapping: MappingPart, owners: OwnershipMatrix) -> Iterator[Defect]:
    if flow.phase is Phase.CONTROLLED and not flow.write_fields:
        yield Defect(
            where=place(where, "write_fields"),
            problem=f"{flow.name} is controlled and releases no field, so it would write nothing.",
            remedy="List the fields it may write, or set the phase to read_only.",
        )
    for index, name in enumerate(flow.write_fields):
        if name not in mapping.fields:
            yield Defect(
                where=place(where, "write_fields", index),
                problem=f"{flow.name} may write {name}, which the mapping of {flow.object} does not have.",
                remedy=f"Map it, or use one of: {', '.join(sorted(mapping.fields))}.",
            )
    speaks = flow.source == owners.entities.get(flow.entity) or _owns_some(flow, mapping, owners)
    # That nobody owns the entity, or that its owner is not the source at all, is said once for the flow.
    for name in sorted(_write_set(flow, mapping) & mapping.fields.keys()) if speaks else ():
        strangers = [
            (fact, owner)
            for fact in facts_of(mapping.fields[name])
            if (owner := owners.owner_of(flow.entity, fact)) not in {None, flow.source}
        ]
        if not strangers:
            continue
        fact, owner = strangers[0]
        at = flow.write_fields.index(name) if name in flow.write_fields else None
        yield Defect(
            where=place(where, "write_fields", at) if at is not None else place(where, "phase"),
            problem=f"{flow.name} would write {name} from {flow.entity}.{fact}, which {owner} owns"
            + (" itself." if owner == flow.target else "."),
            remedy="Take it out of the write fields" + (" and the mapping." if at is None else "."),
        )


def _into_billing(
    where: str, flow: FlowPart, mapping: MappingPart, charter: Charter, connectors: Mapping[str, ConnectorFacts]
) -> Iterator[Defect]:
    """Nothing that sales or support say may change the financial state, not even through a flow (requirement 8)."""
    categories = [category_of(name, charter, connectors) for name in (flow.source, flow.target)]
    if categories[0] not in {Category.CRM, Category.SUPPORT} or categories[1] not in {Category.BILLING, Category.ERP}:
        return
    named = sorted(
        name
        for name, field in mapping.fields.items()
        if any(is_financial(flow.entity, fact) for fact in facts_of(field))
    )
    if named:
        yield Defect(
            where=place(where, "target"),
            problem=f"{flow.name} would carry {', '.join(named)} from {flow.source} into {flow.target}.",
            remedy="Take financial fields out of this mapping; they flow out of billing only.",
        )
