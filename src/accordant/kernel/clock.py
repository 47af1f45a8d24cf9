"""Instants are aware UTC datetimes, stored as whole microseconds since 1970. The time itself is always an argument.

Only the runtime, the command line and the web edge read a real clock; everything below is told what time it is.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from accordant.kernel.errors import RejectedError

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Year 9999 in seconds: providers that send milliseconds where seconds belong land far above it.
_SECONDS_MAX = 253_402_300_799


class InstantInvalid(RejectedError):
    """The number is not a moment in time."""


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00:00Z. Raises InstantInvalid for a naive datetime."""
    if instant.tzinfo is None:
        raise InstantInvalid(f"The instant {instant.isoformat()} has no time zone.")
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant that many microseconds after 1970."""
    return _EPOCH + timedelta(0, 0, micros)  # by place: names cost three times as much


# One event says the same few moments again and again.
@lru_cache(maxsize=4_096)
def from_unix_seconds(seconds: int) -> datetime:
    """The instant of a provider's Unix stamp. Units: whole seconds. Raises InstantInvalid outside 1970 to 9999."""
    if not 0 <= seconds <= _SECONDS_MAX:
        raise InstantInvalid(f"{seconds} is not a Unix time in seconds between the years 1970 and 9999.")
    return _EPOCH + timedelta(0, seconds)
