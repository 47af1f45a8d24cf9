"""The charter's identity part: whose record a customer is hangs on what a target can tell, never on a name alone."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import (
    Charter,
    CustomerModel,
    FieldType,
    FlowPart,
    IdentityPart,
    MappingPart,
    Phase,
    SeveralCustomers,
    identity_systems,
)
from accordant.canonical.matching import Rung
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import ConnectorFacts, Defect, place

#: Rungs that only ask a person or only hint; none of them may be made to link.
_NEVER_LINKING = {
    Rung.NAME: "Two companies may have one name, so a name never links.",
    Rung.NAME_AND_PLACE: "A name and a place are a reason to ask a person, and never to link.",
}
_WRITING = frozenset({Phase.CONTROLLED, Phase.AUTOMATED})
_NAME_MIN_LEAST = 70  # below it two names have little more in common than their language
_SCORE_MAX = 100


def check_identity(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """The identity part, where there is one. That no mapping finds records by a name is held by `check_flows.py`."""
    part = charter.identity
    if part is not None:
        yield from _rungs(part)
        yield from _scores(part)
        yield from _several(part, charter)
        yield from _systems(part, charter)
        yield from _targets(charter, connectors)


def _rungs(part: IdentityPart) -> Iterator[Defect]:
    for index, rung in enumerate(part.rungs):
        where = place("identity", "rungs", index)
        if rung in _NEVER_LINKING:
            yield Defect(where=where, problem=_NEVER_LINKING[rung], remedy="Take it out; it is asked about anyway.")
        elif rung is Rung.DOMAIN_AND_NAME and part.model is CustomerModel.B2C:
            yield Defect(
                where=where,
                problem="People at one domain are not one customer.",
                remedy="Take it out, or make the model b2b if your customers are companies.",
            )
        elif rung in part.rungs[:index]:
            yield Defect(where=where, problem=f"{rung} is named twice.", remedy="Keep one of them.")


def _scores(part: IdentityPart) -> Iterator[Defect]:
    for name, value, least in (
        ("link_name_min", part.link_name_min, _NAME_MIN_LEAST),
        ("review_name_min", part.review_name_min, _NAME_MIN_LEAST),
        ("flag_name_below", part.flag_name_below, 0),
    ):
        if not least <= value <= _SCORE_MAX:
            yield Defect(
                where=place("identity", name),
                problem=f"{value} is no likeness of names that could be used here.",
                remedy=f"Give a number from {least} to {_SCORE_MAX}; names that are the same have 100.",
            )


def _several(part: IdentityPart, charter: Charter) -> Iterator[Defect]:
    """Customers that are kept apart need a field in which a record names the one above it."""
    if part.several_customers is not SeveralCustomers.PARENT_CHILD:
        return
    where = place("identity", "several_customers")
    if part.model is CustomerModel.B2C:
        yield Defect(
            where=where,
            problem="A person stands below no other.",
            remedy="Use roll_up, or make the model b2b if your customers are companies.",
        )
        return
    for flow in charter.flows:
        if flow.entity is not EntityKind.ACCOUNT or flow.target not in identity_systems(charter):
            continue
        mapping = charter.mapping_of(flow)
        if mapping is None:
            continue
        names = [name for name, field in mapping.fields.items() if field.source == "parent"]
        if not any(_leads_up(mapping, name) for name in names):
            yield Defect(
                where=where,
                problem=f"No field of {flow.object} in {flow.target} says below which record one stands.",
                remedy=f"Map `parent` to one, as a lookup: `{{ source: parent, type: lookup, lookup_object: "
                f"{mapping.object}, lookup_key: {mapping.key_field} }}`.",
                flows=(flow.name,),
            )
        elif flow.phase in _WRITING and not set(names) & set(flow.write_fields):
            yield Defect(
                where=where,
                problem=f"{flow.name} may not write {', '.join(names)}: the records below a company would stand alone.",
                remedy=f"Add {names[0]} to the write_fields of {flow.name}.",
                flows=(flow.name,),
            )


def _leads_up(mapping: MappingPart, name: str) -> bool:
    """Whether a field leads to a record of its own object, found by the key that the hub writes there."""
    field = mapping.fields[name]
    above = (field.lookup_object, field.lookup_key)
    return field.type is FieldType.LOOKUP and above == (mapping.object, mapping.key_field)


def _systems(part: IdentityPart, charter: Charter) -> Iterator[Defect]:
    targets = {flow.target for flow in charter.flows if flow.entity is EntityKind.ACCOUNT}
    named = [(place("identity", "systems", index), name) for index, name in enumerate(part.systems)]
    named += [(place("identity", "references", name), name) for name in part.references]
    named += [(place("identity", "fields", name), name) for name in part.fields]
    for where, name in named:
        if name not in targets:
            yield Defect(
                where=where,
                problem=f"No account flows to {name!r}, so nobody is looked for there.",
                remedy=f"Use one of: {', '.join(sorted(targets)) or 'no flow of accounts is described yet'}.",
            )
    for system, key in part.references.items():
        if not key.strip():
            yield Defect(
                where=place("identity", "references", system),
                problem="The key of the metadata is empty.",
                remedy="Name the key under which billing keeps the record's id.",
            )


def _targets(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    for system in identity_systems(charter):
        flows = [flow for flow in charter.flows if flow.target == system and flow.entity is EntityKind.ACCOUNT]
        objects = dict.fromkeys(flow.object for flow in flows)
        names = tuple(flow.name for flow in flows)
        if len(objects) > 1:
            yield Defect(
                where=place("identity"),
                problem=f"Accounts flow to {len(objects)} objects of {system}: {', '.join(objects)}.",
                remedy="Let them flow to one object, so that it is clear which record a customer is.",
                flows=names,
            )
        for flow in flows[:1]:
            if _is_dark(flow, charter, connectors):
                yield _unsearchable(flow, charter, connectors, names)


def _is_dark(flow: FlowPart, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> bool:
    system = charter.systems.get(flow.target)
    facts = connectors.get(system.connector) if system is not None else None
    return facts is not None and flow.object not in facts.matchable


def _unsearchable(
    flow: FlowPart, charter: Charter, connectors: Mapping[str, ConnectorFacts], flows: tuple[str, ...]
) -> Defect:
    matchable = connectors[charter.systems[flow.target].connector].matchable
    return Defect(
        where=place("identity"),
        problem=f"Whose a {flow.object} of {flow.target} is cannot be found out: its connector cannot search for one.",
        remedy=f"Map accounts to {' or '.join(sorted(matchable))}."
        if matchable
        else f"Name under identity.systems the targets to search, without {flow.target}.",
        flows=flows,
    )
