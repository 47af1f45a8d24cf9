"""Who stands below whom: what is not sound is found once, and two systems differ only where customers do."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.matching import Member
from accordant.identity.hierarchy import Flaw, FlawFound, Hierarchy, compare

#: Up to eight records, each below an earlier one or below none: sound by the way it is made.
FORESTS = st.lists(st.integers(0, 7), min_size=1, max_size=8).map(
    lambda picks: {str(at): None if pick >= at else str(pick) for at, pick in enumerate(picks)}
)


def members(parents: Mapping[str, str | None], *, gone: str = "") -> list[Member]:
    return [Member(id=one, parent_id=above, deleted=one == gone) for one, above in parents.items()]


def owned(parents: Mapping[str, str | None], *, prefix: str = "") -> Hierarchy:
    """Each record is a customer's of the same name; ``prefix`` spells the system's own ids."""
    spelled = {f"{prefix}{one}": None if above is None else f"{prefix}{above}" for one, above in parents.items()}
    return Hierarchy(members(spelled), {f"{prefix}{one}": f"acc_{one}" for one in parents})


@pytest.mark.parametrize(
    ("parents", "gone", "flaws"),
    [
        ({"a": None, "b": "a", "c": "b"}, "", []),
        ({"a": "a"}, "", [(Flaw.CIRCLE, "a", ("a",))]),
        ({"a": "c", "b": "a", "c": "b", "d": "b"}, "", [(Flaw.CIRCLE, "a", ("a", "c", "b"))]),
        ({"a": "x"}, "", [(Flaw.PARENT_MISSING, "a", ("x",))]),
        ({"a": None, "b": "a"}, "a", [(Flaw.PARENT_DELETED, "b", ("a",))]),
        ({"a": "b", "b": "a"}, "a", [(Flaw.PARENT_DELETED, "b", ("a",))]),
        ({"a": None, "b": "a", "c": "b", "d": "c"}, "", [(Flaw.TOO_DEEP, "d", ("c", "b", "a"))]),
    ],
)
def test_each_flaw_is_named_once_with_the_records_it_lies_in(
    parents: dict[str, str | None], gone: str, flaws: list[tuple[Flaw, str, tuple[str, ...]]]
) -> None:
    found = Hierarchy(members(parents, gone=gone), {}).flaws(levels_max=3)
    assert found == tuple(FlawFound(flaw=flaw, member=member, others=others) for flaw, member, others in flaws)


def test_a_customer_in_two_hierarchies_is_found_and_one_with_two_records_in_the_same_is_not() -> None:
    parents = {"a": None, "b": "a", "c": "a", "x": None}
    assert Hierarchy(members(parents), {"b": "one", "c": "one"}).flaws(levels_max=None) == ()
    assert Hierarchy(members(parents), {"b": "one", "x": "one"}).flaws(levels_max=None) == (
        FlawFound(flaw=Flaw.TWO_PLACES, member="x", others=("b",)),
    )


@given(FORESTS)
def test_what_is_sound_has_no_flaw_and_agrees_with_itself_under_any_ids(parents: dict[str, str | None]) -> None:
    assert owned(parents).flaws(levels_max=None) == ()
    assert compare(owned(parents), owned(parents, prefix="erp-")) == ()


@given(FORESTS, st.data())
def test_a_company_between_two_that_is_no_customer_makes_no_difference(
    parents: dict[str, str | None], data: st.DataObject
) -> None:
    between = data.draw(st.sampled_from(sorted(parents)))
    more = {**parents, between: "holding", "holding": parents[between]}
    with_holding = Hierarchy(members(more), {one: f"acc_{one}" for one in parents})
    assert compare(with_holding, owned(parents, prefix="erp-")) == ()


@given(FORESTS, st.data())
def test_exactly_the_customers_that_were_moved_differ_whichever_side_is_asked(
    parents: dict[str, str | None], data: st.DataObject
) -> None:
    moved = data.draw(st.sampled_from(sorted(parents)))
    # Only an earlier record or none, so the other side stays sound.
    choices = [None, *(one for one in parents if int(one) < int(moved))]
    there = {**parents, moved: data.draw(st.sampled_from(choices))}
    expected = [f"acc_{moved}"] if there[moved] != parents[moved] else []
    found = compare(owned(parents), owned(there, prefix="erp-"))
    assert [one.account_id for one in found] == expected
    back = compare(owned(there, prefix="erp-"), owned(parents))
    assert [(one.above_leading, one.above_other) for one in back] == [
        (one.above_other, one.above_leading) for one in found
    ]


def test_a_place_that_is_not_sound_is_a_flaw_and_no_difference() -> None:
    sound = owned({"a": None, "b": "a", "c": "b", "d": "b"})
    round_about = owned({"a": "b", "b": "a", "c": "a", "d": "x"})
    # a and b stand in a circle, d below nothing that is there; c is below a customer all the same, and another one.
    for one, other in ((sound, round_about), (round_about, sound)):
        assert [placed.account_id for placed in compare(one, other)] == ["acc_c"]


def test_a_customer_whom_only_one_of_the_systems_knows_leads_up_in_it() -> None:
    with_one_more = owned({"a": None, "only_here": "a", "b": "only_here"})
    without = owned({"a": None, "b": "a"})
    assert compare(with_one_more, without) == compare(without, with_one_more) == ()
