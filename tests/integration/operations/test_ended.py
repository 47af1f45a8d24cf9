"""A subscription that ended long ago: its account's standing has forgotten it, its record stays right all the same."""

from __future__ import annotations

from pathlib import Path

import msgspec

from accordant.store import schema
from tests.integration.operations.kit import Installation, an_installation, recharter

OBJECT = "Billing_Subscription__c"


def sell_and_end(one: Installation, count: int) -> list[str]:
    """A customer with a subscription, and as many more that ended one day after another; the ids of those."""
    (customer,) = one.sell(1)
    account = one.stripe.account
    record = account.book.get("customer", customer)
    price = next(iter(account.book.table("price").values()))
    ended = []
    for _ in range(count):
        ended.append(account.billing.subscribe(record, [(price, 1)]))
        account.book.advance_to(account.book.now + 86_400)
        one.clock.move(days=1)
        account.billing.cancel(ended[-1])
    return [str(one["id"]) for one in ended]


async def settle(one: Installation) -> None:
    """Everything is decided and written, and nothing is owed to anybody any more."""
    await one.settle()
    for _ in range(2):
        one.clock.move(minutes=1)
        one.hub.process_round()


def desired(one: Installation) -> dict[str, tuple[str, ...]]:
    """What stands beside every desired record, by its name."""
    with one.hub.database.read() as connection:
        refs = [row.ref for row in connection.execute(schema.desired_record.select())]
    return {ref: known.notes for ref, known in one.hub.state.desired(refs).items()}


async def test_a_pause_in_the_charter_leaves_nothing_behind_when_it_is_over(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        ended = sell_and_end(one, 3)
        flows = one.hub.charter.flows
        recharter(one.hub, [msgspec.structs.replace(flow, paused=flow.object == OBJECT) for flow in flows])
        one.hub.enforce_charter()
        await settle(one)
        beside = desired(one)
        assert all(any("paused" in note for note in beside[f"salesforce:{OBJECT}/{name}"]) for name in ended)
        recharter(one.hub, flows)
        one.hub.enforce_charter()
        await one.deliver()
        assert set(desired(one).values()) == {()}
        assert (await one.hub.reconcile("subscriptions", actor="ada")).is_clean


async def test_its_record_is_repaired_like_any_other(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, *_ = sell_and_end(one, 3)
        await settle(one)
        right = one.salesforce.record(OBJECT, first)["Status__c"]
        one.salesforce.edit(OBJECT, first, "Status__c", "Active", "grace@example.com")
        found = await one.hub.reconcile("subscriptions", actor="ada")
        assert not found.is_clean
        one.hub.repair(found.run.id, actor="ada")
        await one.deliver()
        assert one.salesforce.record(OBJECT, first)["Status__c"] == right
