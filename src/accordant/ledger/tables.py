"""Tables of the books as other programs take them: columns with a type, amounts as exact decimals, days as dates.

Every amount stands beside its currency and has exactly its places.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from accordant.kernel.money import Money
from accordant.ledger.entries import JournalEntry, Posting

Cell = str | date | Decimal | int | None


class ColumnKind(StrEnum):
    """What the cells of a column are; each may be missing."""

    TEXT = "text"
    DAY = "day"
    AMOUNT = "amount"
    COUNT = "count"


class TableName(StrEnum):
    """Which table. Waterfall, aging and payouts are as they stand now; the others may end on an earlier day."""

    JOURNAL = "journal"
    TRIAL_BALANCE = "trial-balance"
    WATERFALL = "waterfall"
    ROLL_FORWARD = "roll-forward"
    AGING = "aging"
    PAYOUTS = "payouts"
    COMMISSIONS = "commissions"


#: Tables that cannot be told as of an earlier day: what is open or planned is kept as it stands.
AS_IT_STANDS = frozenset({TableName.WATERFALL, TableName.AGING, TableName.PAYOUTS})


class BookTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table by name. ``columns`` are names with what their cells are; ``rows`` are read once, as they come."""

    name: str
    columns: tuple[tuple[str, ColumnKind], ...]
    rows: Iterable[tuple[Cell, ...]]


TEXT, DAY, AMOUNT, COUNT = ColumnKind.TEXT, ColumnKind.DAY, ColumnKind.AMOUNT, ColumnKind.COUNT
_JOURNAL = (
    ("entry", TEXT), ("legal_entity", TEXT), ("posted_on", DAY), ("effective_on", DAY), ("account", TEXT),
    ("debit", AMOUNT), ("credit", AMOUNT), ("currency", TEXT), ("original", AMOUNT), ("original_currency", TEXT),
    ("party", TEXT), ("product", TEXT), ("rule", TEXT), ("event", TEXT), ("subject", TEXT), ("reverses", TEXT),
    ("text", TEXT),
)  # fmt: skip


def journal_table(entries: Iterable[JournalEntry]) -> BookTable:
    """One row a posting."""
    rows = (_posted(one, posting) for one in entries for posting in one.postings)
    return BookTable(name="journal", columns=_JOURNAL, rows=rows)


def _posted(one: JournalEntry, posting: Posting) -> tuple[Cell, ...]:
    original = posting.original
    return (
        one.id,
        one.legal_entity,
        one.posted_on,
        one.effective_on,
        posting.account,
        exact(posting.debit_minor, one.currency) if posting.debit_minor else None,
        exact(posting.credit_minor, one.currency) if posting.credit_minor else None,
        one.currency,
        None if original is None else original.to_decimal(),
        None if original is None else original.currency,
        posting.party,
        posting.dimensions.get("product"),
        one.cause.rule,
        one.cause.event,
        one.cause.subject,
        one.reverses,
        one.text,
    )


def exact(minor: int, currency: str) -> Decimal:
    """Minor units as a decimal with exactly the places of the currency. Raises CurrencyUnknown."""
    return Money(minor, currency).to_decimal()


def csv_lines(table: BookTable) -> Iterator[str]:
    """Lines of a CSV file, the names of the columns first; text that a spreadsheet would run is prefixed."""
    yield _line([name for name, _ in table.columns])
    for row in table.rows:
        yield _line([_told(cell) for cell in row])


def _told(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Decimal():
            return f"{cell:f}"
        case str():
            # A spreadsheet runs what begins like a formula.
            return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\0"} else cell
        case _:
            return str(cell)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)  # with another end of line it would leave a line break in a text unquoted
    return out.getvalue().removesuffix("\r\n")
