"""Set B5 from a fact to Salesforce and back: every text is data on the wire and in a question, or is held."""

from __future__ import annotations

import json

import pytest

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.facts import Fact
from accordant.canonical.intents import Applied
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import object_spec
from accordant.connectors.salesforce.soql import by_keys, quoted
from accordant.connectors.salesforce.wire import decode, encode, to_salesforce
from accordant.mapping.translate import compile_mapping, translate
from tests.connectors.salesforce.outbound_kit import a_write, an_org
from tests.text_corpus import TEXTS, TWINS, UNSTORABLE

MAPPING = MappingPart(
    entity=EntityKind.ACCOUNT,
    object="Account",
    key_field="Billing_Customer_Id__c",
    fields={
        "Name": FieldPart(source="name", length=255, truncate=True),
        "Description": FieldPart(expression="name", length=32_000),
        "Site": FieldPart(source="country", length=80),
    },
)
COMPILED = compile_mapping(MAPPING)
SPEC = object_spec(MAPPING)


def test_the_set_is_whole() -> None:
    assert len(TEXTS) + len(UNSTORABLE) + len(TWINS) >= 220


@pytest.mark.parametrize("text", UNSTORABLE)
def test_what_cannot_be_stored_is_held_and_its_neighbors_go_on(text: str) -> None:
    answer = translate({"external_id": "cus_1", "name": text, "country": "DE"}, COMPILED)
    assert answer.fields == {"Site": "DE"}
    assert [problem.field for problem in answer.problems] == ["Description", "Name"]
    assert all(problem.reason.isascii() for problem in answer.problems), "the reason repeats nothing of it"


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_data_on_the_wire_and_in_a_question(text: str) -> None:
    answer = translate({"external_id": "cus_1", "name": text}, COMPILED)
    name = answer.fields["Name"]
    assert isinstance(name, str)
    assert text.startswith(name)
    assert len(name.encode("utf-16-le")) // 2 <= 255
    sent = encode({"Name": to_salesforce(FieldType.TEXT, name)})
    assert decode(sent) == json.loads(sent)
    question = next(by_keys(SPEC, [name]))
    literal = quoted(name)
    assert question.count(literal) == 1
    # Inside the literal no quote stands without its backslash: nothing ends it early.
    inner = literal[1:-1].replace("\\\\", "").replace("\\'", "").replace('\\"', "")
    assert "'" not in inner


async def test_every_text_comes_back_as_it_was_desired() -> None:
    """Written, read again and compared: equal, or the difference would be written for ever."""
    facts: list[dict[str, Fact]] = [
        {"external_id": f"cus_{number}", "name": text} for number, text in enumerate([*TEXTS, *sum(TWINS, ())])
    ]
    async with an_org() as org:
        for start in range(0, len(facts), org.outbound.batch_max):
            desired = {
                answer.key: {name: value for name, value in answer.fields.items() if name == "Name"}
                for one in facts[start : start + org.outbound.batch_max]
                if (answer := translate(one, COMPILED)).key is not None
            }
            named = {key: fields for key, fields in desired.items() if org.outbound.canonical(SPEC, fields)["Name"]}
            results = await org.outbound.write(SPEC, [a_write(key, **fields) for key, fields in named.items()])
            refused = [one.outcome for one in results if not isinstance(one.outcome, Applied)]
            assert refused == []
            held = await org.outbound.read(SPEC, list(named))
            for key, fields in named.items():
                assert held[key].fields["Name"] == org.outbound.canonical(SPEC, fields)["Name"], fields


async def test_a_key_with_any_text_finds_its_own_record_only() -> None:
    keys = [text for text in TEXTS if 0 < len(text.strip()) <= 40 and text == text.strip() and text.isprintable()]
    async with an_org() as org:
        found = await org.outbound.read(SPEC, keys)
        assert found == {}
        for key in keys[:20]:
            await org.outbound.write(SPEC, [a_write(key, Name="Example")])
        assert set(await org.outbound.read(SPEC, keys)) == set(keys[:20])
