"""A copy of the store that is put back more than once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from accordant.governance.phases import Tier
from accordant.operations.epoch_watch import EpochWatch
from accordant.pipeline.plan import write_rulebook
from accordant.store.epochs import SqlEpochBook, mark_on
from accordant.store.guard import bookkeeping
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
