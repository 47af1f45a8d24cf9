"""A charter against the one in force: what it would change, what is refused, and who else has to say yes."""

from typing import Any

import pytest

from accordant.canonical.charter import Phase
from accordant.governance.charter import adoption_defects, compare_versions
from tests.unit.governance.company import charter, raw
from tests.unit.governance.test_charter import Spoil, put


def forty() -> dict[str, Any]:
    source = raw()
    template = source["flows"][1]
    source["flows"] = [template | {"name": f"flow-{number}", "write_fields": []} for number in range(40)]
    return source


def test_nothing_changed() -> None:
    comparison = compare_versions(charter(), charter())
    assert (comparison.defects, comparison.changed, comparison.needs_second_person) == ((), (), False)


def test_zero_flows_where_yesterday_had_forty() -> None:
    today = forty()
    today["flows"] = []
    comparison = compare_versions(charter(forty()), charter(today))
    assert [defect.where for defect in comparison.defects] == ["flows"]
    assert "has 40 flows, this one has none" in comparison.defects[0].problem
    assert comparison.needs_second_person
    assert compare_versions(charter(today), charter(today)).defects == ()


@pytest.mark.parametrize(("count", "needed"), [(0, False), (1, False), (12, False), (13, True), (40, True)])
def test_more_than_a_third_of_the_flows_needs_a_second_person(count: int, needed: bool) -> None:
    today = forty()
    for flow in today["flows"][:count]:
        flow["paused"] = True
    comparison = compare_versions(charter(forty()), charter(today))
    assert len(comparison.changed) == count
    assert comparison.needs_second_person is needed


@pytest.mark.parametrize(
    "spoil",
    [
        put("mappings", "crm", 1, "fields", "Status", "source", "plan_name"),
        put("systems", "billing", "rate_per_s", 5),
        put("ownership", 1, "winner", "person"),
        lambda source: source["flows"].clear(),
    ],
    ids=["mapping", "system", "ownership", "gone"],
)
def test_a_flow_changes_with_whatever_decides_what_it_does(spoil: Spoil) -> None:
    today = raw()
    spoil(today)
    assert "subscriptions" in compare_versions(charter(), charter(today)).changed


def test_a_new_flow_changes_none_of_yesterday() -> None:
    today = raw()
    today["flows"].append(today["flows"][1] | {"name": "third"})
    assert compare_versions(charter(), charter(today)).changed == ()


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (Phase.READ_ONLY, Phase.AUTOMATED, True),
        (Phase.DRAFT, Phase.CONTROLLED, True),
        (Phase.READ_ONLY, Phase.CONTROLLED, False),
        (Phase.AUTOMATED, Phase.DRAFT, False),
        (None, Phase.CONTROLLED, True),
        (None, Phase.READ_ONLY, False),
    ],
)
def test_a_phase_is_not_skipped(before: Phase | None, after: Phase, refused: bool) -> None:
    yesterday, today = raw(), raw()
    today["flows"][0]["phase"] = after.value
    if before is None:
        del yesterday["flows"][0]
    else:
        yesterday["flows"][0]["phase"] = before.value
    comparison = compare_versions(charter(yesterday), charter(today))
    assert [defect.where for defect in comparison.defects] == (["flows[0].phase"] if refused else [])
    assert compare_versions(None, charter(today)).defects == ()


def approved(source: dict[str, Any], *names: str) -> dict[str, Any]:
    return source | {"phases": {"approvers": list(names)}}


@pytest.mark.parametrize(
    ("actor", "approved_by", "refused"),
    [("Ada", None, True), ("Ada", "Ada", True), ("Ada", "Cy", True), ("Ada", "Bo", False), ("Cy", "Ada", False)],
)
def test_a_change_of_many_flows_waits_for_another_approver(actor: str, approved_by: str | None, refused: bool) -> None:
    today = forty()
    for flow in today["flows"][:20]:
        flow["paused"] = True
    found = adoption_defects(
        charter(approved(forty(), "Ada", "Bo")),
        charter(approved(today, "Ada", "Bo")),
        actor=actor,
        approved_by=approved_by,
    )
    assert [defect.where for defect in found] == (["phases"] if refused else [])
    alone = charter(approved(forty())), charter(approved(today))
    assert adoption_defects(*alone, actor=actor, approved_by=approved_by) == ()


def test_nobody_takes_the_approvers_away_alone() -> None:
    today = charter(approved(raw(), "Ada", "Bo")), charter(approved(raw(), "Ada"))
    (defect,) = adoption_defects(*today, actor="Ada", approved_by=None)
    assert "Who approves" in defect.problem
    assert adoption_defects(*today, actor="Ada", approved_by="Bo") == ()
