"""What was put off by a watch that was ahead is due once it was set right (RE6); a wait that somebody wants is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from accordant.canonical.intents import IntentState
from accordant.ports.inbox import Reading
from accordant.ports.outbox import LeasedIntent, Verdict
from accordant.ports.state import Changes
from accordant.store.engine import Database
from accordant.store.inbox import SqlInbox
from accordant.store.outbox import SqlOutbox
from accordant.store.schema import inbox_work, write_intent
from accordant.store.state import SqlState
from accordant.store.vault import Vault
from accordant.store.waits import shorten_waits
from tests.integration.store.rows import NOW, SECOND, a_receipt, an_arrival, an_entry, an_intent, told

DAY = timedelta(days=1)
KEY = bytes(32)


class Hub:
    """A store whose clock somebody sets."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inbox = SqlInbox(database, Vault(database, KEY))
        self.outbox = SqlOutbox(database)
        self.state = SqlState(database)

    def plan(self, key: str, at: datetime) -> None:
        self.state.commit(told(Changes(intents=[an_intent(key, at=at)])), now=at)

    def claimed(self, now: datetime) -> tuple[LeasedIntent, ...]:
        until = now + 30 * SECOND
        return self.outbox.claim(target="crm", limit=10, now=now, lease_until=until, paused_flows=frozenset())

    def postpone(self, leased: LeasedIntent, *, at: datetime, wait: timedelta) -> None:
        """A try that failed at ``at`` and is to be tried again after ``wait``."""
        receipt = a_receipt(leased.intent, leased.attempt, at=at)
        verdict = Verdict(
            leased=leased, state=IntentState.PENDING, due_at=at + wait, receipt=receipt,
            audit=an_entry(leased.intent.id),
        )  # fmt: skip
        self.outbox.settle([verdict], now=at)

    def due(self) -> dict[str, int]:
        with self.database.read() as connection:
            rows = connection.execute(select(write_intent.c.record, write_intent.c.due_at)).all()
            return {str(row.record).rpartition("/")[2]: int(row.due_at) for row in rows}


@pytest.fixture
def hub(database: Database) -> Hub:
    return Hub(database)


def test_a_write_planned_by_a_watch_that_was_a_day_ahead_goes_out_once_it_is_right(hub: Hub) -> None:
    hub.plan("ahead", NOW + DAY)
    hub.plan("right", NOW)
    assert [one.intent.key for one in hub.claimed(NOW)] == ["right"]
    assert shorten_waits(hub.database, now=NOW) == 1
    assert [one.intent.key for one in hub.claimed(NOW)] == ["ahead"]
    assert shorten_waits(hub.database, now=NOW) == 0


def test_a_pause_begun_by_such_a_watch_keeps_its_length_and_one_a_target_asked_for_its_end(hub: Hub) -> None:
    hub.plan("tried ahead", NOW)
    hub.plan("asked to wait", NOW)
    for leased in hub.claimed(NOW):
        if leased.intent.key == "tried ahead":
            hub.postpone(leased, at=NOW + DAY, wait=90 * SECOND)
        else:
            hub.postpone(leased, at=NOW, wait=DAY)
    before = hub.due()
    assert shorten_waits(hub.database, now=NOW) == 1
    assert hub.claimed(NOW + 89 * SECOND) == ()
    assert [one.intent.key for one in hub.claimed(NOW + 90 * SECOND)] == ["tried ahead"]
    assert hub.due()["asked to wait"] == before["asked to wait"]


def test_an_event_received_by_such_a_watch_is_processed_once_it_is_right(hub: Hub) -> None:
    hub.inbox.accept([an_arrival("ahead", lane="customer/1", received_at=NOW + DAY)])
    hub.inbox.accept([an_arrival("put off", lane="customer/2"), an_arrival("rereads", lane="customer/3")])
    with hub.database.read() as connection:
        seqs = list(connection.execute(select(inbox_work.c.seq).order_by(inbox_work.c.seq)).scalars())
    hub.inbox.postpone(seqs[1:], until=NOW + DAY)
    with hub.database.write() as connection:
        connection.execute(update(inbox_work).where(inbox_work.c.seq == seqs[2]).values(state="awaiting_reread"))
    assert hub.inbox.claim(limit=10, now=NOW) == ()
    assert shorten_waits(hub.database, now=NOW) == 2
    assert [one.external_id for one in hub.inbox.claim(limit=10, now=NOW)] == ["ahead"]
    assert [seq for seq, _ in hub.inbox.awaiting_reread(now=NOW, limit=10)] == [seqs[2]]


def test_an_event_whose_reading_came_while_the_watch_was_ahead_waits_for_nothing(hub: Hub) -> None:
    hub.inbox.accept([an_arrival("read again", lane="customer/1")])
    with hub.database.write() as connection:
        connection.execute(update(inbox_work).values(state="awaiting_reread", reason="stripe:customer/cus_1"))
    hub.inbox.keep_reading(1, Reading(ref="stripe:customer/cus_1", read_at=NOW, body=b"{}"), now=NOW + DAY)
    assert [one.external_id for one in hub.inbox.claim(limit=10, now=NOW)] == ["read again"]


def test_the_skew_of_machines_that_are_kept_on_time_is_left_alone(hub: Hub) -> None:
    hub.plan("skewed", NOW + 59 * SECOND)
    assert shorten_waits(hub.database, now=NOW) == 0
