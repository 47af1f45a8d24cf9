"""Lists of rates that came out later: kept once, as published, in one row of days, and used like those that ship."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from accordant.ledger.rate_lists import RatesUnreadable
from accordant.store.books import SqlBookshelf
from accordant.store.engine import Database
from accordant.store.kept_rates import RatesRefused, keep_rates
from accordant.store.rates import last_shipped_on, shipped_rate
from accordant.store.schema import audit_entry, reference_rate

NOW = datetime(2027, 1, 1, tzinfo=UTC)
LAST = last_shipped_on()
CODES = ("USD", "JPY", "GBP")


def working_days(count: int) -> list[date]:
    days = (LAST + timedelta(days=number) for number in range(1, 60))
    return [day for day in days if day.weekday() < 5][:count]


def a_file(days: dict[date, dict[str, str]], *, packed: bool = False, known: tuple[date, ...] = (LAST,)) -> bytes:
    """As the bank publishes it: newest first, a comma after the last column."""
    shipped = {day: {code: f"{shipped_rate(code, day):f}" for code in CODES} for day in known}
    rows = [
        f"{day},{','.join(rates.get(code, 'N/A') for code in CODES)},"
        for day, rates in sorted({**shipped, **days}.items())
    ]
    text = "\n".join((f"Date,{','.join(CODES)},", *reversed(rows))) + "\n"
    if not packed:
        return text.encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("eurofxref-hist.csv", text)
    return file.getvalue()


DAYS = working_days(6)
RATES = {day: {"USD": f"1.1{at}", "JPY": f"17{at}.5", "GBP": f"0.8{at}"} for at, day in enumerate(DAYS)}


@pytest.mark.parametrize("packed", [False, True])
def test_later_lists_are_kept_once_and_used(database: Database, packed: bool) -> None:
    books = SqlBookshelf(database)
    assert books.rate_of("USD", "EUR", DAYS[0]) is None
    kept = keep_rates(database, a_file(RATES, packed=packed), actor="Ada", now=NOW)
    assert (kept.lists, kept.newest_on) == (6, DAYS[-1])
    again = keep_rates(database, a_file(RATES, packed=packed), actor="Ada", now=NOW)
    assert (again.lists, again.newest_on) == (0, DAYS[-1])
    for at, day in enumerate(DAYS):
        rate = books.rate_of("USD", "EUR", day)
        assert rate is not None
        assert (rate.published_on, rate.source) == (day, "European Central Bank")
        assert Decimal(rate.rate) == 1 / Decimal(f"1.1{at}")
        cross = books.rate_of("GBP", "JPY", day)
        assert cross is not None
        assert Decimal(cross.rate) == Decimal(f"17{at}.5") / Decimal(f"0.8{at}")
    with database.read() as connection:
        entries = connection.execute(
            select(audit_entry.c.actor).where(audit_entry.c.kind == "books.rates.kept")
        ).scalars()
        assert list(entries) == ["Ada"]
        assert len(connection.execute(select(reference_rate)).all()) == 18


def test_a_weekend_takes_the_last_list_and_a_working_day_without_its_list_waits(database: Database) -> None:
    keep_rates(database, a_file(RATES), actor="Ada", now=NOW)
    books = SqlBookshelf(database)
    friday = next(day for day in DAYS if day.weekday() == 4)
    for days in (1, 2):
        rate = books.rate_of("USD", "EUR", friday + timedelta(days=days))
        assert rate is not None
        assert rate.published_on == friday
    after = DAYS[-1] + timedelta(days=1)
    while after.weekday() > 4:
        after += timedelta(days=1)
    assert books.rate_of("USD", "EUR", after) is None
    assert books.rate_of("USD", "EUR", after + timedelta(days=20)) is None
    assert books.rate_of("HRK", "EUR", DAYS[0]) is None
    assert books.rate_of("SEK", "EUR", DAYS[0]) is None


def test_a_file_that_contradicts_or_leaves_a_gap_is_refused_whole(database: Database) -> None:
    first = {DAYS[0]: RATES[DAYS[0]]}
    keep_rates(database, a_file(first), actor="Ada", now=NOW)
    other = {DAYS[0]: {**RATES[DAYS[0]], "USD": "1.1001"}, DAYS[1]: RATES[DAYS[1]]}
    with pytest.raises(RatesRefused, match=r"where 1\.10 is known"):
        keep_rates(database, a_file(other), actor="Ada", now=NOW)
    shipped = a_file(RATES).replace(f"{shipped_rate('USD', LAST):f}".encode(), b"9.99")
    with pytest.raises(RatesRefused, match=r"says 9\.99 USD for a euro"):
        keep_rates(database, shipped, actor="Ada", now=NOW)
    with pytest.raises(RatesRefused, match="days between would be missing"):
        keep_rates(database, a_file({DAYS[3]: RATES[DAYS[3]]}), actor="Ada", now=NOW)
    with pytest.raises(RatesRefused, match="a day to come"):
        keep_rates(database, a_file(RATES), actor="Ada", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert SqlBookshelf(database).rate_of("USD", "EUR", DAYS[1]) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "first line"),
        (b"<html>", "first line"),
        (b"Date,USD\n", "no list"),
        (b"Date,USD\n2026-13-01,1.1\n", "no day"),
        (b"Date,USD\n2026-11-02,1,1\n2026-11-02,1.1\n", "a second time"),
        (b"Date,USD\n2026-11-02,-1\n", "no rate"),
        (b"Date,USD\n2026-11-02,NaN\n", "no rate"),
        (b"Date,USD\n2026-11-02,Infinity\n", "no rate"),
        (b"Date,USD\n2026-11-02,abc\n", "no rate"),
        (b"PK\x03\x04broken", "no ZIP file"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(database: Database, body: bytes, words: str) -> None:
    with pytest.raises(RatesUnreadable, match=words):
        keep_rates(database, body, actor="Ada", now=NOW)
