"""The Salesforce stand-in, driven by a client nobody here wrote and judged by Salesforce's own API document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from simple_salesforce.exceptions import SalesforceError, SalesforceMalformedRequest

from accordant.connectors.salesforce.simulator import SalesforceSimulator, example_org
from accordant.connectors.salesforce.simulator_fields import Refusal, to_long_id
from accordant.testing.contracts import ContractJudge, load_specification
from tests.connectors.salesforce.stand_in import EXTERNAL, Clock, V, client, running, send, upsert

SUBSET = "salesforce/lightning-platform-rest-v59-sobjects-subset.json.gz"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> Iterator[SalesforceSimulator]:
    with running(SalesforceSimulator(now=clock, page_rows_max=200)) as made:
        yield made


# -- the judge: Salesforce's own document -----------------------------------------------------------------------------


@pytest.mark.contracts
def test_every_answer_keeps_the_vendors_contract(clock: Clock, contracts: Path) -> None:
    specification = load_specification(
        contracts / SUBSET, prefix="/services/data/{version}", null_is_absent=True, check_formats=False
    )
    judge = ContractJudge(specification, skip=("/_sim", f"{V}/sobjects/Subscription__c"))
    with (
        running(SalesforceSimulator(now=clock, middlewares=[judge.middleware])) as simulator,
        client(simulator) as sf,
    ):
        account = sf.Account.create({"Name": "EXAMPLE-1", "NumberOfEmployees": 3, "AnnualRevenue": 10.5})["id"]
        sf.Account.get(account)
        sf.Account.update(account, {"BillingCity": "Bern"})
        contact = sf.Contact.create({"LastName": "EXAMPLE", "AccountId": account, "Email": "a@b.example"})
        sf.Contact.get(contact["id"])
        opportunity = {"Name": "EXAMPLE-1", "StageName": "Closed Won", "CloseDate": "2026-03-01", "Amount": 12.345}
        made = sf.Opportunity.create({**opportunity, "AccountId": account})
        sf.Opportunity.get(made["id"])
        sf.Account.metadata()
        sf.describe()
        for bad in ({}, {"Name": "x" * 300}, {"Name": "x", "Nonsense": 1}, {"Name": "x", "AnnualRevenue": "abc"}):
            with pytest.raises(SalesforceMalformedRequest):
                sf.Account.create(bad)
        with pytest.raises(SalesforceError):
            sf.Account.get("001000000000000AAA")
        send(simulator, "GET", f"{V}/sobjects/Account", None, Authorization="Bearer stale")
        sf.Contact.delete(contact["id"])
    judge.verify()
    assert judge.checked >= 15


@pytest.mark.contracts
def test_the_vendors_example_requests_work(simulator: SalesforceSimulator, contracts: Path) -> None:
    examples = {
        one["path"]: one for one in json.loads((contracts / "salesforce" / "postman-requests-2021.json").read_text())
    }
    made = simulator.create("Account", Name="test", **{EXTERNAL: "cus_1"})
    placeholders = {
        "{{_endpoint}}": "",
        "{{version}}": "59.0",
        "<SOBJECT_API_NAME>": "Account",
        "<RECORD_ID>": made,
        "<FIELD_NAME>": EXTERNAL,
        "<FIELD_VALUE>": "cus_1",
    }
    expected = {
        "rest/versions.json": 200,
        "rest/resources_by_version.json": 200,
        "rest/limit.json": 200,
        "rest/describe_global.json": 200,
        "rest/sobject_basic_information.json": 200,
        "rest/sobject_describe.json": 200,
        "rest/sobject_create.json": 201,
        "rest/sobject_rows.json": 200,
        "rest/sobject_rows_by_external_id.json": 200,
        "rest/query.json": 200,
        "rest/queryall.json": 200,
        "rest/sobject_rows_delete.json": 204,
    }
    for path, status in expected.items():
        example = examples[path]
        url = example["url"]
        for name, value in placeholders.items():
            url = url.replace(name, value)
        body = example["body"] if isinstance(example["body"], str) and example["method"] != "GET" else None
        got, _, answer = send(simulator, example["method"], url, body or None)
        assert got == status, (path, answer)
        if "query" in path:
            assert [record["Name"] for record in answer["records"]] == ["test", "test"]


# -- a third party's client -------------------------------------------------------------------------------------------


def test_simple_salesforce_lives_with_it(simulator: SalesforceSimulator) -> None:
    with client(simulator) as sf:
        accounts = sf.Account
        made = accounts.create({"Name": "EXAMPLE-1", EXTERNAL: "cus_1"})
        assert made["success"] is True
        assert len(made["id"]) == 18
        assert accounts.get(made["id"])["Name"] == "EXAMPLE-1"
        assert accounts.get_by_custom_id(EXTERNAL, "cus_1")["Id"] == made["id"]
        assert accounts.update(made["id"], {"Name": "EXAMPLE-2"}) == 204
        assert accounts.upsert(f"{EXTERNAL}/cus_1", {"Name": "EXAMPLE-3"}) == 200
        assert accounts.upsert(f"{EXTERNAL}/cus_2", {"Name": "EXAMPLE-4"}) == 201
        found = sf.query("SELECT Id, Name FROM Account WHERE Name LIKE 'example-%' ORDER BY Name DESC")
        assert [record["Name"] for record in found["records"]] == ["EXAMPLE-4", "EXAMPLE-3"]
        names = {field["name"]: field for field in accounts.describe()["fields"]}
        assert names[EXTERNAL]["externalId"] is True
        assert names["Tier__c"]["restrictedPicklist"] is True
        rows = [{"attributes": {"type": "Account"}, EXTERNAL: f"cus_{n}", "Name": f"EXAMPLE-{n}"} for n in range(2, 5)]
        answer = sf.restful(
            f"composite/sobjects/Account/{EXTERNAL}",
            method="PATCH",
            data=json.dumps({"allOrNone": False, "records": rows}),
        )
        assert [result["created"] for result in answer] == [False, True, True]
        assert accounts.delete(made["id"]) == 204
        assert sf.query("SELECT COUNT() FROM Account")["totalSize"] == 3
        assert sf.query("SELECT Id FROM Account", include_deleted=True)["totalSize"] == 4


def test_query_pages_follow_next_records_url(simulator: SalesforceSimulator) -> None:
    with client(simulator) as sf:
        for number in range(450):
            simulator.create("Account", Name=f"EXAMPLE-{number:03}")
        first = sf.query("SELECT Id FROM Account")
        assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
        everything = sf.query_all("SELECT Name FROM Account ORDER BY Name")
        assert [record["Name"] for record in everything["records"]] == [f"EXAMPLE-{n:03}" for n in range(450)]
        status, _, answer = send(simulator, "GET", f"{V}/query/01gNOPE-200")
        assert (status, answer[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


# -- SOQL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("Name = 'ALPHA'", ["Alpha"]),
        ("Name != 'alpha'", ["Beta", "Gamma"]),
        ("NumberOfEmployees > 5 AND NumberOfEmployees <= 20", ["Beta"]),
        ("NumberOfEmployees IN (1, 30)", ["Alpha", "Gamma"]),
        ("NumberOfEmployees NOT IN (1, 30)", ["Beta"]),
        ("(Name = 'Alpha' OR Name = 'Beta') AND Tier__c != NULL", ["Alpha"]),
        ("NOT Name LIKE '%a%a%'", ["Beta"]),
        ("Tier__c = null", ["Beta", "Gamma"]),
        (f"{EXTERNAL} IN ('cus_1', 'CUS_2', 'cus_9')", ["Alpha", "Beta"]),
        ("CreatedDate >= 2026-03-01T10:00:00Z", ["Gamma"]),
        ("CreatedDate < 2026-03-01T10:00:00+01:00", []),
        ("Parent.Name = 'Alpha'", ["Beta"]),
        ("Name = 'O\\'Hara'", []),
        ("IsDeleted = false AND AnnualRevenue >= 12.0", ["Gamma"]),
    ],
)
def test_soql_conditions(simulator: SalesforceSimulator, clock: Clock, where: str, names: list[str]) -> None:
    alpha = simulator.create("Account", Name="Alpha", NumberOfEmployees=1, Tier__c="Gold", **{EXTERNAL: "cus_1"})
    simulator.create("Account", Name="Beta", NumberOfEmployees=10, ParentId=alpha, **{EXTERNAL: "cus_2"})
    clock.now += timedelta(hours=2)
    simulator.create("Account", Name="Gamma", NumberOfEmployees=30, AnnualRevenue=12)
    query = quote("SELECT Name FROM Account WHERE " + where)  # noqa: S608 - SOQL of our own
    status, _, answer = send(simulator, "GET", f"{V}/query?q={query}")
    assert status == 200, answer
    assert sorted(record["Name"] for record in answer["records"]) == names


def test_soql_parents_order_limit_and_errors(simulator: SalesforceSimulator) -> None:
    account = simulator.create("Account", Name="Alpha")
    simulator.create("Contact", LastName="With", AccountId=account)
    simulator.create("Contact", LastName="Without")

    def ask(text: str) -> tuple[int, Any]:
        status, _, answer = send(simulator, "GET", f"{V}/query?q={quote(text)}")
        return status, answer

    _, answer = ask("SELECT LastName, Account.Name FROM Contact ORDER BY Account.Name NULLS LAST LIMIT 2")
    assert [one["LastName"] for one in answer["records"]] == ["With", "Without"]
    assert answer["records"][0]["Account"]["Name"] == "Alpha"
    assert answer["records"][1]["Account"] is None
    _, answer = ask("SELECT FIELDS(ALL) FROM Contact LIMIT 1 OFFSET 1")
    assert answer["records"][0]["Name"] == "Without"
    for text, code in (
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id, COUNT(Id) FROM Account GROUP BY Id", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account; DROP", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE " + "(" * 21 + "Name = 'x'" + ")" * 21, "MALFORMED_QUERY"),
    ):
        status, answer = ask(text)
        assert (status, answer[0]["errorCode"]) == (400, code), text


# -- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("Account", {}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": "   "}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": "x" * 256}, "STRING_TOO_LONG"),
        ("Account", {"Name": "x", "Tier__c": "Bronze"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("Account", {"Name": "x", "Nope__c": 1}, "INVALID_FIELD"),
        ("Account", {"Name": {"a": 1}}, "JSON_PARSER_ERROR"),
        ("Account", {"Name": "x", "NumberOfEmployees": "many"}, "JSON_PARSER_ERROR"),
        ("Account", {"Name": "x", "NumberOfEmployees": 2**31}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ("Account", {"Name": "x", "AnnualRevenue": 10**18}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ("Account", {"Name": "x", "CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Account", {"Name": "x", "ParentId": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Account", {"Name": "x", "ParentId": "003000000000001AAA"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account", {"Name": "x", "ParentId": "nonsense"}, "MALFORMED_ID"),
        ("Account", {"Name": "x", EXTERNAL: "CUS_TAKEN"}, "DUPLICATE_VALUE"),
        ("Contact", {"LastName": "x", "Email": "nobody"}, "INVALID_EMAIL_ADDRESS"),
        ("Contact", {"LastName": "x", "HasOptedOutOfEmail": "perhaps"}, "JSON_PARSER_ERROR"),
        ("Contact", {"LastName": "x", "Birthdate": "2026-02-30"}, "JSON_PARSER_ERROR"),
        ("Opportunity", {"Name": "x", "CloseDate": "01.02.2026", "StageName": "New"}, "JSON_PARSER_ERROR"),
        ("Subscription__c", {"Account__r": {EXTERNAL: "cus_none"}}, "INVALID_FIELD"),
        ("Subscription__c", {"Account__r": {"Name": "x"}}, "INVALID_FIELD"),
        ("Subscription__c", {"MRR__c": "NaN"}, "JSON_PARSER_ERROR"),
    ],
)
def test_bad_values_are_refused_in_salesforces_words(
    simulator: SalesforceSimulator, name: str, values: dict[str, Any], code: str
) -> None:
    simulator.create("Account", Name="EXAMPLE-1", **{EXTERNAL: "cus_taken"})
    before = simulator.org.effect_count
    status, _, answer = send(simulator, "POST", f"{V}/sobjects/{name}", values)
    assert (status, answer[0]["errorCode"]) == (400, code)
    assert simulator.org.effect_count == before


def test_values_are_edited_silently_as_salesforce_does(simulator: SalesforceSimulator) -> None:
    made = simulator.create("Subscription__c", Name="  x  ", MRR__c="10.005")
    stored = simulator.record("Subscription__c", made)
    assert stored["Name"] == "x"
    _, _, answer = send(simulator, "GET", f"{V}/sobjects/Subscription__c/{made}?fields=MRR__c")
    assert answer["MRR__c"] == 10.01
    simulator.edit("Subscription__c", made, "Name", "", "ann@example.com")
    assert simulator.record("Subscription__c", made)["Name"] is None


def test_an_opportunity_follows_its_stage(simulator: SalesforceSimulator) -> None:
    made = simulator.create("Opportunity", Name="x", StageName="Closed Won", CloseDate="2026-03-01", Amount=200)
    stored = simulator.record("Opportunity", made)
    assert (stored["IsWon"], stored["IsClosed"], stored["Probability"], stored["ExpectedRevenue"]) == (
        True,
        True,
        100,
        200,
    )


def test_ids_carry_their_checksum_and_both_lengths_find_the_record(simulator: SalesforceSimulator) -> None:
    assert to_long_id("0013000000auCyT") == "0013000000auCyTAAU"  # the pair printed on a Salesforce help page
    assert to_long_id("0013000000auCyTAAA") is None
    made = simulator.create("Account", Name="x")
    assert send(simulator, "GET", f"{V}/sobjects/Account/{made[:15]}")[2]["Id"] == made
    status, _, answer = send(simulator, "GET", f"{V}/sobjects/Account/{'003' + made[3:15]}")
    assert (status, answer[0]["errorCode"]) == (400, "MALFORMED_ID")


# -- upserts ----------------------------------------------------------------------------------------------------------


def test_upsert_answers_by_version_and_by_what_is_there(simulator: SalesforceSimulator) -> None:
    path = f"sobjects/Account/{EXTERNAL}/cus_1"
    status, _, answer = send(simulator, "PATCH", f"{V}/{path}", {"Name": "x"})
    assert (status, answer["created"]) == (201, True)
    status, _, answer = send(simulator, "PATCH", f"{V}/{path}", {"Name": "y"})
    assert (status, answer["created"]) == (200, False)
    assert send(simulator, "PATCH", f"/services/data/v45.0/{path}", {"Name": "z"})[0] == 204
    status, _, answer = send(simulator, "PATCH", f"{V}/{path}", {"Name": "x", EXTERNAL: "cus_1"})
    assert (status, answer[0]["errorCode"]) == (400, "INVALID_FIELD")
    simulator.define_field("Account", "Old_Key__c", external_id=True)
    for _ in range(2):
        simulator.create("Account", Name="twin", Old_Key__c="1")
    status, _, answer = send(simulator, "PATCH", f"{V}/sobjects/Account/Old_Key__c/1", {"Name": "x"})
    assert status == 300
    assert len(answer) == 2
    twins = {"records": [{"attributes": {"type": "Account"}, "Old_Key__c": "1", "Name": "x"}]}
    _, _, answer = send(simulator, "PATCH", f"{V}/composite/sobjects/Account/Old_Key__c", twins)
    assert answer[0]["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"
    status, _, answer = send(simulator, "PATCH", f"{V}/sobjects/Account/Name/1", {"Name": "x"})
    assert (status, answer[0]["errorCode"]) == (404, "NOT_FOUND")
    assert send(simulator, "GET", f"{V}/sobjects/Account/{EXTERNAL}/cus_9")[0] == 404


def test_a_parent_is_found_by_its_external_id(simulator: SalesforceSimulator) -> None:
    account = simulator.create("Account", Name="x", **{EXTERNAL: "cus_1"})
    body = {"Account__r": {EXTERNAL: "cus_1"}, "MRR__c": 5}
    assert send(simulator, "PATCH", f"{V}/sobjects/Subscription__c/Key__c/sub_1", body)[0] == 201
    assert simulator.record("Subscription__c", "sub_1")["Account__c"] == account


def test_one_bad_row_of_a_collection_is_its_own(simulator: SalesforceSimulator) -> None:
    simulator.create("Account", Name="held", **{EXTERNAL: "cus_held"})
    simulator.reject("Account", "cus_held", message="Revenue is frozen")
    rows = [
        {EXTERNAL: "cus_1", "Name": "one"},
        {EXTERNAL: "cus_2", "Name": "x" * 300},
        {EXTERNAL: "cus_held", "Name": "two"},
        {EXTERNAL: "cus_3", "Name": "a"},
        {EXTERNAL: "cus_3", "Name": "b"},
    ]
    status, answer = upsert(simulator, rows)
    assert status == 200
    assert [one["success"] for one in answer] == [True, False, False, False, False]
    assert [one["errors"][0]["statusCode"] for one in answer[1:]] == [
        "STRING_TOO_LONG",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
    ]
    assert answer[0]["created"] is True
    assert answer[1]["errors"][0]["fields"] == ["Name"]
    assert simulator.count("Account") == 2


def test_all_or_none_leaves_nothing(simulator: SalesforceSimulator) -> None:
    simulator.create("Account", Name="before", **{EXTERNAL: "cus_0"})
    rows = [{EXTERNAL: "cus_0", "Name": "after"}, {EXTERNAL: "cus_1", "Name": "new"}, {EXTERNAL: "cus_2"}]
    _, answer = upsert(simulator, rows, all_or_none=True)
    assert [one["errors"][0]["statusCode"] for one in answer] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert simulator.record("Account", "cus_0")["Name"] == "before"
    assert simulator.count("Account") == 1
    assert len(simulator.effects_of("Account", "cus_0")) == 1
    _, answer = upsert(simulator, [{EXTERNAL: "cus_1", "Name": "new"}])
    assert answer[0]["created"] is True  # the undone row left no key behind


def test_an_unreadable_row_ends_the_whole_collection(simulator: SalesforceSimulator) -> None:
    status, answer = upsert(simulator, [{EXTERNAL: "cus_1", "Name": "x"}, {EXTERNAL: "cus_2", "Nope": 1, "Name": "y"}])
    assert (status, answer[0]["errorCode"]) == (400, "INVALID_FIELD")
    assert simulator.count("Account") == 0
    status, answer = upsert(simulator, [{EXTERNAL: f"cus_{n}", "Name": "x"} for n in range(201)])
    assert (status, answer[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


def test_collections_create_update_retrieve_delete(simulator: SalesforceSimulator) -> None:
    rows = [{"attributes": {"type": "Account"}, "Name": "a"}, {"attributes": {"type": "Contact"}, "LastName": "b"}]
    _, _, made = send(simulator, "POST", f"{V}/composite/sobjects", {"records": rows})
    ids = [one["id"] for one in made]
    change = {"records": [{"attributes": {"type": "Account"}, "id": ids[0], "Name": "c"}]}
    assert send(simulator, "PATCH", f"{V}/composite/sobjects", change)[2][0]["success"] is True
    asked = {"ids": [ids[0], "001000000000000AAA"], "fields": ["Name"]}
    _, _, found = send(simulator, "POST", f"{V}/composite/sobjects/Account", asked)
    assert found[0]["Name"] == "c"
    assert found[1] is None
    _, _, gone = send(simulator, "DELETE", f"{V}/composite/sobjects?ids={','.join(ids)}&allOrNone=true")
    assert [one["success"] for one in gone] == [True, True]
    assert send(simulator, "GET", f"{V}/sobjects/Account/{ids[0]}")[0] == 404


def test_composite_calls_refer_to_each_other_and_roll_back(simulator: SalesforceSimulator) -> None:
    def ask(name: object) -> Any:
        calls = [
            {"method": "POST", "url": f"{V}/sobjects/Account", "referenceId": "acc", "body": {"Name": name}},
            {
                "method": "POST",
                "url": f"{V}/sobjects/Contact",
                "referenceId": "con",
                "body": {"LastName": "x", "AccountId": "@{acc.id}"},
            },
            {"method": "GET", "url": f"{V}/sobjects/Account/@{{acc.id}}", "referenceId": "get"},
        ]
        body = {"allOrNone": True, "compositeRequest": calls}
        return send(simulator, "POST", f"{V}/composite", body)[2]["compositeResponse"]

    assert [one["httpStatusCode"] for one in ask("EXAMPLE-1")] == [201, 201, 200]
    assert simulator.count("Contact") == 1
    refused = ask(None)
    assert refused[0]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert refused[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert simulator.count("Account") == 1


def test_batch_halts_on_error_when_asked(simulator: SalesforceSimulator) -> None:
    calls = [
        {"method": "POST", "url": "v59.0/sobjects/Account", "richInput": {"Name": "x"}},
        {"method": "GET", "url": "v59.0/sobjects/Nope"},
        {"method": "GET", "url": "v59.0/limits"},
    ]
    _, _, answer = send(simulator, "POST", f"{V}/composite/batch", {"batchRequests": calls, "haltOnError": True})
    assert answer["hasErrors"] is True
    assert [one["statusCode"] for one in answer["results"]] == [201, 404, 412]


# -- drift, hand edits, who did what ----------------------------------------------------------------------------------


def test_renamed_and_deleted_fields_are_gone_at_once(simulator: SalesforceSimulator) -> None:
    simulator.create("Account", Name="x", **{EXTERNAL: "cus_1"})
    simulator.rename_field("Account", EXTERNAL, "Customer_Key__c")
    status, answer = upsert(simulator, [{EXTERNAL: "cus_1", "Name": "y"}])
    assert (status, answer[0]["errorCode"]) == (404, "NOT_FOUND")
    assert send(simulator, "GET", f"{V}/sobjects/Account/Customer_Key__c/cus_1")[2]["Name"] == "x"
    simulator.delete_field("Account", "Tier__c")
    assert "Tier__c" not in {
        one["name"] for one in send(simulator, "GET", f"{V}/sobjects/Account/describe")[2]["fields"]
    }


def test_history_and_effects_say_who_changed_what(simulator: SalesforceSimulator, clock: Clock) -> None:
    upsert(simulator, [{EXTERNAL: "cus_1", "Name": "a"}])
    clock.now += timedelta(seconds=90)
    simulator.edit("Account", "cus_1", "Name", "b", "ann@example.com")
    upsert(simulator, [{EXTERNAL: "cus_1", "Name": "b"}])
    changes = [change for change in simulator.history("Account", "cus_1") if change.field == "Name"]
    assert [(one.old, one.new, one.user, one.at) for one in changes] == [
        (None, "a", "integration@example.com", "2026-03-01T09:00:00.000+0000"),
        ("a", "b", "ann@example.com", "2026-03-01T09:01:30.000+0000"),
    ]
    effects = simulator.effects_of("Account", "cus_1")
    assert [(one.action, "Name" in one.changed) for one in effects] == [
        ("created", True),
        ("updated", True),
        ("updated", False),
    ]


def test_if_unmodified_since_protects_a_hand_edit(simulator: SalesforceSimulator, clock: Clock) -> None:
    made = simulator.create("Account", Name="x")
    clock.now += timedelta(minutes=5)
    simulator.edit("Account", made, "Name", "y", "ann@example.com")
    since = {"If-Unmodified-Since": "Sun, 01 Mar 2026 09:01:00 GMT"}
    assert send(simulator, "PATCH", f"{V}/sobjects/Account/{made}", {"Name": "z"}, **since)[0] == 412
    since = {"If-Unmodified-Since": "Sun, 01 Mar 2026 09:06:00 GMT"}
    assert send(simulator, "PATCH", f"{V}/sobjects/Account/{made}", {"Name": "z"}, **since)[0] == 204


# -- bad requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("composite", {"compositeRequest": "none"}),
        ("composite", {"compositeRequest": [{"method": "GET", "url": "/x"}] * 26}),
        ("composite/batch", {"batchRequests": [1]}),
        ("composite/sobjects", {"records": [{"Name": "x"}]}),
        ("composite/sobjects", {"records": {}}),
        ("composite/sobjects/Account", {"ids": ["x"]}),
        ("sobjects/Account", []),
        ("sobjects/Account", 7),
    ],
)
def test_hostile_bodies_are_refused_not_crashed_on(simulator: SalesforceSimulator, path: str, body: object) -> None:
    status, _, answer = send(simulator, "POST", f"{V}/{path}", body)
    assert status == 400, answer
    assert answer[0]["errorCode"]


def test_unreadable_bodies_and_unknown_places(simulator: SalesforceSimulator) -> None:
    status, _, answer = send(simulator, "POST", f"{V}/sobjects/Account", "[" * 100_000)
    assert (status, answer[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    status, _, answer = send(simulator, "POST", f"{V}/sobjects/Account", "{not json")
    assert (status, answer[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert send(simulator, "GET", f"{V}/nowhere")[0] == 404
    assert send(simulator, "GET", "/elsewhere")[0] == 404
    assert send(simulator, "PUT", f"{V}/sobjects/Account", {"Name": "x"})[0] == 405
    assert send(simulator, "GET", "/services/data")[2][0]["version"] == "59.0"


def test_the_example_org_has_its_keys() -> None:
    made = example_org()
    made.create("Account", Name="x", Stripe_Customer_Id__c="cus_1")
    with pytest.raises(Refusal, match="DUPLICATE_VALUE"):
        made.create("Account", Name="y", Stripe_Customer_Id__c="CUS_1")
    made.create("Subscription__c", Account__r={"Stripe_Customer_Id__c": "cus_1"}, Status__c="active")
