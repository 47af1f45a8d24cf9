"""A phase widens one step at a time, narrows at once, and never goes beyond what the connectors have earned."""

import pytest

from accordant.canonical.charter import Phase
from accordant.governance.charter import check_charter
from accordant.governance.findings import Severity
from accordant.governance.phases import CAP_OF_TIER, Tier, cap_of, is_wider, may_become, narrower, next_phase
from tests.unit.governance.company import CONNECTORS, charter, raw

DRAFT, READ_ONLY, CONTROLLED, AUTOMATED = Phase

ALLOWED = {
    None: {DRAFT, READ_ONLY},
    DRAFT: {DRAFT, READ_ONLY},
    READ_ONLY: {DRAFT, READ_ONLY, CONTROLLED},
    CONTROLLED: {DRAFT, READ_ONLY, CONTROLLED, AUTOMATED},
    AUTOMATED: {DRAFT, READ_ONLY, CONTROLLED, AUTOMATED},
}


@pytest.mark.parametrize("after", list(Phase))
@pytest.mark.parametrize("before", [None, *Phase])
def test_every_transition(before: Phase | None, after: Phase) -> None:
    assert may_become(before, after) is (after in ALLOWED[before])


def test_phases_are_a_ladder() -> None:
    ladder = list(Phase)
    assert ladder == [DRAFT, READ_ONLY, CONTROLLED, AUTOMATED]
    for low, one in enumerate(ladder):
        for high, other in enumerate(ladder):
            assert is_wider(other, one) is (high > low)
            assert narrower(one, other) is narrower(other, one) is ladder[min(low, high)]
    assert [next_phase(phase) for phase in ladder] == [READ_ONLY, CONTROLLED, AUTOMATED, AUTOMATED]


@pytest.mark.parametrize(
    ("source", "target", "cap"),
    [
        (Tier.BRONZE, Tier.BRONZE, READ_ONLY),
        (Tier.BRONZE, Tier.SILVER, CONTROLLED),
        (Tier.BRONZE, Tier.GOLD, AUTOMATED),
        (Tier.BRONZE, Tier.PLATINUM, AUTOMATED),
        (Tier.GOLD, Tier.BRONZE, READ_ONLY),
        (Tier.GOLD, Tier.UNPROVED, DRAFT),
        (Tier.UNPROVED, Tier.GOLD, DRAFT),
    ],
)
def test_what_two_connectors_have_earned(source: Tier, target: Tier, cap: Phase) -> None:
    assert cap_of(source, target) is cap


def test_every_tier_has_a_cap_and_a_better_tier_never_a_narrower_one() -> None:
    assert set(CAP_OF_TIER) == set(Tier)
    caps = [CAP_OF_TIER[tier] for tier in Tier]
    assert caps == sorted(caps, key=list(Phase).index)


# -- the charter's part about it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clean_days", "min_events", "sampled_traces", "observe_days"])
def test_figures_that_ask_for_nothing_or_too_much_are_refused(name: str) -> None:
    for figure in (0, -1, 10_000_000):
        (defect,) = check_charter(
            charter(raw() | {"phases": {"approvers": ["Ada"], name: figure}}), connectors=CONNECTORS
        )
        assert (defect.where, defect.severity) == (f"phases.{name}", Severity.ERROR)


def test_approvers_are_persons_named_once() -> None:
    named = check_charter(charter(raw() | {"phases": {"approvers": ["Ada", " ", "a DA"]}}), connectors=CONNECTORS)
    assert [defect.where for defect in named] == ["phases.approvers[1]", "phases.approvers[2]"]


def test_flows_nobody_can_approve_are_shown() -> None:
    (defect,) = check_charter(charter(raw() | {"phases": {}}), connectors=CONNECTORS)
    assert (defect.where, defect.severity, defect.flows) == ("phases.approvers", Severity.WARNING, ("accounts",))
