"""Records known by their own id: written without the key, and found again after people merged, split or deleted."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from accordant.canonical.intents import Applied, RefusalClass, Refused
from accordant.connectors.salesforce.simulator_fields import Refusal
from accordant.ports.connector import RecordWrite
from accordant.testing.contracts import load_specification
from tests.connectors.salesforce.outbound_kit import ACCOUNT, CUSTOMER, SUBSCRIPTION, Org, a_write, an_org

WHO = "sales@example.com"


def to(target_id: str, key: str, **fields: str) -> RecordWrite:
    return msgspec.structs.replace(a_write(key, **fields), target_id=target_id)


async def test_a_record_of_sales_gets_the_key_and_no_second_one_is_made() -> None:
    async with an_org() as org:
        known = org.simulator.create("Account", Name="EXAMPLE-1", Industry="Banking")
        (done,) = await org.outbound.write(ACCOUNT, [to(known, "cus_1", Billing_MRR__c="1.00")])
        assert done.outcome == Applied(target_id=known, created=False)
        assert org.simulator.count("Account") == 1
        held = org.simulator.record("Account", "cus_1")
        assert (held[CUSTOMER], held["Industry"], held["Name"]) == ("cus_1", "Banking", "EXAMPLE-1")
        assert (await org.outbound.read(ACCOUNT, ["cus_1"]))["cus_1"].target_id == known


async def test_a_key_is_taken_off_a_record_that_is_anothers() -> None:
    async with an_org() as org:
        known = org.simulator.create("Account", Name="EXAMPLE-1", **{CUSTOMER: "cus_1"})
        frees = msgspec.structs.replace(to(known, "cus_1", Name="EXAMPLE-0"), frees=True)
        for _ in range(2):  # said twice it is the same
            (done,) = await org.outbound.write(ACCOUNT, [frees])
            assert done.outcome == Applied(target_id=known, created=False)
        held = org.simulator.record("Account", known)
        assert (held[CUSTOMER], held["Name"]) == (None, "EXAMPLE-0")
        assert await org.outbound.read(ACCOUNT, ["cus_1"]) == {}


async def test_records_named_by_id_and_by_key_go_in_calls_of_their_own() -> None:
    async with an_org() as org:
        one, two = (org.simulator.create("Account", Name=f"EXAMPLE-{n}") for n in (1, 2))
        batch = [to(one, "cus_1"), a_write("cus_3", Name="EXAMPLE-3"), to(two, "cus_2"), to(two, "cus_2", Name="Again")]
        done = await org.outbound.write(ACCOUNT, batch)
        assert [isinstance(each.outcome, Applied) and each.outcome.created for each in done] == [
            False,
            True,
            False,
            False,
        ]
        assert org.simulator.record("Account", two)["Name"] == "Again"
        assert org.sent("PATCH") == 3


async def test_a_record_that_vanished_since_it_was_read_is_looked_for_again() -> None:
    async with an_org() as org:
        known = org.simulator.create("Account", Name="EXAMPLE-1")
        org.simulator.delete("Account", known, WHO)
        (done,) = await org.outbound.write(ACCOUNT, [to(known, "cus_1")])
        assert isinstance(done.outcome, Refused)
        assert (done.outcome.code, done.outcome.cause) == ("ENTITY_IS_DELETED", RefusalClass.TRANSIENT)


async def test_a_key_that_another_record_took_meanwhile_is_tried_again_by_key() -> None:
    async with an_org() as org:
        org.simulator.create("Account", Name="EXAMPLE-1", **{CUSTOMER: "cus_1"})
        known = org.simulator.create("Account", Name="EXAMPLE-1")
        (done,) = await org.outbound.write(ACCOUNT, [to(known, "cus_1")])
        assert isinstance(done.outcome, Refused)
        assert (done.outcome.code, done.outcome.cause) == ("DUPLICATE_VALUE", RefusalClass.TRANSIENT)


# -- what became of it -------------------------------------------------------------------------------------------------


async def family(org: Org) -> tuple[str, str, str]:
    """A survivor, and a customer's record with a subscription below it; the subscription's id comes last."""
    survivor = org.simulator.create("Account", Name="EXAMPLE")
    customer = org.simulator.create("Account", Name="EXAMPLE Inc", **{CUSTOMER: "cus_1"})
    below = {"Billing_Subscription_Id__c": "sub_1", "Account__c": customer}
    return survivor, customer, org.simulator.create("Billing_Subscription__c", **below)


async def test_a_merged_record_names_its_survivor_and_its_children_moved() -> None:
    async with an_org() as org:
        survivor, customer, subscription = await family(org)
        org.simulator.merge("Account", survivor, [customer], WHO)
        found = await org.outbound.whereabouts(ACCOUNT, [customer, survivor])
        assert (found[customer].deleted, found[customer].merged_into, found[customer].key) == (True, survivor, "cus_1")
        assert (found[survivor].deleted, found[survivor].merged_into, found[survivor].key) == (False, None, None)
        assert found[survivor].record.fields["Name"] == "EXAMPLE"
        assert await org.outbound.read(ACCOUNT, ["cus_1"]) == {}
        assert org.simulator.record("Billing_Subscription__c", subscription)["Account__c"] == survivor


async def test_a_deleted_record_says_so_and_a_purged_one_is_forgotten() -> None:
    async with an_org() as org:
        _, customer, _ = await family(org)
        org.simulator.delete("Account", customer, WHO)
        found = await org.outbound.whereabouts(ACCOUNT, [customer, customer])
        assert (found[customer].deleted, found[customer].merged_into) == (True, None)
        org.simulator.purge("Account", customer)
        assert await org.outbound.whereabouts(ACCOUNT, [customer, ""]) == {}


async def test_an_object_that_cannot_be_merged_is_asked_without_the_field_it_lacks() -> None:
    async with an_org() as org:
        *_, subscription = await family(org)
        found = await org.outbound.whereabouts(SUBSCRIPTION, [subscription])
        assert (found[subscription].key, found[subscription].merged_into) == ("sub_1", None)


async def test_a_split_moves_the_key_to_a_new_record() -> None:
    async with an_org() as org:
        _, customer, _ = await family(org)
        fresh = org.simulator.split("Account", customer, CUSTOMER, WHO, Name="EXAMPLE 2")
        assert (await org.outbound.read(ACCOUNT, ["cus_1"]))["cus_1"].target_id == fresh
        assert (await org.outbound.whereabouts(ACCOUNT, [customer]))[customer].key is None


async def test_a_record_comes_back_unless_its_key_was_taken() -> None:
    async with an_org() as org:
        survivor, customer, _ = await family(org)
        org.simulator.merge("Account", survivor, [customer], WHO)
        org.simulator.undelete("Account", customer, WHO)
        assert (await org.outbound.whereabouts(ACCOUNT, [customer]))[customer].deleted is False
        assert (await org.outbound.read(ACCOUNT, ["cus_1"]))["cus_1"].target_id == customer
        org.simulator.delete("Account", customer, WHO)
        org.simulator.edit("Account", survivor, CUSTOMER, "cus_1", WHO)
        with pytest.raises(Refusal, match="DUPLICATE_VALUE"):
            org.simulator.undelete("Account", customer, WHO)


async def test_the_stand_in_refuses_merges_that_salesforce_refuses() -> None:
    async with an_org() as org:
        survivor, customer, subscription = await family(org)
        spare = [org.simulator.create("Account", Name=f"EXAMPLE-{n}") for n in range(3)]
        for target, losers, code in (
            (survivor, spare, "INVALID_NUMBER"),
            (survivor, [survivor], "CROSS_REFERENCE"),
            (survivor, [], "INVALID_NUMBER"),
        ):
            with pytest.raises(Refusal, match=code):
                org.simulator.merge("Account", target, losers, WHO)
        with pytest.raises(Refusal, match="INVALID_TYPE"):
            org.simulator.merge("Billing_Subscription__c", subscription, [subscription], WHO)
        org.simulator.delete("Account", customer, WHO)
        with pytest.raises(Refusal, match="ENTITY_IS_DELETED"):
            org.simulator.merge("Account", survivor, [customer], WHO)


@pytest.mark.contracts
async def test_a_write_by_id_keeps_the_vendors_contract(contracts: Path) -> None:
    """Collections are not in the document: the row is checked as the update of one record, which is."""
    specification = load_specification(
        contracts / "salesforce/lightning-platform-rest-v59-sobjects-subset.json.gz",
        prefix="/services/data/{version}",
        null_is_absent=True,
        check_formats=False,
    )
    async with an_org() as org:
        known = org.simulator.create("Account", Name="EXAMPLE-1")
        await org.outbound.write(ACCOUNT, [to(known, "cus_1", Name="EXAMPLE-2")])
        [call] = [call for call in org.calls if call.method == "PATCH"]
        assert call.path == "/services/data/v59.0/composite/sobjects"
        [row] = json.loads(call.request_body)["records"]
        assert (row.pop("id"), row.pop("attributes")) == (known, {"type": "Account"})
        standard = {name: value for name, value in row.items() if not name.endswith("__c")}
        found = specification.check_request(
            "PATCH",
            f"/services/data/v59.0/sobjects/Account/{known}",
            content_type=call.content_type,
            body=json.dumps(standard).encode(),
        )
        assert found == ()
