"""Pauses grow, stay inside their bounds, and never come before the time the other side asked for."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.runtime.backoff import backoff


@given(st.integers(1, 2000), st.floats(0.01, 10), st.floats(10, 3600), st.integers())
def test_a_pause_lies_between_half_and_the_whole_of_its_ceiling(
    attempt: int, base_s: float, max_s: float, seed: int
) -> None:
    pause = backoff(attempt, base_s=base_s, max_s=max_s, randomness=Random(seed))
    ceiling = min(max_s, base_s * 2 ** min(attempt - 1, 30))
    assert timedelta(seconds=ceiling / 2) <= pause <= timedelta(seconds=ceiling)


@pytest.mark.parametrize(("attempt", "ceiling_s"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)])
def test_the_ceiling_doubles_up_to_its_bound(attempt: int, ceiling_s: float) -> None:
    drawn = [backoff(attempt, base_s=1, max_s=60, randomness=Random(seed)).total_seconds() for seed in range(300)]
    assert ceiling_s / 2 <= min(drawn) < 0.55 * ceiling_s
    assert 0.95 * ceiling_s < max(drawn) <= ceiling_s


def test_the_other_sides_time_is_a_floor() -> None:
    assert backoff(1, base_s=1, max_s=60, randomness=Random(1), retry_after_s=90) == timedelta(seconds=90)
    assert backoff(9, base_s=1, max_s=60, randomness=Random(1), retry_after_s=0.5) >= timedelta(seconds=30)


def test_the_same_seed_draws_the_same_pause() -> None:
    assert backoff(3, base_s=1, max_s=60, randomness=Random(7)) == backoff(3, base_s=1, max_s=60, randomness=Random(7))
