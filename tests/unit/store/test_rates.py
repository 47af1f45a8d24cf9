"""The central bank's rates: of the last list that came out, never between two, never of what was left out."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from currency_converter import CurrencyConverter

from accordant.ledger.law import last_day_of_currency
from accordant.store.rates import rate_of

BANK = CurrencyConverter(decimal=True)


@pytest.mark.parametrize(
    ("of", "day", "published"),
    [
        ("USD", date(2024, 3, 28), date(2024, 3, 28)),
        ("USD", date(2024, 3, 29), date(2024, 3, 28)),  # Good Friday
        ("USD", date(2024, 3, 31), date(2024, 3, 28)),  # Sunday
        ("USD", date(2024, 4, 1), date(2024, 3, 28)),  # Easter Monday
        ("USD", date(2024, 4, 2), date(2024, 4, 2)),
        ("USD", date(2024, 5, 1), date(2024, 4, 30)),  # Labour Day
        ("USD", date(2024, 12, 26), date(2024, 12, 24)),
        ("USD", date(2025, 1, 1), date(2024, 12, 31)),
        ("USD", date(2024, 7, 4), date(2024, 7, 4)),  # a holiday of the other side's is none of the bank's
        ("JPY", date(2024, 6, 15), date(2024, 6, 14)),  # Saturday
        ("HRK", date(2022, 12, 30), date(2022, 12, 30)),
        ("HRK", date(2022, 12, 31), date(2022, 12, 30)),
        ("BGN", date(2025, 12, 31), date(2025, 12, 31)),
        ("RUB", date(2022, 3, 1), date(2022, 3, 1)),
    ],
)
def test_a_day_without_a_list_takes_the_last_list_before_it(of: str, day: date, published: date) -> None:
    rate = rate_of(of, "EUR", day)
    assert rate is not None
    assert (rate.published_on, rate.source) == (published, "European Central Bank")
    assert Decimal(rate.rate) == BANK.convert(1, of, "EUR", published)


@pytest.mark.parametrize(
    ("of", "day"),
    [
        ("HRK", date(2023, 1, 1)),
        ("HRK", date(2023, 1, 2)),
        ("HRK", date(2023, 1, 4)),
        ("BGN", date(2026, 1, 1)),
        ("BGN", date(2026, 1, 2)),
        ("RUB", date(2022, 3, 2)),
        ("RUB", date(2022, 3, 6)),
        ("USD", date(1998, 12, 31)),
        ("USD", date(2999, 1, 1)),
        ("XXX", date(2024, 3, 28)),
        ("usd", date(2024, 3, 28)),
    ],
)
def test_a_currency_that_ended_or_was_left_out_has_no_rate_from_that_day(of: str, day: date) -> None:
    assert rate_of(of, "EUR", day) is None
    assert rate_of("EUR", of, day) is None


def test_no_rate_ever_stands_in_for_more_than_the_longest_closing_or_lies_between_two_lists() -> None:
    lists = set()
    for offset in range(366 * 4):
        day = date(2021, 1, 1) + timedelta(days=offset)
        rate = rate_of("GBP", "USD", day)
        assert rate is not None
        assert timedelta() <= day - rate.published_on <= timedelta(days=4)
        assert Decimal(rate.rate) == BANK.convert(1, "GBP", "USD", rate.published_on)
        lists.add(rate.published_on)
    assert not any(day.weekday() > 4 for day in lists)


def test_beyond_what_ships_there_is_none() -> None:
    last = BANK.bounds["USD"].last_date
    weekend = range(1, 7 - last.weekday()) if last.weekday() == 4 else range(0)
    assert all(rate_of("USD", "EUR", last + timedelta(days=days)) for days in weekend)
    for days in range(len(weekend) + 1, 20):
        assert rate_of("USD", "EUR", last + timedelta(days=days)) is None, days


def test_the_rows_of_what_ended_fit_the_banks_own_lists() -> None:
    for code in ("HRK", "BGN"):
        last = last_day_of_currency(code)
        assert last is not None
        assert timedelta() <= last - BANK.bounds[code].last_date <= timedelta(days=2)
    assert last_day_of_currency("USD") is None
