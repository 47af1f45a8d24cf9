"""The figure that is counted beside the pages: never twice at once, never more often than it can afford."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from accordant.store.engine import StoreUnavailable
from accordant.views.agreement import Agreement
from accordant.web.console.gauge import PATIENCE_S, SHARE_OF_TIME, Gauge

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_quick_count_is_on_the_page_at_once_and_made_anew_for_each() -> None:
    at = [NOW]
    gauge = Gauge(lambda: Agreement(counted_at=at[0], flows=()), lambda: at[0])
    first = gauge.read()
    assert first is not None
    at[0] += timedelta(seconds=5)
    second = gauge.read()
    assert second is not None
    assert second.counted_at > first.counted_at


def test_a_slow_count_is_made_once_and_keeps_nobody_waiting() -> None:
    begun, go_on = [], threading.Event()

    def count() -> Agreement:
        begun.append(1)
        go_on.wait(10)
        return Agreement(counted_at=NOW, flows=())

    at = [NOW]
    gauge = Gauge(count, lambda: at[0])
    assert gauge.read() is None
    began = time.perf_counter()
    assert gauge.read() is None
    assert time.perf_counter() - began < PATIENCE_S
    assert len(begun) == 1
    go_on.set()
    for _ in range(100):
        if gauge.read() is not None:
            break
        time.sleep(0.02)
    at[0] += timedelta(seconds=PATIENCE_S * (SHARE_OF_TIME - 1))
    assert gauge.read() is not None
    assert len(begun) == 1
    at[0] += timedelta(seconds=1000)
    gauge.read()
    time.sleep(0.05)
    assert len(begun) == 2


def test_a_store_that_is_away_leaves_the_last_count_in_force() -> None:
    fails = [False]
    at = [NOW]

    def count() -> Agreement:
        if fails[0]:
            raise StoreUnavailable
        return Agreement(counted_at=at[0], flows=())

    gauge = Gauge(count, lambda: at[0])
    assert gauge.read() is not None
    fails[0] = True
    at[0] += timedelta(seconds=100)
    kept = gauge.read()
    assert kept is not None
    assert kept.counted_at == NOW
