"""Role by kind of value, every cell; what a charter may say of it; and that no text walks past the lens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import Audience, Charter, Mask, Sensitivity
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import check_charter
from accordant.governance.sensitivity import (
    LEAST,
    NEVER_WHOLE,
    Lens,
    is_wider,
    kind_by_name,
    kind_of_fact,
    lens,
    masks_of,
)
from tests.unit.governance.company import CONNECTORS, charter, raw

HIDDEN = "•••"
VALUES = {
    Sensitivity.NAME: ("Ada Lovelace", "A••• L•••"),
    Sensitivity.EMAIL: ("ada@mail.example", "a•••@mail.example"),
    Sensitivity.PHONE: ("+49 30 1234567", "•••••••4567"),
    Sensitivity.ADDRESS: ("1 Example Street", HIDDEN),
    Sensitivity.ACCOUNT_NUMBER: ("4111111111111111", "411111••••••1111"),
    Sensitivity.TAX_ID: ("DE123456789", "•••••••6789"),
    Sensitivity.FREE_TEXT: ("Ask ada@mail.example", "Ask a•••@mail.example"),
    Sensitivity.RESTRICTED: ("passport C01X", HIDDEN),
}
#: Audience -> as the columns of VALUES: s shown, p its shortened form, h that there is one.
TABLE = {
    Audience.SUPPORT: "spphphph",
    Audience.REVOPS: "ssppphph",
    Audience.FINANCE: "ssssppsp",
    Audience.COMPLIANCE: "ssssppss",
    Audience.ENGINEER: "pphhhhhh",
}


@pytest.mark.parametrize("audience", Audience)
@pytest.mark.parametrize("kind", VALUES)
def test_every_cell_of_audience_and_kind(audience: Audience, kind: Sensitivity) -> None:
    whole, part = VALUES[kind]
    word = TABLE[audience][list(VALUES).index(kind)]
    assert lens(None, audience).cover(whole, kind) == {"s": whole, "p": part, "h": HIDDEN}[word]


def test_whoever_says_nothing_sees_what_the_engineer_sees_and_nobody_sees_less() -> None:
    assert lens(None).audience is LEAST is Audience.ENGINEER
    for audience in Audience:
        for kind, mask in masks_of(None, audience).items():
            assert not is_wider(masks_of(None, LEAST)[kind], mask)


@pytest.mark.parametrize("audience", Audience)
def test_nothing_stays_nothing_and_a_flag_stays_a_flag(audience: Audience) -> None:
    seen = lens(None, audience)
    for kind in Sensitivity:
        assert [seen.cover(value, kind) for value in (None, "", True, False)] == [None, "", True, False]


@pytest.mark.parametrize("entity", FACTS)
def test_every_text_fact_has_a_kind_said_by_a_person(entity: EntityKind) -> None:
    """A fact that is added without one is free text, which the engineer does not see; this names it."""
    unsaid = [
        fact
        for fact, kind in FACTS[entity].items()
        if kind is FactType.TEXT
        and kind_of_fact(entity, fact) is Sensitivity.FREE_TEXT
        # Written by people, and meant to be free text.
        and (entity, fact) not in {(EntityKind.INVOICE, "lines"), (EntityKind.PAYMENT, "failure_message")}
    ]
    assert unsaid == []
    assert kind_of_fact(entity, "something_new") is Sensitivity.FREE_TEXT


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email", Sensitivity.EMAIL),
        ("Billing_Email__c", Sensitivity.EMAIL),
        ("billingEmail", Sensitivity.EMAIL),
        ("receipt_email", Sensitivity.EMAIL),
        ("customer_name", Sensitivity.NAME),
        ("plan_name", Sensitivity.OPEN),
        ("tax_ids", Sensitivity.TAX_ID),
        ("iban", Sensitivity.ACCOUNT_NUMBER),
        ("postal_code", Sensitivity.ADDRESS),
        ("BillingStreet", Sensitivity.ADDRESS),
        ("description", Sensitivity.FREE_TEXT),
        ("client_ip", Sensitivity.ADDRESS),
        ("MRR__c", None),
        ("status", None),
        ("zipped", None),
        ("tint", None),
    ],
)
def test_a_name_tells_the_kind(name: str, kind: Sensitivity | None) -> None:
    assert kind_by_name(name) is kind


def test_a_document_is_covered_by_its_keys_and_by_its_look() -> None:
    document = {
        "id": "cus_1",
        "name": "Ada Lovelace",
        "email": "ada@mail.example",
        "address": {"city": "Berlin", "country": "DE"},
        "card": {"last4": "4242", "brand": "visa", "fingerprint": "abcdefgh12345678"},
        "note_for_us": "card 4111111111111111",
        "amount": 1200,
        "lines": [{"plan_name": "Pro"}, {"who": "write to bo@mail.example"}],
        "livemode": False,
        "gone": None,
    }
    assert lens(None, Audience.ENGINEER).json(document) == {
        "id": "cus_1",
        "name": "A••• L•••",
        "email": "a•••@mail.example",
        "address": {"city": HIDDEN, "country": HIDDEN},
        "card": {"last4": HIDDEN, "brand": "visa", "fingerprint": HIDDEN},
        "note_for_us": HIDDEN,
        "amount": 1200,
        "lines": [{"plan_name": "Pro"}, {"who": "write to b•••@mail.example"}],
        "livemode": False,
        "gone": None,
    }
    seen = lens(None, Audience.FINANCE).json(document)
    assert isinstance(seen, dict)
    assert seen["card"]["last4"] == "4242"
    assert seen["note_for_us"] == "card 411111••••••1111"
    assert seen["lines"][1]["who"] == "write to bo@mail.example"


def with_sensitivity(part: dict[str, Any], **others: Any) -> Charter:
    source = raw()
    source["sensitivity"] = part
    source.update(others)
    return charter(source)


def test_a_target_field_has_the_kind_of_its_fact_unless_the_charter_says_another() -> None:
    plain = lens(charter())
    assert plain.field("crm", "Company", "Name", "Ada Lovelace") == "A••• L•••"
    assert plain.field("crm", "Company", "MRR", "12.00") == "12.00"
    fact = lens(with_sensitivity({"facts": {"account": {"name": "open", "status": "restricted"}}}))
    assert fact.field("crm", "Company", "Name", "Ada Lovelace") == "Ada Lovelace"
    assert fact.field("crm", "Company", "Status", "active") == HIDDEN
    assert fact.fact(EntityKind.ACCOUNT, "status", "active") == HIDDEN
    field = lens(with_sensitivity({"fields": {"crm:Company.MRR": "restricted"}}))
    assert field.field("crm", "Company", "MRR", "12.00") == HIDDEN
    assert field.field("crm", "Agreement", "MRR", "12.00") == "12.00"


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"source": "email"}, Sensitivity.EMAIL),
        ({"path": "email"}, Sensitivity.EMAIL),
        ({"path": "tax_ids"}, Sensitivity.TAX_ID),
        ({"path": "metadata.billing_email"}, Sensitivity.FREE_TEXT),
        ({"path": "metadata.passport"}, Sensitivity.RESTRICTED),
        ({"expression": "status + ' ' + name"}, Sensitivity.NAME),
        ({"expression": "name + ' <' + email + '>'"}, Sensitivity.EMAIL),
        ({"expression": "'constant'"}, Sensitivity.OPEN),
    ],
)
def test_a_field_of_several_parts_has_the_strictest_kind(part: dict[str, str], kind: Sensitivity) -> None:
    source = raw()
    source["mappings"]["crm"][0]["fields"]["Shown"] = part
    assert lens(charter(source)).fields["crm", "Company", "Shown"] is kind


def test_the_charter_says_how_much_an_audience_sees() -> None:
    said = with_sensitivity({"masks": {"support": {"name": "hide"}, "compliance": {"restricted": "part"}}})
    assert lens(said, Audience.SUPPORT).cover("Ada", Sensitivity.NAME) == HIDDEN
    assert lens(said, Audience.REVOPS).cover("Ada", Sensitivity.NAME) == "Ada"
    assert lens(said, Audience.COMPLIANCE).cover("C01X", Sensitivity.RESTRICTED) == HIDDEN


@pytest.mark.parametrize("kind", sorted(NEVER_WHOLE))
def test_a_whole_number_is_shown_to_nobody_even_if_a_charter_got_past_its_check(kind: Sensitivity) -> None:
    said = with_sensitivity({"masks": {"compliance": {kind.value: "show"}}})
    assert masks_of(said, Audience.COMPLIANCE)[kind] is Mask.PART


@pytest.mark.parametrize(
    ("part", "where", "says"),
    [
        ({"facts": {"account": {"colour": "name"}}}, "sensitivity.facts.account.colour", "no fact"),
        ({"facts": {"payout": {"amount": "name"}}}, "sensitivity.facts.payout.amount", "no fact"),
        ({"fields": {"crm:Company.Colour": "name"}}, "sensitivity.fields.crm:Company.Colour", "No mapping"),
        (
            {"masks": {"finance": {"account_number": "show"}}},
            "sensitivity.masks.finance.account_number",
            "would see a value of the kind account_number whole",
        ),
        ({"masks": {"compliance": {"tax_id": "show"}}}, "sensitivity.masks.compliance.tax_id", "whole"),
        ({"masks": {"support": {"open": "hide"}}}, "sensitivity.masks.support.open", "open"),
        ({"masks": {"engineer": {"email": "show"}}}, "sensitivity.masks.engineer.email", "more of"),
        ({"masks": {"support": {"name": "hide"}}}, "sensitivity.masks.engineer.name", "more of"),
        ({"facts": {"account": {"external_id": "email"}}}, "mappings.crm[0].key_source", "is personal"),
    ],
)
def test_what_a_charter_may_not_say(part: dict[str, Any], where: str, says: str) -> None:
    found = [one for one in check_charter(with_sensitivity(part), connectors=CONNECTORS) if says in one.problem]
    assert where in [one.where for one in found], found
    assert all(one.remedy for one in found)


def test_a_record_is_not_named_by_a_person() -> None:
    source = raw()
    source["mappings"]["crm"][0]["key_source"] = "email"
    found = [one for one in check_charter(charter(source), connectors=CONNECTORS) if "personal" in one.problem]
    assert [(one.where, one.flows) for one in found] == [("mappings.crm[0].key_source", ("accounts",))]


def test_a_lens_is_a_value() -> None:
    assert msgspec.json.decode(msgspec.json.encode(lens(None)), type=Lens) == lens(None)
