"""A person's word was kept and the process died before it was followed: whoever works next follows it, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.canonical.review import ReviewAction
from accordant.operations.clear import record_clearance
from accordant.operations.turns import Turns
from tests.integration.operations.kit import MRR, Installation, an_installation
from tests.integration.operations.test_clearances import GATE, a_finding, gate
from tests.integration.operations.test_identity import accounts, customer, identify


def owed(one: Installation) -> list[str]:
    return [due.account_id for due in one.hub.owed.waiting(before=one.clock(), limit=10)]


async def test_a_clearance_is_followed_although_its_process_died(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        await one.settle()
        (account_id,) = one.hub.state.account_ids()
        hub = one.hub
        # All that `Hub.clear` does before it decides again.
        record_clearance(
            a_finding(one, account_id), charter=hub.charter, book=hub.clearances, state=hub.state, now=one.clock()
        )
        await one.deliver()
        assert (one.salesforce.count("Account"), owed(one)) == (0, [account_id])

        one.clock.move(seconds=2)
        one.process()
        assert owed(one) == [account_id], "whoever took the word has a moment for it himself"
        one.clock.move(seconds=10)
        one.process()
        await one.deliver()
        assert (one.salesforce.count("Account"), owed(one)) == (1, [])
        written = one.writes()
        one.clock.move(minutes=1)
        one.process()
        await one.deliver()
        assert one.writes() == written


async def test_a_word_on_a_case_is_followed_although_its_process_died(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        identify(one, unmatched="review")
        await one.hub.scan_directory("salesforce")
        buyer = customer(one, "Contoso", "ap@contoso-x.com")
        await one.settle()
        with monkeypatch.context() as dying:
            dying.setattr(one.hub.review_room, "_replan", lambda _: None)
            await one.hub.review_room.decide(ReviewAction.CREATE, buyer, actor="ada", reason="New to us.")
        assert len(owed(one)) == 1
        one.clock.move(seconds=10)
        one.process()
        await one.deliver()
        (record,) = accounts(one.salesforce)
        assert (record[MRR], owed(one)) == (100, [])


async def test_what_is_followed_at_once_is_followed_once_more(store_url: str, tmp_path: Path) -> None:
    """A batch that read the account before the word may commit after it was followed: it is looked at again, once."""
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        await one.settle()
        (account_id,) = one.hub.state.account_ids()
        one.hub.clear(a_finding(one, account_id))
        assert owed(one) == [account_id]
        await one.settle()
        written = one.writes()
        one.clock.move(seconds=11)
        one.process()
        assert owed(one) == []
        await one.settle()
        assert one.writes() == written


async def test_a_word_that_is_given_again_meanwhile_stays_owed(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        await one.settle()
        (account_id,) = one.hub.state.account_ids()
        hub = one.hub

        def told() -> None:
            found = a_finding(one, account_id)
            record_clearance(found, charter=hub.charter, book=hub.clearances, state=hub.state, now=one.clock())

        told()
        before = hub.owed.of([account_id])
        one.clock.move(seconds=1)
        told()
        hub.owed.settle(before)
        assert owed(one) == [account_id]


async def test_a_failure_does_not_stop_the_events_and_is_tried_again(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        await one.settle()
        (account_id,) = one.hub.state.account_ids()
        hub = one.hub
        found = a_finding(one, account_id)
        record_clearance(found, charter=hub.charter, book=hub.clearances, state=hub.state, now=one.clock())
        turns: Turns = hub._turns
        kept = turns._replan_some

        def broken(_: tuple[str, ...]) -> int:
            raise ZeroDivisionError

        turns._replan_some = broken
        one.clock.move(seconds=10)
        one.process()
        turns._replan_some = kept
        one.clock.move(seconds=10)
        one.process()
        assert owed(one) == [account_id], "after a failure it rests"
        one.clock.move(minutes=1)
        one.process()
        assert owed(one) == []
