"""Rates of the European Central Bank, as far as they ship with their library: no call goes out.

A day without one takes the last known before it; a day after the last one has none, and says so by None.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from currency_converter import CurrencyConverter, RateNotFoundError

from accordant.ledger.exchange import Rate

#: How long a published rate stands in for days without one: banks are closed for five days at the most.
_RATE_DAYS_MAX = 7


@lru_cache(maxsize=4096)
def rate_of(of: str, in_: str, day: date) -> Rate | None:
    """The reference rate of a day, or of the last banking day before it. None beyond the data."""
    for back in range(_RATE_DAYS_MAX):
        published = day - timedelta(days=back)
        try:
            rate = _central_bank().convert(1, of, in_, published)
        except (RateNotFoundError, ValueError):
            continue
        return Rate(of=of, in_=in_, rate=f"{Decimal(rate):f}", source="European Central Bank", published_on=published)
    return None


@lru_cache(maxsize=1)
def _central_bank() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)
