"""Missed events are fetched from the provider's list, in order, once; what the list no longer holds is compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import select

from accordant.kernel.errors import TransientError
from accordant.operations import sweep as sweeping
from accordant.operations.compare_source import Part, SourceScope
from accordant.operations.sweep import SweepReport
from accordant.ports.inbox import Arrival, Reception
from accordant.store import schema
from accordant.store.engine import Database
from accordant.store.inbox import SqlInbox
from accordant.web.caretaker import Caretaker
from accordant.web.lookout import Lookout
from tests.integration.operations.kit import Installation, an_installation, leased_elsewhere
from tests.integration.operations.test_caretaker import alerts, jobs


async def sweep(one: Installation, *, since: datetime | None = None) -> SweepReport:
    return await Lookout(one.hub).sweep("stripe", actor="ada", since=since)


def move(one: Installation, **span: float) -> None:
    """Both clocks go on."""
    one.clock.move(**span)
    one.stripe.advance_to(int(one.clock().timestamp()))


async def begun(one: Installation) -> list[str]:
    """A hub that heard of two customers and has swept once; their ids."""
    customers = one.sell(2)
    move(one, minutes=5)
    await one.settle()
    move(one, minutes=5)
    await sweep(one)
    return customers


def stored(database: Database) -> list[tuple[str, int]]:
    with database.read() as connection:
        rows = connection.execute(
            select(schema.inbox_event.c.external_id, schema.inbox_event.c.occurred_at).order_by(
                schema.inbox_event.c.seq
            )
        )
        return [(row.external_id, row.occurred_at) for row in rows]


def outcomes(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.execute(select(schema.delivery.c.outcome)).scalars())


def trail(database: Database, kind: str) -> list[dict[str, object]]:
    with database.read() as connection:
        rows = connection.execute(select(schema.audit_entry.c.body).where(schema.audit_entry.c.kind == kind)).scalars()
        return [json.loads(body) for body in rows]


async def test_what_arrived_is_not_fetched_and_what_did_not_is_once_in_order(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await begun(one)
        before = len(stored(one.hub.database))
        for _ in range(3):
            move(one, minutes=2)
            one.sell(1)
        lost = [event.id for event in one.events()]
        move(one, minutes=10)
        found = await sweep(one)
        taken = stored(one.hub.database)[before:]
        assert found.total == len(taken) == len(lost)
        assert {name for name, _ in taken} == set(lost)
        assert [at for _, at in taken] == sorted(at for _, at in taken), "oldest first"
        assert outcomes(one.hub.database) == ["fetched"] * len(lost)
        assert trail(one.hub.database, "sweep.source.swept")[-1]["events"] == len(lost)
        assert (await sweep(one)).total == 0
        await one.settle()
        assert one.salesforce.count("Account") == 5


async def test_a_fetched_event_that_is_delivered_later_is_a_repeat_and_no_twin(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await begun(one)
        move(one, minutes=2)
        one.sell(1)
        late = list(one.events())
        move(one, minutes=10)
        assert (await sweep(one)).total == len(late)
        bodies = [event.body("2024-06-20") + b" " for event in late]
        assert set(one.hub.inbox.accept([one.arrival(body) for body in bodies])) == {Reception.REPEAT}
        other = json.loads(late[0].body()) | {"type": "customer.deleted"}
        verdict = one.hub.inbox.accept([one.arrival(json.dumps(other).encode())])
        assert verdict == (Reception.CONFLICT,), "another type under the same id is no respelling"
        delivered = stored(one.hub.database)[0][0]
        twin = one.stripe.book.events[delivered].body() + b" "
        assert one.hub.inbox.accept([one.arrival(twin)]) == (Reception.CONFLICT,), "two deliveries that differ"


async def test_what_becomes_visible_late_is_found_in_the_overlap(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await begun(one)
        move(one, minutes=2)
        one.sell(1)
        lost = list(one.events())
        hidden = {event.id: one.stripe.book.events.pop(event.id) for event in lost}
        move(one, minutes=10)
        assert (await sweep(one)).total == 0
        one.stripe.book.events.update(hidden)
        move(one, minutes=15)
        assert (await sweep(one)).total == len(lost)


async def test_later_than_the_overlap_the_provider_is_asked_for_what_was_not_delivered(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.stripe.add_webhook("http://127.0.0.1:1/nobody")
        one.stripe.hold_deliveries()
        await begun(one)
        move(one, minutes=2)
        one.sell(1)
        lost = list(one.events())
        hidden = {event.id: one.stripe.book.events.pop(event.id) for event in lost}
        move(one, hours=3)
        await sweep(one)
        one.stripe.book.events.update(hidden)
        move(one, hours=3)
        assert (await sweep(one)).total == 0
        move(one, hours=24)
        assert (await sweep(one)).total >= len(lost)


async def test_a_hub_that_heard_nothing_yet_begins_now(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(2)
        list(one.events())
        move(one, hours=3)
        assert (await sweep(one)).total == 0
        one.sell(1)
        said = len(list(one.events()))
        move(one, minutes=10)
        assert (await sweep(one)).total == said
        old = one.clock() - timedelta(days=1)
        assert (await sweep(one, since=old)).total > 0, "asked for by name, the past is fetched"


async def test_a_hub_that_was_away_too_long_compares_objects_and_says_so(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, _ = await begun(one)
        subscription = next(
            seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer
        )
        move(one, days=1)
        one.stripe.account.billing.cancel(subscription)
        list(one.events())
        move(one, days=34)
        list(one.events())
        found = await sweep(one)
        assert found.rescan is not None
        assert found.lost_from is not None
        assert found.rescan.fed > 0
        assert found.rescan_money is not None
        (line,) = trail(one.hub.database, "sweep.window.exceeded")
        assert line["lost_from"] == found.lost_from.isoformat()
        await one.settle()
        assert one.salesforce.record("Account", customer)["Billing_Status__c"] == "Churned"
        money = await one.hub.compare_source("stripe", actor="ada", scope=SourceScope(part=Part.MONEY))
        assert money.reconciliation.is_clean, "what was billed and paid meanwhile is known too"
        move(one, minutes=15)
        assert (await sweep(one)).rescan is None, "once is enough"


async def test_a_sweep_that_broke_off_goes_on_where_it_was(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await begun(one)
        for _ in range(6):
            move(one, hours=6)
            one.sell(1)
        lost = {event.id for event in one.events()}
        move(one, minutes=10)
        monkeypatch.setattr(SqlInbox, "accept", failing_from(3))
        with pytest.raises(TransientError, match="disk is full"):
            await sweep(one)
        monkeypatch.undo()
        first = {name for name, _ in stored(one.hub.database)} & lost
        assert 0 < len(first) < len(lost)
        again = await sweep(one)
        assert again.total == len(lost) - len(first)
        assert lost <= {name for name, _ in stored(one.hub.database)}
        assert again.listed < len(one.stripe.events()), "what was swept is not listed again"


def failing_from(call: int) -> Callable[[SqlInbox, Sequence[Arrival]], tuple[Reception, ...]]:
    """The inbox, on a disk that is full from this call on."""
    real, calls = SqlInbox.accept, count(1)

    def accept(inbox: SqlInbox, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        if next(calls) >= call:
            raise TransientError("The disk is full.")
        return real(inbox, arrivals)

    return accept


async def test_a_span_too_full_to_hold_is_narrowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await begun(one)
        for _ in range(12):
            move(one, minutes=3)
            one.sell(1)
        lost = [event.id for event in one.events()]
        move(one, minutes=10)
        monkeypatch.setattr(sweeping, "HELD_MAX", 10)
        before = len(stored(one.hub.database))
        assert (await sweep(one)).total == len(lost)
        taken = [at for _, at in stored(one.hub.database)[before:]]
        assert taken == sorted(taken)


async def test_a_second_sweep_of_a_system_waits_for_the_first(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        leased_elsewhere(one, "sweep/stripe")
        with pytest.raises(TransientError, match="is held by other"):
            await sweep(one)


async def test_the_caretaker_sweeps_by_the_clock_and_tells_when_the_window_is_over(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        await caretaker.duty_round()
        await begun(one)
        move(one, minutes=20)
        one.sell(1)
        list(one.events())
        move(one, minutes=20)
        await caretaker.duty_round()
        assert "had not arrived and were taken in" in str(jobs(one)["sweep"].told)
        assert alerts(one) == []
        move(one, days=40)
        await caretaker.duty_round()
        assert ("sweep.window", "stripe no longer lists everything this hub missed") in alerts(one)
        assert "further back than events are listed" in str(jobs(one)["sweep"].told)


async def test_a_system_that_cannot_be_asked_fails_the_duty_and_is_named(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        await caretaker.duty_round()
        await begun(one)
        move(one, minutes=20)
        one.stripe.fail_next("rate_limit", 50, retry_after_s=60)
        await caretaker.duty_round()
        assert jobs(one)["sweep"].outcome == "failed"
        assert "stripe was not swept" in str(jobs(one)["sweep"].told)
