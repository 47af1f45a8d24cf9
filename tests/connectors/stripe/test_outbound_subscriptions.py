"""Subscriptions into Stripe, against the stand-in: made with their prices, changed with a chosen proration, ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue
from accordant.connectors.stripe.connector import SettingInvalid, outbound
from accordant.connectors.stripe.records import ValueUnreadable
from accordant.connectors.stripe.simulator_searching import LAG_S
from accordant.connectors.stripe.subscriptions import Item, _changed_lines, items_of
from accordant.ports.connector import AnswerLost
from tests.connectors.stripe.outbound_kit import CUSTOMER, SUBSCRIPTION, Account, an_account

DAY = 86_400
TERMS: dict[str, WireValue] = {"collection_method": "send_invoice", "days_until_due": 30}


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with an_account() as made:
        await made.send(CUSTOMER, "001A", name="Acme GmbH")
        yield made


async def test_a_subscription_is_made_for_the_customer_with_our_key_and_bills_once(account: Account) -> None:
    small, large = account.price(4_900), account.price(9_900)
    made = await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{small}:3,{large}:1", **TERMS)
    assert isinstance(made.outcome, Applied)
    again = await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{large}:1,{small}:3", **TERMS)
    assert isinstance(again.outcome, Applied)
    (subscription,) = account.held("subscription")
    assert {(one["price"]["id"], one["quantity"]) for one in subscription["items"]["data"]} == {(small, 3), (large, 1)}
    assert subscription["metadata"] == {"crm_contract_id": "006A"}
    (invoice,) = account.held("invoice")
    assert invoice["total"] == 3 * 4_900 + 9_900
    held = await account.read(SUBSCRIPTION, "006A")
    assert held is not None
    assert held.fields["customer"] == "001A"
    assert held.fields["items"] == ",".join(sorted((f"{small}:3", f"{large}:1")))


async def test_a_start_in_the_past_is_billed_since_then_and_one_in_the_future_waits(account: Account) -> None:
    price = account.price(3_100)
    began = account.clock().date().replace(day=1)
    account.simulator.advance(10 * DAY)
    made = await account.outcome(
        SUBSCRIPTION, "006A", customer="001A", items=f"{price}:1", start_date=began.isoformat(), **TERMS
    )
    assert isinstance(made, Applied)
    (subscription,) = account.held("subscription")
    assert account.clock().timestamp() - subscription["start_date"] > 10 * DAY
    (invoice,) = account.held("invoice")
    assert [line["proration"] for line in invoice["lines"]["data"]] == [True, False]
    later = account.clock().date().replace(day=28).isoformat()
    refused = await account.outcome(
        SUBSCRIPTION, "006B", customer="001A", items=f"{price}:1", start_date=later, **TERMS
    )
    assert isinstance(refused, Refused)
    assert refused.code == "BEGINS_LATER"
    moved = await account.outcome(SUBSCRIPTION, "006A", start_date=later)
    assert isinstance(moved, Refused)
    assert moved.code == "FIXED"


async def test_a_trial_is_given_and_ends_when_it_is_taken_back(account: Account) -> None:
    price = account.price()
    ends = "2024-01-20T10:00:00Z"
    await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{price}:1", trial_end=ends, **TERMS)
    held = await account.read(SUBSCRIPTION, "006A")
    assert held is not None
    assert held.fields["trial_end"] == ends
    assert account.held("subscription")[0]["status"] == "trialing"


async def test_another_price_takes_the_place_of_the_line_and_is_prorated_as_was_chosen(account: Account) -> None:
    small, large = account.price(4_900), account.price(9_900)
    await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{small}:3", **TERMS)
    line = account.held("subscription")[0]["items"]["data"][0]["id"]
    account.simulator.advance(10 * DAY)
    changed = await account.outcome(SUBSCRIPTION, "006A", items=f"{large}:2")
    assert isinstance(changed, Applied)
    (item,) = account.held("subscription")[0]["items"]["data"]
    assert (item["id"], item["price"]["id"], item["quantity"]) == (line, large, 2)
    assert b"proration_behavior=create_prorations" in account.posts[-1].request_body


async def test_nobody_having_chosen_a_proration_no_line_is_changed() -> None:
    async with an_account(proration="") as account:
        await account.send(CUSTOMER, "001A", name="Acme")
        price, other = account.price(), account.price()
        await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{price}:1", **TERMS)
        refused = await account.outcome(SUBSCRIPTION, "006A", items=f"{other}:1")
        assert isinstance(refused, Refused)
        assert (refused.code, refused.fields) == ("PRORATION_NOT_CHOSEN", ("items",))
        assert "proration_behavior" in refused.message
        told = await account.outcome(SUBSCRIPTION, "006A", description="Renewed")
        assert isinstance(told, Applied)


def test_a_proration_that_stripe_does_not_know_is_refused_with_its_place() -> None:
    settings = {"api_key": "sk_test_1", "live_mode": "false", "proration_behavior": "sometimes"}
    with pytest.raises(SettingInvalid, match="proration_behavior"):
        outbound(settings, lambda: pytest.fail("no clock is needed"))


async def test_what_has_ended_takes_a_note_and_no_change(account: Account) -> None:
    price = account.price()
    await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{price}:1", **TERMS)
    account.simulator.account.billing.cancel(account.held("subscription")[0])
    refused = await account.outcome(SUBSCRIPTION, "006A", items=f"{price}:2")
    assert isinstance(refused, Refused)
    assert refused.code == "ENDED"
    assert isinstance(await account.outcome(SUBSCRIPTION, "006A", metadata__opportunity="lost"), Applied)
    assert len(account.held("subscription")) == 1


async def test_a_subscription_ends_with_its_period_and_may_go_on_after_all(account: Account) -> None:
    price = account.price()
    await account.send(SUBSCRIPTION, "006A", customer="001A", items=f"{price}:1", **TERMS)
    assert isinstance(await account.outcome(SUBSCRIPTION, "006A", cancel_at_period_end=True), Applied)
    assert account.held("subscription")[0]["cancel_at_period_end"]
    assert isinstance(await account.outcome(SUBSCRIPTION, "006A", cancel_at_period_end=False), Applied)


async def test_without_its_customer_or_a_line_nothing_is_sent(account: Account) -> None:
    price = account.price()
    sent = len(account.posts)
    nobody = await account.outcome(SUBSCRIPTION, "006A", customer="001X", items=f"{price}:1", **TERMS)
    nothing = await account.outcome(SUBSCRIPTION, "006A", customer="001A", **TERMS)
    assert isinstance(nobody, Refused)
    assert isinstance(nothing, Refused)
    assert (nobody.code, nothing.code) == ("NO_CUSTOMER", "ITEMS_MISSING")
    assert len(account.posts) == sent


async def test_a_price_there_is_not_is_refused_with_the_field_it_stands_in(account: Account) -> None:
    refused = await account.outcome(SUBSCRIPTION, "006A", customer="001A", items="price_none:1", **TERMS)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.cause, refused.fields) == (
        "resource_missing",
        RefusalClass.BUSINESS_RULE,
        ("items",),
    )
    assert account.held("subscription") == []


async def test_a_lost_answer_to_a_creation_bills_once(account: Account) -> None:
    price = account.price()
    account.simulator.fail_next("timeout_after_commit", method="POST", path="/v1/subscriptions")
    wanted: dict[str, WireValue] = {"customer": "001A", "items": f"{price}:1", **TERMS}
    with pytest.raises(AnswerLost):
        await account.send(SUBSCRIPTION, "006A", **wanted)
    assert isinstance(await account.outcome(SUBSCRIPTION, "006A", **wanted), Applied)
    account.simulator.advance(LAG_S)
    assert len(account.held("subscription")) == 1
    assert len(account.held("invoice")) == 1


@pytest.mark.parametrize("wrong", ["price_1:x", "price_1,price_1", ":3", "price_1:-1", ""])
def test_lines_that_cannot_be_read_are_refused(wrong: str) -> None:
    with pytest.raises(ValueUnreadable):
        items_of(wrong)


NAMES = st.lists(st.integers(0, 9).map("price_{}".format), min_size=1, max_size=6, unique=True)
LINES = NAMES.flatmap(lambda names: st.tuples(*(st.builds(Item, st.just(name), st.integers(1, 4)) for name in names)))


@settings(max_examples=200, deadline=None)
@given(wanted=LINES, held=LINES)
def test_the_changes_of_lines_lead_from_what_is_held_to_what_is_wanted(
    wanted: tuple[Item, ...], held: tuple[Item, ...]
) -> None:
    lines = {f"si_{place}": item for place, item in enumerate(held)}
    for number, change in enumerate(_changed_lines(wanted, [(item, name) for name, item in lines.items()])):
        name = change.get("id", f"new_{number}")
        if change.get("deleted"):
            del lines[name]
            continue
        price = change.get("price") or lines[name].price
        lines[name] = Item(price, int(change["quantity"]))
    assert sorted(lines.values()) == sorted(wanted)
