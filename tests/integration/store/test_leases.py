"""Leases: one owner at a time, and a token that tells the owners apart."""

from datetime import timedelta

import pytest

from accordant.store.engine import Database
from accordant.store.leases import Leases, LeaseTaken, holds
from tests.integration.store.rows import NOW, SECOND, race

_TTL = timedelta(seconds=30)


def test_the_token_grows_with_every_owner_and_stays_through_renewals(database: Database) -> None:
    ours, theirs = Leases(database, "worker-1"), Leases(database, "worker-2")
    assert ours.acquire("rooms", ttl=_TTL, now=NOW) == 1
    assert ours.acquire("rooms", ttl=_TTL, now=NOW + 20 * SECOND) == 1
    with pytest.raises(LeaseTaken, match="held by worker-1") as refusal:
        theirs.acquire("rooms", ttl=_TTL, now=NOW + 45 * SECOND)
    assert refusal.value.retry_after_s == 5.0
    assert theirs.acquire("rooms", ttl=_TTL, now=NOW + 50 * SECOND) == 2
    with pytest.raises(LeaseTaken):
        ours.acquire("rooms", ttl=_TTL, now=NOW + 51 * SECOND)
    assert ours.acquire("rooms", ttl=_TTL, now=NOW + 80 * SECOND) == 3


def test_leases_of_other_names_are_free(database: Database) -> None:
    assert Leases(database, "worker-1").acquire("rooms", ttl=_TTL, now=NOW) == 1
    assert Leases(database, "worker-2").acquire("reconcile", ttl=_TTL, now=NOW) == 1


def test_a_returned_lease_is_free_at_once(database: Database) -> None:
    ours, theirs = Leases(database, "worker-1"), Leases(database, "worker-2")
    token = ours.acquire("rooms", ttl=_TTL, now=NOW)
    ours.release("rooms", token=token)
    assert theirs.acquire("rooms", ttl=_TTL, now=NOW) == 2


def test_a_former_owner_returns_nothing(database: Database) -> None:
    ours, theirs = Leases(database, "worker-1"), Leases(database, "worker-2")
    token = ours.acquire("rooms", ttl=_TTL, now=NOW)
    theirs.acquire("rooms", ttl=_TTL, now=NOW + 31 * SECOND)
    ours.release("rooms", token=token)
    with pytest.raises(LeaseTaken):
        Leases(database, "worker-3").acquire("rooms", ttl=_TTL, now=NOW + 32 * SECOND)


def test_only_the_current_token_holds(database: Database) -> None:
    ours, theirs = Leases(database, "worker-1"), Leases(database, "worker-2")
    old = ours.acquire("rooms", ttl=_TTL, now=NOW)
    with database.write() as connection:
        assert holds(connection, "rooms", old)
        assert not holds(connection, "nothing", old)
    new = theirs.acquire("rooms", ttl=_TTL, now=NOW + 31 * SECOND)
    with database.write() as connection:
        assert not holds(connection, "rooms", old)
        assert holds(connection, "rooms", new)


def test_of_many_who_reach_for_a_lease_one_gets_it(database: Database) -> None:
    results = race(8, lambda index: Leases(database, f"worker-{index}").acquire("rooms", ttl=_TTL, now=NOW))
    assert [result for result in results if result == 1] == [1]
    assert sum(isinstance(result, LeaseTaken) for result in results) == 7, results
