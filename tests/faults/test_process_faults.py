"""The quick tier of what can happen to the network, the database and the books; `tests/scenario/test_kill.py` kills.

Judged by the sender's list of answers, the CRM's own ledger and the billing API; `python -m tests.faults` runs more.
"""

from __future__ import annotations

import pytest

from tests.conftest import missing
from tests.faults.cluster import programs
from tests.faults.report import Report
from tests.faults.tiers import DRILLS, run_drill

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]


def expect_sound(report: Report) -> None:
    """The run holds: no problem, every fault struck, something was compared."""
    print(report.line())
    assert report.problems == ()


async def test_no_cut_of_the_network_loses_or_doubles_anything() -> None:
    expect_sound(await run_drill("network", "sqlite", DRILLS["network"].sizes["quick"]))


@pytest.mark.postgres
async def test_a_database_that_crashes_again_and_again_is_waited_for() -> None:
    if programs() is None:
        missing("initdb", "Install PostgreSQL's server programs, so that one of its own can be stopped the hard way.")
    expect_sound(await run_drill("database", "postgres", DRILLS["database"].sizes["quick"]))


async def test_killed_workers_leave_books_that_balance_at_every_moment() -> None:
    expect_sound(await run_drill("books", "sqlite", DRILLS["books"].sizes["quick"]))


@pytest.mark.postgres
@pytest.mark.nightly
async def test_killed_workers_and_a_crashed_database_leave_books_that_balance_at_every_moment() -> None:
    if programs() is None:
        missing("initdb", "Install PostgreSQL's server programs, so that one of its own can be stopped the hard way.")
    expect_sound(await run_drill("books", "postgres", DRILLS["books"].sizes["quick"]))
