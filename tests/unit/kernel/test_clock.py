"""Instants: aware, exact to the microsecond, and not in milliseconds by mistake."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.clock import InstantInvalid, from_micros, from_unix_seconds, to_micros


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(minutes=-570))])))
def test_an_instant_survives_storage(instant: datetime) -> None:
    micros = to_micros(instant)
    assert (
        micros == round((instant - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) or abs(micros) > 2**53
    )
    if datetime(1, 1, 2, tzinfo=UTC) < instant < datetime(9999, 12, 30, tzinfo=UTC):
        assert from_micros(micros) == instant


@given(st.integers(-(10**15), 10**15))
def test_micros_come_back_exactly(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


def test_a_naive_datetime_is_no_instant() -> None:
    with pytest.raises(InstantInvalid, match="no time zone"):
        to_micros(datetime(2026, 1, 1))


@pytest.mark.parametrize(("seconds", "year"), [(0, 1970), (2**31, 2038), (253_402_300_799, 9999)])
def test_unix_seconds(seconds: int, year: int) -> None:
    instant = from_unix_seconds(seconds)
    assert (instant.year, instant.tzinfo) == (year, UTC)


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 1_770_000_000_000])
def test_what_cannot_be_seconds_is_refused(seconds: int) -> None:
    with pytest.raises(InstantInvalid, match="Unix time in seconds"):
        from_unix_seconds(seconds)
