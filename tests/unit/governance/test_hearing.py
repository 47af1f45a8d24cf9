"""A hearing answers as the court does, whatever it was asked before, and hears what is alike only once."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import GatePart, Phase
from accordant.canonical.clearances import CheckKind
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import FlagStop
from accordant.canonical.refs import EntityKind
from accordant.governance.decide import Case, CompiledFlow, Switches, decide
from accordant.governance.gates import CompiledGate
from accordant.governance.hearing import Hearing
from accordant.governance.ownership import OwnershipMatrix
from tests.unit.governance.company import charter, compiled

CHARTER = charter()
OWNERS = OwnershipMatrix.from_charter(CHARTER)
NAMES = ["Name", "Status", "MRR", "Stranger"]


def _flow(name: str, phase: Phase) -> CompiledFlow:
    flow = msgspec.structs.replace(CHARTER.flows[0], name=name, phase=phase)
    return compiled(flow, CHARTER.mappings["crm"][0], OWNERS)


FLOWS = [_flow(name, phase) for name in ("accounts", "others") for phase in (Phase.CONTROLLED, Phase.AUTOMATED)]
STOP = FlagStop(flag="flg_1", kind=RedFlagKind.KEY_REUSE, account_id="acc_1", flows=(), why="It came twice.")
some_fields = st.frozensets(st.sampled_from(NAMES))
switches = st.builds(
    Switches,
    is_frozen=st.booleans(),
    is_nonessential_frozen=st.booleans(),
    flows=st.frozensets(st.sampled_from(["accounts", "others"]), max_size=1),
    flags=st.dictionaries(st.sampled_from(["acc_1", "acc_2"]), st.just((STOP,)), max_size=1),
)


@st.composite
def _hearings(draw: st.DrawFn) -> tuple[Switches, list[Case]]:
    policy = draw(switches)
    asked = st.builds(
        Case,
        flow=st.sampled_from(FLOWS),
        fields=some_fields,
        switches=st.just(policy),
        replay=st.booleans(),
        problems=some_fields,
        changing=st.none() | some_fields,
        contested=st.dictionaries(st.sampled_from(NAMES), st.just("Somebody changed it."), max_size=1),
        kept=some_fields,
        accounts=st.sampled_from([("acc_1",), ("acc_2",), ("acc_1", "acc_2")]),
    )
    return policy, draw(st.lists(asked, max_size=12))


@given(_hearings())
def test_it_answers_as_the_court_whatever_was_asked_before(heard: tuple[Switches, list[Case]]) -> None:
    policy, cases = heard
    hearing = Hearing(policy)
    assert [hearing.decide(case) for case in cases] == [decide(case) for case in cases]


def test_records_that_differ_in_their_values_only_are_heard_once() -> None:
    hearing = Hearing(Switches())
    cases = [
        Case(flow=FLOWS[0], fields=frozenset(NAMES[:3]), switches=hearing.switches, changing=frozenset({name}))
        for name in NAMES[:3]
    ]
    first, *others = [hearing.decide(case) for case in cases]
    assert all(other is first for other in others)


def test_other_switches_than_those_it_was_opened_with_are_heard_by_themselves() -> None:
    hearing = Hearing(Switches())
    case = Case(flow=FLOWS[0], fields=frozenset({"Status"}), switches=hearing.switches)
    frozen = msgspec.structs.replace(case, switches=Switches(is_frozen=True))
    assert hearing.decide(case).write == {"Status"}
    assert hearing.decide(frozen).held == {"Status"}


def test_a_gate_is_asked_for_every_record() -> None:
    part = GatePart(name="kyc", check=CheckKind.KYC, entity=EntityKind.ACCOUNT, purpose="p", next_action="n")
    gate = CompiledGate(part=part, fields=frozenset({"Status"}))
    flow = msgspec.structs.replace(FLOWS[0], gates=(gate,))
    hearing = Hearing(Switches())
    case = Case(flow=flow, fields=frozenset({"Status"}), switches=hearing.switches)
    assert hearing.decide(case).held == {"Status"}
    assert hearing.decide(case) is not hearing.decide(case)


def test_a_flag_is_asked_for_every_record() -> None:
    hearing = Hearing(Switches(flags={"acc_1": (STOP,)}))
    free = Case(flow=FLOWS[0], fields=frozenset({"Status"}), switches=hearing.switches, accounts=("acc_2",))
    flagged = msgspec.structs.replace(free, accounts=("acc_1",))
    assert [hearing.decide(case).held for case in (free, flagged, free)] == [frozenset(), {"Status"}, frozenset()]
