"""The bench of one batch: what has moved on it is not read over by what is stored."""

from __future__ import annotations

from datetime import UTC, datetime

from accordant.canonical.entities import Subscription
from accordant.canonical.standing import Standing
from accordant.pipeline.workbench import Workbench
from accordant.ports.audit import AuditEntry
from accordant.ports.state import Changes, StoredStanding
from accordant.store.engine import Database
from accordant.store.state import SqlState

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)


def _told() -> AuditEntry:
    return AuditEntry(kind="registry.account.noted", actor="test", subject="account/acc_1", cause=1, at=NOW, body={})


def test_a_standing_that_moved_in_a_batch_stays_as_it_moved(database: Database) -> None:
    state = SqlState(database)
    changes = Changes()
    changes.standings.append(StoredStanding(account_id="acc_1", version=1, standing=Standing()))
    changes.audit.append(_told())
    state.commit(changes, now=NOW)
    bench = Workbench(state, NOW)
    bench.load_standings(["acc_1"])
    sold = Subscription(external_id="sub_1", customer_id="cus_1", status="active")
    bench.advance_standing("acc_1", None, sold)
    bench.load_standings(["acc_1", "acc_2"])
    assert bench.standing("acc_1").subscriptions == (sold,)
    moved = bench.collect()
    moved.audit.append(_told())
    state.commit(moved, now=NOW)
    assert state.standings(["acc_1"])["acc_1"].version == 2
