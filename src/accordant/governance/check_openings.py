"""The charter's openings: what sales agreed may begin something in billing, once, and changes nothing there afterwards.

Requirements 8, 17, 29 and 30: an explicit trigger, conditions with their sentences, and no financial state that a CRM
could move. Next: `openings.py`, which asks the conditions.
"""

from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.charter import Automation, Charter, FlowPart, MappingPart, Phase, Trigger
from accordant.canonical.entities import Account
from accordant.canonical.facts import FACTS
from accordant.canonical.intents import OPENING_KINDS
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import ExpressionUnreadable, words_of
from accordant.governance.check_ownership import category_of
from accordant.governance.findings import Category, ConnectorFacts, Defect, Severity, place
from accordant.governance.ownership import OwnershipMatrix, facts_of

_BOOKS = frozenset({Category.BILLING, Category.ERP})
#: What a company and a billing customer both have: it is given once, and then the customer's owner says it.
_SHARED = frozenset(FACTS[EntityKind.COMPANY]).intersection(Account.__struct_fields__) - {"external_id", "deleted"}
_WORDS_MIN = 3  # fewer words are a label, not a sentence
#: What nobody should open a subscription without having asked, with what happens otherwise.
_ADVISED = {
    "unpriced": "a line without a price would be left to whoever reads the refusal",
    "live_subscriptions": "a company that has a subscription already would get another one",
    "billing_customers": "which of several customers it is for would be nobody's decision",
}


def check_openings(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Triggers, conditions and what is given once: where they mean something, and where they must not be missing."""
    for index, flow in enumerate(charter.flows):
        where = place("flows", index)
        mapping = charter.mapping_of(flow)
        is_into_books = category_of(flow.target, charter, connectors) in _BOOKS
        for defect in (
            *_conditions(where, flow),
            *(_misplaced(where, flow, mapping, charter) if flow.entity not in OPENING_KINDS else ()),
            *(_opened(where, flow, mapping, charter) if flow.entity in OPENING_KINDS and is_into_books else ()),
        ):
            is_draft = flow.phase is Phase.DRAFT
            severity = Severity.WARNING if is_draft else defect.severity
            yield msgspec.structs.replace(defect, flows=(flow.name,), severity=severity)


def _conditions(where: str, flow: FlowPart) -> Iterator[Defect]:
    """Each condition by itself; whether its expression can be evaluated is found by who evaluates it."""
    names: set[str] = set()
    for at, part in enumerate(flow.conditions):
        spot = place(where, "conditions", at)
        if not part.name.strip() or part.name in names:
            yield Defect(
                where=f"{spot}.name",
                problem=f"Two conditions of {flow.name} are named {part.name}."
                if part.name.strip()
                else f"A condition of {flow.name} has no name.",
                remedy="Give each condition a name of its own.",
            )
        names.add(part.name)
        if len(part.otherwise.split()) < _WORDS_MIN:
            yield Defect(
                where=f"{spot}.otherwise",
                problem=f"No sentence says what is wrong while {part.name} of {flow.name} does not hold.",
                remedy="Write otherwise as one sentence: a person reads it beside what is held.",
            )


def _misplaced(where: str, flow: FlowPart, mapping: MappingPart | None, charter: Charter) -> Iterator[Defect]:
    if flow.opens or flow.prices:
        setting = "conditions" if flow.conditions else "prices" if flow.prices else "trigger"
        yield Defect(
            where=place(where, setting),
            problem=f"{flow.name} carries {flow.entity}, of which a record is a copy: nothing is opened by it.",
            remedy=f"Take trigger, conditions and prices out; they are for {' and '.join(sorted(OPENING_KINDS))}.",
        )
    for name, field in mapping.fields.items() if mapping is not None else ():
        if field.once:
            at = next(index for index, one in enumerate(charter.mappings[flow.target]) if one is mapping)
            yield Defect(
                where=place("mappings", flow.target, at, "fields", name, "once"),
                problem=f"{name} of {flow.object} is kept up to date by {flow.name} and cannot be given once.",
                remedy=f"Take once out; it is for mappings of {' and '.join(sorted(OPENING_KINDS))}.",
            )


def _opened(where: str, flow: FlowPart, mapping: MappingPart | None, charter: Charter) -> Iterator[Defect]:
    yield from _class(where, flow)
    if mapping is not None:
        yield from _given_once(flow, mapping, charter)
        yield from _recognized(where, flow, mapping, charter)
    asked = _facts_asked(flow)
    if flow.entity is EntityKind.OPPORTUNITY:
        if "is_won" not in asked:
            yield Defect(
                where=place(where, "conditions"),
                problem=f"{flow.name} does not ask whether the opportunity was won.",
                remedy="Add a condition: { name: won, when: is_won, otherwise: The opportunity is not won. }",
            )
        for fact, why in _ADVISED.items():
            if fact not in asked:
                yield Defect(
                    where=place(where, "conditions"),
                    problem=f"No condition of {flow.name} asks for {fact}: {why}.",
                    remedy=f"Add a condition on {fact}, or leave it so on purpose.",
                    severity=Severity.WARNING,
                )
    elif "won_opportunities" not in asked:
        by_hand = flow.trigger is Trigger.MANUAL
        yield Defect(
            where=place(where, "conditions"),
            problem=f"{flow.name} would make a customer of every company of {flow.source}.",
            remedy="Add a condition: { name: won, when: won_opportunities > 0, otherwise: Nothing is won there yet. }",
            severity=Severity.WARNING if by_hand else Severity.ERROR,
        )


def _class(where: str, flow: FlowPart) -> Iterator[Defect]:
    """A subscription asks people for money: whoever begins one is an automation that moves money, and stops as such."""
    if flow.entity is EntityKind.OPPORTUNITY and flow.automation is not Automation.MONEY_MOVING:
        yield Defect(
            where=place(where, "automation"),
            problem=f"{flow.name} begins what customers are billed for, and calls itself {flow.automation}.",
            remedy="Set automation to money_moving: it then acts only when it is automated, and stops with that class.",
        )


def _given_once(flow: FlowPart, mapping: MappingPart, charter: Charter) -> Iterator[Defect]:
    """After the opening billing owns what it runs: an edit of sales must not reach it (requirements 8 and 17)."""
    owners = OwnershipMatrix.from_charter(charter)
    at = next(index for index, one in enumerate(charter.mappings[flow.target]) if one is mapping)
    for name, field in mapping.fields.items():
        if field.once:
            continue
        shared = [
            fact
            for fact in facts_of(field)
            if fact in _SHARED and owners.owner_of(EntityKind.ACCOUNT, fact) == flow.target
        ]
        if flow.entity is EntityKind.OPPORTUNITY:
            problem = f"A later edit of the opportunity would change {name} of {flow.object} in {flow.target}."
        elif shared:
            problem = f"{flow.target} owns the {shared[0]} of a customer, and {flow.name} would go on writing {name}."
        else:
            continue
        yield Defect(
            where=place("mappings", flow.target, at, "fields", name, "once"),
            problem=problem,
            remedy="Set once: true, so that it is given when the record is made and is billing's own from then on.",
        )


def _recognized(where: str, flow: FlowPart, mapping: MappingPart, charter: Charter) -> Iterator[Defect]:
    """What is opened comes back as a customer of billing: it has to be known for the company it was opened for."""
    comes_back = any(
        (one.entity, one.source, one.target) == (EntityKind.ACCOUNT, flow.target, flow.source) for one in charter.flows
    )
    if flow.entity is not EntityKind.COMPANY or not comes_back:
        return
    key = mapping.key_field.rpartition(".")[2]
    named = charter.identity.references.get(flow.source) if charter.identity is not None else None
    if named != key:
        yield Defect(
            where="identity.references" if charter.identity is not None else where,
            problem=f"A customer that {flow.name} opens would get a second record in {flow.source}.",
            remedy=f"Set identity.references to {{ {flow.source}: {key} }}: by it the company is known.",
        )


def _facts_asked(flow: FlowPart) -> frozenset[str]:
    found: set[str] = set()
    for part in flow.conditions:
        try:
            words = words_of(part.when)
        except ExpressionUnreadable:
            continue
        found |= words.roots | words.asked
    return frozenset(found)
