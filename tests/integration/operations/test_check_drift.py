"""A target that changes under us: found before a write fails, held where it hurts, told once, and cured."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from accordant.canonical.shapes import DriftKind
from accordant.store.schema import alert, desired_record, write_intent
from tests.integration.operations.kit import MRR, Installation, an_installation, brisk

PLAN = "Billing_Plan__c"
STATUS = "Billing_Status__c"


def alerts(at: Installation) -> list[str]:
    with at.hub.database.read() as connection:
        rows = connection.execute(select(alert.c.body).where(alert.c.kind == "drift").order_by(alert.c.id))
        return [row.body for row in rows]


def notes_of(at: Installation, key: str) -> str:
    with at.hub.database.read() as connection:
        rows = connection.execute(select(desired_record.c.notes).where(desired_record.c.ref.endswith(key)))
        return " ".join(str(row.notes) for row in rows)


async def test_a_target_that_fits_is_remembered_and_nobody_is_told(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as at:
        first = await at.hub.drift_round()
        assert (first.drift, first.cured, first.changed, first.unasked) == ({}, (), True, {})
        assert {shape.object for shape in at.hub.shapes.shapes()} == {"Account", "Billing_Subscription__c"}
        again = await at.hub.drift_round()
        assert (again.drift, again.changed) == ({}, False)
        assert alerts(at) == []


@pytest.mark.parametrize("change", ["renamed", "deleted", "retyped", "read_only"])
async def test_a_field_that_is_gone_is_held_alone_and_written_once_it_is_back(
    store_url: str, tmp_path: Path, change: str
) -> None:
    async with an_installation(store_url, tmp_path) as at:
        (customer,) = at.sell(1)
        await at.settle()
        await at.hub.drift_round()
        org = at.salesforce
        match change:
            case "renamed":
                org.rename_field("Account", PLAN, "Plan_Old__c")
            case "deleted":
                org.delete_field("Account", PLAN)
            case "retyped":
                org.define_field("Account", PLAN, "double", scale=2)
            case _:
                org.define_field("Account", PLAN, "string", length=255, writable=False)
        found = await at.hub.drift_round()
        (drift,) = found.drift["salesforce"]
        assert (drift.field, found.changed) == (PLAN, True)
        assert PLAN in alerts(at)[0]
        # A new customer is written whole but for that field, and nothing fails.
        (other,) = at.sell(1, unit_minor=20_000)
        await at.settle()
        record = at.salesforce.record("Account", other)
        assert record[MRR] == 200
        assert not record.get(PLAN)
        assert at.hub.breakers["salesforce"].failures == 0
        assert f"{PLAN} is held" in notes_of(at, other)
        await at.hub.drift_round()
        assert len(alerts(at)) == 1, "told once"

        if change == "renamed":
            org.rename_field("Account", "Plan_Old__c", PLAN)
        else:
            org.define_field("Account", PLAN, "string", length=255)
        cured = await at.hub.drift_round()
        assert [one.object for one in cured.cured] == ["Account"]
        assert "No longer so" in alerts(at)[1]
        at.clock.move(seconds=3)
        await at.deliver()
        assert at.salesforce.record("Account", other)[PLAN] == "Pro"
        assert at.salesforce.record("Account", customer)[PLAN] == "Pro"
        assert "is held" not in notes_of(at, other)


async def test_what_was_planned_before_goes_out_without_the_field_and_follows_once_it_is_back(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as at:
        await at.hub.drift_round()
        (customer,) = at.sell(1)
        at.take_in()
        at.process()
        at.clock.move(seconds=15)
        await at.hub.reread_round()
        at.process()
        with at.hub.database.read() as connection:
            planned = connection.execute(select(write_intent.c.record, write_intent.c.state)).all()
        assert (f"salesforce:Account/{customer}", "pending") in [(row.record, row.state) for row in planned]
        at.salesforce.delete_field("Account", PLAN)
        await at.hub.drift_round()
        at.clock.move(seconds=3)
        await at.deliver()
        assert at.salesforce.record("Account", customer)[MRR] == 100
        at.clock.move(minutes=5)
        at.salesforce.define_field("Account", PLAN, "string", length=255)
        await at.hub.drift_round()
        at.clock.move(seconds=3)
        await at.deliver()
        assert at.salesforce.record("Account", customer)[PLAN] == "Pro"


async def test_a_narrower_field_still_takes_what_fits(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as at:
        org = at.salesforce
        org.define_field("Account", STATUS, "picklist", picklist=("Trial", "Past due"), restricted=True)
        org.define_field("Account", PLAN, "string", length=2)
        found = await at.hub.drift_round()
        assert {one.kind for one in found.drift["salesforce"]} == {DriftKind.VALUE_MISSING, DriftKind.TOO_SHORT}
        (customer,) = at.sell(1)
        await at.settle()
        record = org.record("Account", customer)
        assert (record[MRR], record.get(STATUS), record.get(PLAN)) == (100, None, None)
        assert "holds 2" in notes_of(at, customer)
        org.define_field("Account", STATUS, "picklist", picklist=("Trial", "Active", "Past due"), restricted=True)
        org.define_field("Account", PLAN, "string", length=3)
        await at.hub.drift_round()
        at.clock.move(seconds=3)
        await at.deliver()
        record = org.record("Account", customer)
        # Both are still narrower than the mapping, and both take these values.
        assert (record[STATUS], record[PLAN]) == ("Active", "Pro")


@pytest.mark.parametrize("change", ["object", "key"])
async def test_without_the_object_or_its_key_everything_waits(store_url: str, tmp_path: Path, change: str) -> None:
    async with an_installation(store_url, tmp_path) as at:
        org = at.salesforce
        (customer,) = at.sell(1)
        gone = org.org.objects["billing_subscription__c"]
        if change == "key":
            org.rename_field("Billing_Subscription__c", "Billing_Subscription_Id__c", "Old__c")
        else:
            del org.org.objects["billing_subscription__c"]
        found = await at.hub.drift_round()
        assert len(found.drift["salesforce"]) in {1, 2}
        await at.settle()
        assert org.record("Account", customer)[MRR] == 100
        assert org.effects.get("Billing_Subscription__c", []) == []
        assert at.hub.breakers["salesforce"].failures == 0, "nothing was even asked"
        if change == "key":
            org.rename_field("Billing_Subscription__c", "Old__c", "Billing_Subscription_Id__c")
        else:
            org.org.objects["billing_subscription__c"] = gone
        await at.hub.drift_round()
        at.clock.move(seconds=3)
        await at.deliver()
        assert org.count("Billing_Subscription__c") == 1


async def test_a_target_that_cannot_be_asked_changes_nothing(store_url: str, tmp_path: Path) -> None:
    async with brisk(store_url, tmp_path) as at:
        at.salesforce.delete_field("Account", PLAN)
        await at.hub.drift_round()
        await at.salesforce.go_down()
        found = await at.hub.drift_round()
        assert list(found.unasked) == ["salesforce"]
        assert [one.field for one in found.drift["salesforce"]] == [PLAN]
        assert not found.changed
        assert frozenset({PLAN}) in at.hub.rulebook.withheld.values()


async def test_another_worker_takes_it_up_at_its_next_round(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as at:
        before = at.hub.rulebook
        at.salesforce.delete_field("Account", PLAN)
        await at.hub.drift_round()
        at.hub.rulebook, at.hub._shapes_known = before, 0
        at.hub.process_round()
        assert at.hub.rulebook.withheld
