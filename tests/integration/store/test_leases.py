"""Leases: one owner at a time, and a token that tells the owners apart."""

import threading
from concurrent.futures import ThreadPoolExecutor
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


def test_a_lease_that_is_kept_is_renewed_seldom_and_goes_to_the_next_when_it_is_not(database: Database) -> None:
    ours, theirs = Leases(database, "worker-1"), Leases(database, "worker-2")
    assert ours.is_ours("house", ttl=_TTL, now=NOW)
    assert ours.is_ours("house", ttl=_TTL, now=NOW + 9 * SECOND)  # not renewed: a third is not over
    assert not theirs.is_ours("house", ttl=_TTL, now=NOW + 29 * SECOND)
    assert theirs.is_ours("house", ttl=_TTL, now=NOW + 30 * SECOND)
    assert not ours.is_ours("house", ttl=_TTL, now=NOW + 31 * SECOND)


@pytest.mark.parametrize("step", [-86_400, -3_600, 3_600, 86_400])
def test_a_step_of_the_callers_watch_ends_no_lease_and_keeps_none(database: Database, step: int) -> None:
    steady = [NOW]
    ours, theirs = (Leases(database, name, clock=lambda: steady[0]) for name in ("worker-1", "worker-2"))
    ours.acquire("job", ttl=_TTL, now=NOW)
    with pytest.raises(LeaseTaken):
        theirs.acquire("job", ttl=_TTL, now=NOW + step * SECOND)
    steady[0] += _TTL
    assert theirs.acquire("job", ttl=_TTL, now=NOW + step * SECOND) == 2


def test_an_end_of_before_a_restart_of_the_machine_is_over(database: Database) -> None:
    Leases(database, "worker-1").acquire("job", ttl=_TTL, now=NOW)
    assert Leases(database, "worker-2").acquire("job", ttl=_TTL, now=NOW - 86_400 * SECOND) == 2


def test_what_a_process_held_that_is_gone_is_free_at_once(database: Database) -> None:
    Leases(database, "killed").acquire("job", ttl=_TTL, now=NOW)
    gone: set[str] = set()
    ours = Leases(database, "restarted", is_gone=gone.__contains__)
    assert ours.try_acquire("job", ttl=_TTL, now=NOW) is None
    gone.add("killed")
    assert ours.acquire("job", ttl=_TTL, now=NOW) == 2


def test_threads_of_one_owner_that_ask_at_once_all_have_the_lease(database: Database) -> None:
    """Whoever asks second for a lease that did not exist a moment ago is told that it is ours, not that it is taken."""
    ours, other = Leases(database, "worker-1"), Leases(database, "worker-2")
    with ThreadPoolExecutor(4) as pool:
        for number in range(25):
            name = f"house {number}"
            start = threading.Barrier(4)

            def ask(name: str = name, start: threading.Barrier = start) -> bool:
                start.wait()
                return ours.is_ours(name, ttl=_TTL, now=NOW)

            asked = [pool.submit(ask) for _ in range(4)]
            assert all(one.result() for one in asked), name
            assert not other.is_ours(name, ttl=_TTL, now=NOW)
