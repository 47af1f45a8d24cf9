"""The CRM's structure of companies against the ERP's hierarchy of customers, on both stores, through the stand-ins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from accordant.charters import connector_facts
from accordant.connectors.quickbooks.customers import key_of
from accordant.connectors.quickbooks.simulator import QuickBooksSimulator
from accordant.operations.compare_hierarchy import compare_hierarchies, sides_of
from accordant.operations.reconcile import Reconciliation
from tests.connectors.ledger_story import Company
from tests.connectors.quickbooks.test_story import a_company_on_quickbooks
from tests.integration.operations.kit import an_installation


async def looked_at(one: Company) -> Reconciliation:
    one.clock.move(seconds=1)
    hub = one.hub
    sides = sides_of(hub.charter, hub.outbounds, {part.name: part.category for part in connector_facts().values()})
    assert [side.system for side in sides] == ["salesforce", "quickbooks"]
    return await compare_hierarchies(sides=sides, book=hub.book, state=hub.state, actor="ada", clock=one.clock)


def told(found: Reconciliation) -> list[tuple[str, str]]:
    return sorted((one.cause.value, one.record) for one in found.shown)


def in_crm(one: Company, customer: str) -> str:
    """The id of a customer's Account."""
    return str(one.salesforce.record("Account", customer)["Id"])


def below_in_crm(one: Company, customer: str, parent: str | None) -> None:
    one.salesforce.edit("Account", customer, "ParentId", parent, "carl@example.com")


def in_erp(simulator: QuickBooksSimulator, customer: str) -> str:
    rows = simulator.books.tables["Customer"].values()
    return next(str(row["Id"]) for row in rows if key_of(row) == customer)


def below_in_erp(simulator: QuickBooksSimulator, customer: str, parent: str | None) -> None:
    row = simulator.books.tables["Customer"][in_erp(simulator, customer)]
    row["ParentRef"] = None if parent is None else {"value": parent}


async def test_where_the_crm_and_the_erp_place_a_customer_differently_is_found_and_ends(
    store_url: str, tmp_path: Path
) -> None:
    async with a_company_on_quickbooks(tmp_path, store=store_url) as (one, simulator):
        group, child, other = one.sell(3, currency="eur")
        await one.post()
        await one.deliver()
        assert (await looked_at(one)).is_clean
        holding = one.salesforce.create("Account", Name="A holding that never pays")
        below_in_crm(one, child, holding)
        assert (await looked_at(one)).is_clean  # a company that is no customer is nothing to the ERP
        one.salesforce.org.records["Account"][holding].values["ParentId"] = in_crm(one, group)

        found = await looked_at(one)
        erp = f"quickbooks:Customer/{in_erp(simulator, child)}"
        assert told(found) == [("placed_otherwise", erp)]
        (finding,) = found.shown
        wanted = f"quickbooks:Customer/{in_erp(simulator, group)}"
        assert (finding.field, finding.expected, finding.actual) == ("parent", wanted, None)
        assert finding.exposure is not None
        for part in (f"salesforce:Account/{in_crm(one, child)}", f"place it below {wanted}", "Finance", "owns"):
            assert part in finding.explanation
        assert not finding.repairable
        assert one.hub.book.findings(found.run.id) == (finding,)

        below_in_erp(simulator, child, in_erp(simulator, other))
        (finding,) = (await looked_at(one)).shown
        assert (finding.expected, finding.actual) == (wanted, f"quickbooks:Customer/{in_erp(simulator, other)}")
        below_in_erp(simulator, child, in_erp(simulator, group))
        assert (await looked_at(one)).is_clean


async def test_a_hierarchy_that_is_not_sound_is_named_at_its_records(store_url: str, tmp_path: Path) -> None:
    async with a_company_on_quickbooks(tmp_path, store=store_url) as (one, simulator):
        first, second, third, fourth = one.sell(4, currency="eur")
        await one.post()
        await one.deliver()
        ids = {customer: in_crm(one, customer) for customer in (first, second, third, fourth)}
        accounts = one.salesforce.org.records["Account"]
        accounts[ids[first]].values["ParentId"] = ids[second]
        accounts[ids[second]].values["ParentId"] = ids[first]
        below_in_erp(simulator, third, in_erp(simulator, fourth))
        simulator.books.tables["Customer"][in_erp(simulator, fourth)]["Active"] = False
        below_in_erp(simulator, second, "99999")
        chain = [one.salesforce.create("Account", Name=f"Level {level}") for level in range(5)]
        for lower, upper in pairwise(chain):
            accounts[lower].values["ParentId"] = upper
        below_in_crm(one, third, chain[0])

        found = await looked_at(one)
        assert told(found) == sorted(
            [
                ("circle", f"salesforce:Account/{min(ids[first], ids[second])}"),
                ("parent_deleted", f"quickbooks:Customer/{in_erp(simulator, third)}"),
                ("parent_missing", f"quickbooks:Customer/{in_erp(simulator, second)}"),
                ("too_deep", f"salesforce:Account/{ids[third]}"),
            ]
        )
        texts = {one.cause.value: one.explanation for one in found.shown}
        assert "quickbooks takes 5 levels" in texts["too_deep"]
        assert f"quickbooks:Customer/{in_erp(simulator, fourth)}" in texts["parent_deleted"]
        assert all("owns the hierarchy of" in text for text in texts.values())


async def test_what_moves_between_two_looks_is_in_flight_and_nothing_to_look_at_is_not_clean(
    store_url: str, tmp_path: Path
) -> None:
    async with a_company_on_quickbooks(tmp_path, store=store_url) as (one, simulator):
        group, child = one.sell(2, currency="eur")
        await one.post()
        await one.deliver()
        below_in_crm(one, child, in_crm(one, group))
        erp = one.hub.outbounds["quickbooks"]
        honest = erp.members  # type: ignore[attr-defined]

        async def moved_meanwhile(name: str) -> object:
            async for page in honest(name):
                yield page
            below_in_erp(simulator, child, in_erp(simulator, group))

        erp.members = moved_meanwhile  # type: ignore[attr-defined]
        found = await looked_at(one)
        assert (found.run.discrepancies, found.in_flight) == (0, 1)


async def test_an_org_without_an_erp_is_looked_at_by_itself(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        sides = sides_of(
            one.hub.charter, one.hub.outbounds, {name: f.category for name, f in connector_facts().items()}
        )
        found = await compare_hierarchies(
            sides=sides, book=one.hub.book, state=one.hub.state, actor="ada", clock=one.clock
        )
        assert found.is_empty
        assert not found.is_clean
        one.sell(2)
        await one.settle()
        one.clock.move(seconds=1)
        found = await compare_hierarchies(
            sides=sides, book=one.hub.book, state=one.hub.state, actor="ada", clock=one.clock
        )
        assert (found.is_clean, found.run.records) == (True, 2)
