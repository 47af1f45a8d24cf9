"""How far a grant reaches: it covers the flow it was given for, by two persons, and nothing the charter says later."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import Automation, Charter, FlowPart, OwnershipPart, Phase, Winner
from accordant.canonical.people import same_person
from accordant.canonical.phases import Grant
from accordant.governance.decide import Case, Switches, compile_flow, decide
from accordant.governance.grants import ceiling_of, is_exempt, meaning_of
from accordant.governance.ownership import OwnershipMatrix
from accordant.governance.phases import is_wider
from tests.unit.governance.company import charter

CHARTER = charter()
FLOW = CHARTER.flows[0]
MEANING = meaning_of(CHARTER, FLOW)
FIELDS = frozenset(FLOW.write_fields)
replace = msgspec.structs.replace


def grant(**changes: Any) -> Grant:
    return replace(
        Grant(
            flow="accounts",
            phase=Phase.CONTROLLED,
            automation=Automation.RECORD_SYNC,
            write_fields=FLOW.write_fields,
            meaning=MEANING,
            evidence="e" * 64,
            proposal="ask_1",
            requested_by="Ada",
            granted_by="Bo",
            granted_at=datetime(2026, 3, 2, tzinfo=UTC),
            reason="Reviewed.",
        ),
        **changes,
    )


def ceiling(given_: Grant | None, **changes: Any) -> tuple[Phase, str]:
    asked: dict[str, Any] = {"wished": Phase.CONTROLLED, "meaning": MEANING, "write_fields": FIELDS, "exempt": False}
    found = ceiling_of(given_, **(asked | changes))
    return found.phase, found.text


def test_without_a_grant_a_flow_reads_and_no_more() -> None:
    assert ceiling(None) == (Phase.READ_ONLY, "Nobody has granted it more than read-only.")
    assert ceiling(None, wished=Phase.READ_ONLY) == (Phase.READ_ONLY, "")
    assert ceiling(None, wished=Phase.DRAFT) == (Phase.DRAFT, "")


def test_a_grant_reaches_as_far_as_it_says() -> None:
    assert ceiling(grant()) == (Phase.CONTROLLED, "")
    assert ceiling(grant(), wished=Phase.READ_ONLY) == (Phase.READ_ONLY, "")
    assert ceiling(grant(), wished=Phase.AUTOMATED) == (Phase.CONTROLLED, "No more than controlled was granted.")


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"granted_by": "Ada"}, "two persons"),
        ({"granted_by": " a d A "}, "two persons"),
        ({"granted_by": ""}, "two persons"),
        ({"requested_by": ""}, "two persons"),
        ({"meaning": MEANING[::-1]}, "approved again"),
        ({"write_fields": ("Status",)}, "releases MRR, which nobody approved"),
    ],
)
def test_a_grant_that_does_not_cover_the_flow_leaves_it_read_only(spoiled: dict[str, Any], told: str) -> None:
    phase, text = ceiling(grant(**spoiled))
    assert (phase, told in text) == (Phase.READ_ONLY, True), text


def test_fewer_released_fields_keep_the_grant() -> None:
    assert ceiling(grant(), write_fields=frozenset({"Status"})) == (Phase.CONTROLLED, "")
    assert ceiling(grant(), write_fields=frozenset()) == (Phase.CONTROLLED, "")


def test_a_narrowing_counts_whatever_else_is_true() -> None:
    narrowed = grant(phase=Phase.READ_ONLY, is_narrowing=True, granted_by="Cy", reason="Wrong amounts.")
    assert ceiling(narrowed) == (Phase.READ_ONLY, "Cy narrowed it to read-only: Wrong amounts.")
    assert ceiling(narrowed, exempt=True)[0] is Phase.READ_ONLY
    assert ceiling(replace(narrowed, phase=Phase.DRAFT), wished=Phase.READ_ONLY)[0] is Phase.DRAFT


def test_a_stand_in_needs_no_grant_unless_the_charter_asks_for_one() -> None:
    systems = {name: replace(part, stand_in=True) for name, part in CHARTER.systems.items()}
    played = replace(CHARTER, systems=systems)
    assert not is_exempt(CHARTER, FLOW)
    assert is_exempt(played, FLOW)
    assert not is_exempt(replace(played, systems=systems | {"crm": CHARTER.systems["crm"]}), FLOW)
    assert not is_exempt(replace(played, phases=replace(played.phases, exempt_stand_ins=False)), FLOW)
    assert ceiling(None, exempt=True) == (Phase.CONTROLLED, "")


def test_names_are_one_person_in_any_spelling() -> None:
    assert same_person("Ada Lovelace", " ada  LOVELACE ")
    assert not same_person("Ada", "Bo")


# -- what a flow means -------------------------------------------------------------------------------------------------


def with_flow(**changes: Any) -> Charter:
    return replace(CHARTER, flows=(replace(FLOW, **changes), *CHARTER.flows[1:]))


def with_owner(**changes: Any) -> Charter:
    parts = tuple(replace(part, **changes) if part.entity == FLOW.entity else part for part in CHARTER.ownership)
    return replace(CHARTER, ownership=parts)


def with_system(name: str, **changes: Any) -> Charter:
    return replace(CHARTER, systems=CHARTER.systems | {name: replace(CHARTER.systems[name], **changes)})


def with_field(name: str, **changes: Any) -> Charter:
    mapping = CHARTER.mappings["crm"][0]
    fields = mapping.fields | {name: replace(mapping.fields[name], **changes)}
    return replace(CHARTER, mappings={"crm": (replace(mapping, fields=fields), *CHARTER.mappings["crm"][1:])})


def meaning(changed: Charter) -> str:
    return meaning_of(changed, changed.flows[0])


@pytest.mark.parametrize(
    "changed",
    [
        with_flow(object="Agreement"),
        with_flow(automation=Automation.RENEWALS),
        with_owner(system_of_record="crm"),
        with_owner(fields={"name": "crm"}),
        with_owner(winner=Winner.LATEST),
        with_system("crm", settings={"instance_url": "https://other.example", "client_secret": "env:CRM"}),
        with_system("crm", stand_in=True),
        with_system("billing", connector="goldbox"),
        with_field("MRR", source="at_risk_mrr"),
        with_field("Status", values={"active": "Active"}),
    ],
)
def test_what_a_flow_does_is_its_meaning(changed: Charter) -> None:
    assert meaning(changed) != MEANING


@pytest.mark.parametrize(
    "changed",
    [
        with_flow(phase=Phase.AUTOMATED),
        with_flow(write_fields=("Status",)),
        with_flow(paused=True),
        with_flow(expected_lag_s=5, verify="Elsewhere."),
        with_owner(purpose="Billing is the one that knows who pays."),
        with_system("crm", owner="Cy", rate_per_s=1),
        replace(CHARTER, company="EXAMPLE-2"),
    ],
)
def test_how_far_and_how_fast_is_not(changed: Charter) -> None:
    assert meaning(changed) == MEANING


def test_a_newer_version_with_more_settings_voids_no_grant() -> None:
    """A setting that is new and left alone is not in the digest: only what the charter says is."""

    class NewerFlow(FlowPart, frozen=True, kw_only=True):
        courtesy: str = "none"

    class NewerOwnership(OwnershipPart, frozen=True, kw_only=True):
        tie_breaker: tuple[str, ...] = ()

    flow = NewerFlow(**msgspec.structs.asdict(FLOW))
    ownership = tuple(NewerOwnership(**msgspec.structs.asdict(part)) for part in CHARTER.ownership)
    newer = replace(CHARTER, flows=(flow, *CHARTER.flows[1:]), ownership=ownership)
    assert meaning(newer) == MEANING
    assert meaning(replace(newer, flows=(replace(flow, courtesy="much"), *CHARTER.flows[1:]))) != MEANING


# -- in the court ------------------------------------------------------------------------------------------------------

some_grants = st.none() | st.builds(
    grant,
    phase=st.sampled_from(Phase),
    write_fields=st.lists(st.sampled_from(["Name", "Status", "MRR"]), unique=True).map(tuple),
    meaning=st.sampled_from([MEANING, "another"]),
    requested_by=st.sampled_from(["Ada", "bo", ""]),
    granted_by=st.sampled_from(["Bo", "ada", ""]),
    is_narrowing=st.booleans(),
)


@given(one=some_grants, phase=st.sampled_from(Phase), exempt=st.booleans())
def test_no_field_is_written_beyond_charter_and_grant(one: Grant | None, phase: Phase, exempt: bool) -> None:
    flow = replace(FLOW, phase=phase)
    compiled = compile_flow(
        flow,
        mapping=CHARTER.mappings["crm"][0],
        owners=OwnershipMatrix.from_charter(CHARTER),
        tier_cap=Phase.AUTOMATED,
        meaning=MEANING,
        exempt=exempt,
    )
    switches = Switches(grants={} if one is None else {"accounts": one})
    decision = decide(Case(flow=compiled, fields=frozenset({"Name", "Status", "MRR"}), switches=switches))
    in_force = compiled.ceiling(switches).phase
    assert not is_wider(in_force, phase)
    if one is not None and one.is_narrowing:
        assert not is_wider(in_force, one.phase)
    if decision.write and not exempt:
        assert one is not None
        assert one.meaning == MEANING
        assert not same_person(one.granted_by, one.requested_by)
        assert not is_wider(in_force, one.phase)
        if in_force is Phase.CONTROLLED:
            assert decision.write <= FIELDS <= set(one.write_fields)
