"""The first months of the company's year against a running Tryton; the whole is `python -m tests.connectors.tryton`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.tax_report import Reported
from tests.connectors.tryton.test_story import the_erp
from tests.connectors.tryton.year import a_year
from tests.connectors.tryton.year_charter import SISTER
from tests.connectors.tryton.year_judges import Seen, differences

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
MONTHS = 2
#: Kinds of entries that these months have: a line of each leads to both its ends.
KINDS = {
    "invoice_issued", "payment_applied", "credit_note", "refunded", "fee_charged", "payout_paid", "revenue_recognised",
    "revalued", "revalued cancelled", "collected_by_sister", "collected_for_sister",
}  # fmt: skip


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ({"accounts": {"1200": 101}}, "account 1200: 100 in the books, 101 in Tryton"),
        ({"coded": {("2200", ""): -19}}, "account and tax code ('2200', ''): 0 in the books, -19 in Tryton"),
        ({"owed": {"cus_1": 100, "cus_2": 1}}, "customer cus_2: 0 in the books, 1 in Tryton"),
        ({"returned": {"DE19": Reported(base=100, tax=20)}}, "tax return DE19: "),
    ],
)
def test_a_cent_that_differs_is_told(figure: dict[str, Any], words: str) -> None:
    ours = Seen(
        accounts={"1200": 100},
        coded={("2200", "DE19"): -19},
        owed={"cus_1": 100},
        returned={"DE19": Reported(base=100, tax=19)},
    )
    assert differences(ours, ours) == ()
    told = differences(ours, ours._replace(**figure))
    assert any(one.startswith(words) for one in told), told


async def test_each_month_closes_in_both_with_the_same_figures(tryton: Tryton, tmp_path: Path) -> None:
    done = await a_year(tryton, the_erp(tryton), tmp_path, months=MONTHS)
    assert [one.differences for one in done.months] == [()] * 2 * MONTHS
    assert all(one.documents == one.entries for one in done.months)
    assert [one.month for one in done.months if one.company == SISTER and one.entries] == ["2024-02"]
    assert all(one.tax_minor for one in done.months if one.company != SISTER)
    assert done.strangers == ()
    assert [(one.rule, one.event_type, one.lost) for one in done.trails if one.lost] == []
    assert {one.rule for one in done.trails} >= KINDS
    assert {one.rule for one in done.trails if one.opportunity} >= {
        "invoice_issued",
        "payment_applied",
        "credit_note",
        "refunded",
    }
