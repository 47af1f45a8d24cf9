"""Schedules: the moments they name in a zone, through changes of the clocks, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.ticks import ScheduleInvalid, check_schedule, last_tick, next_tick

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = "0 3 * * *"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "moment", "last", "following"),
    [
        (NIGHTLY, "2026-01-10T02:00:00", "2026-01-10T02:00:00", "2026-01-11T02:00:00"),
        (NIGHTLY, "2026-01-10T01:59:59.999999", "2026-01-09T02:00:00", "2026-01-10T02:00:00"),
        (NIGHTLY, "2026-07-10T02:00:00", "2026-07-10T01:00:00", "2026-07-11T01:00:00"),
        ("*/15 * * * *", "2026-01-10T10:07:00", "2026-01-10T10:00:00", "2026-01-10T10:15:00"),
        ("0 6 * * mon-fri", "2026-01-10T12:00:00", "2026-01-09T05:00:00", "2026-01-12T05:00:00"),
        ("0 0 29 2 *", "2026-01-10T12:00:00", "2024-02-28T23:00:00", "2028-02-28T23:00:00"),
    ],
)
def test_the_moments_of_a_schedule(schedule: str, moment: str, last: str, following: str) -> None:
    assert last_tick(schedule, at=at(moment), zone=BERLIN) == at(last)
    assert next_tick(schedule, after=at(moment), zone=BERLIN) == at(following)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_once_a_day_is_once_on_the_days_the_clocks_change(day: str) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN) - timedelta(hours=1)
    ticks, moment = set(), start
    while moment < start + timedelta(hours=27):
        moment = next_tick("30 2 * * *", after=moment, zone=BERLIN)
        ticks.add(moment.astimezone(BERLIN).date())
    assert len(ticks) == 2


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)), st.sampled_from([NIGHTLY, "*/7 2-5 * * *", "5 4 1 * *"])
)
def test_no_moment_is_between_the_last_and_the_next(naive: datetime, schedule: str) -> None:
    moment = naive.replace(tzinfo=UTC)
    last, following = (last_tick(schedule, at=moment, zone=BERLIN), next_tick(schedule, after=moment, zone=BERLIN))
    assert last <= moment < following
    assert last_tick(schedule, at=following, zone=BERLIN) == following
    assert last_tick(schedule, at=following - timedelta(microseconds=1), zone=BERLIN) == last


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "@daily",
        "0 3 * *",
        "0 3 * * * *",
        "61 3 * * *",
        "R 3 * * *",
        "H H * * *",
        "0 0 31 2 *",
        "0 3 * * L",
    ],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleInvalid, match="no schedule"):
        check_schedule(text)


@pytest.mark.parametrize(
    "text", [NIGHTLY, "*/15 * * * *", "0 6 * * mon-fri", "0 0 1,15 * *", "0 0 29 2 *", "0 0 1 JAN *"]
)
def test_crontab_is_taken(text: str) -> None:
    check_schedule(text)
