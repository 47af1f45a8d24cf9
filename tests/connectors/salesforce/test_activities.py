"""Tasks: activities of an org lead to records of several objects, and are put away after a year.

The oracle is the stand-in's own record, and what it refuses as Salesforce does.
"""

from __future__ import annotations

import pytest
from simple_salesforce.exceptions import SalesforceMalformedRequest

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import Applied, Refused
from accordant.canonical.targets import FieldSpec, ObjectSpec
from accordant.connectors.salesforce import bulk, soql
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.salesforce.soql import NameInvalid
from tests.connectors.salesforce import stand_in
from tests.connectors.salesforce.outbound_kit import ACCOUNT, ACTIVITY, Org, a_write, an_org, customers

KEY = "Activity_Payment_Id__c"
PAID = {"WhatId": "cus_0000", "Subject": "Payment of 9.00 EUR", "Status": "Completed", "ActivityDate": "2026-03-14"}


async def an_account(org: Org) -> str:
    (made,) = await org.outbound.write(ACCOUNT, customers(1))
    assert isinstance(made.outcome, Applied)
    return made.outcome.target_id


async def test_a_task_is_about_the_account_of_its_customer_and_told_twice_it_is_one() -> None:
    async with an_org() as org:
        account = await an_account(org)
        for created in (True, False):
            (made,) = await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID)])
            assert isinstance(made.outcome, Applied)
            assert made.outcome.created is created
        held = org.simulator.record("Task", "ch_1")
        assert (held["WhatId"], held["AccountId"], held["IsClosed"]) == (account, account, True)
        assert org.simulator.count("Task") == 1
        assert (await org.outbound.read(ACTIVITY, ["ch_1"]))["ch_1"].fields == PAID


async def test_a_task_that_somebody_hung_elsewhere_is_read_as_nobodys() -> None:
    async with an_org() as org:
        await an_account(org)
        await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID)])
        deal = org.simulator.create("Opportunity", Name="EXAMPLE", StageName="Prospecting", CloseDate="2026-04-01")
        org.simulator.edit("Task", "ch_1", "WhatId", deal, "sales@example.com")
        held = await org.outbound.read(ACTIVITY, ["ch_1"])
        assert held["ch_1"].fields["WhatId"] is None
        await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID)])
        assert (await org.outbound.read(ACTIVITY, ["ch_1"]))["ch_1"].fields["WhatId"] == "cus_0000"


async def test_a_task_is_taken_off_its_account_when_it_is_nobodys() -> None:
    async with an_org() as org:
        await an_account(org)
        await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID)])
        await org.outbound.write(ACTIVITY, [a_write("ch_1", WhatId=None)])
        held = org.simulator.record("Task", "ch_1")
        assert (held.get("WhatId"), held.get("AccountId")) == (None, None)


async def test_an_unknown_customer_is_refused_like_at_any_other_lookup() -> None:
    async with an_org() as org:
        (made,) = await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID)])
        assert isinstance(made.outcome, Refused)
        assert "cus_0000" in made.outcome.message


async def test_deleted_tasks_are_not_there_though_what_was_put_away_is_looked_for() -> None:
    async with an_org() as org:
        await an_account(org)
        await org.outbound.write(ACTIVITY, [a_write("ch_1", **PAID), a_write("ch_2", **PAID)])
        org.simulator.delete("Task", str(org.simulator.record("Task", "ch_1")["Id"]), "sales@example.com")
        assert (await org.outbound.read(ACTIVITY, ["ch_1", "ch_2"])).keys() == {"ch_2"}
        assert [key async for key, _ in org.outbound.keys(ACTIVITY)] == ["ch_2"]
        asked = [call.path for call in org.calls if call.path.endswith(("/query", "/queryAll"))]
        assert asked
        assert all(path.endswith("/queryAll") for path in asked)


async def unnoted(_job: str) -> None:
    """Nobody has to know of this job."""


async def test_a_job_says_what_a_task_is_about_in_its_heading() -> None:
    async with an_org() as org:
        account = await an_account(org)
        row = {"attributes": {"type": "Task"}, KEY: "ch_9", "Subject": "Payment"}
        row["What"] = {"attributes": {"type": "Account"}, "Billing_Customer_Id__c": "cus_0000"}
        file = bulk.table([row])
        assert file.decode().splitlines()[0] == f"{KEY},Subject,Account:What.Billing_Customer_Id__c"
        writes = [a_write(f"ch_{n:04d}", **PAID) for n in range(2_001)]
        results = await org.outbound.write_bulk(ACTIVITY, writes, note=unnoted)
        assert {type(one.outcome) for one in results} == {Applied}
        assert len(org.simulator.bulk.jobs) == 1
        assert {one.values["WhatId"] for one in org.simulator.org.records["Task"].values()} == {account}


def test_a_lookup_of_a_task_has_to_say_where_it_leads() -> None:
    nowhere = FieldSpec(type=FieldType.LOOKUP, lookup_key="Billing_Customer_Id__c")
    with pytest.raises(NameInvalid, match="lookup_object"):
        soql.select(ObjectSpec(name="Task", key_field=KEY, fields={"WhatId": nowhere}))


def test_the_stand_in_refuses_what_salesforce_does() -> None:
    """Judged by a client that is not ours."""
    with stand_in.running(SalesforceSimulator()) as org, stand_in.client(org) as client:
        account = org.create("Account", Name="EXAMPLE-0", **{stand_in.EXTERNAL: "cus_0"})
        with pytest.raises(SalesforceMalformedRequest, match="its type must be given"):
            client.Task.create({"Subject": "x", "What": {stand_in.EXTERNAL: "cus_0"}})
        typed = {"attributes": {"type": "Account"}, stand_in.EXTERNAL: "cus_0"}
        made = client.Task.create({"Subject": "x", "What": typed})
        rows = client.query("SELECT Id, TYPEOF What WHEN Account THEN Name END FROM Task")["records"]
        assert [(row["Id"], row["What"]["Name"]) for row in rows] == [(made["id"], "EXAMPLE-0")]
        assert client.Task.get(made["id"])["AccountId"] == account
        for wrong in (
            "SELECT What.Industry FROM Task",
            "SELECT TYPEOF What WHEN Contact THEN Name END FROM Task",
            "SELECT TYPEOF What WHEN Account THEN Nothing__c END FROM Task",
        ):
            with pytest.raises(SalesforceMalformedRequest):
                client.query(wrong)
        with pytest.raises(SalesforceMalformedRequest, match="incorrect type"):
            client.Task.create({"Subject": "x", "WhoId": account})
