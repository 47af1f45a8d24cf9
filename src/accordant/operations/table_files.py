"""A table of the books as a file: CSV, a sheet of a workbook, Parquet. The file is whole or not there.

Workbooks and Parquet need the extra ``accordant[tables]``. Rows are written as they are read.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.ledger.tables import BookTable, Cell, ColumnKind, csv_lines

#: Rows of a sheet, its header with them. Source: Excel specifications and limits.
SHEET_ROWS_MAX = 1_048_576
#: Digits of a number that a spreadsheet keeps. Source: the same.
_SHEET_DIGITS = 15
#: What XML 1.0 cannot hold.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ROWS_AT_ONCE = 10_000


class TableFormat(StrEnum):
    """What kind of file."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


def write_table(table: BookTable, format_: TableFormat, path: Path) -> int:
    """Write ``table`` to ``path``, which is replaced once all is written; how many rows.

    Raises ConfigurationError where the extra is missing or the place cannot be written, RejectedError for more rows
    than a sheet holds.
    """
    with _whole(path) as part:
        return _WRITERS[format_](table, part)


def write_lines(lines: Iterable[str], path: Path) -> None:
    """Write text to ``path``, which is replaced once all is written. Raises ConfigurationError where it cannot be."""
    with _whole(path) as part, part.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(f"{line}\n" for line in lines)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Where to write what becomes ``path`` at the end; nothing is left of it when that failed."""
    part = path.with_name(f"{path.name}.part")
    try:
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name a file in a folder you may write to."
        ) from None


def _need(library: str, format_: TableFormat) -> None:
    if find_spec(library) is None:
        raise ConfigurationError(
            f"A file of the kind {format_.value} needs {library}, which is not installed.",
            remedy="Run: pip install 'accordant[tables]', or take --format csv.",
        )


def _csv(table: BookTable, path: Path) -> int:
    count = -1  # the header is no row
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        for line in csv_lines(table):
            file.write(f"{line}\n")
            count += 1
    return count


def _xlsx(table: BookTable, path: Path) -> int:
    _need("openpyxl", TableFormat.XLSX)
    book = import_module("openpyxl").Workbook(write_only=True)
    make = import_module("openpyxl.cell").WriteOnlyCell
    sheet = book.create_sheet(table.name)
    sheet.freeze_panes = "A2"
    sheet.append([name for name, _ in table.columns])
    count = 0
    try:
        for count, row in enumerate(table.rows, 1):
            if count >= SHEET_ROWS_MAX:
                raise RejectedError(
                    f"The {table.name} has more than the {SHEET_ROWS_MAX - 1:,} rows that a sheet holds.",
                    remedy="Take --format parquet or csv, or an earlier day with --until.",
                )
            sheet.append([_made(make, sheet, value) for value in row])
    finally:
        book.save(path)  # after a failure too: only saving takes away what the library keeps beside
    return count


def _made(make: Callable[..., Any], sheet: object, value: Cell) -> object:
    """One cell of a sheet: what begins like a formula stays a text, an amount shows its places."""
    shown = _shown(value)
    cell = make(sheet, value=shown)
    if isinstance(shown, str):
        cell.data_type = "s"
    elif isinstance(shown, Decimal):
        places = f"{shown:f}".partition(".")[2]
        cell.number_format = f"0.{'0' * len(places)}" if places else "0"
    return cell


def _shown(value: Cell) -> Cell:
    """A cell as a sheet can hold it: an amount with more digits than it keeps is a text, so that none is lost."""
    if isinstance(value, str):
        return _NOT_XML.sub("\ufffd", value)
    if isinstance(value, Decimal) and len(value.as_tuple().digits) > _SHEET_DIGITS:
        return f"{value:f}"
    return value


def _parquet(table: BookTable, path: Path) -> int:
    _need("pyarrow", TableFormat.PARQUET)
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    types = {
        ColumnKind.TEXT: arrow.string(),
        ColumnKind.DAY: arrow.date32(),
        ColumnKind.AMOUNT: arrow.decimal128(38, 4),  # no currency of ISO 4217 has more places; one type for all files
        ColumnKind.COUNT: arrow.int64(),
    }
    schema = arrow.schema([(name, types[kind]) for name, kind in table.columns])
    rows, count = iter(table.rows), 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            columns = [arrow.array(cells, one.type) for cells, one in zip(zip(*some, strict=True), schema, strict=True)]
            writer.write_batch(arrow.record_batch(columns, schema=schema))
            count += len(some)
    return count


_WRITERS: dict[TableFormat, Callable[[BookTable, Path], int]] = {
    TableFormat.CSV: _csv,
    TableFormat.XLSX: _xlsx,
    TableFormat.PARQUET: _parquet,
}
