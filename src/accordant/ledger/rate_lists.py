"""The European Central Bank's lists of reference rates as it publishes them: the history, a CSV file or that in a ZIP.

Format: one row a day, one column a currency, how much of it one euro costs; N/A where there is none. Pure.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation

from accordant.kernel.errors import RejectedError

#: Unpacked; the whole history since 1999 has about 2 MB.
BYTES_MAX = 32 * 1024 * 1024
_CODE_LENGTH = 3

#: Day -> currency -> what one euro costs in it, decimal text as published.
RateLists = dict[date, dict[str, str]]


class RatesUnreadable(RejectedError):
    """The file holds no list of rates."""

    remedy = "Give the file eurofxref-hist.zip or eurofxref-hist.csv as the central bank publishes it."


def read_rate_lists(body: bytes) -> RateLists:
    """Every list in a file. Raises RatesUnreadable, with the line."""
    text = _unpacked(body).decode("utf-8-sig", "replace")
    rows = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if not header or header[0] != "Date" or "USD" not in header:
        raise RatesUnreadable("Its first line is not that of a list of rates: Date,USD,…")
    lists: RateLists = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        day = _day(row[0], rows.line_num)
        if day in lists:
            raise RatesUnreadable(f"Line {rows.line_num} has {day} a second time.")
        lists[day] = dict(_rates(header[1:], row[1:], rows.line_num))
    if not lists:
        raise RatesUnreadable("There is no list in it.")
    return lists


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"PK"):
        if len(body) > BYTES_MAX:
            raise RatesUnreadable("It is larger than any list of rates.")
        return body
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            (name,) = [one for one in packed.infolist() if one.filename.endswith(".csv")]
            if name.file_size > BYTES_MAX:
                raise RatesUnreadable("It is larger than any list of rates.")
            return packed.read(name)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise RatesUnreadable(f"It is no ZIP file with one CSV file in it ({type(error).__name__}).") from error


def _day(text: str, line: int) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise RatesUnreadable(f"Line {line} begins with {text[:20]!r}, which is no day.") from None


def _rates(codes: list[str], cells: list[str], line: int) -> Iterator[tuple[str, str]]:
    for code, cell in zip(codes, cells, strict=False):
        text = cell.strip()
        if len(code) != _CODE_LENGTH or text in {"", "N/A"}:
            continue
        try:
            is_rate = Decimal(text) > 0
        except InvalidOperation:
            is_rate = False
        if not is_rate or not Decimal(text).is_finite():
            raise RatesUnreadable(f"Line {line} has {text[:20]!r} for {code}, which is no rate.")
        yield code, text
