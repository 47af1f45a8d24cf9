"""Rates of the European Central Bank, as far as they ship with their library: no call goes out.

A day without a list takes the last list before it. A day whose list did not ship has no rate; neither has a currency
that the bank left out of that day's list: None says so, and nothing is guessed.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from currency_converter import CurrencyConverter, RateNotFoundError

from accordant.ledger.exchange import Rate
from accordant.ledger.law import last_day_of_currency

#: How long a published rate stands in for days without one: banks are closed for five days at the most.
_RATE_DAYS_MAX = 7
#: In every list since the first of 1999: a day without a dollar is a day without a list.
_ALWAYS = "USD"
_BASE = "EUR"
_FRIDAY, _SUNDAY = 4, 6


@lru_cache(maxsize=4096)
def rate_of(of: str, in_: str, day: date) -> Rate | None:
    """The reference rate of a day, or of the last banking day before it. None where the bank published none.

    Not interpolated, and never older than the newest list of that day: a currency that is missing in it (the rouble
    since 2 March 2022) has no rate, and one that ended (the kuna, the lev) has none after its last day.
    """
    published = _published_on(day)
    if published is None or any(day > last for last in (last_day_of_currency(of), last_day_of_currency(in_)) if last):
        return None
    try:
        rate = _central_bank().convert(1, of, in_, published)
    except (RateNotFoundError, ValueError):
        return None
    return Rate(of=of, in_=in_, rate=f"{Decimal(rate):f}", source="European Central Bank", published_on=published)


@lru_cache(maxsize=4096)
def _published_on(day: date) -> date | None:
    """The last day on which a list came out, ``day`` included; None before the first and beyond what ships."""
    for back in range(_RATE_DAYS_MAX):
        published = day - timedelta(days=back)
        try:
            _central_bank().convert(1, _ALWAYS, _BASE, published)
        except (RateNotFoundError, ValueError):
            continue
        return published if day <= _covered_by(_central_bank().bounds[_ALWAYS].last_date) else None
    return None


def _covered_by(last: date) -> date:
    """The last day that surely has no list of its own after the last one that ships: those of its weekend."""
    return last + timedelta(days=_SUNDAY - last.weekday() if last.weekday() >= _FRIDAY else 0)


@lru_cache(maxsize=1)
def _central_bank() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)
