"""The setting of the simulator's tests: the demo's charter on a store in memory, made once for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from accordant.cli.simulated_hub import a_setting
from accordant.testing.simulator.stage import Setting


@pytest.fixture(scope="session")
def setting() -> Iterator[Setting]:
    """The demo's charter on a store in memory, one for all tests of this process."""
    with structlog.testing.capture_logs(), a_setting(None) as made:
        yield made
