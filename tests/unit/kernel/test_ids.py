"""Names are derived from what they name: stable, and different for different parts."""

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.ids import derived_id, partition_of

parts = st.lists(st.text(st.characters(exclude_characters="\x1f", codec="utf-8"), max_size=8), max_size=4)


def test_ids_never_change_between_versions() -> None:
    assert derived_id("acc", "stripe", "cus_1") == "acc_0kbsr51z252ahac99938p0h8hs"
    assert partition_of("customer/cus_1", 64) == 60


@given(parts)
def test_the_shape_of_an_id(names: list[str]) -> None:
    assert re.fullmatch(r"int_[0-9abcdefghjkmnpqrstvwxyz]{26}", derived_id("int", *names))


@given(parts, parts)
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    # No parts and one empty part are the same thing to say.
    same = (one or [""]) == (other or [""])
    assert (derived_id("x", *one) == derived_id("x", *other)) == same


def test_parts_do_not_run_into_each_other() -> None:
    assert derived_id("x", "ab", "c") != derived_id("x", "a", "bc")


def test_even_a_lone_surrogate_gets_a_name() -> None:
    assert derived_id("x", "\ud800") != derived_id("x", "\ud801")
    assert 0 <= partition_of("\ud800", 8) < 8


@given(st.text(), st.integers(1, 1024))
def test_a_lane_has_one_partition_within_range(lane: str, partitions: int) -> None:
    assert 0 <= partition_of(lane, partitions) < partitions
    assert partition_of(lane, partitions) == partition_of(lane, partitions)


def test_lanes_spread_evenly() -> None:
    counts = Counter(partition_of(f"customer/cus_{number}", 16) for number in range(16_000))
    assert len(counts) == 16
    assert max(counts.values()) < 1_150
    assert min(counts.values()) > 850
