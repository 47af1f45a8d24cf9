"""Old against new: each setting that differs at its place, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.governance.charter_changes import Change, changes_between
from tests.unit.governance.company import charter, raw
from tests.unit.governance.test_charter import Spoil, drop, put


@pytest.mark.parametrize(
    ("spoil", "where", "before", "after"),
    [
        (put("company", "EXAMPLE-2"), "company", "EXAMPLE-1", "EXAMPLE-2"),
        (put("flows", 0, "phase", "read_only"), "flows[accounts].phase", "controlled", "read_only"),
        (put("flows", 0, "paused", True), "flows[accounts].paused", "false", "true"),
        (put("flows", 1, "write_fields", []), "flows[subscriptions].write_fields", "Status", "none"),
        (put("ownership", 0, "fields", {"name": "crm"}), "ownership[account].fields.name", None, "crm"),
        (put("ownership", 1, "readers", ["crm", "x"]), "ownership[subscription].readers", "crm", "crm; x"),
        (
            put("mappings", "crm", 0, "fields", "MRR", "source", "at_risk_mrr"),
            "mappings.crm[account to Company].fields.MRR.source",
            "mrr",
            "at_risk_mrr",
        ),
        (put("systems", "crm", "rate_per_s", 5), "systems.crm.rate_per_s", "20", "5"),
    ],
)
def test_one_change_is_told_at_its_place(spoil: Spoil, where: str, before: str | None, after: str | None) -> None:
    changed = raw()
    spoil(changed)
    assert changes_between(charter(), charter(changed)) == (Change(where=where, before=before, after=after),)


def test_what_came_and_what_went_is_told_whole() -> None:
    changed = raw()
    drop("flows", 1)(changed)
    (gone,) = changes_between(charter(), charter(changed))
    assert (gone.where, gone.after) == ("flows[subscriptions]", None)
    assert gone.before is not None
    assert "entity: subscription" in gone.before
    (came,) = changes_between(charter(changed), charter())
    assert (came.where, came.before, came.after) == (gone.where, None, gone.before)


def test_order_alone_is_no_change_of_a_flow() -> None:
    turned = raw()
    turned["flows"].reverse()
    assert changes_between(charter(), charter(turned)) == ()


@given(st.sets(st.sampled_from(["company", "timezone", "phase", "readers"])))
def test_a_charter_differs_from_itself_in_nothing_and_from_another_in_what_was_changed(
    names: set[str],
) -> None:
    changes: dict[str, Any] = {
        "company": put("company", "X"),
        "timezone": put("timezone", "UTC"),
        "phase": put("flows", 0, "phase", "draft"),
        "readers": put("ownership", 0, "readers", []),
    }
    changed = raw()
    for name in names:
        changes[name](changed)
    assert changes_between(charter(changed), charter(changed)) == ()
    assert {one.where.rpartition(".")[2] for one in changes_between(charter(), charter(changed))} == names
