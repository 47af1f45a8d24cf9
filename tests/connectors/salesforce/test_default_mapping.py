"""The mapping that is shipped, what an org needs for it, and how an org that differs is found out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import pytest

from accordant.analytics.facts import ACCOUNT_STATUSES, PAYMENT_METHOD_STATUSES
from accordant.canonical.charter import CustomerModel, FieldPart, FieldType, MappingPart
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.intents import Applied, WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.shapes import DriftKind, TargetDrift
from accordant.canonical.targets import object_spec
from accordant.connectors.salesforce import connector
from accordant.connectors.salesforce.connector import default_mappings
from accordant.connectors.salesforce.objects import RequiredField, required_fields
from accordant.connectors.sdk.manifest import load_manifest, load_quality
from accordant.demo.company import prepare_org
from accordant.kernel.errors import RejectedError
from accordant.mapping.translate import check_mapping
from accordant.operations.check_target import check_target
from accordant.ports.connector import Outbound, RecordWrite
from tests.connectors.salesforce.outbound_kit import Org, an_org

FITTING: dict[FactType, frozenset[FieldType]] = {
    FactType.TEXT: frozenset({FieldType.TEXT, FieldType.LOOKUP}),
    FactType.NUMBER: frozenset({FieldType.NUMBER}),
    FactType.FLAG: frozenset({FieldType.FLAG}),
    FactType.MONEY: frozenset({FieldType.CURRENCY}),
    FactType.DAY: frozenset({FieldType.DATE}),
    FactType.INSTANT: frozenset({FieldType.INSTANT}),
}
# Requirements 90 to 93: what every team asks for, by the fact that fills it.
ASKED_FOR = {
    "status",
    "mrr",
    "plan_name",
    "billing_cycle",
    "next_renewal_on",
    "last_payment_on",
    "last_payment_amount",
    "payment_method_status",
    "lifetime_value",
    "failed_payment_count",
    "days_to_first_payment",
    "discount",
    "currency",
    "past_due_amount",
    "at_risk_mrr",
    "movement_history",
    "expansion_total",
}
# The words of canonical.entities.Subscription.status.
SUBSCRIPTION_STATUSES = {
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "paused",
    "incomplete",
    "incomplete_expired",
    "canceled",
}
# The words of canonical.entities.Invoice.status and Payment.status.
INVOICE_STATUSES = {"draft", "open", "paid", "void", "uncollectible"}
PAYMENT_STATUSES = {"pending", "succeeded", "failed"}
#: Of a task the standard fields are meant: every line of it is ours.
ACTIVITY = {("Task", name) for name in ("WhatId", "WhoId", "Subject", "Status", "ActivityDate")}
PARTS = [(mapping, name, part) for mapping in default_mappings() for name, part in mapping.fields.items()]
PERSONS = [
    (mapping, name, part) for mapping in default_mappings(CustomerModel.B2C) for name, part in mapping.fields.items()
]
STANDARD = {
    ("Account", "Name"), ("Contact", "LastName"), ("Contact", "Email"), ("Product2", "Name"), ("Product2", "IsActive"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "name", "part"),
    [*PARTS, *PERSONS],
    ids=[
        f"{kind} {one.entity} {one.object}.{name}"
        for kind, parts in (("b2b", PARTS), ("b2c", PERSONS))
        for one, name, _ in parts
    ],
)
def test_every_field_is_filled_by_a_fact_of_its_type(mapping: MappingPart, name: str, part: FieldPart) -> None:
    kind = FACTS[mapping.entity][part.source]
    assert part.type in FITTING[kind]
    if part.type is FieldType.TEXT:
        assert bool(part.values) != (part.length is not None), "text has a length, or words to choose from"
    assert len(name.removesuffix("__c")) <= 40, "Salesforce allows forty characters"
    assert name.endswith("__c") or (mapping.object, name) in STANDARD | ACTIVITY, "custom fields only"
    assert part.places == (2 if part.type is FieldType.CURRENCY else None)


def test_persons_get_what_companies_get_on_their_contact() -> None:
    (account, subscription, *bills) = default_mappings()
    (contact, of_contact, *of_person) = default_mappings(CustomerModel.B2C)
    assert (contact.object, contact.key_field) == ("Contact", account.key_field)
    own = {"LastName", "Email"}
    assert contact.fields.keys() - own == account.fields.keys() - {"Name"}
    assert {name: contact.fields[name] for name in contact.fields.keys() - own} == {
        name: account.fields[name] for name in account.fields.keys() - {"Name"}
    }
    assert [check_mapping(mapping) for mapping in default_mappings(CustomerModel.B2C)] == [()] * 7
    lookup = of_contact.fields["Contact__c"]
    assert (lookup.lookup_object, lookup.lookup_key) == (contact.object, contact.key_field)
    assert of_contact.fields.keys() - {"Contact__c"} == subscription.fields.keys() - {"Account__c"}
    for bill, of_one in zip(bills, of_person, strict=True):
        above = {"Account__c": "Contact__c", "WhatId": "WhoId"}
        assert (of_one.entity, of_one.object, of_one.key_field) == (bill.entity, bill.object, bill.key_field)
        assert of_one.fields.keys() == {above.get(name, name) for name in bill.fields}


async def test_an_org_prepared_for_persons_takes_a_customer_and_a_subscription() -> None:
    contact, subscription, *_ = default_mappings(CustomerModel.B2C)
    async with an_org() as org:
        simulator = org.simulator
        prepare_org(simulator, (contact, subscription))
        assert await check_target(outbound=cast("Outbound", org.outbound), mappings=(contact, subscription)) == ()
        spec = object_spec(contact)
        fields: dict[str, WireValue] = {"LastName": "Ada Example", "Email": "ada@example.com", "Billing_MRR__c": "9.00"}
        (made,) = await org.outbound.write(spec, [RecordWrite(key="cus_1", fields=fields, idempotency_key="k1")])
        assert isinstance(made.outcome, Applied)
        write = RecordWrite(key="sub_1", fields={"Contact__c": "cus_1", "MRR__c": "9.00"}, idempotency_key="k2")
        (made,) = await org.outbound.write(object_spec(subscription), [write])
        assert isinstance(made.outcome, Applied)
        held = await org.outbound.read(object_spec(subscription), ["sub_1"])
        assert held["sub_1"].fields["Contact__c"] == "cus_1"


def test_what_every_team_asks_for_is_there() -> None:
    account, subscription, *_ = default_mappings()
    assert (account.object, account.key_field, account.entity) == (
        "Account",
        "Billing_Customer_Id__c",
        EntityKind.ACCOUNT,
    )
    assert {part.source for part in account.fields.values()} >= ASKED_FOR
    assert 15 <= len(account.fields) <= 20
    lookup = subscription.fields["Account__c"]
    assert (lookup.lookup_object, lookup.lookup_key) == (account.object, account.key_field)


def test_every_word_of_a_picklist_has_its_translation() -> None:
    """A word without one is a problem of the record, so the shipped mapping may lack none."""
    account, subscription, invoice, payment, *_ = default_mappings()
    assert account.fields["Billing_Status__c"].values.keys() == set(ACCOUNT_STATUSES)
    assert account.fields["Billing_Payment_Method_Status__c"].values.keys() == set(PAYMENT_METHOD_STATUSES)
    assert subscription.fields["Status__c"].values.keys() == SUBSCRIPTION_STATUSES
    assert invoice.fields["Status__c"].values.keys() == INVOICE_STATUSES - {"draft"}
    assert payment.fields["Status__c"].values.keys() == PAYMENT_STATUSES
    assert [check_mapping(mapping) for mapping in default_mappings()] == [()] * 7


def test_no_word_is_lost_to_the_yaml_reader() -> None:
    values = default_mappings()[0].fields["Billing_Payment_Method_Status__c"].values
    assert values["none"] == "None"


def test_the_mapping_is_read_from_the_package() -> None:
    for model in CustomerModel:
        assert Path(connector.__file__).with_name(f"default_mapping_{model}.yaml").is_file()
    assert (
        msgspec.json.decode(msgspec.json.encode(default_mappings()), type=tuple[MappingPart, ...]) == default_mappings()
    )


def test_manifest_and_scorecard_tell_what_the_code_does() -> None:
    folder = Path(connector.__file__).parent
    manifest, quality = load_manifest(folder), load_quality(folder)
    shipped = [mapping for model in CustomerModel for mapping in default_mappings(model)]
    assert {one.name: one.natural_key for one in manifest.writes} == {
        name: ", ".join(sorted({mapping.key_field for mapping in shipped if mapping.object == name}))
        for name in {mapping.object for mapping in shipped}
    }
    assert {one.name for one in manifest.settings} == connector._KNOWN
    assert {one.name for one in manifest.settings if one.secret} == {"client_secret", "private_key"}
    assert (manifest.api_version, manifest.limits.rate_per_s) == (connector.API_VERSION, connector.RATE_PER_S)
    assert quality.not_proved


# -- what an org needs -------------------------------------------------------------------------------------------------


def needed() -> dict[tuple[str, str], RequiredField]:
    return {(one.object, one.name): one for one in required_fields(default_mappings())}


def test_required_fields() -> None:
    fields = needed()
    keys = {(one.object, one.key_field) for one in default_mappings()}
    assert fields.keys() == keys | {(one.object, name) for one, name, _ in PARTS}
    key = fields["Account", "Billing_Customer_Id__c"]
    assert (key.type, key.unique, key.external_id, key.case_sensitive) == ("string", True, True, True)
    lookup = fields["Billing_Subscription__c", "Account__c"]
    assert (lookup.type, lookup.reference_to, lookup.relationship) == ("reference", "Account", "Account__r")
    status = fields["Account", "Billing_Status__c"]
    assert (status.type, status.length, status.picklist[:2]) == ("picklist", None, ("Active", "Trial"))
    lines = fields["Billing_Invoice__c", "Lines__c"]
    assert (lines.type, lines.length) == ("textarea", 32_000), "a text field of an org ends at 255 characters"
    amount = fields["Account", "Billing_MRR__c"]
    assert (amount.type, amount.precision, amount.scale) == ("currency", 18, 2)
    assert not fields["Account", "Name"].custom


def test_a_lookup_asks_for_the_key_it_finds_its_record_by() -> None:
    _, subscription, *_ = default_mappings()
    found = {(one.object, one.name): one for one in required_fields([subscription])}
    assert found["Account", "Billing_Customer_Id__c"].external_id


def test_a_name_no_org_can_have_is_a_wrong_setting() -> None:
    mapping = MappingPart(
        entity=EntityKind.ACCOUNT, object="Account", key_field="Key__c", fields={"a b": FieldPart(source="name")}
    )
    with pytest.raises(RejectedError, match="a b"):
        required_fields([mapping])


async def drift_of(org: Org) -> tuple[TargetDrift, ...]:
    return await check_target(outbound=cast("Outbound", org.outbound), mappings=default_mappings())


async def test_a_prepared_org_has_no_drift() -> None:
    async with an_org() as org:
        assert await drift_of(org) == ()


async def test_drift_is_found_before_a_write() -> None:
    async with an_org() as org:
        change = org.simulator.define_field
        org.simulator.rename_field("Account", "Billing_MRR__c", "MRR_Old__c")
        change("Account", "Billing_Next_Renewal__c", "string", length=255)
        change("Account", "Billing_Discount__c", "string", length=80)
        change("Account", "Billing_Customer_Id__c", "string", length=255)
        change("Account", "Billing_Status__c", "picklist", picklist=("Active", "Trial"), restricted=True)
        change("Account", "Billing_Lifetime_Value__c", "currency", scale=2, writable=False)
        change("Account", "Billing_Past_Due_Amount__c", "currency", scale=0)
        change("Account", "Legal_Form__c", "string", length=20, required=True)
        change("Billing_Subscription__c", "Account__c", "reference", reference_to="Contact")
        found = {one.field: one for one in await drift_of(org)}
        assert {name: one.kind for name, one in found.items()} == {
            "Billing_MRR__c": DriftKind.FIELD_MISSING,
            "Billing_Next_Renewal__c": DriftKind.RETYPED,
            "Billing_Discount__c": DriftKind.TOO_SHORT,
            "Billing_Customer_Id__c": DriftKind.NO_EXTERNAL_ID,
            "Billing_Status__c": DriftKind.VALUE_MISSING,
            "Billing_Lifetime_Value__c": DriftKind.READ_ONLY,
            "Billing_Past_Due_Amount__c": DriftKind.TOO_FEW_PLACES,
            "Legal_Form__c": DriftKind.REQUIRED,
            "Account__c": DriftKind.LEADS_ELSEWHERE,
        }
        assert found["Billing_Discount__c"].problem == (
            "Account.Billing_Discount__c holds 80 characters, and the mapping says 255."
        )
        assert "'Past due'" in found["Billing_Status__c"].problem
        assert all(one.remedy for one in found.values())
