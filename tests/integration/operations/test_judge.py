"""The judgement of one record as a table: cause, and whether the hub may mend it, from what is known and held."""

from __future__ import annotations

from datetime import UTC, datetime
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
from accordant.canonical.conflicts import FieldMark, Side, Stand, StandEffect
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import CurrentRecord
from accordant.governance.decide import NOTHING_STOPPED, Switches
from accordant.governance.phases import Tier
from accordant.operations.judge import Judgement, judge
from accordant.pipeline.plan import Route, write_rulebook
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.reconcile import IntentMark, KnownRecord

MONEY, LABEL, FOREIGN = "Mrr", "Label", "Region"


AT = datetime(2026, 3, 14, tzinfo=UTC)


def a_route(*, winner: Winner = Winner.SYSTEM_OF_RECORD, **changes: Any) -> Route:
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
                winner=winner,
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
    switches: Switches = NOTHING_STOPPED,
    stands: dict[str, Stand] | None = None,
    **known: Any,
) -> Judgement:
    record = msgspec.structs.replace(KNOWN, **known)
    written = record.confirmed if record.is_written and record.confirmed is not None else {}
    marks = {name: FieldMark(value, 1, AT) for name, value in written.items()}
    return judge(
        known=msgspec.structs.replace(record, known=FieldsKnown(marks=marks, stands=stands or {})),
        held=None if held is None else CurrentRecord(target_id="T1", fields=held),
        route=route or a_route(),
        switches=switches,
        respell=dict,
        now=AT,
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
    route = a_route(winner=winner)
    edited = judged({MONEY: "6.00", LABEL: "Typed"}, route=route)
    # Money is billing's whatever the rule says; the name stays as somebody wrote it, or waits for a person.
    by_field = {found.field: (found.cause.value, found.repairable) for found in edited.findings}
    expected = {MONEY: ("hand_edit", True)}
    assert by_field == (expected if winner is Winner.LATEST else expected | {LABEL: ("conflict", False)})
    assert {one.field: one.ruling.winner for one in edited.contested} == {
        MONEY: Side.OWNER,
        LABEL: Side.TARGET if winner is Winner.LATEST else None,
    }
    (gone,) = judged(None, route=route).findings
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


def a_stand(effect: StandEffect, *, against: str) -> Stand:
    return Stand(
        record=KNOWN.ref,
        field=LABEL,
        effect=effect,
        value="Typed",
        against=against,
        conflict_id="cfl_1",
        sentence="A person decides.",
        by="accordant",
        since_at=AT,
    )


def test_what_stands_agrees_and_what_waits_for_a_person_is_told_and_left_alone() -> None:
    held = {MONEY: "5.00", LABEL: "Typed"}
    assert judged(held, stands={LABEL: a_stand(StandEffect.KEEP, against="New")}).agrees
    waiting = judged(held, stands={LABEL: a_stand(StandEffect.HOLD, against="New")})
    (found,) = waiting.findings
    assert (found.cause.value, found.repairable, waiting.contested) == ("conflict", False, ())
    assert found.explanation.startswith("A person decides.")
    # The owner has said something else since it was kept: it stands no more.
    (edited,) = judged(held, stands={LABEL: a_stand(StandEffect.KEEP, against="Old")}).findings
    assert (edited.cause.value, edited.repairable) == ("hand_edit", True)
