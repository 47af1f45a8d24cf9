"""The tables of the books as files of other programs, from the pages: what a visitor may see of them, and no more."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec.structs import replace

from accordant.governance.sensitivity import Lens
from accordant.kernel.errors import RejectedError
from accordant.ledger.tables import BookTable, Cell, TableName
from accordant.operations.table_files import TableFormat, write_table
from accordant.views.book_tables import book_table
from accordant.views.masked import masked
from accordant.web.console.frame import Answer, Console, Problem, Visitor
from accordant.web.console.threads import in_thread

#: Rows of one answer: more would keep the hub from its other work.
ROWS_MAX = 100_000
_MEDIA = {
    TableFormat.CSV: "text/csv; charset=utf-8",
    TableFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    TableFormat.PARQUET: "application/vnd.apache.parquet",
}


@get("/books/tables/{file:str}")
@in_thread
def table_file(request: Visitor, console: NamedDependency[Console], file: FromPath[str]) -> Answer:
    """One table of the books, whole, up to today."""
    hub = console.hub
    stem, _, suffix = file.rpartition(".")
    if stem not in set(TableName) or suffix not in set(TableFormat) or hub.charter.ledger is None:
        known = ", ".join(TableName)
        raise Problem(404, "Not found", f"There is no table {file[:60]}.", f"There are {known}; csv, xlsx, parquet.")
    today: date = hub.clock().astimezone(console.zone).date()
    table = book_table(hub.database, hub.charter.ledger, TableName(stem), until=today)
    shown = replace(table, rows=_seen(table, request.state.lens))
    with TemporaryDirectory() as folder:
        path = Path(folder) / file
        write_table(shown, TableFormat(suffix), path)
        content = path.read_bytes()
    return Response(
        content,
        media_type=_MEDIA[TableFormat(suffix)],
        headers={"content-disposition": f'attachment; filename="accordant-{stem}.{suffix}"'},
    )


def _seen(table: BookTable, lens: Lens) -> Iterator[tuple[Cell, ...]]:
    for number, row in enumerate(table.rows, 1):
        if number > ROWS_MAX:
            raise RejectedError(
                f"The {table.name} has more than the {ROWS_MAX:,} rows that a page hands out.",
                remedy=f"Run: accordant books export FILE --table {table.name} --format parquet",
            )
        yield masked(row, lens)


#: Files of the books.
PAGES = (table_file,)
