"""What comparing found, on a page: nothing yet, the latest of each, and each finding with what to do; both stores."""

from __future__ import annotations

import csv
from pathlib import Path

from litestar.testing import TestClient

from accordant.web.console.routes import console_application
from tests.connectors.quickbooks.test_story import a_company_on_quickbooks
from tests.integration.operations.kit import MRR, an_installation
from tests.integration.operations.test_compare_hierarchy import below_in_crm, in_crm, in_erp, looked_at

RESTRICTED = 'sensitivity:\n  fields: {"salesforce:Account.Name": restricted}\n'


async def test_the_latest_of_each_with_its_findings_and_what_is_personal_covered(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=RESTRICTED) as one:
        with TestClient(console_application(one.hub), base_url="http://127.0.0.1") as guest:
            assert "Nothing was compared yet" in guest.get("/comparisons").text
            assert guest.get("/comparisons?run=run_nothing").status_code == 404
            first, second = one.sell(2)
            await one.settle()
            for customer in (first, second):
                one.salesforce.edit("Account", customer, MRR, "7.0", "carl@example.com")
            one.clock.move(seconds=1)
            await one.hub.reconcile("accounts", actor="ada")
            one.salesforce.edit("Account", second, "Name", "Carla Secret", "carl@example.com")
            one.clock.move(seconds=1)
            found = await one.hub.reconcile("accounts", actor="ada")
            await one.hub.reconcile("subscriptions", actor="ada")

            listed = guest.get("/comparisons.json").json()["comparisons"]
            assert [(each["of"], each["findings"]) for each in listed] == [("accounts", 3), ("subscriptions", 0)]
            assert listed[0]["run_id"] == found.run.id, "the one before is not the latest"
            assert f"/comparisons?run={found.run.id}" in guest.get("/comparisons").text
            page = guest.get(f"/comparisons?run={found.run.id}").text
            assert f"salesforce:Account/{first}" in page
            assert "hand edit" in page
            assert "Carla Secret" not in page
            assert "Every record that was compared agrees" in guest.get(f"/comparisons?run={listed[1]['run_id']}").text
            rows = list(csv.DictReader(guest.get(f"/comparisons.csv?run={found.run.id}").text.splitlines()))
            assert len(rows) == 3
            assert "Carla Secret" not in str(rows)


async def test_where_crm_and_erp_place_a_customer_differently_stands_with_both_places(
    store_url: str, tmp_path: Path
) -> None:
    async with a_company_on_quickbooks(tmp_path, store=store_url) as (one, simulator):
        group, child = one.sell(2, currency="eur")
        await one.post()
        await one.deliver()
        below_in_crm(one, child, in_crm(one, group))
        found = await looked_at(one)
        with TestClient(console_application(one.hub), base_url="http://127.0.0.1") as guest:
            page = guest.get(f"/comparisons?run={found.run.id}").text
        assert "placed otherwise" in page
        for place in (in_erp(simulator, group), in_erp(simulator, child)):
            assert f"quickbooks:Customer/{place}" in page
        assert f"salesforce:Account/{in_crm(one, group)}" in page
        assert "the hub never moves a customer there" in page
