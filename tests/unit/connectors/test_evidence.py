"""Manifest and scorecard as evidence: every rule counts once, and each class says who prevents a second record."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from accordant.connectors.registry import installed
from accordant.connectors.sdk.evidence import CAPABILITIES, evidence_of
from accordant.connectors.sdk.manifest import BRONZE_RULES, Answer, Quality, Standing, WriteObject
from accordant.connectors.sdk.tiers import GOLD_RULES, SILVER_RULES
from accordant.ports.connector import DestinationClass

DONE = Answer(status=Standing.DONE)


def test_every_rule_of_every_tier_belongs_to_one_capability() -> None:
    named = Counter(rule for rules in CAPABILITIES.values() for rule in rules)
    assert set(named) == BRONZE_RULES | SILVER_RULES | GOLD_RULES
    assert set(named.values()) == {1}


def test_a_score_counts_what_applies_and_names_what_is_missing() -> None:
    manifest = installed()["stripe"].manifest
    silver = {
        "same-intent-twice-one-record": DONE,
        "key-reuse-refused": Answer(status=Standing.EXEMPT, reason="There are no keys."),
    }
    found = evidence_of(manifest, Quality(bronze=dict.fromkeys(BRONZE_RULES, DONE), silver=silver))
    scores = {score.capability: score for score in found.scores}
    assert (found.tier, scores["Listening"].figure, scores["Replaying"].figure) == ("bronze", "6 of 6", "0 of 4")
    once = scores["Writing once"]
    assert (once.figure, once.todo, once.exempt) == ("1 of 2", ("crosswalk-on-stable-id",), ("key-reuse-refused",))
    assert found.proved == ()


def test_the_strongest_proof_stands_first_whatever_the_order_in_the_file() -> None:
    for connector in installed().values():
        levels = [level for level, _ in connector.evidence.proved]
        order = ["real_system", "official_contract", "official_library", "stand_in", "declared"]
        assert levels == sorted(levels, key=order.index), connector.manifest.name
    assert installed()["netsuite"].evidence.retry == ("Nothing is called: the connector has no code.",)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("salesforce", "A", "By the target: it makes or changes the one record"),
        ("stripe", "B", "for 24 hours"),
        ("xero", "D", "at least 120 seconds after the call"),
    ],
)
def test_each_written_object_says_who_keeps_it_from_being_written_twice(name: str, kind: str, says: str) -> None:
    connector = installed()[name]
    written = connector.evidence.writes
    assert [part.object for part in written] == [part.name for part in connector.manifest.writes]
    assert any(says in part.enforced for part in written if part.destination_class == kind), written


def test_no_class_of_target_is_without_a_sentence_of_its_own() -> None:
    manifest, quality = installed()["xero"].manifest, Quality(bronze={})
    objects = tuple(
        WriteObject(name=kind.name, natural_key="Number", destination_class=kind) for kind in DestinationClass
    )
    found = evidence_of(msgspec.structs.replace(manifest, writes=objects), quality).writes
    assert len({part.enforced for part in found}) == len(DestinationClass)
