"""From facts to a record, and what is wrong with a mapping before it is used."""

from datetime import date
from typing import Any

import pytest

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money
from accordant.mapping.spelling import FACTS_FOR_FIELD
from accordant.mapping.translate import (
    FieldProblem,
    MappingDefect,
    Translation,
    check_mapping,
    compile_mapping,
    translate,
)


def a_mapping(fields: dict[str, FieldPart], entity: EntityKind = EntityKind.ACCOUNT, **more: Any) -> MappingPart:
    return MappingPart(entity=entity, object="Account", key_field="Billing_Id__c", fields=fields, **more)


ACCOUNT = a_mapping(
    {
        "Name": FieldPart(source="name", length=80, truncate=True),
        "MRR__c": FieldPart(source="mrr", type=FieldType.CURRENCY),
        "Renews__c": FieldPart(source="next_renewal_on", type=FieldType.DATE),
        "Status__c": FieldPart(source="status", values={"active": "Active"}),
        "Failed__c": FieldPart(source="failed_payment_count", type=FieldType.NUMBER),
    }
)


def test_a_record_is_made_of_the_facts_that_are_known() -> None:
    values: dict[str, Fact] = {
        "external_id": "cus_1",
        "name": "Example AG",
        "mrr": Money(1200_00, "EUR"),
        "next_renewal_on": date(2026, 3, 14),
        "status": "active",
        "failed_payment_count": 0,
        "email": "not mapped",
    }
    assert translate(values, ACCOUNT) == Translation(
        "cus_1",
        {"Failed__c": 0, "MRR__c": "1200.00", "Name": "Example AG", "Renews__c": "2026-03-14", "Status__c": "Active"},
    )


def test_an_unknown_fact_leaves_its_field_out_and_an_empty_one_clears_it() -> None:
    assert translate({"external_id": "cus_1", "next_renewal_on": None}, ACCOUNT) == Translation(
        "cus_1", {"Renews__c": None}
    )


def test_one_bad_value_spoils_only_its_own_field() -> None:
    answer = translate({"external_id": "cus_1", "name": "a\0b", "status": "unpaid", "failed_payment_count": 2}, ACCOUNT)
    assert (answer.key, answer.fields) == ("cus_1", {"Failed__c": 2})
    assert [(problem.field, problem.source) for problem in answer.problems] == [
        ("Name", "name"),
        ("Status__c", "status"),
    ]
    assert "NUL" in answer.problems[0].reason
    assert "'unpaid'" in answer.problems[1].reason


@pytest.mark.parametrize("values", [{}, {"external_id": None}, {"external_id": ""}, {"external_id": "a\0"}])
def test_a_record_that_cannot_be_named_has_no_key_and_says_why(values: dict[str, Fact]) -> None:
    answer = translate(values, ACCOUNT)
    assert answer.key is None
    assert [(problem.field, problem.source) for problem in answer.problems] == [("Billing_Id__c", "external_id")]


def test_the_key_may_come_from_another_fact() -> None:
    assert translate({"email": "pay@example.com"}, a_mapping({}, key_source="email")).key == "pay@example.com"


def test_a_fact_of_the_wrong_type_is_a_problem_and_no_crash() -> None:
    answer = translate({"external_id": "cus_1", "mrr": 5, "failed_payment_count": True}, ACCOUNT)
    assert answer.fields == {}
    assert answer.problems == (
        FieldProblem(
            "Failed__c",
            "failed_payment_count",
            "The field holds a number, and the fact is of type bool. Correct the mapping.",
        ),
        FieldProblem("MRR__c", "mrr", "The field holds an amount, and the fact is of type int. Correct the mapping."),
    )


def test_a_compiled_mapping_says_the_same() -> None:
    values: dict[str, Fact] = {"external_id": "cus_1", "name": "Example AG", "status": "other"}
    assert translate(values, compile_mapping(ACCOUNT)) == translate(values, ACCOUNT)


# -- the check -------------------------------------------------------------------------------------------------------


def test_a_sound_mapping_has_no_defects() -> None:
    assert check_mapping(ACCOUNT) == ()


def defects(part: FieldPart, entity: EntityKind = EntityKind.ACCOUNT) -> list[str]:
    return [defect.reason for defect in check_mapping(a_mapping({"Field__c": part}, entity))]


def test_an_unknown_fact_is_found_and_the_nearest_is_named() -> None:
    assert check_mapping(a_mapping({"Plan__c": FieldPart(source="plan_nam")})) == (
        MappingDefect("Plan__c", "There is no fact called `plan_nam`.", "Did you mean plan_name?"),
    )
    (far,) = check_mapping(a_mapping({"Plan__c": FieldPart(source="zzz")}))
    assert far.remedy.startswith("Choose one of: at_risk_mrr, ")


def test_facts_belong_to_their_kind() -> None:
    assert defects(FieldPart(source="account"), EntityKind.SUBSCRIPTION) == []
    assert defects(FieldPart(source="account")) == ["There is no fact called `account`."]


@pytest.mark.parametrize("kind", FieldType)
@pytest.mark.parametrize("source", sorted(FACTS[EntityKind.ACCOUNT]))
def test_every_pair_of_fact_and_field_is_judged(kind: FieldType, source: str) -> None:
    more: dict[str, Any] = {"lookup_object": "Account", "lookup_key": "Id__c"} if kind is FieldType.LOOKUP else {}
    fits = FACTS[EntityKind.ACCOUNT][source] in FACTS_FOR_FIELD[kind]
    found = check_mapping(a_mapping({"Field__c": FieldPart(source=source, type=kind, **more)}))
    assert bool(found) is not fits


def test_a_wrong_pair_says_which_types_would_do() -> None:
    assert check_mapping(a_mapping({"MRR__c": FieldPart(source="mrr", type=FieldType.NUMBER)})) == (
        MappingDefect(
            "MRR__c",
            "A field of type number cannot hold `mrr`, which is of type money.",
            "Make the field's type currency, or choose another source.",
        ),
    )


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (FieldPart(source="name", type=FieldType.LOOKUP), "A lookup must say which object"),
        (FieldPart(source="name", type=FieldType.LOOKUP, lookup_object="Account"), "A lookup must say which object"),
        (FieldPart(source="name", type=FieldType.LOOKUP, lookup_key="Id__c"), "A lookup must say which object"),
        (
            FieldPart(source="name", type=FieldType.LOOKUP, lookup_object="A", lookup_key="K", length=9, truncate=True),
            "A lookup that is cut",
        ),
        (FieldPart(source="name", lookup_object="Account"), "mean nothing on a field of type text"),
        (FieldPart(source="name", length=0), "A length of 0"),
        (FieldPart(source="name", truncate=True), "no length to cut at"),
        (FieldPart(source="mrr", type=FieldType.CURRENCY, length=5), "mean nothing on a field of type currency"),
        (
            FieldPart(source="deleted", type=FieldType.FLAG, values={"true": "Y"}),
            "mean nothing on a field of type flag",
        ),
    ],
)
def test_settings_that_cannot_work_are_found(part: FieldPart, words: str) -> None:
    (reason,) = defects(part)
    assert words in reason


def test_the_key_must_be_a_known_text_and_written_once() -> None:
    assert [item.reason for item in check_mapping(a_mapping({}, key_source="nothing"))] == [
        "There is no fact called `nothing`."
    ]
    assert [item.field for item in check_mapping(a_mapping({}, key_source="mrr"))] == ["Billing_Id__c"]
    (twice,) = check_mapping(a_mapping({"Billing_Id__c": FieldPart(source="external_id")}))
    assert "written twice" in twice.reason


def test_a_kind_without_facts_cannot_be_mapped() -> None:
    (defect,) = check_mapping(a_mapping({}, EntityKind.PAYOUT))
    kinds = "account, company, invoice, ledger_document, opportunity, payment, product, refund, subscription"
    assert defect.remedy == f"Map one of: {kinds}."


def test_whatever_passes_the_check_can_be_spelled() -> None:
    examples: dict[FactType, Fact] = {
        FactType.TEXT: "x",
        FactType.NUMBER: 1,
        FactType.FLAG: True,
        FactType.MONEY: Money(1, "EUR"),
        FactType.DAY: date(2026, 1, 1),
    }
    for kind, vocabulary in FACTS.items():
        fields = {
            f"{source}_{field_type}": FieldPart(source=source, type=field_type, lookup_object="A", lookup_key="K")
            if field_type is FieldType.LOOKUP
            else FieldPart(source=source, type=field_type)
            for source, fact_type in vocabulary.items()
            for field_type in FieldType
            if fact_type in FACTS_FOR_FIELD[field_type]
        }
        mapping = a_mapping(fields, kind)
        assert check_mapping(mapping) == ()
        answer = translate({source: examples[fact_type] for source, fact_type in vocabulary.items()}, mapping)
        assert answer.problems == ()
        assert answer.fields.keys() == fields.keys()
