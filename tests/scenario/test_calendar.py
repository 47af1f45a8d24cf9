"""What changes with the calendar alone: once a day, by one worker, and again after a crash in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from accordant.bootstrap import Hub, checked_charter
from accordant.demo.company import environment, write_charter
from accordant.kernel.errors import InvariantBroken
from accordant.settings import Settings
from accordant.store.calendar import Calendar


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, store_url: str) -> Settings:
    charter = write_charter(tmp_path / "charter", stripe_url="http://127.0.0.1:9", salesforce_url="http://127.0.0.1:9")
    return Settings(home=tmp_path, charter=charter, store=store_url)


@pytest.fixture
def hubs(settings: Settings, clock: Clock) -> Iterator[tuple[Hub, Hub]]:
    """Two workers of one installation."""
    made = [Hub(settings, checked_charter(settings), environment=environment(), clock=clock) for _ in range(2)]
    yield made[0], made[1]
    for hub in made:
        hub.database.close()


def counted(hub: Hub, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> list[date]:
    """The days on which this hub decided everything; with ``fails`` it comes to grief each time."""
    days: list[date] = []

    def replan(repair: frozenset[str] = frozenset(), *, whole: bool = False) -> int:
        days.append(hub.clock().date())
        if fails:
            raise InvariantBroken("The example fails.")
        return 0

    monkeypatch.setattr(hub, "replan_accounts", replan)
    return days


def test_a_day_is_decided_once_whoever_comes_first(
    hubs: tuple[Hub, Hub], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [counted(hub, monkeypatch) for hub in hubs]
    for _ in range(3):
        for hub in hubs:
            hub.process_round()
    clock.now += timedelta(days=1)
    for hub in (*reversed(hubs), *hubs):
        hub.process_round()
    assert days == [[date(2026, 3, 1)], [date(2026, 3, 2)]]


def test_while_one_worker_decides_no_other_does_and_a_dead_one_is_relieved(
    hubs: tuple[Hub, Hub], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hubs
    first.leases.acquire("the day's turn", ttl=timedelta(minutes=2), now=clock())  # and then it is killed
    days = counted(second, monkeypatch)
    second.process_round()
    assert days == []
    clock.now += timedelta(minutes=3)
    second.process_round()
    assert days == [date(2026, 3, 1)]
    assert Calendar(second.database).planned_on() == date(2026, 3, 1)


def test_a_day_that_could_not_be_decided_stops_no_event_and_is_tried_at_the_next_start(
    hubs: tuple[Hub, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hubs
    failed = counted(first, monkeypatch, fails=True)
    assert [first.process_round() for _ in range(3)] == [0, 0, 0]
    assert len(failed) == 1
    assert Calendar(first.database).planned_on() is None
    days = counted(second, monkeypatch)
    second.process_round()
    assert len(days) == 1
