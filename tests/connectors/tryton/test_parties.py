"""Customers in a real Tryton: kept under their code, changed in what is ours alone, never twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import Applied, RefusalClass, Refused
from accordant.canonical.targets import FieldSpec, ObjectSpec
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc
from accordant.ports.connector import ALREADY_THERE, RecordWrite
from tests.connectors.tryton.kit import INVOICE, MOVE, PARTY, connect, put, refusal, send
from tests.connectors.tryton.server import Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
WITH_COUNTRY = ObjectSpec(
    name=PARTY.name, key_field=PARTY.key_field, fields={**PARTY.fields, "country": FieldSpec(type=FieldType.TEXT)}
)


@pytest.fixture
async def erp(tryton: Tryton) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton)
    yield made
    await made.close()


async def test_a_customer_is_made_and_changed_field_by_field(erp: TrytonOutbound, rpc: Rpc) -> None:
    first = {"name": "Łódź Packaging", "email": "a@example.com", "country": "DE"}
    made = await put(erp, WITH_COUNTRY, "cus_1", first)
    second = {"name": "Łódź Packaging Sp. z o.o.", "email": "b@example.com", "country": "US"}
    changed = await put(erp, WITH_COUNTRY, "cus_1", second)
    assert changed.target_id == made.target_id
    emptied = await put(erp, WITH_COUNTRY, "cus_1", {**second, "email": None, "country": None})
    assert emptied.target_id == made.target_id
    assert emptied.changed_by == "admin"
    assert emptied.changed_at is not None


async def test_only_the_fields_that_differ_are_touched(erp: TrytonOutbound, rpc: Rpc) -> None:
    made = await put(erp, PARTY, "cus_2", {"name": "Two", "email": "two@example.com"})
    phone = {"contact_mechanisms": [["create", [{"type": "phone", "value": "+49 30 1234567"}]]]}
    await rpc.call("party.party", "write", [int(made.target_id)], phone)
    await put(erp, PARTY, "cus_2", {"name": "Two again", "email": "two@example.com"})
    kept = await rpc.find("party.party", [["code", "=", "cus_2"]], ["contact_mechanisms.value"])
    assert {one["value"] for one in kept[0]["contact_mechanisms."]} == {"two@example.com", "+49 30 1234567"}


async def test_a_code_that_is_taken_is_said_to_be_there(erp: TrytonOutbound) -> None:
    await put(erp, PARTY, "cus_3", {"name": "Three", "email": None})
    blind = RecordWrite(key="cus_3", fields={"name": "Three"}, idempotency_key="accordant-x")
    (result,) = await erp.write(PARTY, [blind])
    assert isinstance(result.outcome, Refused)
    assert (result.outcome.cause, result.outcome.code) == (RefusalClass.TRANSIENT, ALREADY_THERE)


async def test_an_unknown_country_is_told(erp: TrytonOutbound) -> None:
    unknown = await refusal(erp, WITH_COUNTRY, "cus_4", {"name": "Four", "email": None, "country": "ZZ"})
    assert (unknown.cause, unknown.code) == (RefusalClass.DATA_QUALITY, "COUNTRY_UNKNOWN")


async def test_parties_are_listed_and_followed(erp: TrytonOutbound, rpc: Rpc) -> None:
    made = await put(erp, PARTY, "cus_6", {"name": "Six", "email": None})
    assert "cus_6" in {key async for key, _ in erp.keys(PARTY)}
    await rpc.call("party.party", "write", [int(made.target_id)], {"active": False})
    where = await erp.whereabouts(PARTY, [made.target_id, "999999", "no number"])
    assert where[made.target_id].deleted
    assert where[made.target_id].key == "cus_6"
    assert set(where) == {made.target_id}


async def test_what_is_described_is_what_is_taken(erp: TrytonOutbound) -> None:
    for spec in (PARTY, INVOICE, MOVE):
        described = {one.name: one for one in await erp.describe(spec.name)}
        assert described[spec.key_field].external_id
        assert {*spec.fields, spec.key_field} <= described.keys()
    assert await erp.describe("sale.sale") == ()


async def test_a_second_send_changes_nothing(erp: TrytonOutbound) -> None:
    fields = {"name": "Seven", "email": "seven@example.com"}
    await put(erp, PARTY, "cus_7", fields)
    again = await send(erp, PARTY, "cus_7", fields)
    assert isinstance(again, Applied)
    assert not again.created
