"""Contacts that were in Xero before are found: all of them read in the order of their ids, or by few questions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.xero.connector import MATCHABLE
from accordant.connectors.xero.contacts import CONTACTS, KEY
from accordant.connectors.xero.simulator import XeroSimulator
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import RecordWrite
from tests.connectors import ledger_known
from tests.connectors.ledger_known import Cards, looked_for
from tests.connectors.ledger_story import Company
from tests.connectors.xero.kit import CONTACT, Books
from tests.connectors.xero.test_story import a_company_on_xero

SPEC = IdentitySpec(system="xero", object=CONTACTS, key_field=KEY)
ACME: dict[str, Any] = {
    "Name": "Acme Widgets GmbH",
    "EmailAddress": "accounts@acme.example",
    "ContactPersons": [{"FirstName": "Ada", "EmailAddress": "ada@acme.example"}],
    "Website": "https://www.acme.example/about",
    "TaxNumber": "DE136695976",
    "Phones": [{"PhoneType": "DEFAULT", "PhoneCountryCode": "49", "PhoneAreaCode": "30", "PhoneNumber": "1234567"}],
    "Addresses": [
        {"AddressType": "STREET", "AddressLine1": "1 Road"},
        {"AddressType": "POBOX", "PostalCode": "10115", "Country": "Germany"},
    ],
}


def keys(*pairs: tuple[KeyKind, str]) -> frozenset[MatchKey]:
    return frozenset(MatchKey(kind, value) for kind, value in pairs)


def names(found: Iterable[Candidate]) -> list[str | None]:
    return [one.name for one in found]


async def test_a_contact_is_read_with_everything_that_tells_whose_it_is(one: Books) -> None:
    made = one.simulator.books.put_contact(ACME)
    (found,) = await one.erp.search(SPEC, keys((KeyKind.DOMAIN, "acme.example")))
    assert found == Candidate(
        system="xero",
        object=CONTACTS,
        id=made["ContactID"],
        name="Acme Widgets GmbH",
        emails=("accounts@acme.example", "ada@acme.example"),
        domains=("www.acme.example",),
        tax_ids=("DE136695976",),
        phones=("49301234567",),
        postcode="10115",
        country="Germany",
    )


@pytest.mark.parametrize(
    ("kind", "value", "calls"),
    [
        (KeyKind.DOMAIN, "acme.example", 1),
        (KeyKind.EMAIL, "accounts@acme.example", 1),
        (KeyKind.NAME, "acme widgets", 1),
        (KeyKind.TAX_ID, "de:vat:136695976", 1),
        (KeyKind.PHONE, "49301234567", 0),
        (KeyKind.PLACE, "DE/10115", 0),
        (KeyKind.CROSS_REFERENCE, "cus_of_billing", 0),
    ],
)
async def test_a_contact_is_found_by_few_questions(one: Books, kind: KeyKind, value: str, calls: int) -> None:
    one.simulator.books.put_contact(ACME)
    one.simulator.books.put_contact({"Name": "Other", "EmailAddress": "other@elsewhere.example", "TaxNumber": "1"})
    one.calls.clear()
    found = await one.erp.search(SPEC, keys((kind, value)))
    assert names(found) == (["Acme Widgets GmbH"] if calls else [])
    assert len(one.calls) == calls


async def test_a_domain_finds_its_addresses_too_and_an_id_its_contact(one: Books) -> None:
    made = one.simulator.books.put_contact(ACME)["ContactID"]
    one.calls.clear()
    both = keys((KeyKind.DOMAIN, "acme.example"), (KeyKind.EMAIL, "accounts@acme.example"))
    assert len(await one.erp.search(SPEC, both)) == 1
    assert len(one.calls) == 1
    assert names(await one.erp.search(SPEC, keys((KeyKind.CROSS_REFERENCE, made)))) == ["Acme Widgets GmbH"]
    one.simulator.archive(made)
    assert await one.erp.search(SPEC, both) == ()


async def test_everybody_is_read_in_the_order_of_ids_and_from_where_it_broke_off(one: Books) -> None:
    made = sorted(one.simulator.books.put_contact({"Name": f"Contact {n}"})["ContactID"] for n in range(230))
    pages = [page async for page in one.erp.census(SPEC)]
    assert [len(page) for page in pages] == [100, 100, 30]
    assert [one.id for page in pages for one in page] == made
    rest = [page async for page in one.erp.census(SPEC, after=made[149])]
    assert [one.id for page in rest for one in page] == made[150:]


async def test_a_field_of_the_charter_s_own_is_refused_with_what_to_do(one: Books) -> None:
    spec = IdentitySpec(system="xero", object=CONTACTS, key_field=KEY, fields={RecordAttribute.TAX_ID: "Custom"})
    with pytest.raises(RejectedError) as refused:
        await one.erp.search(spec, keys((KeyKind.NAME, "acme")))
    assert "Custom" in refused.value.message
    assert "identity.fields" in refused.value.remedy


async def test_a_contact_that_is_another_s_loses_our_number(one: Books) -> None:
    await one.a_customer("cus_1")
    held = (await one.erp.read(CONTACT, ["cus_1"]))["cus_1"]
    write = RecordWrite(key="cus_1", fields={}, idempotency_key="accordant-f", target_id=held.target_id, frees=True)
    await one.erp.write(CONTACT, [write])
    assert await one.erp.read(CONTACT, ["cus_1"]) == {}
    assert CONTACTS in MATCHABLE


class XeroCards(Cards):
    """The contacts of a Xero."""

    def __init__(self, one: Company, simulator: XeroSimulator) -> None:
        super().__init__(one)
        self.books = simulator.books

    def keep(self, name: str, mail: str) -> str:
        return str(self.books.put_contact({"Name": name, "EmailAddress": mail})["ContactID"])

    def key_of(self, card: str) -> str | None:
        return self.books.tables["Contacts"][card].get("ContactNumber")

    @property
    def count(self) -> int:
        return len(self.books.tables["Contacts"])


async def test_one_who_was_there_is_linked(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path, edit=looked_for("xero")) as (one, simulator):
        await ledger_known.one_who_was_there_is_linked(XeroCards(one, simulator))


async def test_two_who_are_alike_are_a_question(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path, edit=looked_for("xero")) as (one, simulator):
        await ledger_known.two_who_are_alike_are_a_question(XeroCards(one, simulator))


async def test_one_who_came_since_the_last_scan_is_found_by_a_search(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path, edit=looked_for("xero")) as (one, simulator):
        await ledger_known.one_who_came_since_the_last_scan_is_found_by_a_search(XeroCards(one, simulator))
