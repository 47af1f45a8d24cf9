"""Customers as contacts: found by their number, changed only in what is ours, and two of one name live side by side."""

from __future__ import annotations

from accordant.canonical.intents import Refused
from accordant.canonical.targets import object_spec
from accordant.connectors.xero.connector import default_mappings
from tests.connectors.ledger_kit import put, send
from tests.connectors.xero.kit import CONTACT, Books


async def test_only_what_the_mapping_names_is_touched(one: Books) -> None:
    await one.a_customer("cus_1")
    (row,) = one.simulator.books.tables["Contacts"].values()
    row |= {"AccountNumber": "D-1001", "FirstName": "Ada"}
    held = await put(one.erp, CONTACT, "cus_1", {"name": "Renamed", "email": "new@example.com"})
    (row,) = one.simulator.books.tables["Contacts"].values()
    assert held.fields == {"name": "Renamed", "email": "new@example.com"}
    assert (row["AccountNumber"], row["FirstName"], row["ContactNumber"]) == ("D-1001", "Ada", "cus_1")


async def test_two_customers_of_one_name_are_both_there_and_read_back_by_their_own(one: Books) -> None:
    for key in ("cus_1", "cus_2", "cus_3"):
        held = await put(one.erp, CONTACT, key, {"name": "Miller", "email": None})
        assert held.fields["name"] == "Miller"
    names = sorted(row["Name"] for row in one.simulator.books.tables["Contacts"].values())
    assert names == ["Miller", "Miller (cus_2)", "Miller (cus_3)"]


async def test_a_contact_that_was_archived_or_merged_is_told(one: Books) -> None:
    for key in ("cus_1", "cus_2"):
        await one.a_customer(key)
    held = await one.erp.read(CONTACT, ["cus_1", "cus_2"])
    ids = [held[key].target_id for key in ("cus_1", "cus_2")]
    one.simulator.books.tables["Contacts"][ids[0]] |= {"ContactStatus": "ARCHIVED", "MergedToContactID": ids[1]}
    told = await one.erp.whereabouts(CONTACT, [*ids, "no-such-id"])
    assert (told[ids[0]].deleted, told[ids[0]].merged_into, told[ids[1]].deleted) == (True, ids[1], False)
    assert "no-such-id" not in told


async def test_a_customer_without_a_name_waits_for_a_person(one: Books) -> None:
    told = await send(one.erp, CONTACT, "cus_1", {"name": None, "email": "a@example.com"})
    assert isinstance(told, Refused)
    assert told.code == "VALUE_REFUSED"
    assert "name is mandatory" in told.message


async def test_what_is_described_is_what_is_taken(one: Books) -> None:
    for mapping in default_mappings():
        described = {field.name for field in await one.erp.describe(mapping.object)}
        assert {mapping.key_field, *mapping.fields} <= described, mapping.object
        assert one.erp.canonical(object_spec(mapping), dict.fromkeys(mapping.fields)) == dict.fromkeys(mapping.fields)
