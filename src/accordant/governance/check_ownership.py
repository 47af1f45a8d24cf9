"""The charter's ownership: one owner each, a written sentence, and no sales or support tool speaks for money."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Charter, Direction, OwnershipPart, Phase, Winner
from accordant.canonical.facts import FACTS
from accordant.canonical.refs import EntityKind
from accordant.governance.domains import check_domains
from accordant.governance.financial import FINANCIAL_KINDS, financial_facts, is_financial
from accordant.governance.findings import Category, ConnectorFacts, Defect, place

#: Systems in which people type what they hope or hear; a billing state is neither (requirement 8).
_NEVER_FINANCIAL = frozenset({Category.CRM, Category.SUPPORT})

#: What has to have an owner and a sentence before anything is written anywhere (requirements 1 to 4).
DECLARED_BEFORE_WRITING = (
    EntityKind.ACCOUNT,
    EntityKind.SUBSCRIPTION,
    EntityKind.INVOICE,
    EntityKind.PAYMENT,
    EntityKind.PAYOUT,
)

_WORDS_MIN = 3  # fewer words are a label, not a sentence of purpose


def check_ownership(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each ownership entry, that there is only one of each, and that none is missing before anything is written."""
    seen: dict[EntityKind, str] = {}
    for index, part in enumerate(charter.ownership):
        flows = tuple(flow.name for flow in charter.flows if flow.entity == part.entity)
        if part.entity in seen:
            yield Defect(
                where=place("ownership", index, "entity"),
                problem=f"{part.entity} has two owners: {seen[part.entity]} and {part.system_of_record}.",
                remedy="Keep one entry; name single facts that another system owns under its fields.",
                flows=flows,
            )
        seen.setdefault(part.entity, part.system_of_record)
        yield from _names(index, part, charter, flows)
        yield from _purpose(index, part, charter)
        yield from _direction(index, part, flows)
        yield from _winner(index, part, flows)
        yield from _financial(index, part, charter, connectors, flows)
    yield from _unsaid(charter, frozenset(seen))
    # Of what a flow carries, and of what has to be said before anything is written, it is told as an error.
    told = {
        *seen,
        *(flow.entity for flow in charter.flows),
        *(DECLARED_BEFORE_WRITING if writing_flows(charter) else ()),
    }
    yield from check_domains(charter, frozenset(told))


def writing_flows(charter: Charter) -> tuple[str, ...]:
    """The flows that may write something as the charter stands."""
    return tuple(flow.name for flow in charter.flows if flow.phase in {Phase.CONTROLLED, Phase.AUTOMATED})


def _unsaid(charter: Charter, declared: frozenset[EntityKind]) -> Iterator[Defect]:
    """Write automation waits for every sentence, not only for that of the entity it carries (requirement 4)."""
    writing = writing_flows(charter)
    for entity in DECLARED_BEFORE_WRITING if writing else ():
        # Of an entity that a flow carries, the flow itself says that nobody owns it.
        if entity not in declared and all(flow.entity != entity for flow in charter.flows):
            yield Defect(
                where="ownership",
                problem=f"No sentence says which system owns {entity}, and {_listed(writing)} would write.",
                remedy=f"Add an entry for {entity} to ownership: system_of_record, readers, and one sentence of purpose"
                " that says which system owns the truth and which only show it.",
                flows=writing,
            )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _names(index: int, part: OwnershipPart, charter: Charter, flows: tuple[str, ...]) -> Iterator[Defect]:
    named: list[tuple[tuple[str | int, ...], str]] = [(("system_of_record",), part.system_of_record)]
    named += [(("readers", at), reader) for at, reader in enumerate(part.readers)]
    named += [(("financial",), part.financial)] if part.financial is not None else []
    named += [(("fields", fact), owner) for fact, owner in part.fields.items()]
    for steps, system in named:
        if system not in charter.systems:
            yield Defect(
                where=place("ownership", index, *steps),
                problem=f"There is no system {system!r}.",
                remedy=f"Use one of: {', '.join(sorted(charter.systems)) or 'none is described yet'}.",
                flows=flows,
            )
    for fact in part.fields:
        if fact not in FACTS.get(part.entity, {}):
            yield Defect(
                where=place("ownership", index, "fields", fact),
                problem=f"{part.entity} has no fact {fact!r}.",
                remedy=f"Its facts are: {', '.join(sorted(FACTS.get(part.entity, {}))) or 'none flow out yet'}.",
                flows=flows,
            )


def _purpose(index: int, part: OwnershipPart, charter: Charter) -> Iterator[Defect]:
    if len(part.purpose.split()) < _WORDS_MIN:
        carrying = {flow.name for flow in charter.flows if flow.entity == part.entity}
        yield Defect(
            where=place("ownership", index, "purpose"),
            problem=f"No sentence says why {part.system_of_record} owns {part.entity}.",
            remedy=f"Write the purpose of {part.entity} in one sentence, as for a new colleague: what {part.entity} is"
            f" in {part.system_of_record}, and that {_listed(part.readers) or 'no other system'} may show it.",
            flows=tuple(sorted(carrying.union(writing_flows(charter)))),
        )


def _direction(index: int, part: OwnershipPart, flows: tuple[str, ...]) -> Iterator[Defect]:
    """Both ways is a decision about single facts; the wish for everything both ways is refused (requirement 10)."""
    owners = {part.system_of_record, *part.fields.values(), *([part.financial] if part.financial else [])}
    if part.direction is Direction.BOTH and len(owners) == 1:
        yield Defect(
            where=place("ownership", index, "direction"),
            problem=f"{part.entity} would move both ways, and {part.system_of_record} owns all of it:"
            " everything both ways has no owner.",
            remedy="Name under fields each fact that another system owns, or set direction to outbound.",
            flows=flows,
        )


def _winner(index: int, part: OwnershipPart, flows: tuple[str, ...]) -> Iterator[Defect]:
    if part.entity in FINANCIAL_KINDS and part.winner is not Winner.SYSTEM_OF_RECORD:
        yield Defect(
            where=place("ownership", index, "winner"),
            problem=f"{part.entity} is a financial state: a later edit elsewhere must never win over its owner.",
            remedy="Leave winner out, or set it to system_of_record.",
            flows=flows,
        )


def _financial(
    index: int,
    part: OwnershipPart,
    charter: Charter,
    connectors: Mapping[str, ConnectorFacts],
    flows: tuple[str, ...],
) -> Iterator[Defect]:
    """No sales or support system owns a financial fact: not by name, and not by being left everything else."""
    claims: list[tuple[tuple[str, ...], str, str]] = []
    if part.entity in FINANCIAL_KINDS:
        claims.append((("system_of_record",), part.system_of_record, str(part.entity)))
    if part.financial is not None:
        claims.append((("financial",), part.financial, f"what is financial in {part.entity}"))
    claims += [
        (("fields", fact), owner, f"{part.entity} {fact}")
        for fact, owner in part.fields.items()
        if is_financial(part.entity, fact)
    ]
    for steps, system, what in claims:
        category = category_of(system, charter, connectors)
        if category in _NEVER_FINANCIAL:
            yield Defect(
                where=place("ownership", index, *steps),
                problem=f"{system} is a {category} system and cannot own {what}:"
                " an edit there would change the financial state.",
                remedy="Name the billing or finance system.",
                flows=flows,
            )
    left = _left_over(part)
    if left and category_of(part.system_of_record, charter, connectors) in _NEVER_FINANCIAL:
        yield Defect(
            where=place("ownership", index, "financial"),
            problem=f"{part.system_of_record} owns {part.entity} and would own its financial facts with it: {left}.",
            remedy="Set financial to the billing system; the rest stays where it is.",
            flows=flows,
        )


def _left_over(part: OwnershipPart) -> str:
    """The financial facts of an account that no line of its own gives to a system."""
    if part.entity in FINANCIAL_KINDS or part.financial is not None:
        return ""
    return _listed(tuple(fact for fact in financial_facts(part.entity) if fact not in part.fields))


def category_of(system: str, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Category | None:
    """The part of the business a system stands for, None while its connector is unknown."""
    part = charter.systems.get(system)
    facts = connectors.get(part.connector) if part is not None else None
    return facts.category if facts is not None else None


def categories_of(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> dict[str, Category]:
    """What each system of a charter stands for; those whose connector is unknown are left out."""
    found = {name: category_of(name, charter, connectors) for name in charter.systems}
    return {name: category for name, category in found.items() if category is not None}
