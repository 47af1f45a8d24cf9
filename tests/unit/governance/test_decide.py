"""The court's whole truth table, and what must hold of every decision: nothing that narrows ever adds a field."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import Automation, Phase
from accordant.canonical.refs import EntityKind
from accordant.governance.decide import (
    CUSTOMERS_AND_MONEY,
    NONESSENTIAL,
    RULES,
    Case,
    Decision,
    Effect,
    Switches,
    class_switch,
    compile_flow,
    decide,
    decode_decision,
    encode_decision,
    flow_switch,
    object_switch,
    system_switch,
)
from accordant.governance.ownership import OwnershipMatrix
from tests.unit.governance.company import charter

CHARTER = charter()
FLOW = CHARTER.flows[0]  # releases Status and MRR of Name, Status and MRR
MAPPING = CHARTER.mappings["crm"][0]
OWNERS = OwnershipMatrix.from_charter(CHARTER)
NAME_IN_CRM = msgspec.structs.replace(OWNERS, exceptions={(EntityKind.ACCOUNT, "name"): "crm"})
NOBODY = OwnershipMatrix(entities={}, exceptions={}, readers={}, directions={})

ALL = frozenset({"Name", "Status", "MRR"})
RELEASED = frozenset({"Status", "MRR"})
NAME = frozenset({"Name"})
NONE: frozenset[str] = frozenset()

FREE = Switches()
HOLDS = {
    "freeze": Switches(is_frozen=True),
    "paused-flow": Switches(flows=frozenset({"accounts"})),
    "paused-system": Switches(systems=frozenset({"crm"})),
    "paused-source": Switches(systems=frozenset({"billing"})),
    "paused-object": Switches(objects=frozenset({"crm/Company"})),
    "paused-class": Switches(classes=frozenset({Automation.RECORD_SYNC})),
}


def ask(
    phase: Phase = Phase.AUTOMATED,
    *,
    cap: Phase = Phase.AUTOMATED,
    owners: OwnershipMatrix = OWNERS,
    fields: frozenset[str] = ALL,
    switches: Switches = FREE,
    replay: bool = False,
    problems: frozenset[str] = NONE,
    paused: bool = False,
    changing: frozenset[str] | None = None,
    automation: Automation = Automation.RECORD_SYNC,
    contested: dict[str, str] | None = None,
    kept: frozenset[str] = NONE,
) -> Decision:
    flow = msgspec.structs.replace(FLOW, phase=phase, paused=paused, automation=automation)
    compiled = compile_flow(flow, mapping=MAPPING, owners=owners, tier_cap=cap, meaning="", exempt=True)
    case = Case(
        flow=compiled,
        fields=fields,
        switches=switches,
        replay=replay,
        problems=problems,
        changing=changing,
        contested=contested or {},
        kept=kept,
    )
    return decide(case)


def rules_of(decision: Decision) -> list[str]:
    return [reason.rule for reason in decision.reasons]


@pytest.mark.parametrize(
    ("phase", "effect", "write", "shadow", "refused"),
    [
        (Phase.DRAFT, Effect.REFUSE, NONE, NONE, ALL),
        (Phase.READ_ONLY, Effect.SHADOW, NONE, ALL, NONE),
        (Phase.CONTROLLED, Effect.ALLOW, RELEASED, NAME, NONE),
        (Phase.AUTOMATED, Effect.ALLOW, ALL, NONE, NONE),
    ],
)
def test_phases(
    phase: Phase, effect: Effect, write: frozenset[str], shadow: frozenset[str], refused: frozenset[str]
) -> None:
    decision = ask(phase)
    assert (decision.effect, decision.write, decision.shadow, decision.refused) == (effect, write, shadow, refused)
    assert decision.held == NONE
    assert rules_of(decision) == ["phase"]


@pytest.mark.parametrize("hold", list(HOLDS))
@pytest.mark.parametrize(
    ("phase", "effect", "held", "shadow", "refused"),
    [
        (Phase.DRAFT, Effect.REFUSE, NONE, NONE, ALL),
        (Phase.READ_ONLY, Effect.HOLD, NONE, ALL, NONE),
        (Phase.CONTROLLED, Effect.HOLD, RELEASED, NAME, NONE),
        (Phase.AUTOMATED, Effect.HOLD, ALL, NONE, NONE),
    ],
)
def test_holds_in_every_phase(
    phase: Phase, effect: Effect, held: frozenset[str], shadow: frozenset[str], refused: frozenset[str], hold: str
) -> None:
    decision = ask(phase, switches=HOLDS[hold])
    assert (decision.effect, decision.held, decision.shadow, decision.refused) == (effect, held, shadow, refused)
    assert decision.write == NONE
    assert rules_of(decision) == ["phase", hold.replace("source", "system")]


def test_a_flow_paused_in_the_charter_is_held() -> None:
    decision = ask(paused=True)
    assert (decision.effect, decision.held) == (Effect.HOLD, ALL)
    assert "paused in the charter" in decision.because


def test_an_automation_acts_only_when_its_flow_is_automated() -> None:
    started = ask(Phase.CONTROLLED, automation=Automation.CUSTOMER_FACING)
    assert (started.effect, started.write) == (Effect.SHADOW, NONE)
    assert "customer facing" in started.because
    assert ask(Phase.AUTOMATED, automation=Automation.CUSTOMER_FACING).write == ALL


def test_while_the_nonessential_is_frozen_only_what_changes_money_goes_out() -> None:
    frozen = Switches(is_nonessential_frozen=True)
    assert ask(switches=frozen, changing=NAME).held == ALL
    assert ask(switches=frozen, changing=NONE).held == ALL
    assert ask(switches=frozen, changing=frozenset({"Name", "MRR"})).write == ALL
    assert ask(switches=frozen).write == ALL, "before the target was read nobody knows, and the dispatch asks again"


def test_switches_of_others_stop_nothing() -> None:
    others = Switches(
        flows=frozenset({"subscriptions"}),
        systems=frozenset({"erp"}),
        objects=frozenset({"erp/Company", "crm/Agreement"}),
        classes=frozenset(Automation) - {Automation.RECORD_SYNC},
    )
    assert ask(switches=others).write == ALL


def test_switches_by_name() -> None:
    names = (
        flow_switch("accounts"),
        system_switch("crm"),
        object_switch("crm", "Company"),
        class_switch(Automation.RENEWALS),
        "class:of-a-newer-version",
    )
    expected = Switches(
        flows=frozenset({"accounts"}),
        systems=frozenset({"crm"}),
        objects=frozenset({"crm/Company"}),
        classes=frozenset({Automation.RENEWALS}),
    )
    assert Switches.thrown(names) == expected
    assert Switches.thrown([NONESSENTIAL]) == Switches(is_nonessential_frozen=True)
    assert Switches.thrown([CUSTOMERS_AND_MONEY]).classes == {Automation.CUSTOMER_FACING, Automation.MONEY_MOVING}
    assert Switches.thrown(["writes"]) == Switches(is_frozen=True)
    assert Switches.thrown([]) == FREE


def test_a_replay_writes_nothing() -> None:
    decision = ask(replay=True)
    assert (decision.effect, decision.write, decision.shadow) == (Effect.SHADOW, NONE, ALL)
    assert rules_of(decision) == ["phase", "replay"]


def test_a_fact_of_another_system_is_refused_and_its_neighbors_are_written() -> None:
    decision = ask(owners=NAME_IN_CRM)
    assert (decision.effect, decision.write, decision.refused) == (Effect.ALLOW, RELEASED, NAME)
    assert decision.reasons[0].fields == ("Name",)
    assert decision.because == "Name is not written: account.name belongs to crm, not to billing."


def test_what_nobody_owns_is_refused() -> None:
    decision = ask(owners=NOBODY)
    assert (decision.effect, decision.refused) == (Effect.REFUSE, ALL)
    assert "no system of record for account" in decision.because


def test_a_field_that_is_not_mapped_is_refused() -> None:
    decision = ask(fields=frozenset({"Status", "Phone"}))
    assert (decision.write, decision.refused) == (frozenset({"Status"}), frozenset({"Phone"}))
    assert "Phone is not in the mapping." in decision.because


@pytest.mark.parametrize("fields", [ALL, ALL - NAME])
def test_a_field_without_a_spelling_waits_and_its_neighbors_are_written(fields: frozenset[str]) -> None:
    decision = ask(fields=fields, problems=NAME)
    assert (decision.effect, decision.write, decision.held) == (Effect.ALLOW, RELEASED, NAME)
    assert rules_of(decision) == ["mapping", "phase"]


def test_a_field_without_a_spelling_does_not_stop_the_comparison_of_the_others() -> None:
    assert ask(Phase.READ_ONLY, problems=NAME).effect is Effect.SHADOW
    assert ask(fields=NONE, problems=NAME).effect is Effect.HOLD


@pytest.mark.parametrize(
    ("phase", "cap", "write"),
    [
        (phase, cap, {0: NONE, 1: NONE, 2: RELEASED, 3: ALL}[min(p, c)])
        for (p, phase), (c, cap) in product(enumerate(Phase), enumerate(Phase))
    ],
)
def test_no_setting_goes_beyond_the_tier(phase: Phase, cap: Phase, write: frozenset[str]) -> None:
    decision = ask(phase, cap=cap)
    assert decision.write == write
    says_so = any("have earned" in reason.text for reason in decision.reasons)
    capped = list(Phase).index(cap) < list(Phase).index(phase)
    assert says_so is capped


@pytest.mark.parametrize(
    ("phase", "switches", "effect"),
    [
        (Phase.DRAFT, FREE, Effect.REFUSE),
        (Phase.READ_ONLY, FREE, Effect.SHADOW),
        (Phase.CONTROLLED, FREE, Effect.ALLOW),
        (Phase.AUTOMATED, FREE, Effect.ALLOW),
        (Phase.AUTOMATED, HOLDS["freeze"], Effect.HOLD),
        (Phase.READ_ONLY, HOLDS["freeze"], Effect.HOLD),
        (Phase.DRAFT, HOLDS["freeze"], Effect.REFUSE),
    ],
)
def test_a_case_without_fields_is_answered_for_the_flow(phase: Phase, switches: Switches, effect: Effect) -> None:
    decision = ask(phase, fields=NONE, switches=switches)
    assert (decision.effect, decision.write) == (effect, NONE)


def test_every_rule_that_spoke_is_heard_in_order() -> None:
    everything = Switches(
        flows=frozenset({"accounts"}),
        systems=frozenset({"crm", "billing"}),
        objects=frozenset({"crm/Company"}),
        classes=frozenset({Automation.RECORD_SYNC}),
        is_frozen=True,
        is_nonessential_frozen=True,
    )
    decision = ask(
        Phase.CONTROLLED,
        owners=NAME_IN_CRM,
        switches=everything,
        replay=True,
        problems=frozenset({"MRR"}),
        paused=True,
        changing=NAME,
        contested={"Status": "A person decides."},
        kept=frozenset({"MRR", "Name"}),
    )
    assert rules_of(decision) == [
        "ownership",
        "mapping",
        "conflict",
        "financial",
        "phase",
        "replay",
        "freeze",
        "paused-system",
        "paused-flow",
        "paused-object",
        "paused-class",
        "nonessential",
    ]
    elsewhere = 4  # the rules of target, gates, red flags and openings have tests of their own
    assert len(RULES) == len(rules_of(decision)) + elsewhere
    refused = NAME | {"MRR"}
    assert (decision.effect, decision.shadow, decision.refused) == (Effect.HOLD, RELEASED - refused, refused)


def test_a_target_that_lacks_the_object_holds_everything_until_it_is_back() -> None:
    rules = compile_flow(FLOW, mapping=MAPPING, owners=OWNERS, tier_cap=Phase.AUTOMATED, meaning="", exempt=True)
    stopped = msgspec.structs.replace(rules, stopped="Company is missing.")
    decision = decide(Case(flow=stopped, fields=ALL))
    assert [reason.text for reason in decision.reasons if reason.rule == "target"] == ["Company is missing."]
    assert decision.write == frozenset()


def test_a_contested_field_waits_and_its_neighbors_go_on() -> None:
    decision = ask(Phase.AUTOMATED, contested={"Name": "Two values."}, fields=frozenset({"Name", "MRR"}))
    assert (decision.held, decision.write) == (frozenset({"Name"}), frozenset({"MRR"}))
    assert decision.because == "Two values."


def test_a_person_may_keep_a_name_and_never_an_amount() -> None:
    decision = ask(Phase.AUTOMATED, kept=frozenset({"Name", "MRR"}), fields=frozenset({"Name", "MRR"}))
    assert (decision.refused, decision.write) == (frozenset({"MRR"}), frozenset({"Name"}))
    assert "billing wins always" in decision.because


def test_a_decision_is_kept_as_it_was() -> None:
    decision = ask(Phase.CONTROLLED, owners=NAME_IN_CRM, switches=HOLDS["freeze"])
    assert decode_decision(encode_decision(decision)) == decision
    assert encode_decision(decision) == encode_decision(
        ask(Phase.CONTROLLED, owners=NAME_IN_CRM, switches=HOLDS["freeze"])
    )


phases = st.sampled_from(Phase)
some_fields = st.frozensets(st.sampled_from(["Name", "Status", "MRR", "Phone"]))
matrices = st.sampled_from([OWNERS, NAME_IN_CRM, NOBODY])
switch_sets = st.builds(
    Switches,
    flows=st.frozensets(st.sampled_from(["accounts", "subscriptions"])),
    systems=st.frozensets(st.sampled_from(["billing", "crm", "erp"])),
    is_frozen=st.booleans(),
)
inputs = st.fixed_dictionaries(
    {
        "phase": phases,
        "cap": phases,
        "owners": matrices,
        "fields": some_fields,
        "switches": switch_sets,
        "replay": st.booleans(),
        "problems": st.frozensets(st.sampled_from(["Name", "MRR"])),
        "paused": st.booleans(),
    }
)


@given(inputs)
def test_every_field_is_in_exactly_one_set(given_case: dict) -> None:
    decision = ask(**given_case)
    sets = [decision.write, decision.held, decision.shadow, decision.refused]
    asked = given_case["fields"] | given_case["problems"]
    assert frozenset().union(*sets) == asked
    assert sum(len(one) for one in sets) == len(asked)
    assert bool(decision.write) <= (decision.effect is Effect.ALLOW)
    assert decision.reasons
    assert all(reason.text.endswith(".") for reason in decision.reasons)
    assert (not asked - decision.write) or decision.because


@given(inputs, phases, switch_sets, some_fields)
def test_nothing_that_narrows_ever_adds_a_field(
    given_case: dict, other: Phase, more: Switches, spoiled: frozenset[str]
) -> None:
    before = ask(**given_case).write
    now: Switches = given_case["switches"]
    both = Switches(
        flows=now.flows | more.flows, systems=now.systems | more.systems, is_frozen=now.is_frozen or more.is_frozen
    )
    ladder = list(Phase)
    narrowed = ladder[min(ladder.index(given_case["phase"]), ladder.index(other))]
    capped = ladder[min(ladder.index(given_case["cap"]), ladder.index(other))]
    for change in (
        {"switches": both},
        {"phase": narrowed},
        {"cap": capped},
        {"replay": True},
        {"paused": True},
        {"problems": given_case["problems"] | spoiled},
        {"owners": NOBODY},
    ):
        assert ask(**(given_case | change)).write <= before
