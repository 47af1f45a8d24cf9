"""A company that sells to persons: each customer is a Contact, from the signed charter to the org; both stores."""

from __future__ import annotations

from pathlib import Path

from accordant.canonical.charter import CustomerModel
from accordant.canonical.review import ReviewAction
from accordant.connectors.salesforce.connector import default_mappings
from accordant.demo.company import prepare_org
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation
from tests.integration.operations.test_identity import customer, reviews
from tests.integration.operations.test_review import decided

PERSONS = "identity:\n  model: b2c\n"


def contacts(there: Installation) -> dict[str, dict[str, object]]:
    found = (dict(one.values) for one in there.salesforce.org.records["Contact"].values() if not one.deleted)
    return {str(one["LastName"]): one for one in found}


async def test_a_person_is_found_by_the_mailbox_and_otherwise_made(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=PERSONS) as there:
        prepare_org(there.salesforce, default_mappings(CustomerModel.B2C))
        known = there.salesforce.create("Contact", LastName="Lovelace", Email="ada.lovelace@gmail.com")
        there.salesforce.create("Contact", LastName="Byron", Email="other@example-x.com")
        await there.hub.scan_directory("salesforce")
        ada = customer(there, "Lovelace", "adalovelace@gmail.com", unit_minor=900)
        # Two people of one house share its domain and are two customers.
        new = customer(there, "Babbage", "charles@example-x.com", unit_minor=1_900)
        await there.settle()

        seen = contacts(there)
        assert seen.keys() == {"Lovelace", "Byron", "Babbage"}
        assert (seen["Lovelace"]["Id"], seen["Lovelace"][KEY], seen["Lovelace"][MRR]) == (known, ada, 9)
        assert (seen["Babbage"][KEY], seen["Babbage"][MRR]) == (new, 19)
        assert seen["Byron"].get(KEY) is None
        assert there.salesforce.count("Account") == 0
        below = there.salesforce.org.records["Billing_Subscription__c"].values()
        assert {one.values["Contact__c"] for one in below} == {seen["Lovelace"]["Id"], seen["Babbage"]["Id"]}
        found = await there.hub.reconcile(there.hub.charter.flows[0].name, actor="ada")
        assert found.run.discrepancies == 0


async def test_two_contacts_with_one_mailbox_are_a_question(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=PERSONS) as there:
        prepare_org(there.salesforce, default_mappings(CustomerModel.B2C))
        first, _ = (there.salesforce.create("Contact", LastName=name, Email="ada@example-x.com") for name in ("A", "B"))
        await there.hub.scan_directory("salesforce")
        ada = customer(there, "Lovelace", "ada@example-x.com")
        await there.settle()
        (case,) = reviews(there).open_cases(limit=10)
        assert case.case.why == "2 records have the same e-mail."
        await decided(there, ReviewAction.ACCEPT, ada, first)
        await there.deliver()
        assert contacts(there)["Lovelace"][KEY] == ada
