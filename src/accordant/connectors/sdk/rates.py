"""How fast a connector may call: a token bucket on our side, the provider's ``Retry-After`` on theirs.
Both are pure; waiting is the HTTP client's business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_AFTER_S_MAX = 3600.0  # a provider that names a later time is asked again after an hour, and names it again


class TokenBucket:
    """At most ``rate_per_s`` calls a second over time, at most ``burst`` at once. Not shared between processes.

    Units: ``monotonic`` returns seconds of a clock that never goes back.
    """

    def __init__(self, *, rate_per_s: float, burst: int, monotonic: Callable[[], float]) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError("A rate and a burst are positive.")
        self._interval_s = 1.0 / rate_per_s
        self._slack_s = (burst - 1) * self._interval_s
        self._monotonic = monotonic
        self._due_at = monotonic()

    def wait_s(self) -> float:
        """Seconds until a call may be made now; 0 when at once."""
        return max(0.0, self._due_at - self._slack_s - self._monotonic())

    def take(self) -> float:
        """Take one call and return the seconds to wait before making it: later takers wait behind earlier ones."""
        now = self._monotonic()
        wait = max(0.0, self._due_at - self._slack_s - now)
        self._due_at = max(self._due_at, now) + self._interval_s
        return wait


def parse_retry_after(text: str | None, *, now: datetime) -> float | None:
    """Seconds a ``Retry-After`` header asks for, between 0 and RETRY_AFTER_S_MAX; None when it says nothing usable.

    Reads whole or decimal seconds and HTTP dates (RFC 9110 10.2.3). ``now`` should be the ``Date`` of the same
    answer, so that a wrong clock on either side does not matter.
    """
    if text is None:
        return None
    stripped = text.strip()
    if not stripped.isascii():
        return None
    if stripped.replace(".", "", 1).isdigit() and len(stripped) <= 32:
        return min(float(stripped), RETRY_AFTER_S_MAX)
    moment = parse_http_date(stripped)
    if moment is None:
        return None
    return min(max(0.0, (moment - now).total_seconds()), RETRY_AFTER_S_MAX)


def parse_http_date(text: str | None) -> datetime | None:
    """The instant of an HTTP date header; None when it is none."""
    if not text or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
