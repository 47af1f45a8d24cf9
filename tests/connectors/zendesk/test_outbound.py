"""Organizations: made once however often it is asked, changed in our fields alone, and nothing dropped in silence."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.intents import Applied, RefusalClass, Refused
from accordant.canonical.matching import KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.zendesk.outbound import CUSTOM, NAME_LENGTH_MAX
from accordant.connectors.zendesk.simulator import PER_MINUTE
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import (
    AnswerLost,
    AuthorizationExpired,
    DestinationClass,
    RateLimited,
    RecordWrite,
    TargetUnavailable,
)
from tests.connectors.ledger_kit import put, refusal, send
from tests.connectors.zendesk.kit import SPEC, Desk, a_desk, facts

IDENTITY = IdentitySpec(system="zendesk", object="organization", key_field="external_id")


def only(one: Desk) -> Row:
    (row,) = one.simulator.account.organizations.values()
    return row


# -- writing -----------------------------------------------------------------------------------------------------------


async def test_what_was_wanted_is_what_is_held_and_nothing_else_is_touched(one: Desk) -> None:
    await put(one.support, SPEC, "cus_1", facts())
    row = only(one)
    one.simulator.account.by_hand(row["id"], notes="Calls on Mondays", domain_names=["acme.example"], tags=["vip"])
    one.clock.move(minutes=1)
    held = await put(one.support, SPEC, "cus_1", facts("Acme Europe", billing_mrr=None, receivable_overdue="12.00"))
    row = only(one)
    assert (row["notes"], row["domain_names"], row["tags"]) == ("Calls on Mondays", ["acme.example"], ["vip"])
    assert row["organization_fields"]["billing_mrr"] is None
    assert held.changed_at == one.clock()
    assert one.support.protocol("organization").destination_class is DestinationClass.NATIVE_UPSERT


@pytest.mark.parametrize("fault", ["error_after", "reset_after", "timeout_after", "html", "truncated"])
async def test_an_answer_that_was_lost_makes_no_second_organization(one: Desk, fault: str) -> None:
    one.simulator.fault(fault, method="POST", seconds=0.1)
    with pytest.raises(AnswerLost):
        await send(one.support, SPEC, "cus_1", facts())
    await put(one.support, SPEC, "cus_1", facts())
    # As the courier would who had not looked: the external id finds it.
    record = RecordWrite(key="cus_1", fields=facts(), idempotency_key="accordant-again")
    (again,) = await one.support.write(SPEC, [record])
    assert again.outcome == Applied(target_id=str(only(one)["id"]), created=False)
    assert one.simulator.account.carried_out.count(("cus_1", "made")) == 1


async def test_two_customers_of_one_name_are_both_there_and_read_back_by_their_own(one: Desk) -> None:
    for key in ("cus_1", "cus_2", "cus_3"):
        held = await put(one.support, SPEC, key, facts("Miller"))
        assert held.fields["name"] == "Miller"
    names = sorted(row["name"] for row in one.simulator.account.organizations.values())
    assert names == ["Miller", "Miller (cus_2)", "Miller (cus_3)"]


async def test_what_zendesk_drops_without_a_word_is_a_refusal_that_names_the_field(one: Desk) -> None:
    one.simulator.account.fields = [one for one in one.simulator.account.fields if one["key"] != "billing_plan"]
    told = await send(one.support, SPEC, "cus_1", facts())
    assert isinstance(told, Refused)
    assert (told.cause, told.code, told.fields) == (RefusalClass.DATA_QUALITY, "NOT_KEPT", (f"{CUSTOM}.billing_plan",))


async def test_a_value_that_is_no_option_is_refused_with_its_field(one: Desk) -> None:
    told = await refusal(one.support, SPEC, "cus_1", facts(payment_risk="terrible"))
    assert told.cause is RefusalClass.DATA_QUALITY
    assert "payment_risk: terrible is not an option" in told.message
    told = await refusal(one.support, SPEC, "cus_1", {**facts(), "name": None})
    assert "Name: cannot be blank" in told.message


async def test_keys_that_zendesk_takes_for_one_never_overwrite_each_other(one: Desk) -> None:
    await put(one.support, SPEC, "cus_a", facts("First"))
    told = await refusal(one.support, SPEC, "CUS_A", facts("Second"))
    assert (told.code, told.cause) == ("TWIN", RefusalClass.BUSINESS_RULE)
    assert only(one)["name"] == "First"


async def test_a_record_found_by_a_person_takes_the_key_and_gives_it_back(one: Desk) -> None:
    there = one.simulator.account.make_by_hand(name="Acme", notes="Ours since 2019")
    adopt = RecordWrite(key="cus_1", fields=facts(), idempotency_key="k-1", target_id=str(there))
    (done,) = await one.support.write(SPEC, [adopt])
    assert done.outcome == Applied(target_id=str(there), created=False)
    assert (only(one)["external_id"], only(one)["notes"]) == ("cus_1", "Ours since 2019")
    (freed,) = await one.support.write(SPEC, [msgspec.structs.replace(adopt, fields={}, frees=True)])
    assert isinstance(freed.outcome, Applied)
    assert only(one)["external_id"] is None
    assert await one.support.read(SPEC, ["cus_1"]) == {}


async def test_an_organization_that_is_gone_is_a_refusal(one: Desk) -> None:
    record = RecordWrite(key="cus_1", fields=facts(), idempotency_key="k-1", target_id="4711")
    (done,) = await one.support.write(SPEC, [record])
    assert isinstance(done.outcome, Refused)
    assert done.outcome.code == "GONE"


# -- limits and rights -------------------------------------------------------------------------------------------------


async def test_its_limit_is_obeyed_by_its_own_word(one: Desk) -> None:
    one.simulator.fault("too_many", method="POST", seconds=17)
    with pytest.raises(RateLimited) as limited:
        await send(one.support, SPEC, "cus_1", facts())
    assert limited.value.retry_after_s == 17
    one.simulator.fault("busy", method="POST", seconds=9)
    with pytest.raises(AnswerLost) as lost:
        await send(one.support, SPEC, "cus_1", facts())
    assert lost.value.retry_after_s == 9


async def test_the_smallest_plan_is_enough_for_a_minute_of_work() -> None:
    async with a_desk(per_minute=PER_MINUTE) as one:
        for number in range(PER_MINUTE // 2):  # a look and a write each
            assert isinstance(await send(one.support, SPEC, f"cus_{number}", facts(f"Customer {number}")), Applied)
        with pytest.raises(RateLimited):
            await send(one.support, SPEC, "cus_x", facts("Other"))
        one.clock.move(minutes=1)
        assert isinstance(await send(one.support, SPEC, "cus_x", facts("Other")), Applied)


async def test_a_token_that_ended_and_a_role_too_small_pause_the_target(one: Desk) -> None:
    one.simulator.fault("expired", times=None)
    with pytest.raises(AuthorizationExpired):
        await one.support.read(SPEC, ["cus_1"])
    one.simulator.faults.clear()
    one.simulator.is_barred = True
    with pytest.raises(AuthorizationExpired) as barred:
        await send(one.support, SPEC, "cus_1", facts())
    assert "role" in barred.value.remedy


async def test_an_answer_that_is_no_list_is_no_answer(one: Desk) -> None:
    one.simulator.fault("html", times=None)
    with pytest.raises(TargetUnavailable):
        await one.support.read(SPEC, ["cus_1"])


async def test_what_is_no_organization_is_refused_by_name(one: Desk) -> None:
    for spec in (
        msgspec.structs.replace(SPEC, name="ticket"),
        msgspec.structs.replace(SPEC, key_field="name"),
        msgspec.structs.replace(SPEC, fields={"priority": next(iter(SPEC.fields.values()))}),
    ):
        with pytest.raises(RejectedError) as refused:
            await one.support.read(spec, ["cus_1"])
        assert refused.value.remedy


# -- reading -----------------------------------------------------------------------------------------------------------


async def test_all_are_read_page_by_page_and_one_by_one_whatever_stands_in_a_key(one: Desk) -> None:
    keys = [f"cus_{number}" for number in range(230)] + ["a,b"]
    for key in keys:
        one.simulator.account.upsert({"external_id": key, "name": f"Customer {key}"})
    one.simulator.account.make_by_hand(name="Nobody's")
    assert [key async for key, _ in one.support.keys(SPEC)] == keys
    found = await one.support.read(SPEC, [*keys, "missing", ""])
    assert sorted(found) == sorted(keys)
    gone = found["cus_7"].target_id
    one.simulator.account.delete(int(gone))
    told = await one.support.whereabouts(SPEC, [found[key].target_id for key in keys] + ["no number"])
    assert len(told) == len(keys) - 1
    assert gone not in told
    assert told[found["a,b"].target_id].key == "a,b"


async def test_a_hand_that_changes_a_field_of_ours_is_seen_and_undone(one: Desk) -> None:
    await put(one.support, SPEC, "cus_1", facts())
    one.simulator.account.by_hand(only(one)["id"], organization_fields={"payment_risk": "risk_high"})
    held = (await one.support.read(SPEC, ["cus_1"]))["cus_1"]
    assert held.fields[f"{CUSTOM}.payment_risk"] == "risk_high"
    await put(one.support, SPEC, "cus_1", facts())


async def test_the_account_describes_its_fields_and_the_mapping_fits_them(one: Desk) -> None:
    described = {row.name: row for row in await one.support.describe("organization")}
    assert set(SPEC.fields) | {"external_id"} <= set(described)
    for name, part in SPEC.fields.items():
        assert part.type in described[name].holds, name
    assert described[f"{CUSTOM}.payment_risk"].picklist == ("risk_low", "risk_watch", "risk_high")
    one.simulator.account.fields[0]["active"] = False
    assert len(await one.support.describe("organization")) == len(described) - 1
    assert await one.support.describe("ticket") == ()


# -- whose it is -------------------------------------------------------------------------------------------------------


async def test_an_organization_is_found_by_its_people_its_domain_its_name_and_its_id(one: Desk) -> None:
    account = one.simulator.account
    acme = account.make_by_hand(name="Acme Industries", domain_names=["acme.example"])
    other = account.make_by_hand(name="Zenith", organization_fields={})
    account.add_user("ada@zenith.example", other)
    account.add_user("nobody@zenith.example", None)
    for key, wanted in (
        (MatchKey(KeyKind.DOMAIN, "acme.example"), acme),
        (MatchKey(KeyKind.NAME, "acme industries"), acme),
        (MatchKey(KeyKind.EMAIL, "ada@zenith.example"), other),
        (MatchKey(KeyKind.CROSS_REFERENCE, str(other)), other),
    ):
        (found,) = await one.support.search(IDENTITY, [key])
        assert found.id == str(wanted), key
    (found,) = await one.support.search(IDENTITY, [MatchKey(KeyKind.EMAIL, "ada@zenith.example")])
    assert (found.name, found.emails) == ("Zenith", ("ada@zenith.example",))
    assert await one.support.search(IDENTITY, [MatchKey(KeyKind.EMAIL, "nobody@zenith.example")]) == ()
    assert await one.support.search(IDENTITY, [MatchKey(KeyKind.DOMAIN, 'x" OR "')]) == ()


async def test_the_census_goes_on_behind_where_it_broke_off(one: Desk) -> None:
    ids = [one.simulator.account.make_by_hand(name=f"Customer {number}") for number in range(250)]
    pages = [page async for page in one.support.census(IDENTITY)]
    assert [int(found.id) for page in pages for found in page] == ids
    rest = [int(found.id) async for page in one.support.census(IDENTITY, after=str(ids[119])) for found in page]
    assert rest == ids[120:]
    assert all(one < two for one, two in pairwise(ids))


async def test_a_field_that_the_charter_names_tells_whose_it_is(one: Desk) -> None:
    one.simulator.account.add_field("vat_id", "text")
    one.simulator.account.make_by_hand(name="Acme", organization_fields={"vat_id": "DE136695976"})
    spec = msgspec.structs.replace(IDENTITY, fields={RecordAttribute.TAX_ID: f"{CUSTOM}.vat_id"})
    (page,) = [page async for page in one.support.census(spec)]
    assert page[0].tax_ids == ("DE136695976",)


# -- whatever the value ------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


@settings(max_examples=25)
@given(plan=_TEXT | st.none(), mrr=st.decimals("-99999999", "99999999", places=2), day=st.dates())
async def test_every_value_comes_back_in_the_spelling_it_is_compared_in(
    plan: str | None, mrr: object, day: object
) -> None:
    async with a_desk() as one:
        await put(
            one.support,
            SPEC,
            "cus_1",
            facts(billing_plan=plan, billing_mrr=f"{mrr:f}", billing_next_renewal=f"{day}", billing_status=None),
        )


async def test_a_name_of_any_length_is_kept(one: Desk) -> None:
    for key in ("cus_1", "cus_2"):
        held = await put(one.support, SPEC, key, facts("M" * (NAME_LENGTH_MAX - 10)))
        assert held.fields["name"] == "M" * (NAME_LENGTH_MAX - 10)
