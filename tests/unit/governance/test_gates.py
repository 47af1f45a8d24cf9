"""A gate opens on a fresh finding it names and on nothing else; whatever is in doubt holds, and says what to do."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import GatePart, Phase
from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance, GateAction
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import check_charter
from accordant.governance.decide import Case, Decision, Effect, decide
from accordant.governance.findings import Severity
from accordant.governance.gates import compile_gates, judge_gate, judge_gates, nobody_asks
from accordant.governance.ownership import OwnershipMatrix
from tests.unit.governance.company import CONNECTORS, charter, compiled, raw

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GATE = GatePart(
    name="kyc-before-writing",
    check=CheckKind.KYC,
    entity=EntityKind.ACCOUNT,
    purpose="Sales must not work with a customer nobody has identified.",
    next_action="Ask compliance to finish the check.",
    evidence_days_max=30,
)
MONEY = GatePart(
    name="aml-before-money",
    check=CheckKind.AML,
    entity=EntityKind.ACCOUNT,
    purpose="No figure is shown before the screening.",
    next_action="Ask compliance to screen the customer.",
    action=GateAction.WRITE_FINANCIAL,
)


def found(
    status: CheckStatus = CheckStatus.PASSED, *, age: timedelta = timedelta(days=1), check: CheckKind = CheckKind.KYC
) -> Clearance:
    return Clearance(
        account_id="acc_1", check=check, status=status, evidence="case 4711", checked_at=NOW - age,
        recorded_by="Ada", recorded_at=NOW, reason="The passport had expired",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("clearance", "is_open", "says"),
    [
        (None, False, "No KYC check of this customer is recorded."),
        (found(), True, "The KYC check is passed since 2026-05-31."),
        (found(CheckStatus.PENDING), False, "pending since 2026-05-31. The passport had expired."),
        (found(CheckStatus.FAILED), False, "failed since 2026-05-31. The passport had expired. Evidence: case 4711."),
        (found(CheckStatus.NOT_REQUIRED), False, "not required since"),
        (found(age=timedelta(days=30)), True, "passed"),
        (found(age=timedelta(days=30, seconds=1)), False, "is older than the 30 days that kyc-before-writing takes."),
        (found(age=timedelta(seconds=-1)), False, "which is still to come."),
    ],
    ids=["unknown", "passed", "pending", "failed", "not required", "last second", "stale", "of tomorrow"],
)
def test_only_a_fresh_finding_that_the_gate_names_opens_it(
    clearance: Clearance | None, is_open: bool, says: str
) -> None:
    verdict = judge_gate(GATE, clearance, now=NOW)
    assert verdict.is_open is is_open
    assert says in verdict.reason
    assert str(verdict).endswith(verdict.reason if is_open else "Ask compliance to finish the check.")
    assert verdict.since == (clearance.checked_at if clearance else None)
    assert verdict.evidence == ("case 4711" if clearance else None)


@given(
    status=st.none() | st.sampled_from(CheckStatus),
    age_s=st.integers(-10 * 86400, 4000 * 86400),
    days=st.integers(1, 1830),
    opens_on=st.lists(st.sampled_from([CheckStatus.PASSED, CheckStatus.NOT_REQUIRED]), unique=True).map(tuple),
)
def test_no_doubt_ever_opens_a_gate(
    status: CheckStatus | None, age_s: int, days: int, opens_on: tuple[CheckStatus, ...]
) -> None:
    gate = GatePart(
        name="g", check=CheckKind.KYB, entity=EntityKind.ACCOUNT, purpose="p", next_action="n",
        opens_on=opens_on, evidence_days_max=days,
    )  # fmt: skip
    clearance = None if status is None else found(status, age=timedelta(seconds=age_s), check=CheckKind.KYB)
    verdict = judge_gate(gate, clearance, now=NOW)
    assert verdict.is_open is (status in opens_on and 0 <= age_s <= days * 86400)


ALL, FIGURES = frozenset({"Name", "Status", "MRR"}), frozenset({"Status", "MRR"})
NONE: frozenset[str] = frozenset()


def court(
    *clearances: Clearance, gates: tuple[GatePart, ...] = (GATE,), phase: Phase = Phase.AUTOMATED, asked: bool = True
) -> Decision:
    """What the court says of every field of an account, with these findings."""
    company = charter()
    flow = msgspec.structs.replace(company.flows[0], phase=phase)
    mapping = company.mappings["crm"][0]
    stand = compile_gates(gates, flow, mapping)
    rules = compiled(flow, mapping, OwnershipMatrix.from_charter(company), stand)
    known = {one.check: one for one in clearances}
    verdicts = judge_gates(stand, known, now=NOW) if asked else nobody_asks(stand, "acc_1")
    return decide(Case(flow=rules, fields=ALL, verdicts=verdicts))


def test_a_closed_gate_holds_everything_and_an_open_one_nothing() -> None:
    closed = court()
    assert (closed.effect, closed.held, closed.gated, closed.write) == (Effect.HOLD, ALL, ALL, NONE)
    assert closed.because == (
        "kyc-before-writing holds: No KYC check of this customer is recorded. Ask compliance to finish the check."
    )
    opened = court(found())
    assert (opened.effect, opened.write, opened.gated, opened.because) == (Effect.ALLOW, ALL, NONE, "")


def test_a_gate_before_money_lets_the_other_fields_go() -> None:
    partly = court(found(), gates=(GATE, MONEY))
    assert (partly.effect, partly.write, partly.gated) == (Effect.ALLOW, frozenset({"Name"}), FIGURES)
    both = court(gates=(GATE, MONEY))
    assert both.gated == ALL
    assert "kyc-before-writing holds" in both.because
    assert "aml-before-money holds" in both.because
    assert court(found(), found(check=CheckKind.AML), gates=(GATE, MONEY)).write == ALL


def test_a_gate_that_nobody_asked_holds() -> None:
    unasked = court(found(), asked=False)
    assert (unasked.gated, unasked.because) == (
        ALL,
        "kyc-before-writing holds: what is recorded of this customer was not looked up.",
    )


def test_what_is_only_compared_needs_no_gate() -> None:
    reading = court(phase=Phase.READ_ONLY)
    assert (reading.effect, reading.shadow, reading.gated) == (Effect.SHADOW, ALL, NONE)


def test_a_gate_stands_before_the_flows_it_names() -> None:
    assert court(gates=(msgspec.structs.replace(GATE, flows=("other",)),)).write == ALL
    assert court(gates=(msgspec.structs.replace(GATE, flows=("accounts",)),)).write == NONE
    assert court(gates=(msgspec.structs.replace(GATE, entity=EntityKind.SUBSCRIPTION),)).write == ALL


# -- in the charter --------------------------------------------------------------------------------------------------

SOUND = {
    "name": "kyc",
    "check": "kyc",
    "entity": "account",
    "purpose": "Nobody works with a stranger.",
    "next_action": "Ask compliance to look.",
}


def test_a_sound_gate_has_no_defect() -> None:
    assert check_charter(charter(raw() | {"gates": [SOUND]}), connectors=CONNECTORS) == ()


@pytest.mark.parametrize(
    ("wrong", "where", "says"),
    [
        ({"name": " "}, "gates[0].name", "no name"),
        ({"purpose": "KYC."}, "gates[0].purpose", "why the gate stands there"),
        ({"next_action": ""}, "gates[0].next_action", "what to do"),
        ({"opens_on": []}, "gates[0].opens_on", "hold for ever"),
        ({"opens_on": ["passed", "failed"]}, "gates[0].opens_on[1]", "failed would open"),
        ({"opens_on": ["pending"]}, "gates[0].opens_on[0]", "pending would open"),
        ({"evidence_days_max": 0}, "gates[0].evidence_days_max", "0 days"),
        ({"evidence_days_max": 1831}, "gates[0].evidence_days_max", "1831 days"),
        ({"flows": ["acounts"]}, "gates[0].flows[0]", "stop nothing there"),
        ({"flows": ["subscriptions"]}, "gates[0].flows[0]", "carries subscription"),
        ({"entity": "payout"}, "gates[0].entity", "could stop"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_gate_that_would_not_do_what_it_says_is_refused(wrong: dict[str, object], where: str, says: str) -> None:
    found_wrong = check_charter(charter(raw() | {"gates": [SOUND | wrong]}), connectors=CONNECTORS)
    (defect,) = [one for one in found_wrong if one.where == where]
    assert says in defect.problem
    assert defect.severity is Severity.ERROR


def test_two_gates_of_one_name_are_refused() -> None:
    gates = [SOUND, SOUND | {"check": "aml"}]
    (defect,) = check_charter(charter(raw() | {"gates": gates}), connectors=CONNECTORS)
    assert (defect.where, defect.flows) == ("gates[1].name", ("accounts",))
