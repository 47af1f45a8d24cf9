"""Customers who were in QuickBooks before are found: all of them read in the order of their ids, or by few queries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.quickbooks.connector import MATCHABLE
from accordant.connectors.quickbooks.customers import CUSTOMER, KEY, key_of
from accordant.connectors.quickbooks.simulator import QuickBooksSimulator
from accordant.kernel.errors import RejectedError
from tests.connectors import ledger_known
from tests.connectors.ledger_known import Cards, looked_for
from tests.connectors.ledger_story import Company
from tests.connectors.quickbooks.kit import Books
from tests.connectors.quickbooks.test_story import a_company_on_quickbooks

SPEC = IdentitySpec(system="quickbooks", object=CUSTOMER, key_field=KEY)
ACME: dict[str, Any] = {
    "DisplayName": "Acme Widgets GmbH",
    "CompanyName": "Acme Widgets GmbH",
    "PrimaryEmailAddr": {"Address": "accounts@acme.example"},
    "WebAddr": {"URI": "https://www.acme.example"},
    "PrimaryPhone": {"FreeFormNumber": "+49 30 1234567"},
    "BillAddr": {"Line1": "1 Road", "PostalCode": "10115", "Country": "Germany"},
}


def keys(*pairs: tuple[KeyKind, str]) -> frozenset[MatchKey]:
    return frozenset(MatchKey(kind, value) for kind, value in pairs)


def names(found: Iterable[Candidate]) -> list[str | None]:
    return [one.name for one in found]


async def test_a_customer_is_read_with_everything_that_tells_whose_it_is(one: Books) -> None:
    group = one.simulator.books.put("Customer", {"DisplayName": "Acme Holding"})
    made = one.simulator.books.put("Customer", {**ACME, "Job": True, "ParentRef": {"value": group["Id"]}})
    (found,) = await one.erp.search(SPEC, keys((KeyKind.DOMAIN, "acme.example")))
    assert found == Candidate(
        system="quickbooks",
        object=CUSTOMER,
        id=made["Id"],
        name="Acme Widgets GmbH",
        emails=("accounts@acme.example",),
        domains=("www.acme.example",),
        phones=("+49 30 1234567",),
        postcode="10115",
        country="Germany",
        parent_id=group["Id"],
    )


@pytest.mark.parametrize(
    ("kind", "value", "calls"),
    [
        (KeyKind.DOMAIN, "acme.example", 1),
        (KeyKind.EMAIL, "accounts@acme.example", 1),
        (KeyKind.NAME, "acme widgets", 1),
        (KeyKind.NAME, "it's % widgets", 1),
        (KeyKind.TAX_ID, "de:vat:136695976", 0),
        (KeyKind.PHONE, "49301234567", 0),
        (KeyKind.CROSS_REFERENCE, "cus_of_billing", 0),
    ],
)
async def test_a_customer_is_found_by_few_queries(one: Books, kind: KeyKind, value: str, calls: int) -> None:
    one.simulator.books.put("Customer", ACME)
    one.simulator.books.put(
        "Customer", {"DisplayName": "Other", "PrimaryEmailAddr": {"Address": "other@elsewhere.example"}}
    )
    one.calls.clear()
    found = await one.erp.search(SPEC, keys((kind, value)))
    assert names(found) == (["Acme Widgets GmbH"] if calls else [])
    assert len(one.calls) == calls


async def test_everybody_who_is_active_is_read_in_the_order_of_ids(one: Books) -> None:
    made = [int(one.simulator.books.put("Customer", {"DisplayName": f"Customer {n}"})["Id"]) for n in range(620)]
    one.simulator.deactivate(str(made.pop(3)))
    pages = [page async for page in one.erp.census(SPEC)]
    assert [len(page) for page in pages] == [500, 119]
    assert [int(one.id) for page in pages for one in page] == made
    rest = [page async for page in one.erp.census(SPEC, after=str(made[549]))]
    assert [int(one.id) for page in rest for one in page] == made[550:]


async def test_a_field_of_the_charter_s_own_is_refused_with_what_to_do(one: Books) -> None:
    spec = IdentitySpec(system="quickbooks", object=CUSTOMER, key_field=KEY, fields={RecordAttribute.TAX_ID: "Custom"})
    with pytest.raises(RejectedError) as refused:
        await one.erp.search(spec, keys((KeyKind.NAME, "acme")))
    assert "Custom" in refused.value.message
    assert CUSTOMER in MATCHABLE


class QuickBooksCards(Cards):
    """The customers of a QuickBooks."""

    def __init__(self, one: Company, simulator: QuickBooksSimulator) -> None:
        super().__init__(one)
        self.books = simulator.books

    def keep(self, name: str, mail: str) -> str:
        given = {"DisplayName": name, "PrimaryEmailAddr": {"Address": mail}}
        return str(self.books.put("Customer", given)["Id"])

    def key_of(self, card: str) -> str | None:
        return key_of(self.books.tables["Customer"][card])

    @property
    def count(self) -> int:
        return len(self.books.tables["Customer"])


async def test_one_who_was_there_is_linked(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path, edit=looked_for("quickbooks")) as (one, simulator):
        await ledger_known.one_who_was_there_is_linked(QuickBooksCards(one, simulator))


async def test_two_who_are_alike_are_a_question(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path, edit=looked_for("quickbooks")) as (one, simulator):
        await ledger_known.two_who_are_alike_are_a_question(QuickBooksCards(one, simulator))


async def test_one_who_came_since_the_last_scan_is_found_by_a_search(tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path, edit=looked_for("quickbooks")) as (one, simulator):
        await ledger_known.one_who_came_since_the_last_scan_is_found_by_a_search(QuickBooksCards(one, simulator))


@pytest.mark.parametrize("is_late", [False, True])
async def test_two_customers_of_one_company_are_billed_on_its_record(tmp_path: Path, is_late: bool) -> None:
    async with a_company_on_quickbooks(tmp_path, edit=looked_for("quickbooks")) as (one, simulator):
        cards = QuickBooksCards(one, simulator)
        await ledger_known.two_customers_of_one_company_are_billed_on_its_record(cards, is_late=is_late)
