"""The contract checker against the vendors' own documents: good messages pass, each kind of bad one is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from accordant.testing.contracts import (
    ContractJudge,
    ContractMissing,
    DocumentUnreadable,
    Specification,
    Violation,
    find_contracts,
    load_specification,
)

FORM = "application/x-www-form-urlencoded"
CONTRACTS = find_contracts()
needs_contracts = pytest.mark.skipif(
    CONTRACTS is None, reason="no contracts folder: set ACCORDANT_CONTRACTS or put one at ../shared/contracts"
)


def specification(name: str, **options: Any) -> Specification:
    assert CONTRACTS is not None
    return load_specification(CONTRACTS / name, **options)


@pytest.fixture
def stripe() -> Specification:
    return specification("stripe/spec3-2024-04-10.json.gz")


@pytest.fixture
def salesforce() -> Specification:
    return specification(
        "salesforce/lightning-platform-rest-v59-sobjects-subset.json.gz",
        prefix="/services/data/{version}",
        null_is_absent=True,
        check_formats=False,
    )


def places(violations: tuple[Violation, ...]) -> list[str]:
    return [violation.where for violation in violations]


def small(**operation: Any) -> Specification:
    return Specification({"openapi": "3.0.3", "paths": {"/things/{id}": {"post": operation}}, "components": {}})


# -- Stripe: nested forms ---------------------------------------------------------------------------------------------


@needs_contracts
def test_a_good_nested_form_passes(stripe: Specification) -> None:
    body = (
        b"customer=cus_1&items[0][price]=price_1&items[0][quantity]=3&items[1][price_data][currency]=eur"
        b"&items[1][price_data][product]=prod_1&items[1][price_data][unit_amount]=500"
        b"&items[1][price_data][recurring][interval]=month&proration_behavior=none&metadata[account]=7"
        b"&expand[]=latest_invoice&cancel_at_period_end=false&trial_end=now"
    )
    assert stripe.check_request("POST", "/v1/subscriptions", content_type=f"{FORM}; charset=utf-8", body=body) == ()


@needs_contracts
@pytest.mark.parametrize(
    ("body", "where", "says"),
    [
        (b"items[0][price]=p", "body", "customer"),
        (b"customer=cus_1&colour=red", "body", "colour"),
        (b"customer=cus_1&items[0][prize]=p", "body.items[0]", "prize"),
        (b"customer=cus_1&items[0][quantity]=three", "body.items[0].quantity", "integer"),
        (b"customer=cus_1&proration_behavior=sometimes", "body.proration_behavior", "create_prorations"),
        (b"customer=cus_1&cancel_at_period_end=perhaps", "body.cancel_at_period_end", "boolean"),
        (b"customer=cus_1&customer[id]=cus_1", "body", "both"),
    ],
)
def test_each_kind_of_bad_form_is_named(stripe: Specification, body: bytes, where: str, says: str) -> None:
    found = stripe.check_request("POST", "/v1/subscriptions", content_type=FORM, body=body)
    assert any(violation.where == where and says in violation.message for violation in found), found


@needs_contracts
def test_query_parameters_are_checked_and_unknown_ones_refused(stripe: Specification) -> None:
    assert stripe.check_request("GET", "/v1/customers", query="limit=3&created[gte]=5&expand[]=data.sources") == ()
    assert stripe.check_request("GET", "/v1/customers?limit=3&email=a%40b.example") == ()
    assert places(stripe.check_request("GET", "/v1/customers?limit=three")) == ["query.limit"]
    (unknown,) = stripe.check_request("GET", "/v1/customers", query="page=2")
    assert unknown.where == "query"
    assert "page" in unknown.message


@needs_contracts
def test_unknown_path_method_and_content_type_are_violations(stripe: Specification) -> None:
    assert places(stripe.check_request("GET", "/v1/rainbows")) == ["path"]
    assert places(stripe.check_request("PATCH", "/v1/customers/cus_1")) == ["method"]
    assert places(stripe.check_request("POST", "/v1/customers", content_type="application/json", body=b"{}")) == [
        "content_type"
    ]


@needs_contracts
def test_answers_are_checked_by_status_and_default(stripe: Specification) -> None:
    error = json.dumps({"error": {"type": "invalid_request_error", "message": "No such customer"}}).encode()
    assert stripe.check_response("GET", "/v1/customers/cus_1", 404, body=error) == ()
    wrong = json.dumps({"error": {"type": "bad_weather"}}).encode()
    assert places(stripe.check_response("GET", "/v1/customers/cus_1", 404, body=wrong)) == ["body.error.type"]
    page: dict[str, Any] = {"object": "list", "data": [], "has_more": False, "url": "/v1/customers"}
    assert stripe.check_response("GET", "/v1/customers", 200, body=json.dumps(page).encode()) == ()
    del page["has_more"]
    assert places(stripe.check_response("GET", "/v1/customers", 200, body=json.dumps(page).encode())) == ["body"]
    assert places(stripe.check_response("GET", "/v1/customers", 200, body=b"<html>")) == ["body"]


@needs_contracts
def test_named_schemas_can_be_checked_alone(stripe: Specification) -> None:
    assert stripe.check_schema("deleted_customer", {"id": "cus_1", "object": "customer", "deleted": True}) == ()
    assert places(stripe.check_schema("deleted_customer", {"id": 1, "object": "customer", "deleted": True})) == [
        "body.id"
    ]
    with pytest.raises(ContractMissing, match="no schema named rainbow"):
        stripe.check_schema("rainbow", {})


# -- Salesforce, Zendesk, Slack, HubSpot ------------------------------------------------------------------------------


@needs_contracts
def test_salesforce_paths_match_below_any_version(salesforce: Specification) -> None:
    good = b'{"Name": "EXAMPLE-1", "NumberOfEmployees": 3}'
    path = "/services/data/v59.0/sobjects/Account"
    assert salesforce.check_request("POST", path, content_type="application/json", body=good) == ()
    bad = b'{"Name": "EXAMPLE-1", "NumberOfEmployees": "three"}'
    found = salesforce.check_request("POST", path, content_type="application/json", body=bad)
    assert places(found) == ["body.NumberOfEmployees"]
    assert places(salesforce.check_request("POST", "/sobjects/Account", body=good)) == ["path"]
    assert places(salesforce.check_request("DELETE", path)) == ["method"]


@needs_contracts
def test_salesforce_answers(salesforce: Specification) -> None:
    path = "/services/data/v60.0/sobjects/Account"
    created = b'{"id": "001000000000001AAA", "success": true, "errors": []}'
    assert salesforce.check_response("POST", path, 201, body=created) == ()
    assert places(salesforce.check_response("POST", path, 201, body=b'{"id": 7}')) == ["body.id"]
    assert places(salesforce.check_response("POST", path, 400, body=b'{"message": "no array"}')) == ["body"]
    assert places(salesforce.check_response("POST", path, 418, body=b"[]")) == ["status"]
    record = b'{"Id": "001000000000001AAA", "ParentId": null, "SystemModstamp": "2026-01-01T00:00:00.000+0000"}'
    assert salesforce.check_response("GET", path + "/001000000000001AAA", 200, body=record) == ()
    assert places(salesforce.check_response("DELETE", path + "/001000000000001AAA", 204, body=b"{}")) == ["body"]


@needs_contracts
def test_zendesk_yaml() -> None:
    zendesk = specification("zendesk/zendesk-support.openapi.yaml.gz")
    good = json.dumps({"ticket": {"comment": {"body": "EXAMPLE-1"}, "priority": "urgent"}}).encode()
    assert zendesk.check_request("POST", "/api/v2/tickets", content_type="application/json", body=good) == ()
    bad = json.dumps({"ticket": {"comment": {"body": "EXAMPLE-1"}, "priority": "yesterday"}}).encode()
    found = zendesk.check_request("POST", "/api/v2/tickets", content_type="application/json", body=bad)
    assert places(found) == ["body.ticket.priority"]


@needs_contracts
def test_slack_swagger_2_forms_below_the_base_path() -> None:
    slack = specification("slack/slack_web_openapi_v2.json.gz")
    path = "/api/chat.postMessage"
    good = b"channel=C1&text=hello&mrkdwn=true"
    assert slack.check_request("POST", path, content_type=FORM, body=good) == ()
    assert places(slack.check_request("POST", path, content_type=FORM, body=b"text=hello")) == ["body"]
    assert places(slack.check_request("POST", path, content_type=FORM, body=b"channel=C1&mrkdwn=7")) == ["body.mrkdwn"]
    refused = b'{"ok": false, "error": "channel_not_found"}'
    assert slack.check_response("POST", path, 400, body=refused) == ()
    assert places(slack.check_response("POST", path, 400, body=b'{"ok": false, "error": "rain"}')) == ["body.error"]


@needs_contracts
def test_hubspot_paths_hang_below_their_server_entry() -> None:
    hubspot = specification("hubspot/crm.contacts.v3.json")
    path = "/crm/v3/objects/contacts"
    good = b'{"properties": {"email": "a@b.example"}, "associations": []}'
    assert hubspot.check_request("POST", path, content_type="application/json", body=good) == ()
    assert places(hubspot.check_request("POST", path, content_type="application/json", body=b'{"properties": 7}')) != []
    assert hubspot.check_request("GET", path + "/51?archived=false") == ()
    assert places(hubspot.check_request("GET", "/51")) == ["path"]


@needs_contracts
def test_every_document_of_the_folder_can_be_loaded() -> None:
    assert CONTRACTS is not None
    refused = set()
    for file in sorted(CONTRACTS.rglob("*")):
        if not file.is_file() or file.name.endswith((".xsd", ".proto", ".wsdl", ".md")) or "-full" in file.name:
            continue
        try:
            load_specification(file)
        except DocumentUnreadable:
            refused.add(file.name)
    assert refused == {
        "sdk-3.29.0-v2-operations.json.gz",
        "postman-requests-2021.json",
        "slack_events_api_async_v1.json",
        "fixtures3.json",
        "xero-webhooks.yaml",
    }


# -- without the folder -----------------------------------------------------------------------------------------------


def test_nullable_and_boolean_bounds_become_json_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "note": {"type": "string", "nullable": True},
            "kind": {"enum": ["a"], "type": "string", "nullable": True},
            "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "other": {"nullable": True, "allOf": [{"type": "integer"}]},
            "nullable": {"type": "string"},
        },
    }
    spec = small(requestBody={"content": {"application/json": {"schema": schema}}, "required": True}, responses={})

    def check(value: object) -> list[str]:
        return places(spec.check_request("POST", "/things/1", body=json.dumps(value).encode()))

    assert check({"note": None, "kind": None, "size": 1, "other": None, "nullable": "x"}) == []
    assert check({"note": 1}) == ["body.note"]
    assert check({"kind": "b"}) == ["body.kind"]
    assert check({"size": 0}) == ["body.size"]
    assert check({"other": "x"}) == ["body.other"]
    assert check({"nullable": None}) == ["body.nullable"]
    assert places(spec.check_request("POST", "/things/1")) == ["body"]


def test_a_literal_path_wins_over_a_parameter_and_methods_of_both_count() -> None:
    spec = Specification(
        {
            "openapi": "3.0.3",
            "paths": {
                "/things/{id}": {"get": {"responses": {"200": {}}}, "delete": {"responses": {"204": {}}}},
                "/things/search": {"get": {"responses": {"201": {}}}},
                "/things/{id}.json": {"get": {"responses": {"202": {}}}},
            },
        }
    )
    assert spec.check_response("GET", "/things/search", 201) == ()
    assert spec.check_response("GET", "/things/7", 200) == ()
    assert spec.check_response("DELETE", "/things/search", 204) == ()


def test_unreadable_bodies_and_undeclared_bodies_are_violations() -> None:
    spec = small(requestBody={"content": {"application/json": {"schema": {}}}}, responses={"200": {}})
    assert places(spec.check_request("POST", "/things/1", body=b"{")) == ["body"]
    bodiless = small(responses={"2XX": {}})
    assert places(bodiless.check_request("POST", "/things/1", body=b"{}")) == ["body"]
    assert bodiless.check_response("POST", "/things/1", 204) == ()
    assert places(bodiless.check_response("POST", "/things/1", 204, body=b"{}")) == ["body"]
    assert places(bodiless.check_response("POST", "/things/1", 500)) == ["status"]


def test_a_folder_that_is_named_but_absent_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCORDANT_CONTRACTS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="ACCORDANT_CONTRACTS"):
        find_contracts()
    monkeypatch.setenv("ACCORDANT_CONTRACTS", str(tmp_path))
    assert find_contracts() == tmp_path
    monkeypatch.delenv("ACCORDANT_CONTRACTS")
    (tmp_path / "repo" / "tests").mkdir(parents=True)
    (tmp_path / "repo" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "repo" / "tests")
    assert find_contracts() is None
    (tmp_path / "shared" / "contracts").mkdir(parents=True)
    assert find_contracts() == tmp_path / "shared" / "contracts"


# -- the judge --------------------------------------------------------------------------------------------------------


async def _exchange(judge: ContractJudge, calls: Callable[[ClientSession, str], Any]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"size": int(request.match_info["id"])})

    app = web.Application(middlewares=[judge.middleware])
    app.router.add_post("/things/{id}", answer)
    app.router.add_post("/_sim/{id}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession() as session:
            await calls(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def judged() -> ContractJudge:
    answer = {"type": "object", "properties": {"size": {"type": "integer", "maximum": 5}}}
    request = {"type": "object", "required": ["name"]}
    return ContractJudge(
        small(
            requestBody={"content": {"application/json": {"schema": request}}},
            responses={"200": {"content": {"application/json": {"schema": answer}}}},
        )
    )


def run(judge: ContractJudge, *calls: tuple[str, object]) -> None:
    async def go(session: ClientSession, base: str) -> None:
        for path, body in calls:
            async with session.post(base + path, json=body) as response:
                await response.read()

    asyncio.run(_exchange(judge, go))


def test_the_judge_counts_and_passes_a_clean_run() -> None:
    judge = judged()
    run(judge, ("/things/3", {"name": "x"}), ("/_sim/3", {}))
    judge.verify()
    assert (judge.checked, judge.skipped, judge.violations) == (1, 1, [])


def test_the_judge_reports_a_bad_request_a_bad_answer_and_an_unknown_path() -> None:
    judge = judged()
    run(judge, ("/things/3", {}), ("/things/9", {"name": "x"}), ("/elsewhere", {}))
    assert {violation.where for _, violation in judge.violations} == {"body", "body.size", "path"}
    with pytest.raises(AssertionError, match="violations of"):
        judge.verify()


def test_a_judge_who_saw_nothing_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="saw no exchange"):
        judged().verify()
