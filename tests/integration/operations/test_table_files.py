"""The same table as CSV, as a workbook and as Parquet: equal cell by cell, amounts exact, no text run as a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.ledger.tables import AMOUNT, COUNT, DAY, TEXT, BookTable, Cell, TableName, exact
from accordant.operations import table_files
from accordant.operations.table_files import TableFormat, write_table
from accordant.views.book_tables import book_table
from accordant.views.journal import open_bills, trial_balance
from accordant.views.revenue import booked_months
from tests.integration.operations.bookkit import LEDGER, live_half_a_year
from tests.integration.operations.kit import an_installation

_COLUMNS = (("text", TEXT), ("day", DAY), ("amount", AMOUNT), ("currency", TEXT), ("count", COUNT))
_HOSTILE = ("=1+1", "@SUM(A1)", "-2", "#N/A", "+x", '=HYPERLINK("http://x")', "a\nb", "„Ü“", "東京", "'quoted")
_TEXT = st.sampled_from(_HOSTILE) | st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
_MINOR = st.integers(-(2**63), 2**63 - 1)


@st.composite
def a_row(draw: st.DrawFn) -> tuple[Cell, ...]:
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
    amount = draw(st.none() | _MINOR.map(lambda minor: exact(minor, currency)))
    day = draw(st.none() | st.dates(date(1901, 1, 1)))
    return draw(st.none() | _TEXT), day, amount, currency, draw(st.none() | st.integers(-(10**9), 10**9))


def read_csv(path: Path) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def read_sheet(path: Path) -> list[tuple[object, ...]]:
    book = openpyxl.load_workbook(path)
    assert [cell for row in book.active.iter_rows() for cell in row if cell.data_type in {"f", "e"}] == []
    return [tuple(row) for row in book.active.iter_rows(values_only=True)]


def read_parquet(path: Path) -> list[tuple[Cell, ...]]:
    return [tuple(row.values()) for row in pyarrow.parquet.read_table(path).to_pylist()]


def write_all(rows: Sequence[tuple[Cell, ...]], folder: Path) -> dict[str, Path]:
    paths = {kind: folder / f"table.{kind.value}" for kind in TableFormat}
    for kind, path in paths.items():
        assert write_table(BookTable(name="rows", columns=_COLUMNS, rows=iter(rows)), kind, path) == len(rows)
    return {kind.value: path for kind, path in paths.items()}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(a_row(), max_size=6))
def test_each_form_holds_the_same_cells(rows: list[tuple[Cell, ...]], tmp_path: Path) -> None:
    paths = write_all(rows, tmp_path)
    assert read_parquet(paths["parquet"]) == rows
    told = read_csv(paths["csv"])
    assert told[0] == tuple(name for name, _ in _COLUMNS)
    assert len(told) == len(rows) + 1
    for row, line, sheet in zip(rows, told[1:], read_sheet(paths["xlsx"])[1:], strict=True):
        assert line[2] == ("" if row[2] is None else f"{row[2]:f}")
        text, day, amount, currency, count = sheet
        assert (text, currency, count) == (row[0], row[3], row[4])
        assert (day.date() if isinstance(day, datetime) else day) == row[1]
        assert (None if amount is None else Decimal(str(amount))) == row[2]


def test_an_amount_that_a_sheet_would_round_is_a_text(tmp_path: Path) -> None:
    small, large = Decimal("1234567890123.45"), Decimal("12345678901234.56")
    paths = write_all([("x", None, one, "EUR", 0) for one in (small, large)], tmp_path)
    cells = [row[2] for row in openpyxl.load_workbook(paths["xlsx"]).active.iter_rows(min_row=2)]
    assert [(cell.data_type, str(cell.value)) for cell in cells] == [("n", str(small)), ("s", str(large))]
    assert cells[0].number_format == "0.00"


def test_what_cannot_be_written_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "SHEET_ROWS_MAX", 3)
    path = tmp_path / "table.xlsx"
    path.write_text("as it was")
    rows: list[tuple[Cell, ...]] = [("x", None, None, "EUR", number) for number in range(3)]
    with pytest.raises(RejectedError, match="more than the 2 rows"):
        write_table(BookTable(name="rows", columns=_COLUMNS, rows=rows), TableFormat.XLSX, path)
    assert [one.name for one in tmp_path.iterdir()] == ["table.xlsx"]
    assert path.read_text() == "as it was"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_table(BookTable(name="rows", columns=_COLUMNS, rows=rows), TableFormat.CSV, tmp_path / "no" / "table")


@pytest.mark.parametrize("kind", [TableFormat.XLSX, TableFormat.PARQUET])
def test_without_the_extra_it_is_said_what_to_install(
    kind: TableFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=f"of the kind {kind.value} needs") as refused:
        write_table(BookTable(name="rows", columns=_COLUMNS, rows=()), kind, tmp_path / "table")
    assert "accordant[tables]" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


async def test_each_table_of_the_books_adds_up_to_what_the_store_holds(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        for told in one.events():
            if b'"charge.succeeded"' not in told.body() and b'"invoice.paid"' not in told.body():
                one.hub.inbox.accept([one.arrival(told.body())])
        one.process()
        one.clock.move(days=200)
        one.hub.bookkeeper.recognise("Example GmbH", date(2024, 1, 1))
        database, ledger = one.hub.database, one.hub.charter.ledger
        assert ledger is not None
        found: dict[TableName, list[dict[str, object]]] = {}
        for name in TableName:
            for kind in (TableFormat.PARQUET, TableFormat.CSV, TableFormat.XLSX):
                path = tmp_path / f"{name.value}.{kind.value}"
                write_table(book_table(database, ledger, name, until=date(2030, 1, 1)), kind, path)
            found[name] = pyarrow.parquet.read_table(tmp_path / f"{name.value}.parquet").to_pylist()
            assert found[name], name
            lines = len(read_csv(tmp_path / f"{name.value}.csv")) - 1
            assert lines == len(read_sheet(tmp_path / f"{name.value}.xlsx")) - 1 == len(found[name])

        def total(name: TableName, column: str) -> object:
            return sum(Decimal(str(row[column])) for row in found[name] if row[column] is not None)

        assert total(TableName.JOURNAL, "debit") == total(TableName.JOURNAL, "credit") != 0
        debits = sum(exact(row.debit_minor, row.currency) for row in trial_balance(database))
        assert total(TableName.TRIAL_BALANCE, "debit") == debits == total(TableName.JOURNAL, "debit")
        booked = sum(exact(month.booked, "USD") for month in booked_months(database, legal_entity="Example GmbH"))
        assert total(TableName.WATERFALL, "amount") == booked
        owed = sum(
            exact(bill.bill.open_minor, bill.currency) for bill in open_bills(database, legal_entity="Example GmbH")
        )
        assert total(TableName.AGING, "open") == owed != 0
        assert {row["currency"] for rows_ in found.values() for row in rows_} == {"USD"}
