"""Customers into Stripe, against the stand-in: found, made once, changed, given up, their money never touched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accordant.canonical.intents import Applied, RefusalClass, Refused, Uncertain
from accordant.canonical.matching import KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec, ObjectSpec
from accordant.connectors.stripe.records import ValueUnreadable
from accordant.connectors.stripe.simulator_searching import LAG_S
from accordant.ports.connector import AnswerLost, DestinationClass, RateLimited, RecordWrite
from tests.connectors.stripe.outbound_kit import ACCOUNT_KEY, CUSTOMER, TEXT, Account, an_account, answering, writes

ACME = {"name": "Acme GmbH", "email": "pay@acme.example", "address__city": "Köln", "address__country": "de"}


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with an_account() as made:
        yield made


async def test_a_customer_is_made_once_and_is_there_at_once(account: Account) -> None:
    made = await account.send(CUSTOMER, "001A", **ACME, metadata__segment="mid")
    assert isinstance(made.outcome, Applied)
    assert made.outcome.created
    assert made.request_id is not None
    assert made.request_id.startswith("req_")
    # Stripe's search does not have it yet; it is found all the same.
    held = await account.read(CUSTOMER, "001A")
    assert held is not None
    assert held.target_id == made.outcome.target_id
    assert held.fields["address.country"] == "DE"
    assert held.fields["metadata.segment"] == "mid"
    assert len(account.held("customer")) == 1
    (post,) = account.posts
    assert post.request_headers["Stripe-Version"] == "2026-10-28.endive"


async def test_a_change_sends_what_differs_and_keeps_the_rest_of_the_address(account: Account) -> None:
    await account.send(CUSTOMER, "001A", **ACME, phone="+49 221 1")
    account.simulator.advance(LAG_S)
    done = await account.outcome(CUSTOMER, "001A", address__line1="Ring 1", phone=None, preferred_locales="de, en")
    assert isinstance(done, Applied)
    assert not done.created
    (customer,) = account.held("customer")
    assert (customer["address"]["line1"], customer["address"]["city"]) == ("Ring 1", "Köln")
    assert (customer["phone"], customer["preferred_locales"]) == (None, ["de", "en"])
    assert customer["name"] == "Acme GmbH"


async def test_the_same_write_twice_makes_one_customer(account: Account) -> None:
    first = await account.put(CUSTOMER, "001A", {"name": "Acme"})
    second = await account.put(CUSTOMER, "001A", {"name": "Acme"})
    assert first.outcome == second.outcome
    assert len(account.held("customer")) == 1


async def test_two_contents_never_share_a_key(account: Account) -> None:
    await account.put(CUSTOMER, "001A", {"name": "Acme"})
    other = await account.put(CUSTOMER, "001A", {"name": "Acme AG"})
    assert isinstance(other.outcome, Applied)  # not the answer to the first, and no refusal for a key that came twice
    assert len(set(account.keys)) == 2


@pytest.mark.parametrize("fault", ["error_after_commit", "timeout_after_commit"])
async def test_an_answer_that_was_lost_is_found_by_its_key(account: Account, fault: str) -> None:
    account.simulator.fail_next(fault, method="POST", path="/v1/customers")
    with pytest.raises(AnswerLost):
        await account.send(CUSTOMER, "001A", **ACME)
    held = await account.read(CUSTOMER, "001A")
    assert held is not None
    assert len(account.held("customer")) == 1


def customer_named(name: str) -> str:
    return json.dumps({"id": f"cus_{name}", "object": "customer", "name": name, "metadata": {"crm_account_id": name}})


async def test_after_the_first_of_a_batch_a_failure_is_of_those_behind_it() -> None:
    async with answering((200, customer_named("a"), {}), (500, "{}", {}), (200, customer_named("c"), {})) as outbound:
        done, lost, unsent = (one.outcome for one in await outbound.write(CUSTOMER, writes("a", "b", "c")))
    assert done == Applied(target_id="cus_a", created=True)
    assert isinstance(lost, Uncertain)
    assert isinstance(unsent, Refused)
    assert (unsent.code, unsent.cause) == ("NOT_SENT", RefusalClass.TRANSIENT)


async def test_where_nothing_was_carried_out_the_whole_call_says_so(account: Account) -> None:
    account.simulator.fail_next("rate_limit", method="POST", path="/v1/customers", retry_after_s=7)
    with pytest.raises(RateLimited) as told:
        await account.outbound.write(CUSTOMER, writes("a", "b"))
    assert told.value.retry_after_s == 7
    assert account.held("customer") == []


async def test_a_deleted_customer_is_told_and_never_written(account: Account) -> None:
    made = await account.outcome(CUSTOMER, "001A", **ACME)
    assert isinstance(made, Applied)
    account.simulator.account.delete_customer(account.held("customer")[0])
    places = await account.outbound.whereabouts(CUSTOMER, [made.target_id, "cus_none"])
    assert places.keys() == {made.target_id}
    assert places[made.target_id].deleted
    assert await account.read(CUSTOMER, "001A") is None
    write = RecordWrite(key="001A", fields={"name": "A"}, idempotency_key="late", target_id=made.target_id)
    (late,) = await account.outbound.write(CUSTOMER, [write])
    assert isinstance(late.outcome, Refused)
    assert (late.outcome.code, late.outcome.cause) == ("GONE", RefusalClass.TRANSIENT)


async def test_two_customers_under_one_key_are_a_question_for_a_person(account: Account) -> None:
    for name in ("first", "second"):
        account.simulator.account.create_customer({"name": name, "metadata": {"crm_account_id": "001A"}})
        account.simulator.advance(1)
    held = await account.read(CUSTOMER, "001A")
    assert held is not None
    assert held.fields["name"] == "first"
    refused = await account.outcome(CUSTOMER, "001A", name="third")
    assert isinstance(refused, Refused)
    assert refused.code == "KEY_TWICE"
    assert [one["name"] for one in account.held("customer")] == ["first", "second"]


async def test_a_customer_that_was_there_takes_our_key_and_gives_it_back(account: Account) -> None:
    there = account.simulator.account.create_customer({"name": "Acme", "email": "pay@acme.example"})
    write = RecordWrite(key="001A", fields={}, idempotency_key="take", target_id=there["id"])
    (taken,) = await account.outbound.write(CUSTOMER, [write])
    assert taken.outcome == Applied(target_id=there["id"], created=False)
    assert account.held("customer")[0]["metadata"] == {"crm_account_id": "001A"}
    freed = RecordWrite(key="001A", fields={}, idempotency_key="free", target_id=there["id"], frees=True)
    (given_back,) = await account.outbound.write(CUSTOMER, [freed])
    assert isinstance(given_back.outcome, Applied)
    assert account.held("customer")[0]["metadata"] == {}


async def test_no_field_of_the_money_can_be_named(account: Account) -> None:
    for name in ("balance", "coupon", "tax_exempt", "invoice_settings.default_payment_method", "source"):
        spec = ObjectSpec(name="customer", key_field=ACCOUNT_KEY, fields={name: TEXT})
        with pytest.raises(ValueUnreadable):
            account.outbound.canonical(spec, {name: "1"})
        (result,) = await account.outbound.write(spec, [RecordWrite(key="k", fields={name: "1"}, idempotency_key="i")])
        assert isinstance(result.outcome, Refused)
    assert account.posts == []


async def test_customers_are_looked_for_by_e_mail_and_by_our_key(account: Account) -> None:
    account.simulator.account.create_customer({"name": "Old", "email": "Pay@Acme.example"})
    account.simulator.advance(LAG_S)
    new = account.simulator.account.create_customer({"name": "New", "email": "pay@acme.example", "phone": "1"})
    account.simulator.account.create_customer({"name": "Other", "email": "else@acme.example"})
    spec = IdentitySpec(system="billing", object="customer", key_field=ACCOUNT_KEY)
    found = await account.outbound.search(spec, [MatchKey(KeyKind.EMAIL, "pay@acme.example")])
    assert {one.name for one in found} == {"Old", "New"}
    places = await account.outbound.whereabouts(CUSTOMER, [new["id"]])
    await account.put(CUSTOMER, "001A", {}, held=places[new["id"]].record)
    (ours,) = await account.outbound.search(spec, [MatchKey(KeyKind.CROSS_REFERENCE, "001A")])
    assert (ours.id, ours.cross_references) == (new["id"], ("001A",))
    pages = [page async for page in account.outbound.census(spec)]
    assert [one.id for page in pages for one in page] == sorted(one["id"] for one in account.held("customer"))


async def test_an_answer_that_shows_another_value_is_no_success(account: Account) -> None:
    there = account.simulator.account.create_customer({"name": "Acme"})
    original = account.simulator.commands.update_customer

    def forgetful(one: str, given: object) -> object:
        answer = original(one, given)  # type: ignore[arg-type]
        return {**answer, "name": "Someone else"}

    account.simulator.commands._routes["POST customers/{}"] = forgetful  # type: ignore[assignment]
    write = RecordWrite(key="001A", fields={"name": "Acme AG"}, idempotency_key="x", target_id=there["id"])
    (result,) = await account.outbound.write(CUSTOMER, [write])
    assert isinstance(result.outcome, Uncertain)
    assert "name" in result.outcome.reason


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=PLAIN, name=PLAIN, segment=PLAIN)
async def test_whatever_is_written_is_read_back_under_its_key(
    account: Account, key: str, name: str, segment: str
) -> None:
    wanted = account.outbound.canonical(CUSTOMER, {"name": name, "metadata.segment": segment})
    outcome = await account.outcome(CUSTOMER, key, name=name, metadata__segment=segment)
    assert isinstance(outcome, Applied)
    account.simulator.advance(LAG_S)
    held = await account.read(CUSTOMER, key)
    assert held is not None
    assert {name: held.fields[name] for name in wanted} == wanted


async def test_a_customer_is_of_the_class_that_takes_keys(account: Account) -> None:
    protocol = account.outbound.protocol("customer")
    assert protocol.destination_class is DestinationClass.IDEMPOTENCY_KEY
    assert protocol.key_life is not None
    assert protocol.key_life.total_seconds() == 86_400
