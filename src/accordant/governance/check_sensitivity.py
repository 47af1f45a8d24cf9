"""The charter's sensitivity: it names what there is, nobody is shown a whole number, the engineer sees the least."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Audience, Charter, Mask, Sensitivity
from accordant.canonical.facts import FACTS
from accordant.governance.findings import ConnectorFacts, Defect, place
from accordant.governance.sensitivity import LEAST, NEVER_WHOLE, field_name, is_wider, kind_of_fact, masks_of


def check_sensitivity(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Every word of the sensitivity part, and that no personal value names a record."""
    yield from _facts(charter)
    yield from _fields(charter)
    yield from _masks(charter)
    yield from _keys(charter)


def _facts(charter: Charter) -> Iterator[Defect]:
    for entity, named in charter.sensitivity.facts.items():
        known = FACTS.get(entity, {})
        for fact in named:
            if fact not in known:
                yield Defect(
                    where=place("sensitivity", "facts", entity.value, fact),
                    problem=f"{entity} has no fact {fact!r}.",
                    remedy=f"Its facts are: {', '.join(sorted(known)) or 'none flow out yet'}.",
                )


def _fields(charter: Charter) -> Iterator[Defect]:
    mapped = {
        field_name(system, mapping.object, field)
        for system, mappings in charter.mappings.items()
        for mapping in mappings
        for field in mapping.fields
    }
    for name in charter.sensitivity.fields:
        if name not in mapped:
            yield Defect(
                where=place("sensitivity", "fields", name),
                problem=f"No mapping writes {name!r}.",
                remedy="Name a mapped field as system:Object.Field.",
            )


def _masks(charter: Charter) -> Iterator[Defect]:
    for audience, masks in charter.sensitivity.masks.items():
        for kind, mask in masks.items():
            where = place("sensitivity", "masks", audience.value, kind.value)
            if kind in NEVER_WHOLE and mask is Mask.SHOW:
                yield Defect(
                    where=where,
                    problem=f"{audience} would see {_words(kind)} whole.",
                    remedy="Write part: the first six and last four digits of a card, the last four of anything else.",
                )
            if kind is Sensitivity.OPEN and mask is not Mask.SHOW:
                yield Defect(
                    where=where,
                    problem="What is open cannot be covered.",
                    remedy="Give the fact another kind under sensitivity.facts, and mask that kind.",
                )
    least = masks_of(charter, LEAST)
    for audience in Audience:
        for kind, mask in masks_of(charter, audience).items():
            if is_wider(least[kind], mask):
                yield Defect(
                    where=place("sensitivity", "masks", LEAST.value, kind.value),
                    problem=f"The {LEAST} would see more of {_words(kind)} than {audience}.",
                    remedy=f"Whoever does not say who they are is shown what the {LEAST} sees: write {mask}.",
                )


def _keys(charter: Charter) -> Iterator[Defect]:
    """The key of a record stands in addresses, logs and the trail, where nothing can be covered."""
    for system, mappings in charter.mappings.items():
        for index, mapping in enumerate(mappings):
            said = charter.sensitivity.facts.get(mapping.entity, {}).get(mapping.key_source)
            if (said or kind_of_fact(mapping.entity, mapping.key_source)) is Sensitivity.OPEN:
                continue
            yield Defect(
                where=place("mappings", system, index, "key_source"),
                problem=f"{mapping.object} would be named by {mapping.key_source}, which is personal.",
                remedy="Use external_id: the name of a record stands in addresses, logs and the audit trail.",
                flows=tuple(
                    flow.name
                    for flow in charter.flows
                    if flow.target == system and flow.object == mapping.object and flow.entity == mapping.entity
                ),
            )


def _words(kind: Sensitivity) -> str:
    return f"a value of the kind {kind}"
