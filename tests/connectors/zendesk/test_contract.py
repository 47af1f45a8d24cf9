"""Every call we make and every answer of the stand-in, against Zendesk's own document; left out where that is not."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from accordant.canonical.matching import KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.testing.contracts import Violation, load_specification
from tests.connectors.ledger_kit import put, refusal
from tests.connectors.zendesk.kit import SPEC, Desk, facts

pytestmark = pytest.mark.contracts
_IDENTITY = IdentitySpec(system="zendesk", object="organization", key_field="external_id")


def _is_left_out(fault: Violation) -> bool:
    """The document tells of cursors and of bodies in its text alone, and asks for a text as if it were a number."""
    said = "'page' was unexpected" in fault.message or "takes no body" in fault.message
    return said or (fault.where == "query.external_id" and 'not of type "integer"' in fault.message)


async def test_every_call_and_answer_keeps_the_vendors_contract(one: Desk, contracts: Path) -> None:
    contract = load_specification(contracts / "zendesk/zendesk-support.openapi.yaml.gz", prefix="", null_is_absent=True)
    await put(one.support, SPEC, "cus_1", facts())
    await put(one.support, SPEC, "cus_1", facts("Renamed", receivable_open="12.50", billing_mrr=None))
    await put(one.support, SPEC, "cus_2", facts("Renamed"))
    await refusal(one.support, SPEC, "cus_3", facts(payment_risk="terrible"))
    one.simulator.account.add_user("ada@acme.example", 20)
    for kind, value in (
        (KeyKind.EMAIL, "ada@acme.example"),
        (KeyKind.DOMAIN, "acme.example"),
        (KeyKind.NAME, "renamed"),
        (KeyKind.CROSS_REFERENCE, "20"),
    ):
        await one.support.search(_IDENTITY, [MatchKey(kind, value)])
    assert [key async for key, _ in one.support.keys(SPEC)] == ["cus_1", "cus_2"]
    assert await one.support.describe("organization")
    assert await one.support.read(SPEC, ["with,comma"]) == {}
    seen = set()
    for call in one.calls:
        seen.add((call.method, re.sub(r"/\d+$", "/ID", call.path)))
        wrong = contract.check_request(
            call.method, call.path, content_type=call.content_type, body=call.request_body, query=call.query
        )
        assert [fault for fault in wrong if not _is_left_out(fault)] == [], (call.method, call.path, call.query)
        if call.request_body:
            sent = json.loads(call.request_body, parse_float=Decimal)
            assert contract.check_schema("OrganizationObject", sent["organization"]) == ()
        if call.status < 400:
            told = contract.check_response(call.method, call.path, call.status, body=call.body)
            assert told == (), (call.method, call.path, told)
    assert {
        ("POST", "/api/v2/organizations/create_or_update"), ("PUT", "/api/v2/organizations/ID"),
        ("GET", "/api/v2/organizations"), ("GET", "/api/v2/organizations/show_many"), ("GET", "/api/v2/search"),
        ("GET", "/api/v2/organizations/search"), ("GET", "/api/v2/organizations/autocomplete"),
        ("GET", "/api/v2/organization_fields"), ("GET", "/api/v2/users/search"),
    } <= seen  # fmt: skip
