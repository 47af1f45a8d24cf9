"""The charter's ownership: one owner each, a written sentence, and no sales or support tool speaks for money."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Charter, OwnershipPart, Winner
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import Category, ConnectorFacts, Defect, place

#: Kinds that are a financial state as a whole; of an account only some facts are.
FINANCIAL_KINDS = frozenset(EntityKind) - {EntityKind.ACCOUNT, EntityKind.PRODUCT}

#: Facts of an account that say whether and what it pays, beside every amount.
_FINANCIAL_ACCOUNT_FACTS = frozenset(
    {
        "status",
        "currency",
        "plan_name",
        "billing_cycle",
        "next_renewal_on",
        "subscription_count",
        "last_payment_on",
        "payment_method_status",
        "failed_payment_count",
        "days_to_first_payment",
        "discount",
        "customer_since",
    }
)

#: Systems in which people type what they hope or hear; a billing state is neither (requirement 8).
_NEVER_FINANCIAL = frozenset({Category.CRM, Category.SUPPORT})

_WORDS_MIN = 3  # fewer words are a label, not a sentence of purpose


def is_financial(entity: EntityKind, fact: str) -> bool:
    """Whether a fact is part of the financial state, which only billing or finance systems may own."""
    if entity in FINANCIAL_KINDS:
        return True
    return FACTS.get(entity, {}).get(fact) is FactType.MONEY or (
        entity is EntityKind.ACCOUNT and fact in _FINANCIAL_ACCOUNT_FACTS
    )


def check_ownership(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each ownership entry, and that there is only one of each."""
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
        yield from _purpose(index, part, flows)
        yield from _financial(index, part, charter, connectors, flows)


def _names(index: int, part: OwnershipPart, charter: Charter, flows: tuple[str, ...]) -> Iterator[Defect]:
    named: list[tuple[tuple[str | int, ...], str]] = [(("system_of_record",), part.system_of_record)]
    named += [(("readers", at), reader) for at, reader in enumerate(part.readers)]
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


def _purpose(index: int, part: OwnershipPart, flows: tuple[str, ...]) -> Iterator[Defect]:
    if len(part.purpose.split()) < _WORDS_MIN:
        yield Defect(
            where=place("ownership", index, "purpose"),
            problem=f"No sentence says why {part.system_of_record} owns {part.entity}.",
            remedy="Write one sentence, as for a new colleague.",
            flows=flows,
        )


def _financial(
    index: int,
    part: OwnershipPart,
    charter: Charter,
    connectors: Mapping[str, ConnectorFacts],
    flows: tuple[str, ...],
) -> Iterator[Defect]:
    is_whole = part.entity in FINANCIAL_KINDS
    if is_whole and part.winner is not Winner.SYSTEM_OF_RECORD:
        yield Defect(
            where=place("ownership", index, "winner"),
            problem=f"{part.entity} is a financial state: a later edit elsewhere must never win over its owner.",
            remedy="Leave winner out, or set it to system_of_record.",
            flows=flows,
        )
    claims: list[tuple[tuple[str, ...], str]] = [(("system_of_record",), part.system_of_record)] if is_whole else []
    claims += [(("fields", fact), owner) for fact, owner in part.fields.items() if is_financial(part.entity, fact)]
    for steps, system in claims:
        category = _category(system, charter, connectors)
        if category in _NEVER_FINANCIAL:
            yield Defect(
                where=place("ownership", index, *steps),
                problem=f"{system} is a {category} system and cannot own {part.entity} {' '.join(steps[1:])}".rstrip()
                + ": an edit there would change the financial state.",
                remedy="Name the billing or finance system.",
                flows=flows,
            )


def _category(system: str, charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Category | None:
    part = charter.systems.get(system)
    facts = connectors.get(part.connector) if part is not None else None
    return facts.category if facts is not None else None
