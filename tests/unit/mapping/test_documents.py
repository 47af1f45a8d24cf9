"""What is written about mappings is what works: every block of the how-to loads, every row of the reference is true."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import msgspec
import yaml

from accordant.canonical.charter import MappingPart
from accordant.canonical.facts import FACTS, Fact
from accordant.canonical.sources import paths_of
from accordant.kernel.money import Money
from accordant.mapping.expressions import FUNCTIONS
from accordant.mapping.spelling import FACTS_FOR_FIELD
from accordant.mapping.translate import check_mapping, translate


def rows(text: str) -> dict[str, str]:
    found = re.findall(r"^\| `?([^|`]+?)`? \| ([^|]*) \|$", text, re.MULTILINE)
    return {name: told for name, told in found if not set(name) <= {"-"} and told not in {"Type", "Holds"}}


def part(text: str, start: str, end: str | None = None) -> str:
    rest = text.partition(f"\n{start}\n")[2]
    assert rest, start
    return rest.partition(f"\n{end}\n")[0] if end else rest


def test_the_how_to_is_what_works(repository: Path) -> None:
    text = (repository / "docs" / "howto" / "map-a-field.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (mapping,) = msgspec.convert(yaml.safe_load(block)["mappings"]["salesforce"], tuple[MappingPart, ...])
    assert check_mapping(mapping) == ()
    values: dict[str, Fact] = {
        "external_id": "cus_1",
        "name": "Example AG",
        "status": "past_due",
        "mrr": Money(100_00, "EUR"),
        "failed_payment_count": 0,
        "plan_name": None,
        "next_renewal_on": date(2026, 3, 14),
    }
    answer = translate(values, mapping)
    assert answer.problems == ()
    assert answer.fields == {
        "ARR__c": "1200.00",
        "Billing_Status__c": "Past due",
        "Care__c": "Call",
        "Name": "Example AG",
        "Plan__c": "No plan",
    }


def test_the_reference_lists_every_function_fact_path_and_type(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "expressions.md").read_text(encoding="utf-8")
    functions = re.findall(r"^\| `(\w+)` \| (.*) \|$", part(text, "### Functions", "## Facts"), re.MULTILINE)
    assert dict(functions) == FUNCTIONS
    facts, paths = part(text, "## Facts", "## Paths"), part(text, "## Paths", "## What a field holds")
    kinds = [kind.value for kind in FACTS]
    for kind, following in zip(FACTS, [*kinds[1:], None], strict=True):
        end = f"### {following}" if following else None
        told = {name: str(value) for name, value in FACTS[kind].items()}
        assert rows(part(facts, f"### {kind}", end)) == told
        assert rows(part(paths, f"### {kind}", end)) == {name: str(found) for name, found in paths_of(kind).items()}
    held = rows(part(text, "## What a field holds"))
    assert held == {str(field): ", ".join(sorted(map(str, types))) for field, types in FACTS_FOR_FIELD.items()}
