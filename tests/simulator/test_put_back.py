"""A copy of the store that is put back more than once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from accordant.governance.phases import Tier
from accordant.operations.epoch_watch import EpochWatch
from accordant.pipeline.plan import write_rulebook
from accordant.ports.connector import DestinationClass
from accordant.store.epochs import SqlEpochBook, mark_on
from accordant.store.guard import bookkeeping
from accordant.testing.destinations import SEARCH_LAG, MemoryDestination
from accordant.testing.simulator.application import KeptMark
from accordant.testing.simulator.stage import Setting

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_copy_that_is_put_back_twice_is_noticed_twice(setting: Setting) -> None:
    store, note = setting.store, KeptMark()
    store.clear()
    rulebook = write_rulebook(setting.charter, dict.fromkeys(setting.charter.systems, Tier.GOLD))

    def a_start() -> EpochWatch:
        """What a process that starts now believes."""
        return EpochWatch(
            SqlEpochBook(store.database),
            note,
            outbounds={},
            rulebook=lambda: rulebook,
            clock=lambda: NOW,
            lease_clock=lambda: NOW,
        )

    def dispatch(at: int) -> None:
        with store.database.write() as connection, bookkeeping(connection):
            mark_on(connection, at)
        asyncio.run(a_start().keep_mark())

    dispatch(1)
    assert asyncio.run(a_start().look()).noticed_at is None
    copy = store.backup()
    dispatch(2)
    for _ in range(2):
        # Nothing is dispatched between the two: the second time only what was noticed the first time is missing.
        store.restore(copy)
        assert asyncio.run(a_start().look()).noticed_at == NOW
        assert asyncio.run(a_start().look()).noticed_at == NOW
    copy.copy.close()


def test_how_long_searches_take_is_told_by_no_wall_clock(setting: Setting) -> None:
    """Two machines a day apart: what was sent before the restore may still be missing from the target's search."""
    store, (target, *_) = setting.store, setting.targets
    store.clear()
    rulebook = write_rulebook(setting.charter, dict.fromkeys(setting.charter.systems, Tier.GOLD))
    uptime = NOW

    def a_start(wall_clock: datetime) -> EpochWatch:
        return EpochWatch(
            SqlEpochBook(store.database),
            KeptMark(),
            outbounds={target: MemoryDestination(target, DestinationClass.SEARCH_ONLY, clock=lambda: uptime)},
            rulebook=lambda: rulebook,
            clock=lambda: wall_clock,
            lease_clock=lambda: uptime,
        )

    a_start(NOW - timedelta(days=1)).declare(actor="ada", reason="The disk was replaced.")
    ahead = a_start(NOW + timedelta(days=1))
    assert asyncio.run(ahead.look()).is_open
    uptime += SEARCH_LAG
    assert not asyncio.run(ahead.look()).is_open
