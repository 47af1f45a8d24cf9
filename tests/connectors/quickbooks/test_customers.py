"""Customers: their key stands behind the name, only what is ours is changed, and nothing unseen is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.canonical.intents import RefusalClass, Refused
from accordant.canonical.targets import object_spec
from accordant.connectors.quickbooks.connector import default_mappings
from accordant.connectors.quickbooks.errors import STALE
from accordant.ports.connector import AuthorizationExpired, RecordWrite
from tests.connectors.ledger_kit import put, send
from tests.connectors.quickbooks.kit import CUSTOMER, Books, some_books


async def test_only_what_the_mapping_names_is_touched(one: Books) -> None:
    await one.a_customer("cus_1")
    (row,) = one.rows("Customer")
    row |= {"Notes": "a person's own", "Taxable": True}
    held = await put(one.erp, CUSTOMER, "cus_1", {"name": "Renamed", "email": "new@example.com"})
    (row,) = one.rows("Customer")
    assert held.fields == {"name": "Renamed", "email": "new@example.com"}
    assert (row["Notes"], row["Taxable"], row["DisplayName"]) == ("a person's own", True, "Renamed (cus_1)")


@pytest.mark.parametrize("name", ["Miller", "Miller (Berlin)", "O'Neil \\ Sons", "A: B", "50% off (cus_9)", "   "])
async def test_names_of_any_kind_come_back_and_two_of_one_name_are_both_there(one: Books, name: str) -> None:
    for key in ("cus_1", "cus_2"):
        await put(one.erp, CUSTOMER, key, {"name": name, "email": None})
    assert len(one.rows("Customer")) == 2
    assert [key async for key, _ in one.erp.keys(CUSTOMER)] == ["cus_1", "cus_2"]


async def test_a_key_that_ends_like_another_finds_only_its_own(one: Books) -> None:
    for key in ("cus_1", "CUS_1x", "x_cus_1"):
        await one.a_customer(key)
    found = await one.erp.read(CUSTOMER, ["cus_1", "us_1", "Cus_1"])
    assert list(found) == ["cus_1"]


async def test_a_change_made_meanwhile_is_not_overwritten(one: Books) -> None:
    """The vendor's own lock: what was read before somebody else wrote is refused as stale, and read again."""
    await one.a_customer("cus_1")
    held = (await one.erp.read(CUSTOMER, ["cus_1"]))["cus_1"]
    books = one.simulator.books
    written = one.simulator.answer

    def slower(call):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        answer = written(call)
        if call.method == "GET" and call.path.endswith(f"/customer/{held.target_id}"):
            body = {"Customer": dict(answer.body["Customer"])}
            books.touch(books.tables["Customer"][held.target_id])  # a person saves in this very moment
            return type(answer)(answer.status, body)
        return answer

    one.simulator.answer = slower  # type: ignore[method-assign]
    record = RecordWrite(key="cus_1", fields={"name": "Ours"}, idempotency_key="accordant-2", target_id=held.target_id)
    (told,) = await one.erp.write(CUSTOMER, [record])
    assert isinstance(told.outcome, Refused)
    assert (told.outcome.code, told.outcome.cause) == (STALE, RefusalClass.TRANSIENT)
    one.simulator.answer = written  # type: ignore[method-assign]
    await put(one.erp, CUSTOMER, "cus_1", {"name": "Ours", "email": "cus_1@example.com"})


async def test_one_who_was_made_inactive_counts_as_deleted(one: Books) -> None:
    """QuickBooks takes no document of his any more, and says so in his name."""
    await one.a_customer("cus_1")
    (row,) = one.rows("Customer")
    one.simulator.deactivate(row["Id"])
    assert await one.erp.read(CUSTOMER, ["cus_1"]) == {}
    assert [key async for key, _ in one.erp.keys(CUSTOMER)] == []
    told = await one.erp.whereabouts(CUSTOMER, [row["Id"], "999", "not-a-number"])
    assert {one: (where.deleted, where.key) for one, where in told.items()} == {row["Id"]: (True, "cus_1")}


async def test_a_person_s_record_takes_our_key_when_it_is_matched(one: Books) -> None:
    made = one.simulator.books.put("Customer", {"DisplayName": "Miller"})
    record = RecordWrite(key="cus_1", fields={}, idempotency_key="accordant-1", target_id=made["Id"])
    await one.erp.write(CUSTOMER, [record])
    assert (await one.erp.read(CUSTOMER, ["cus_1"]))["cus_1"].fields["name"] == "Miller"


async def test_what_is_described_is_what_is_taken(one: Books) -> None:
    for mapping in default_mappings():
        described = {field.name for field in await one.erp.describe(mapping.object)}
        assert {mapping.key_field, *mapping.fields} <= described, mapping.object
        assert one.erp.canonical(object_spec(mapping), dict.fromkeys(mapping.fields)) == dict.fromkeys(mapping.fields)


async def test_a_session_that_ended_is_renewed_once_and_its_successor_is_on_disk(one: Books) -> None:
    await one.a_customer("cus_1")
    one.simulator.tokens.expire_all()
    await one.a_customer("cus_2")
    kept = one.folder / "tokens.json"
    assert one.simulator.tokens.refresh_token in kept.read_text()
    one.simulator.fault("expired", times=None)
    with pytest.raises(AuthorizationExpired):
        await one.erp.read(CUSTOMER, ["cus_1"])


async def test_a_company_that_was_disconnected_pauses_its_writes(tmp_path: Path) -> None:
    async with some_books(tmp_path, more={"realm_id": "1"}) as other:
        with pytest.raises(AuthorizationExpired) as held:
            await send(other.erp, CUSTOMER, "cus_1", {"name": "A", "email": None})
        assert "realm_id" in held.value.remedy
