"""Entity and fact lead to one system of record; nobody else writes: every cell, category and shipped mapping (OR7)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import (
    Charter,
    CustomerModel,
    Direction,
    FlowPart,
    MappingPart,
    OwnershipPart,
    Phase,
    SeveralCustomers,
)
from accordant.canonical.facts import FACTS
from accordant.canonical.refs import EntityKind
from accordant.connectors import registry
from accordant.governance.charter import check_charter
from accordant.governance.decide import Case, Effect, decide
from accordant.governance.financial import financial_facts, is_financial
from accordant.governance.findings import Category, Severity
from accordant.governance.ownership import OwnershipMatrix, facts_of
from tests.unit.governance.company import CONNECTORS, charter, compiled, raw

CELLS = [(entity, fact) for entity, facts in FACTS.items() for fact in facts]
CONNECTOR_OF = {one.category: name for name, one in CONNECTORS.items()}
SHIPPED = [
    pytest.param(mapping, id=f"{name} {model} {several} {mapping.entity} {mapping.object}")
    for name, one in registry.installed().items()
    if one.default_mappings
    for model in CustomerModel
    for several in SeveralCustomers
    for mapping in one.default_mappings(model, several)
]


def test_an_exception_owns_its_fact_and_nothing_else() -> None:
    source = raw()
    source["ownership"][0]["fields"] = {"name": "crm"}
    owners = OwnershipMatrix.from_charter(charter(source))
    assert owners.owner_of(EntityKind.ACCOUNT, "name") == "crm"
    assert owners.owner_of(EntityKind.ACCOUNT, "mrr") == "billing"
    assert owners.owner_of(EntityKind.SUBSCRIPTION, "name") == "billing"
    assert owners.owner_of(EntityKind.DISPUTE, "total") is None
    assert owners.owned_by("billing")[:2] == (EntityKind.ACCOUNT, EntityKind.SUBSCRIPTION)
    assert owners.owned_by("crm") == ()


def test_the_financial_state_has_an_owner_of_its_own_and_a_named_field_comes_before_it() -> None:
    source = raw()
    source["ownership"][0] |= {"system_of_record": "crm", "financial": "billing", "fields": {"mrr": "books"}}
    owners = OwnershipMatrix.from_charter(charter(source))
    owned = {cell.fact: (cell.owner, cell.by) for cell in owners.cells() if cell.entity is EntityKind.ACCOUNT}
    assert owned["name"] == ("crm", "entity")
    assert owned["status"] == ("billing", "exception")
    assert owned["mrr"] == ("books", "exception")
    assert set(owned) == set(FACTS[EntityKind.ACCOUNT])


def test_what_nobody_owns_is_said_to_belong_to_nobody() -> None:
    owners = OwnershipMatrix.from_parts(())
    assert {(cell.owner, cell.by) for cell in owners.cells()} == {(None, "nobody")}


@pytest.mark.parametrize("category", sorted(CONNECTOR_OF))
@pytest.mark.parametrize(("entity", "fact"), CELLS)
def test_no_cell_of_money_is_given_to_sales_or_support(entity: EntityKind, fact: str, category: Category) -> None:
    """Every cell of entity, fact and category of system: refused when, and only when, it would move the money."""
    source = raw()
    source["systems"]["other"] = {"connector": CONNECTOR_OF[category], "owner": "Di", "settings": {}}
    if all(part["entity"] != entity.value for part in source["ownership"]):
        source["ownership"].append(
            {"entity": entity.value, "system_of_record": "billing", "readers": [], "purpose": "Billing says it."}
        )
    (index,) = (at for at, part in enumerate(source["ownership"]) if part["entity"] == entity.value)
    source["ownership"][index]["fields"] = {fact: "other"}
    for flow in source["flows"]:
        flow |= {"phase": "read_only", "write_fields": []}
    where = f"ownership[{index}].fields.{fact}"
    refused = [one for one in check_charter(charter(source), connectors=CONNECTORS) if one.where == where]
    assert bool(refused) is (is_financial(entity, fact) and category in {Category.CRM, Category.SUPPORT})
    assert all(defect.severity is Severity.ERROR for defect in refused)


@pytest.mark.parametrize("owner", ["source", "target", "third", "nobody"])
@pytest.mark.parametrize("mapping", SHIPPED)
def test_a_shipped_mapping_writes_only_what_its_source_owns(mapping: MappingPart, owner: str) -> None:
    """Each cell of each mapping that ships, owned in turn by everybody it could belong to."""
    flow = FlowPart(
        name="f", entity=mapping.entity, source="source", target="target", object=mapping.object, phase=Phase.AUTOMATED
    )
    for name, field in mapping.fields.items():
        # A constant is nobody's fact, and goes with whatever else may be written.
        constants = frozenset(other for other, one in mapping.fields.items() if not facts_of(one))
        for fact in facts_of(field):
            part = OwnershipPart(
                entity=mapping.entity,
                system_of_record="source",
                readers=("target",),
                purpose="The source knows best.",
                fields={fact: owner},
            )
            owners = OwnershipMatrix.from_parts([part] if owner != "nobody" else [])
            decision = decide(Case(flow=compiled(flow, mapping, owners), fields=frozenset(mapping.fields)))
            assert (name in decision.write) is (owner == "source")
            assert (name in decision.refused) is (owner != "source")
            if owner == "nobody" and not constants:
                assert decision.effect is Effect.REFUSE


SYSTEMS = ("billing", "crm", "erp")
PARTS = st.builds(
    OwnershipPart,
    entity=st.sampled_from(list(FACTS)),
    system_of_record=st.sampled_from(SYSTEMS),
    readers=st.lists(st.sampled_from(SYSTEMS), unique=True).map(tuple),
    purpose=st.just("Because we say so."),
    direction=st.sampled_from(Direction),
    financial=st.none() | st.sampled_from(SYSTEMS),
    fields=st.dictionaries(st.sampled_from(sorted(FACTS[EntityKind.ACCOUNT])), st.sampled_from(SYSTEMS), max_size=6),
)


@given(
    parts=st.lists(PARTS, max_size=3),
    cell=st.sampled_from(CELLS),
    source=st.sampled_from(SYSTEMS),
    target=st.sampled_from(SYSTEMS),
)
def test_whoever_writes_a_fact_owns_it_and_the_target_may_read_it(
    parts: list[OwnershipPart], cell: tuple[EntityKind, str], source: str, target: str
) -> None:
    entity, fact = cell
    owners = OwnershipMatrix.from_parts(parts)
    if owners.objection(entity, fact, source=source, target=target) is not None:
        return
    (part,) = [one for one in parts if one.entity is entity][:1]
    given_by_name = part.fields.get(fact)
    by_money = part.financial if fact in financial_facts(entity) else None
    assert source == (given_by_name or by_money or part.system_of_record)
    assert part.direction is not Direction.INBOUND
    assert target in part.readers or (target == part.system_of_record and part.direction is Direction.BOTH)


@given(parts=st.lists(PARTS, max_size=3), source=st.sampled_from(SYSTEMS), target=st.sampled_from(SYSTEMS))
def test_the_court_writes_what_the_matrix_allows_and_nothing_else(
    parts: list[OwnershipPart], source: str, target: str
) -> None:
    owners = OwnershipMatrix.from_parts(parts)
    mapping = charter().mappings["crm"][0]
    flow = msgspec.structs.replace(charter().flows[0], source=source, target=target, phase=Phase.AUTOMATED)
    decision = decide(Case(flow=compiled(flow, mapping, owners), fields=frozenset(mapping.fields)))
    assert decision.write == {
        name
        for name, field in mapping.fields.items()
        if owners.objection(flow.entity, field.source, source=source, target=target) is None
    }
    assert decision.refused == mapping.fields.keys() - decision.write


def test_a_mapping_with_two_owners_of_its_entity_does_not_load() -> None:
    source = raw()
    source["ownership"].append(source["ownership"][0] | {"system_of_record": "crm", "financial": "billing"})
    found: Charter = charter(source)
    assert "account has two owners" in " ".join(one.problem for one in check_charter(found, connectors=CONNECTORS))
