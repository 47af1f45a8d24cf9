"""The eight domains that are governed first: each can be owned, and one used unowned is told by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.facts import FACTS
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import check_charter
from accordant.governance.domains import DOMAINS, MADE_OF, Domain, domain_of
from accordant.governance.findings import Defect, Severity
from tests.unit.governance.company import CONNECTORS, charter, raw

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "write-your-charter.md"
_OF_SALES = {EntityKind.COMPANY, EntityKind.OPPORTUNITY}


def owned(*kinds: EntityKind) -> dict[str, Any]:
    """The usual charter, in which these kinds have an owner and a sentence too."""
    text = raw()
    said = {part["entity"] for part in text["ownership"]}
    text["ownership"] += [
        {
            "entity": kind.value,
            "system_of_record": "crm" if kind in _OF_SALES else "billing",
            "readers": [],
            "direction": "inbound",
            "purpose": f"One system knows every {kind}.",
        }
        for kind in kinds
        if kind.value not in said
    ]
    return text


def carrying(text: dict[str, Any], kind: EntityKind) -> dict[str, Any]:
    """With a flow that carries a kind, and nothing else."""
    text["flows"] = [
        {"name": "it", "entity": kind.value, "source": "billing", "target": "crm", "object": "It", "phase": "read_only"}
    ]
    text["mappings"] = {
        "crm": [{"entity": kind.value, "object": "It", "key_field": "K", "fields": {"Id": {"source": "external_id"}}}]
    }
    return text


def told(text: dict[str, Any]) -> list[Defect]:
    return list(check_charter(charter(text), connectors=CONNECTORS))


def test_the_guide_names_the_same_eight() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| (`[a-z_`, ]+`) \|$", HOWTO.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", kinds)) for name, kinds in rows if name in _names()} == {
        one.name: tuple(kind.value for kind in one.entities) for one in DOMAINS
    }
    assert len(DOMAINS) == 8


def _names() -> set[str]:
    return {one.name for one in DOMAINS}


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda one: one.name)
def test_each_can_be_governed(domain: Domain) -> None:
    assert told(owned(*domain.entities)) == []


@pytest.mark.parametrize("kind", sorted({kind for one in DOMAINS for kind in one.entities} & FACTS.keys()))
def test_what_a_flow_carries_without_an_owner_is_refused_by_the_name_of_its_domain(kind: EntityKind) -> None:
    text = carrying(owned(), kind)
    text["ownership"] = [part for part in text["ownership"] if part["entity"] != kind.value]
    (one,) = (one for one in told(text) if "Nobody owns" in one.problem)
    assert (one.where, one.severity, one.flows) == ("flows[0].entity", Severity.ERROR, ("it",))
    assert f"Add {kind} to ownership (it belongs to the {domain_of(kind)})" in one.remedy
    with_it = [one.problem for one in told(carrying(owned(kind), kind))]
    assert not any("Nobody owns" in problem for problem in with_it)


@pytest.mark.parametrize(
    "missing", [EntityKind.PRODUCT, EntityKind.SUBSCRIPTION, EntityKind.PAYMENT, EntityKind.INVOICE]
)
def test_a_fact_made_of_what_nobody_owns_is_a_warning_that_names_the_domain(missing: EntityKind) -> None:
    fact = next(name for name, kind in MADE_OF[EntityKind.ACCOUNT].items() if kind is missing)
    text = carrying(owned(*EntityKind), EntityKind.ACCOUNT)
    kind = {"money": "currency", "day": "date", "number": "number"}.get(FACTS[EntityKind.ACCOUNT][fact], "text")
    text["mappings"]["crm"][0]["fields"]["It"] = {"source": fact, "type": kind}
    text["flows"][0]["verify"] = "The CRM shows it."
    before = told(text)
    text["ownership"] = [part for part in text["ownership"] if part["entity"] != missing.value]
    (one,) = (one for one in told(text) if one not in before)
    assert (one.where, one.severity, one.flows) == ("ownership", Severity.WARNING, ("it",))
    assert f"it: {fact} is told, which is made of the {domain_of(missing)}" in one.problem
    assert f"which system owns {missing}" in one.problem


def test_what_facts_are_made_of_is_governed_and_they_are_facts() -> None:
    for entity, facts in MADE_OF.items():
        assert facts.keys() <= FACTS[entity].keys()
        assert all(domain_of(kind) in _names() for kind in facts.values())
