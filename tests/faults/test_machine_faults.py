"""The quick tier of what a machine can do to the product: disk, power, watch, descriptors, memory, quantity.

Judged by the sender's list of answers, the CRM's own ledger and the billing API; `python -m tests.faults` runs more.
"""

from __future__ import annotations

import sys

import pytest

from tests.conftest import missing
from tests.faults.drills import can_mount
from tests.faults.shim import compiler
from tests.faults.test_process_faults import expect_sound
from tests.faults.tiers import DRILLS, run_drill

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD, prlimit and /proc are Linux's"),
]


async def test_whatever_a_machine_does_nothing_acknowledged_is_lost_and_nothing_is_done_twice() -> None:
    if compiler() is None:
        missing("A C compiler", "Install gcc: the bad disk and the bad watch are a small library that is preloaded.")
    expect_sound(await run_drill("everything", "sqlite", DRILLS["everything"].sizes["quick"]))


@pytest.mark.nightly
async def test_a_small_disk_that_is_full_refuses_and_goes_on_alone() -> None:
    if not can_mount():
        pytest.skip("Only root can mount a small disk; the disk that refuses is tried above for everybody.")
    expect_sound(await run_drill("quota", "sqlite", DRILLS["quota"].sizes["quick"]))


@pytest.mark.parametrize("drill", ["memory", "duplicates"])
async def test_neither_repeats_nor_a_crowd_cost_a_row_or_the_memory(drill: str) -> None:
    expect_sound(await run_drill(drill, "sqlite", DRILLS[drill].sizes["quick"]))
