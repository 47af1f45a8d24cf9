"""Rates of the European Central Bank, as they ship with their library and as newer lists were kept: no call goes out.

A day without a list takes the last list before it. A day whose list did not ship has no rate; neither has a currency
that the bank left out of that day's list: None says so, and nothing is guessed.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from currency_converter import CurrencyConverter, RateNotFoundError
from sqlalchemy import Connection, func, select

from accordant.ledger.exchange import Rate
from accordant.ledger.law import last_day_of_currency
from accordant.store.engine import Database
from accordant.store.schema_rates import reference_rate

#: How long a published rate stands in for days without one: banks are closed for five days at the most.
_RATE_DAYS_MAX = 7
#: In every list since the first of 1999: a day without a dollar is a day without a list.
_ALWAYS = "USD"
_BASE = "EUR"
SOURCE = "European Central Bank"
_FRIDAY, _SUNDAY = 4, 6


@lru_cache(maxsize=4096)
def rate_of(of: str, in_: str, day: date) -> Rate | None:
    """The reference rate of a day, or of the last banking day before it. None where the bank published none.

    Not interpolated, and never older than the newest list of that day: a currency that is missing in it (the rouble
    since 2 March 2022) has no rate, and one that ended (the kuna, the lev) has none after its last day.
    """
    published = _published_on(day)
    if published is None or _has_ended(of, in_, day):
        return None
    try:
        rate = _central_bank().convert(1, of, in_, published)
    except (RateNotFoundError, ValueError):
        return None
    return Rate(of=of, in_=in_, rate=f"{Decimal(rate):f}", source=SOURCE, published_on=published)


def newest_rate_of(database: Database, of: str, in_: str, day: date) -> Rate | None:
    """As ``rate_of``, and by the lists that were kept for the days after those that ship."""
    shipped = rate_of(of, in_, day)
    if shipped is not None or day <= last_shipped_on():
        return shipped
    with database.read() as connection:
        return _kept_rate(connection, of, in_, day)


def last_shipped_on() -> date:
    """The day of the last list that ships."""
    last: date = _central_bank().bounds[_ALWAYS].last_date
    return last


def shipped_rate(code: str, day: date) -> Decimal | None:
    """What one euro cost in a currency by the list of that very day that ships; None where it has none."""
    try:
        return Decimal(_central_bank().convert(1, _BASE, code, day))
    except (RateNotFoundError, ValueError):
        return None


def _kept_rate(connection: Connection, of: str, in_: str, day: date) -> Rate | None:
    table = reference_rate.c
    listed = select(func.max(table.published_on)).where(table.currency == _ALWAYS)
    newest = connection.execute(listed).scalar()
    told = connection.execute(listed.where(table.published_on <= day.isoformat())).scalar()
    if newest is None or told is None or _has_ended(of, in_, day):
        return None
    published = date.fromisoformat(told)
    if day - published >= timedelta(days=_RATE_DAYS_MAX) or (told == newest and day > _covered_by(published)):
        return None
    rows = select(table.currency, table.rate).where(table.published_on == told, table.currency.in_([of, in_]))
    rates = {_BASE: Decimal(1), **{row.currency: Decimal(row.rate) for row in connection.execute(rows)}}
    if of not in rates or in_ not in rates:
        return None
    return Rate(of=of, in_=in_, rate=f"{rates[in_] / rates[of]:f}", source=SOURCE, published_on=published)


def _has_ended(of: str, in_: str, day: date) -> bool:
    return any(day > last for last in (last_day_of_currency(of), last_day_of_currency(in_)) if last is not None)


@lru_cache(maxsize=4096)
def _published_on(day: date) -> date | None:
    """The last day on which a list came out, ``day`` included; None before the first and beyond what ships."""
    for back in range(_RATE_DAYS_MAX):
        published = day - timedelta(days=back)
        try:
            _central_bank().convert(1, _ALWAYS, _BASE, published)
        except (RateNotFoundError, ValueError):
            continue
        return published if day <= _covered_by(last_shipped_on()) else None
    return None


def _covered_by(last: date) -> date:
    """The last day that surely has no list of its own after the last one that ships: those of its weekend."""
    return last + timedelta(days=_SUNDAY - last.weekday() if last.weekday() >= _FRIDAY else 0)


@lru_cache(maxsize=1)
def _central_bank() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)
