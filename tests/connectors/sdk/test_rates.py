"""Our own rate, and the provider's Retry-After in every spelling."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.connectors.sdk.rates import RETRY_AFTER_S_MAX, TokenBucket, parse_http_date, parse_retry_after

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-1", None),
        ("1000000000", RETRY_AFTER_S_MAX),
        ("9" * 400, None),
        ("soon", None),
        ("NaN", None),
        ("1e3", None),
        ("²", None),
        ("7 seconds", None),
        ("Sat, 14 Mar 2026 09:27:53 GMT", 60),
        ("Sat, 14 Mar 2026 09:00:00 GMT", 0),
        ("Sat, 14 Mar 2036 09:00:00 GMT", RETRY_AFTER_S_MAX),
        ("Saturday, 14-Mar-26 09:27:53 GMT", 60),
        ("Sat, 99 Mar 2026 09:27:53 GMT", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_us(text: str) -> None:
    found = parse_retry_after(text, now=NOW)
    assert found is None or 0 <= found <= RETRY_AFTER_S_MAX
    parse_http_date(text)


@given(rate=st.integers(1, 50), burst=st.integers(1, 20), pauses=st.lists(st.floats(0, 0.5), min_size=1, max_size=100))
def test_never_more_calls_than_the_rate_allows(rate: int, burst: int, pauses: list[float]) -> None:
    clock = [100.0]
    bucket = TokenBucket(rate_per_s=rate, burst=burst, monotonic=lambda: clock[0])
    made: list[float] = []
    for pause in pauses:
        clock[0] += pause
        expected = bucket.wait_s()
        wait = bucket.take()
        assert wait == expected
        made.append(clock[0] + wait)
    for start in made:
        within = [moment for moment in made if start <= moment < start + 1]
        assert len(within) <= rate + burst


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_rate_is_positive(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        TokenBucket(rate_per_s=rate, burst=burst, monotonic=lambda: 0.0)
