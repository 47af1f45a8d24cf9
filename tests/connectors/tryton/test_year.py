"""Months of the company's year against a running Tryton; the whole year is `python -m tests.connectors.tryton`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_story import the_erp
from tests.connectors.tryton.year import Month, a_year

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
MONTHS = 3


async def test_each_month_closes_in_both_with_the_same_figures(tryton: Tryton, tmp_path: Path) -> None:
    told: list[Month] = []
    await a_year(tryton, the_erp(tryton), tmp_path, months=MONTHS, told=told.append)
    assert [one.differences for one in told] == [()] * MONTHS
    assert all(one.entries and one.documents == one.entries for one in told)
