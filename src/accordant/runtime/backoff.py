"""How long to wait before the next try: exponential, with full jitter, never sooner than the other side asked for.

Full jitter (a uniform draw between zero and the cap) spreads a herd best; see the AWS Architecture Blog, "Exponential
Backoff and Jitter".
"""

from datetime import timedelta
from random import Random


def backoff(
    attempt: int, *, base_s: float, max_s: float, randomness: Random, retry_after_s: float | None = None
) -> timedelta:
    """The pause after try number ``attempt`` (from 1). Units: seconds in, timedelta out."""
    ceiling = min(max_s, base_s * 2.0 ** min(attempt - 1, 30))
    # A floor of half the ceiling keeps the first retry from following at once.
    drawn = randomness.uniform(ceiling / 2, ceiling)
    return timedelta(seconds=max(drawn, retry_after_s or 0.0))
