"""The judgement of one record as a table: cause, and whether the hub may mend it, from what is known and held."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import (
    Charter,
    FieldPart,
    FieldType,
    FlowPart,
    MappingPart,
    OwnershipPart,
    Phase,
    SystemPart,
    Winner,
)
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import CurrentRecord
from accordant.governance.decide import NOTHING_STOPPED, Switches
from accordant.governance.phases import Tier
from accordant.operations.judge import Judgement, judge
from accordant.pipeline.plan import Route, write_rulebook
from accordant.ports.reconcile import IntentMark, KnownRecord

MONEY, LABEL, FOREIGN = "Mrr", "Label", "Region"


def a_route(**changes: Any) -> Route:
    mapping = MappingPart(
        entity=EntityKind.ACCOUNT,
        object="Thing",
        key_field="Key",
        fields={
            MONEY: FieldPart(source="mrr", type=FieldType.CURRENCY),
            LABEL: FieldPart(source="name"),
            FOREIGN: FieldPart(source="country"),
        },
    )
    flow = FlowPart(
        name="things",
        entity=EntityKind.ACCOUNT,
        source="billing",
        target="crm",
        object="Thing",
        phase=Phase.CONTROLLED,
        write_fields=(MONEY, LABEL),
    )
    charter = Charter(
        company="Example",
        systems={name: SystemPart(connector=name, owner="ada", stand_in=True) for name in ("billing", "crm")},
        ownership=(
            OwnershipPart(
                entity=EntityKind.ACCOUNT,
                system_of_record="billing",
                readers=("crm",),
                purpose="Billing knows who pays.",
                fields={"country": "crm"},
            ),
        ),
        mappings={"crm": (mapping,)},
        flows=(msgspec.structs.replace(flow, **changes),),
    )
    route = write_rulebook(charter, {"billing": Tier.GOLD, "crm": Tier.GOLD}).route("things")
    assert route is not None
    return route


DONE = IntentMark(id="int_1", state=IntentState.APPLIED, shadow=False, reason=None)
KNOWN = KnownRecord(
    ref="crm:Thing/k1",
    flow="things",
    key="k1",
    entity_id="acc_1",
    account_id="acc_1",
    revision=1,
    fields={MONEY: "5.00", LABEL: "New", FOREIGN: "DE"},
    confirmed={MONEY: "5.00", LABEL: "New"},
    confirmed_id="T1",
    confirmed_at=None,
    is_written=True,
    intent=DONE,
    is_open=False,
    parked=None,
)


def judged(
    held: dict[str, Any] | None,
    *,
    route: Route | None = None,
    winner: Winner = Winner.SYSTEM_OF_RECORD,
    switches: Switches = NOTHING_STOPPED,
    **known: Any,
) -> Judgement:
    return judge(
        known=msgspec.structs.replace(KNOWN, **known),
        held=None if held is None else CurrentRecord(target_id="T1", fields=held),
        route=route or a_route(),
        winner=winner,
        switches=switches,
        respell=dict,
    )


def test_a_record_that_holds_every_value_agrees_and_foreign_fields_are_not_judged() -> None:
    found = judged({MONEY: "5.00", LABEL: "New", FOREIGN: "FR"})
    assert (found.agrees, found.compared) == (True, 2)


@pytest.mark.parametrize(
    ("held", "known", "cause", "repairable"),
    [
        pytest.param("6.00", {}, "hand_edit", True, id="changed since we wrote it"),
        pytest.param(None, {}, "hand_edit", True, id="emptied since we wrote it"),
        pytest.param("4.00", {"confirmed": {MONEY: "4.00"}}, "lost", True, id="the older value we wrote"),
        pytest.param("4.00", {"confirmed": None, "is_written": False}, "lost", True, id="done, and not there"),
        pytest.param("4.00", {"is_written": False}, "lost", True, id="seen in shadow only, so nobody edited ours"),
        pytest.param("4.00", {"confirmed": None, "intent": None}, "not_planned", True, id="nobody decided"),
        pytest.param(
            "4.00",
            {
                "confirmed": {MONEY: "4.00"},
                "intent": msgspec.structs.replace(DONE, state=IntentState.DEAD, reason="No."),
            },
            "not_written",
            False,
            id="refused",
        ),
        pytest.param(
            "6.00",
            {"intent": msgspec.structs.replace(DONE, state=IntentState.DEAD, reason="No.")},
            "hand_edit",
            False,
            id="edited, and our newer write was refused",
        ),
        pytest.param("4.00", {"confirmed": None, "parked": "No."}, "not_written", False, id="the lane is stopped"),
        pytest.param(
            "4.00",
            {"confirmed": None, "parked": "No.", "is_open": True},
            "not_written",
            False,
            id="stopped behind another",
        ),
        pytest.param("6.00", {"parked": "No."}, "hand_edit", False, id="edited, and the lane is stopped"),
    ],
)
def test_the_cause_of_a_field(held: str | None, known: dict[str, Any], cause: str, repairable: bool) -> None:
    found = judged({MONEY: held, LABEL: "New"}, **known)
    assert [(one.field, one.cause.value, one.repairable) for one in found.findings] == [(MONEY, cause, repairable)]
    assert found.findings[0].explanation
    assert (found.findings[0].expected, found.findings[0].actual) == ("5.00", held)


@pytest.mark.parametrize("winner", [Winner.LATEST, Winner.PERSON])
def test_an_edit_that_may_win_is_told_and_never_overwritten(winner: Winner) -> None:
    (found,) = judged({MONEY: "6.00", LABEL: "New"}, winner=winner).findings
    assert (found.cause.value, found.repairable) == ("hand_edit", False)
    (gone,) = judged(None, winner=winner).findings
    assert (gone.cause.value, gone.repairable) == ("hand_edit", False)


def test_what_is_open_settles_only_what_it_may_write() -> None:
    route = a_route(write_fields=(MONEY,))
    found = judged({MONEY: "4.00", LABEL: "Old"}, route=route, is_open=True, confirmed=None)
    assert found.in_flight
    assert [(one.field, one.cause.value) for one in found.findings] == [(LABEL, "not_written")]
    assert LABEL in found.findings[0].explanation


@pytest.mark.parametrize(
    ("route", "switches"),
    [
        ({"phase": Phase.DRAFT}, {}),
        ({"phase": Phase.READ_ONLY}, {}),
        ({"paused": True}, {}),
        ({}, {"flows": frozenset({"things"})}),
        ({}, {"is_frozen": True}),
    ],
)
def test_what_a_rule_keeps_back_is_not_repaired_past_it(route: dict[str, Any], switches: dict[str, Any]) -> None:
    known: dict[str, Any] = {"confirmed": None, "is_written": False, "is_open": True}
    stopped = Switches(**switches)
    for held in ({MONEY: "4.00", LABEL: "New"}, None):
        (found,) = judged(held, route=a_route(**route), switches=stopped, **known).findings
        assert (found.cause.value, found.repairable) == ("not_written", False)
        assert found.explanation


def test_a_missing_record() -> None:
    (found,) = judged(None, confirmed=None, confirmed_id=None, is_written=False).findings
    assert (found.kind.value, found.cause.value, found.repairable) == ("missing_in_target", "lost", True)
    assert judged(None, is_open=True).in_flight
    assert not judged(None, is_open=True, parked="No.").in_flight
