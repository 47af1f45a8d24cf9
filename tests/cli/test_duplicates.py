"""Duplicates from a scan to one record: found, taken to the one to keep, merged by hand, followed. Over HTTP."""

from __future__ import annotations

from pathlib import Path

from accordant.bootstrap import system_clock
from tests.cli.kit import Terminal
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation
from tests.integration.operations.test_identity import accounts, customer

FOUND = 1
LOOKS = "identity:\n  several_customers: roll_up\n"


def now(one: Installation) -> None:
    """The commands run by the real time; so does the hub from here on."""
    one.clock.at = system_clock()
    one.clock.move(seconds=1)


async def two_records_of_one_company(one: Installation) -> tuple[str, str]:
    """Sales knew one company as two, each with a customer of its own, until somebody put its website right."""
    keep = one.salesforce.create("Account", Name="Northwind Traders", Website="northwind-t.com")
    other = one.salesforce.create("Account", Name="Northwind Imports", Website="northwind-i.com")
    await one.hub.scan_directory("salesforce")
    for name, email in (("Northwind Traders", "ap@northwind-t.com"), ("Northwind Imports", "ap@northwind-i.com")):
        customer(one, name, email)
    await one.settle()
    assert {str(account["Id"]) for account in accounts(one.salesforce) if account[KEY]} == {keep, other}
    corrected = one.salesforce.org.records["Account"][other].values
    corrected["Website"], corrected["Name"] = "northwind-t.com", "Northwind Traders"
    return keep, other


async def test_duplicates_are_found_and_become_one_record(store_url: str, tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(store_url, tmp_path, more=LOOKS) as one:
        terminal.use(one.settings)
        keep, other = await two_records_of_one_company(one)
        before = await terminal.ask("review", "duplicates", "salesforce")
        assert (before.code, "0 groups" in before.out) == (0, True), before
        now(one)
        await one.hub.scan_directory("salesforce")
        seen = await terminal.ask("review", "duplicates", "salesforce", "--json")
        assert seen.code == FOUND, seen
        (group,) = seen.json
        assert group["survivor"]["id"] == keep
        assert [(each["record"]["id"], each["customers"]) for each in group["others"]] == [(other, 1)]
        told = await terminal.ask("review", "duplicates", "salesforce")
        assert f"Keep {keep}: Northwind Traders" in told.out

        merge = ("review", "merge", keep, other, "--system", "salesforce", "--as", "ada")
        unreasoned = await terminal.ask(*merge)
        assert unreasoned.code == FOUND, unreasoned
        assert "needs a reason" in unreasoned.out
        assert "by hand" not in unreasoned.out, "nobody merges what was declined"
        merged = await terminal.ask(*merge, "--because", "The same company twice.")
        assert merged.code == 0, merged
        assert f"Merge {other} into {keep} in salesforce by hand" in merged.out
        again = await terminal.ask(*merge, "--because", "The same company twice.", "--json")
        assert (again.code, again.json) == (0, []), "nobody's facts go to the other record any more"

        now(one)
        await one.deliver()
        added_up = {str(account["Id"]): account[MRR] for account in accounts(one.salesforce)}
        assert added_up[keep] == 200
        one.salesforce.merge("Account", keep, [other], "sales@x.test")
        now(one)
        await one.hub.scan_directory("salesforce")
        one.hub.replan_accounts()
        await one.deliver()
        (record,) = accounts(one.salesforce)
        assert (record["Id"], record[MRR], record["Billing_Subscription_Count__c"]) == (keep, 200, 2)
        assert (await terminal.ask("review", "duplicates", "salesforce")).code == 0
        assert (await terminal.ask("review", "list")).code == 0
