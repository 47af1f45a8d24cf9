"""A target that changed stands in the trouble list until it is put right."""

from __future__ import annotations

from pathlib import Path

from accordant.views.status import status
from accordant.views.trouble import trouble
from tests.integration.operations.kit import an_installation


async def test_a_changed_target_is_trouble_until_it_is_put_right(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as at:
        database = at.hub.database
        at.salesforce.rename_field("Account", "Billing_Plan__c", "Plan_Old__c")
        await at.hub.drift_round()
        (group,) = trouble(database, now=at.clock()).groups
        assert (group.kind, group.where, [item.name for item in group.items]) == (
            "drift",
            "salesforce Account",
            ["Account.Billing_Plan__c"],
        )
        assert "is missing" in group.reason
        assert status(database).counts.for_a_person == 1
        at.salesforce.rename_field("Account", "Plan_Old__c", "Billing_Plan__c")
        await at.hub.drift_round()
        assert trouble(database, now=at.clock()).groups == ()
        assert status(database).counts.drifted == 0
