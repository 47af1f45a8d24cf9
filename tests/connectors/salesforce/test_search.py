"""Before a record is created the org is asked who is there: by e-mail of its people, domain, tax id and name."""

from __future__ import annotations

import pytest

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.salesforce.candidates import ROWS_MAX, record_questions
from accordant.connectors.salesforce.soql import QUESTION_BYTES_MAX, NameInvalid
from accordant.kernel.errors import RejectedError
from tests.connectors.salesforce.outbound_kit import CUSTOMER, Org, an_org

SPEC = IdentitySpec(
    system="salesforce", object="Account", key_field=CUSTOMER, fields={RecordAttribute.TAX_ID: "VAT__c"}
)
PEOPLE = IdentitySpec(system="salesforce", object="Contact", key_field="Id")


def key(kind: KeyKind, value: str) -> MatchKey:
    return MatchKey(kind, value)


async def ask(org: Org, *keys: MatchKey, spec: IdentitySpec = SPEC) -> dict[str | None, Candidate]:
    return {one.name: one for one in await org.outbound.search(spec, keys)}


def furnish(org: Org) -> None:
    org.simulator.define_field("Account", "VAT__c", length=40)
    known = org.simulator.create(
        "Account",
        Name="Acme Robotics GmbH",
        Website="https://www.acme.example/en",
        VAT__c="DE129273398",
        BillingPostalCode="10115",
        BillingCountry="DE",
        Phone="+49 30 1234",
        **{CUSTOMER: "cus_9"},
    )
    org.simulator.create("Contact", LastName="Ada", Email="Ada@Acme.example", AccountId=known)
    other = org.simulator.create("Account", Name="Other", Website="other.example")
    org.simulator.create("Contact", LastName="Bob", Email="bob@mail.sub.example", AccountId=other)
    org.simulator.create("Contact", LastName="Cyd", Email="cyd@acme.example")


async def test_an_account_is_found_by_each_thing_that_tells() -> None:
    async with an_org() as org:
        furnish(org)
        for one in (
            key(KeyKind.EMAIL, "ada@acme.example"),
            key(KeyKind.DOMAIN, "acme.example"),
            key(KeyKind.TAX_ID, "de:vat:129273398"),
            key(KeyKind.NAME, "acme robotics"),
        ):
            assert list(await ask(org, one)) == ["Acme Robotics GmbH"], one
        assert list(await ask(org, key(KeyKind.DOMAIN, "sub.example"))) == ["Other"]
        assert await ask(org, key(KeyKind.DOMAIN, "nobody.example"), key(KeyKind.NAME, "ac")) == {}
        assert await ask(org, key(KeyKind.PHONE, "+49301234"), key(KeyKind.PLACE, "de/10115")) == {}
        assert await ask(org) == {}


async def test_a_candidate_tells_all_that_is_known_of_it() -> None:
    async with an_org() as org:
        furnish(org)
        found = (await ask(org, key(KeyKind.DOMAIN, "acme.example")))["Acme Robotics GmbH"]
        assert found.id == org.simulator.record("Account", "cus_9")["Id"]
        assert found == Candidate(
            system="salesforce",
            object="Account",
            id=found.id,
            name="Acme Robotics GmbH",
            emails=("Ada@Acme.example",),
            domains=("www.acme.example",),
            tax_ids=("DE129273398",),
            cross_references=("cus_9",),
            phones=("+49 30 1234",),
            postcode="10115",
            country="DE",
        )


async def test_a_reference_that_is_an_id_is_looked_up_and_any_other_is_not() -> None:
    async with an_org() as org:
        furnish(org)
        record_id = org.simulator.record("Account", "Other")["Id"]
        assert list(await ask(org, key(KeyKind.CROSS_REFERENCE, record_id))) == ["Other"]
        before = len(org.calls)
        assert await ask(org, key(KeyKind.CROSS_REFERENCE, "cus_1")) == {}
        assert len(org.calls) == before


async def test_a_deleted_account_is_not_offered() -> None:
    async with an_org() as org:
        furnish(org)
        org.simulator.delete("Account", "cus_9", "sales@example.com")
        assert await ask(org, key(KeyKind.EMAIL, "ada@acme.example"), key(KeyKind.DOMAIN, "acme.example")) == {}


async def test_people_are_found_where_customers_are_people() -> None:
    async with an_org() as org:
        furnish(org)
        found = await ask(org, key(KeyKind.EMAIL, "cyd@acme.example"), spec=PEOPLE)
        assert [one.emails for one in found.values()] == [("cyd@acme.example",)]


async def test_what_is_below_an_account_is_not_searched() -> None:
    async with an_org() as org:
        spec = IdentitySpec(
            system="salesforce", object="Billing_Subscription__c", key_field="Billing_Subscription_Id__c"
        )
        assert await ask(org, key(KeyKind.NAME, "acme"), spec=spec) == {}
        assert org.calls == []


@pytest.mark.parametrize("value", ["a' OR Name != '", "100%", "a_b", "back\\slash", "new\nline", "%", "_", "\\%"])
async def test_no_value_changes_the_question_or_means_more_than_it_says(value: str) -> None:
    async with an_org() as org:
        furnish(org)
        literal = f"xx{value}xx"
        org.simulator.create("Account", Name=f"{literal} Ltd".replace("\n", " "), Website=f"www.{literal}")
        # What a wildcard would take for the same.
        decoy = literal.replace("%", "any").replace("_", "Z")
        if decoy != literal:
            org.simulator.create("Account", Name="Decoy", Website=f"www.{decoy}")
        found = await ask(org, key(KeyKind.DOMAIN, literal))
        assert "Acme Robotics GmbH" not in found
        assert len(found) == 1
        assert await ask(org, key(KeyKind.EMAIL, f"{value}@acme.example")) == {}


async def test_a_field_the_org_does_not_have_is_named() -> None:
    async with an_org() as org:
        with pytest.raises(RejectedError, match="VAT__c"):
            await ask(org, key(KeyKind.NAME, "acme"))
    with pytest.raises(NameInvalid):
        list(record_questions(IdentitySpec(system="s", object="Account", key_field="x y"), (), ("001",)))


def test_questions_fit_into_an_address() -> None:
    keys = [key(KeyKind.DOMAIN, f"company-number-{number}.example") for number in range(500)]
    questions = list(record_questions(SPEC, keys, ()))
    assert len(questions) > 1
    assert all(len(question) < QUESTION_BYTES_MAX and f"LIMIT {ROWS_MAX}" in question for question in questions)
    assert sum(question.count("LIKE") for question in questions) == 500
