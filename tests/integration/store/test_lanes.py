"""Lanes: each partition in one share, shares as even as they can be, and no commit for who was taken for dead."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from accordant.ports.lanes import StaleLease
from accordant.ports.state import Changes
from accordant.store.engine import Database
from accordant.store.inbox import PARTITIONS, SqlInbox
from accordant.store.lanes import BEAT, TTL, SqlLanes
from accordant.store.schema import audit_entry
from accordant.store.state import SqlState
from accordant.store.vault import Vault
from tests.integration.store.rows import NOW, SECOND, an_arrival, an_entry, race

EVERY = frozenset(range(PARTITIONS))
KEY = bytes(32)


class Office:
    """Workers of one store and the clock that they share."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        #: Those whose process is known to run no more.
        self.gone: set[str] = set()

    def worker(self, name: str) -> SqlLanes:
        return SqlLanes(self.database, worker=name, clock=lambda: self.now, is_gone=self.gone.__contains__)

    def later(self, span: timedelta, *beating: SqlLanes) -> None:
        """Let time pass, in steps that keep those alive who beat."""
        end = self.now + span
        while self.now < end:
            self.now = min(end, self.now + BEAT)
            for one in beating:
                one.beat()


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def shares(office: Office, *workers: SqlLanes) -> list[frozenset[int]]:
    """What each has when nothing moves any more; two looks each are enough for what is given back to be taken."""
    for _ in range(2):
        office.later(BEAT, *workers)
        for one in workers:
            one.balance()
    return [one.balance().partitions for one in workers]


def test_one_worker_takes_everything_at_once(office: Office) -> None:
    share = office.worker("a").balance()
    assert share.partitions == EVERY
    assert share.is_whole


def test_shares_are_even_and_apart_whoever_comes_and_goes(office: Office) -> None:
    a, b, c = (office.worker(name) for name in "abc")
    assert shares(office, a) == [EVERY]
    two = shares(office, a, b)
    assert [len(one) for one in two] == [32, 32]
    three = shares(office, a, b, c)
    assert sorted(len(one) for one in three) == [21, 21, 22]
    assert frozenset().union(*three) == EVERY
    b.leave()
    left = shares(office, a, c)
    assert [len(one) for one in left] == [32, 32]
    assert left[0] | left[1] == EVERY


def test_a_worker_that_fell_silent_loses_its_lanes_after_its_time_and_not_before(office: Office) -> None:
    a, b = office.worker("a"), office.worker("b")
    mine, theirs = shares(office, a, b)
    office.later(TTL - SECOND, a)
    assert a.balance().partitions == mine
    office.later(SECOND + BEAT, a)
    assert a.balance().partitions == mine | theirs == EVERY


def test_the_lanes_of_a_process_that_is_known_to_be_gone_are_free_at_once(office: Office) -> None:
    killed = office.worker("killed")
    old = killed.balance()
    assert old.partitions == EVERY
    early = office.worker("early")
    assert early.balance().partitions == frozenset()  # it may live: it has its time
    early.leave()
    office.gone.add("killed")
    assert office.worker("restarted").balance().partitions == EVERY
    # Had it been taken for gone wrongly, what it decided would still be refused.
    with pytest.raises(StaleLease):
        SqlState(office.database).under(killed.guard(old)).commit(Changes(audit=[an_entry()]), now=NOW)


def test_who_was_taken_for_dead_commits_nothing_and_comes_back_under_a_new_token(office: Office) -> None:
    a, b = office.worker("a"), office.worker("b")
    shares(office, a, b)
    old = b.balance()
    state = SqlState(office.database).under(b.guard(old))
    state.commit(Changes(audit=[an_entry("crm:Account/1")]), now=NOW)
    office.later(TTL + BEAT, a)
    a.balance()
    with pytest.raises(StaleLease):
        state.commit(Changes(audit=[an_entry("crm:Account/2")]), now=NOW)
    inbox = SqlInbox(office.database, Vault(office.database, KEY)).under(b.guard(old))
    inbox.accept([an_arrival("evt_1")])
    with pytest.raises(StaleLease):
        inbox.claim(limit=1, now=NOW, partitions=old.partitions)
    # Its heart beats again before its rooms look: the old share is as stale as before.
    b.beat()
    with pytest.raises(StaleLease):
        state.commit(Changes(audit=[an_entry("crm:Account/3")]), now=NOW)
    shares(office, a, b)
    new = b.balance()
    assert new.token > old.token
    assert len(new.partitions) == PARTITIONS // 2
    SqlState(office.database).under(b.guard(new)).commit(Changes(audit=[an_entry("crm:Account/4")]), now=NOW)
    assert told(office.database) == ["crm:Account/1", "crm:Account/4"]


def test_silence_alone_takes_nothing_away_while_nobody_else_is_there(office: Office) -> None:
    a = office.worker("a")
    share = a.balance()
    office.later(TTL * 3)
    SqlState(office.database).under(a.guard(share)).commit(Changes(audit=[an_entry()]), now=NOW)
    a.beat()
    assert a.balance() == share


def test_an_end_of_before_a_restart_of_the_machine_is_over(office: Office) -> None:
    gone = office.worker("gone")
    gone.balance()
    office.now = NOW - timedelta(days=3)  # the uptime began anew
    assert office.worker("a").balance().partitions == EVERY


def test_workers_that_come_at_once_take_each_partition_once(database: Database) -> None:
    office = Office(database)
    workers = [office.worker(f"w{number}") for number in range(6)]
    taken = race(6, lambda index: workers[index].balance().partitions)
    assert sum(map(len, taken)) == PARTITIONS
    settled = shares(office, *workers)
    assert sum(map(len, settled)) == len(frozenset().union(*settled)) == PARTITIONS
    assert {len(one) for one in settled} <= {10, 11}


def told(database: Database) -> list[str]:
    """What the trail speaks of, in order."""
    with database.read() as connection:
        return list(connection.execute(select(audit_entry.c.subject).order_by(audit_entry.c.position)).scalars())
