"""The hub and a Salesforce that misbehaves, over HTTP: nothing is written twice, forgotten or in the way of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from accordant.store import schema
from tests.integration.operations.kit import Installation, brisk

OBJECTS = ("Account", "Billing_Subscription__c")


async def rounds(one: Installation, count: int = 12, *, seconds: float = 5.0) -> None:
    """Courier rounds, the clock moved on between them."""
    for _ in range(count):
        await one.hub.deliver_round("salesforce")
        one.clock.move(seconds=seconds)


def prepare(one: Installation, count: int) -> list[str]:
    """New customers, decided and not yet written."""
    customers = one.sell(count)
    one.take_in()
    one.process()
    return customers


def intents(one: Installation) -> list[tuple[str, str, str, int]]:
    columns = schema.write_intent.c
    with one.hub.database.read() as connection:
        rows = connection.execute(select(columns.object, columns.record, columns.state, columns.attempts))
        return [(row.object, row.record.rpartition("/")[2], row.state, row.attempts) for row in rows]


def states(one: Installation) -> set[str]:
    return {state for _, _, state, _ in intents(one)} - {"superseded"}


def attempts(one: Installation) -> set[int]:
    return {count for _, _, state, count in intents(one) if state != "superseded"}


def receipts(one: Installation) -> set[str]:
    with one.hub.database.read() as connection:
        return set(connection.execute(select(schema.write_receipt.c.outcome)).scalars())


def alerts(one: Installation) -> list[str]:
    with one.hub.database.read() as connection:
        return list(connection.execute(select(schema.alert.c.subject)).scalars())


def each_written_once(one: Installation, customers: list[str]) -> None:
    """The org's own count: one account and one subscription a customer, each committed exactly once."""
    assert {name: one.salesforce.count(name) for name in OBJECTS} == dict.fromkeys(OBJECTS, len(customers))
    assert [len(one.salesforce.effects_of("Account", customer)) for customer in customers] == [1] * len(customers)
    assert one.writes() == 2 * len(customers)


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after", "error_after", "html", "truncated"])
async def test_an_answer_lost_after_the_commit_is_probed_and_nothing_is_written_twice(
    tmp_path: Path, kind: str
) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 3)
        one.salesforce.fault(kind, method="PATCH", times=1, seconds=2.0)
        await one.hub.deliver_round("salesforce")
        assert one.salesforce.faults.struck == {kind: 1}
        assert {state for name, _, state, _ in intents(one) if name == "Account"} - {"superseded"} == {"uncertain"}
        assert one.salesforce.count("Billing_Subscription__c") == 0  # its account is in doubt
        await rounds(one)
        each_written_once(one, customers)
        assert states(one) == {"applied", "already_applied"}
        assert receipts(one) == {"Uncertain", "AlreadyApplied", "Applied"}
        assert alerts(one) == []


@pytest.mark.parametrize("kind", ["timeout_before", "reset_before", "error_before"])
async def test_an_answer_lost_before_the_commit_is_written_by_the_next_try(tmp_path: Path, kind: str) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 3)
        one.salesforce.fault(kind, method="PATCH", times=1, seconds=2.0)
        await rounds(one)
        assert one.salesforce.faults.struck == {kind: 1}
        each_written_once(one, customers)
        assert states(one) == {"applied"}


async def test_an_org_that_is_down_costs_no_attempt_and_catches_up(tmp_path: Path) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 4)
        await one.salesforce.go_down(refuse=False)
        await rounds(one, 2, seconds=600)
        assert states(one) == {"pending"}
        assert attempts(one) == {0}
        assert one.hub.breakers["salesforce"].failures == 2
        assert receipts(one) == set()
        await one.salesforce.come_up()
        await rounds(one, 6, seconds=600)
        each_written_once(one, customers)
        assert attempts(one) == {1}
        assert one.hub.breakers["salesforce"].failures == 0
        assert alerts(one) == []


async def test_an_expired_login_is_renewed_and_nothing_is_lost(tmp_path: Path) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        first = prepare(one, 2)
        await rounds(one, 3)
        each_written_once(one, first)
        one.salesforce.expire_tokens()
        granted = one.salesforce.tokens.granted
        second = prepare(one, 2)
        await rounds(one, 4)
        assert one.salesforce.tokens.granted == granted + 1
        each_written_once(one, first + second)
        assert attempts(one) == {1}


async def test_a_login_that_is_refused_again_and_again_waits_for_a_person(tmp_path: Path) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 2)
        one.salesforce.fault("expired", times=None)
        await rounds(one, 6, seconds=600)
        assert states(one) == {"pending"}
        assert attempts(one) == {0}
        assert one.writes() == 0
        one.salesforce.faults.clear()
        await rounds(one, 4, seconds=600)
        each_written_once(one, customers)


async def test_the_time_the_org_asks_for_is_given(tmp_path: Path) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 2)
        one.salesforce.fault("too_many", times=1, seconds=120)
        await one.hub.deliver_round("salesforce")
        struck = dict(one.salesforce.faults.struck)
        assert struck == {"too_many": 1}
        used = one.salesforce.rest.calls_used
        for _ in range(11):
            one.clock.move(seconds=10)
            assert await one.hub.deliver_round("salesforce") == 0
        assert one.salesforce.rest.calls_used == used  # not one call for the whole time
        one.clock.move(seconds=15)
        await rounds(one, 4)
        each_written_once(one, customers)
        assert attempts(one) == {1}


async def test_one_rejected_row_of_200_is_one_dead_letter_and_one_alert(store_url: str, tmp_path: Path) -> None:
    async with brisk(store_url, tmp_path) as one:
        customers = prepare(one, 200)
        bad = customers[77]
        one.salesforce.reject("Account", bad)
        await rounds(one, 6)
        others = [customer for customer in customers if customer != bad]
        each_written_once(one, others)
        stuck = {
            (name, key): (state, count) for name, key, state, count in intents(one) if state in {"dead", "pending"}
        }
        assert stuck.pop(("Account", bad)) == ("dead", 1)
        assert [state for state, _ in stuck.values()] == ["pending"]  # the subscription of that account waits behind it
        (subject,) = alerts(one)
        assert subject.startswith("salesforce:acc_")
        with one.hub.database.read() as connection:
            parked = list(connection.execute(select(schema.parked_lane.c.reason)).scalars())
        assert len(parked) == 1
        assert "validation rule" in parked[0]


async def test_a_locked_row_is_tried_again_and_its_neighbours_do_not_wait(tmp_path: Path) -> None:
    async with brisk(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = prepare(one, 5)
        one.salesforce.reject("Account", customers[0], code="UNABLE_TO_LOCK_ROW", times=2)
        await one.hub.deliver_round("salesforce")
        assert one.salesforce.count("Account") == 4
        await rounds(one, 10)
        each_written_once(one, customers)
        assert max(attempts(one)) == 3
        assert alerts(one) == []
