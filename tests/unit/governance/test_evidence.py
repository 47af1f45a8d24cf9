"""The gate: no figure that is red leaves it green, and each item is red for exactly what it names."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import Automation, OwnershipPart, Phase, PhasesPart
from accordant.canonical.events import EventType
from accordant.canonical.phases import Grant
from accordant.canonical.refs import EntityKind
from accordant.governance.evidence import (
    Comparison,
    Figures,
    Question,
    SampledPayout,
    SampledTrace,
    clean_days,
    judge_evidence,
    under_observation,
)
from accordant.governance.findings import Defect, Severity
from tests.unit.governance.company import charter

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
replace = msgspec.structs.replace
PART = PhasesPart(clean_days=3, min_events=10, sampled_traces=2, approvers=("Bo",))
CHARTER = replace(charter(), phases=PART)
TRACE = SampledTrace(record="crm:Company/1", event=1, intent="int_1", outcome="Compared")


def run(days_ago: float, *, unexplained: int = 0, records: int = 5) -> Comparison:
    return Comparison(run="run_1", finished_at=NOW - days_ago * DAY, records=records, unexplained=unexplained)


GREEN = Figures(
    understood={"customer.created": 10},
    business=dict.fromkeys(PART.event_types, 1),
    stuck={},
    traces=(TRACE, replace(TRACE, record="crm:Company/2")),
    outcomes={"Compared": 2, "Applied": 2},
    compared=2,
    agreeing=1,
    comparisons=tuple(run(days) for days in (0.1, 1.1, 2.1)),
    source_comparisons=(run(0.2),),
    reused_keys=0,
    doubled=0,
    untraced=0,
    waiting={},
    parked=0,
)


def ask(figures: Figures = GREEN, **changes: Any) -> set[str]:
    """The names of the items that do not hold."""
    asked: dict[str, Any] = {
        "charter": CHARTER,
        "flow": CHARTER.flows[0],
        "wished": Phase.CONTROLLED,
        "cap": Phase.CONTROLLED,
        "defects": (),
        "figures": figures,
        "history": (),
        "now": NOW,
    }
    return {item.name for item in judge_evidence(Question(**(asked | changes))) if not item.is_green}


def test_everything_green() -> None:
    assert ask() == set()


@pytest.mark.parametrize(
    ("spoiled", "red"),
    [
        ({"understood": {"customer.created": 9}}, "events"),
        ({"business": GREEN.business | {EventType.PAYMENT_FAILED: 0}}, "event-types"),
        ({"stuck": {"dead": 1}}, "stuck-events"),
        ({"traces": GREEN.traces[:1]}, "traces"),
        ({"traces": (*GREEN.traces, replace(TRACE, gap="its event is gone."))}, "traces"),
        ({"untraced": 1}, "untraceable"),
        ({"reused_keys": 1}, "key-reuse"),
        ({"doubled": 1}, "key-reuse"),
        ({"comparisons": GREEN.comparisons[:2]}, "reconciled"),
        ({"comparisons": (run(0.1, unexplained=1), *GREEN.comparisons[1:])}, "reconciled"),
        ({"comparisons": ()}, "reconciled"),
        ({"source_comparisons": ()}, "source-reconciled"),
        ({"source_comparisons": (run(0.2, unexplained=1),)}, "source-reconciled"),
        ({"compared": 1}, "compared"),
        ({"waiting": {"dead": 1}}, "exceptions"),
        ({"parked": 1}, "exceptions"),
    ],
)
def test_each_item_is_red_for_what_it_names(spoiled: dict[str, Any], red: str) -> None:
    assert ask(replace(GREEN, **spoiled)) == {red}


def test_the_rules_count_as_well_as_the_figures() -> None:
    assert ask(cap=Phase.READ_ONLY) == {"connectors"}
    assert ask(flow=replace(CHARTER.flows[0], phase=Phase.READ_ONLY)) == {"wish"}
    assert ask(flow=replace(CHARTER.flows[0], object="Nothing")) == {"object-map"}
    defect = Defect(where="flows[0]", problem="Two owners.", remedy="Keep one.", flows=("accounts",))
    assert ask(defects=(defect,)) == {"lint"}
    assert ask(defects=(replace(defect, flows=None),)) == {"lint"}
    assert ask(defects=(replace(defect, flows=("subscriptions",)), replace(defect, severity=Severity.WARNING))) == set()
    assert ask(charter=replace(CHARTER, ownership=())) == {"winner"}


def test_reading_asks_for_sound_rules_only() -> None:
    nothing = Figures(
        understood={}, business={}, stuck={}, traces=(), outcomes={}, compared=0, agreeing=0, comparisons=(),
        source_comparisons=(), reused_keys=0, doubled=0, untraced=0, waiting={}, parked=0,
    )  # fmt: skip
    assert ask(nothing, wished=Phase.READ_ONLY) == set()
    assert len(ask(nothing)) > 5


@pytest.mark.parametrize(
    ("runs", "days"),
    [
        ((), 0),
        ((run(0.1),), 1),
        ((run(1.6),), 0),
        ((run(0.1), run(1.1)), 2),
        ((run(0.1), run(1.7)), 1),
        ((run(0.1), run(1.1), run(2.1), run(3.1, unexplained=1), run(4.1)), 3),
        ((run(0.1, unexplained=2), run(1.1)), 0),
        ((run(0.1, records=0), run(1.1)), 2),
        ((run(0.1, records=0),), 0),
    ],
)
def test_clean_days(runs: tuple[Comparison, ...], days: int) -> None:
    assert clean_days(runs, now=NOW) == days
    assert clean_days(tuple(reversed(runs)), now=NOW) == days


# -- one class at a time -----------------------------------------------------------------------------------------------


def enabled(automation: Automation, days_ago: int, **changes: Any) -> Grant:
    grant = Grant(
        flow="renewals",
        phase=Phase.AUTOMATED,
        automation=automation,
        write_fields=(),
        meaning="m",
        evidence="e",
        proposal="ask_1",
        requested_by="Ada",
        granted_by="Bo",
        granted_at=NOW - days_ago * DAY,
        reason="Observed.",
    )
    return replace(grant, **changes)


def test_one_class_at_a_time() -> None:
    def waits(automation: Automation, *history: Grant) -> bool:
        return under_observation(history, automation, PART, now=NOW) is not None

    assert not waits(Automation.RENEWALS)
    assert waits(Automation.CUSTOMER_FACING, enabled(Automation.RENEWALS, 13))
    assert not waits(Automation.CUSTOMER_FACING, enabled(Automation.RENEWALS, 14))
    assert not waits(Automation.RENEWALS, enabled(Automation.RENEWALS, 1)), "another flow of a known class"
    assert not waits(Automation.CUSTOMER_FACING, enabled(Automation.RENEWALS, 1, phase=Phase.CONTROLLED))
    assert not waits(Automation.CUSTOMER_FACING, enabled(Automation.RENEWALS, 1, is_narrowing=True))
    assert waits(
        Automation.CUSTOMER_FACING, enabled(Automation.RENEWALS, 30), enabled(Automation.SUPPORT_ENRICHMENT, 2)
    )
    again = (enabled(Automation.RENEWALS, 30), enabled(Automation.RENEWALS, 2))
    assert not waits(Automation.CUSTOMER_FACING, *again), "observed long ago; a second flow of it is no news"


def test_the_next_class_waits_at_the_gate() -> None:
    flow = replace(CHARTER.flows[0], phase=Phase.AUTOMATED, automation=Automation.CUSTOMER_FACING)
    asked: dict[str, Any] = {"flow": flow, "wished": Phase.AUTOMATED, "cap": Phase.AUTOMATED}
    assert ask(**asked) == set()
    assert ask(**asked, history=(enabled(Automation.RENEWALS, 3),)) == {"one-class"}


# -- whatever was counted (GO4) ----------------------------------------------------------------------------------------

some_runs = st.lists(
    st.builds(
        run,
        st.floats(0, 6, allow_nan=False),
        unexplained=st.sampled_from([0, 0, 0, 1]),
        records=st.sampled_from([0, 5, 5, 5]),
    ),
    max_size=6,
).map(tuple)
few = st.integers(0, 2)
some_figures = st.builds(
    Figures,
    understood=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 12)),
    business=st.dictionaries(st.sampled_from(PART.event_types), few, min_size=3),
    stuck=st.dictionaries(st.sampled_from(["dead", "quarantined"]), few, max_size=1),
    traces=st.lists(st.builds(lambda gap: replace(TRACE, gap=gap), st.sampled_from(["", "", "", "gone"]))).map(tuple),
    outcomes=st.just({}),
    compared=st.integers(0, 4),
    agreeing=st.just(0),
    comparisons=some_runs | st.just(GREEN.comparisons),
    source_comparisons=some_runs | st.just(GREEN.source_comparisons),
    reused_keys=st.sampled_from([0, 0, 0, 1]),
    doubled=st.sampled_from([0, 0, 0, 1]),
    untraced=st.sampled_from([0, 0, 0, 1]),
    waiting=st.dictionaries(st.sampled_from(["dead", "held"]), few, max_size=1),
    parked=st.sampled_from([0, 0, 0, 1]),
)


@given(figures=some_figures | st.just(GREEN))
def test_no_red_figure_leaves_the_gate_green(figures: Figures) -> None:
    """The oracle counts otherwise than the gate does: what must be there, and what must not."""
    wanted = [
        sum(figures.understood.values()) >= PART.min_events,
        {kind for kind, count in figures.business.items() if count} >= set(PART.event_types),
        len(figures.traces) >= PART.sampled_traces,
        figures.compared >= PART.sampled_traces,
        any(one.records and not one.unexplained and NOW - one.finished_at <= 1.5 * DAY for one in figures.comparisons),
    ]
    unwanted = [
        *figures.stuck.values(),
        *figures.waiting.values(),
        sum(bool(one.gap) for one in figures.traces),
        figures.reused_keys + figures.doubled + figures.untraced + figures.parked,
        max((one.unexplained for one in figures.comparisons if NOW - one.finished_at < 2 * DAY), default=0),
    ]
    if not all(wanted) or any(unwanted):
        assert ask(figures)


PAID = SampledPayout(payout="billing:payout/po_1", event=7, blocked=False, amount="10.00 EUR")
BLOCKED = replace(PAID, payout="billing:payout/po_2", event=8, blocked=True)
PAYOUTS = OwnershipPart(
    entity=EntityKind.PAYOUT, system_of_record="billing", readers=(), purpose="Billing makes every payout."
)
UNOWNED = replace(CHARTER, ownership=tuple(part for part in CHARTER.ownership if part.entity is not EntityKind.PAYOUT))
OWNED = replace(CHARTER, ownership=(*UNOWNED.ownership, PAYOUTS))
MONEY = replace(CHARTER.flows[0], automation=Automation.MONEY_MOVING)


@pytest.mark.parametrize(
    ("payouts", "is_red"),
    [
        ((), True),
        ((PAID,), True),
        ((BLOCKED, BLOCKED), True),
        ((PAID, BLOCKED), False),
        ((PAID, BLOCKED, replace(PAID, gap="its event is gone.")), True),
        ((replace(PAID, gap="its event is gone."), BLOCKED), True),
    ],
)
def test_who_moves_money_waits_for_a_paid_and_a_blocked_payout(
    payouts: tuple[SampledPayout, ...], *, is_red: bool
) -> None:
    figures = replace(GREEN, payouts=payouts)
    assert ("payouts" in ask(figures, charter=OWNED, flow=MONEY)) is is_red
    named = replace(OWNED, phases=replace(PART, event_types=(EventType.PAYOUT_PAID,)))
    assert ("payouts" in ask(figures, charter=named)) is is_red
    gaps = any(one.gap for one in payouts)
    assert ("payouts" in ask(figures, charter=OWNED)) is gaps, "a flow that moves no money waits for none"
    assert "payouts" not in ask(figures, charter=UNOWNED, flow=MONEY), (
        "whose payouts are nobody's in the charter, has none"
    )
