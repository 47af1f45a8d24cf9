"""The same table as CSV, as a workbook and as Parquet: equal cell by cell, amounts exact, no text run as a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accordant.canonical.books import (
    AccountRulePart,
    AccountType,
    LedgerAccountPart,
    LedgerPart,
    LegalEntityPart,
    Role,
)
from accordant.canonical.entities import BalanceMovement, Payout, kind_of
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityRef, ExternalRef
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.kernel.ids import EntityId
from accordant.kernel.money import Money
from accordant.ledger.entries import Cause, JournalEntry, Posting, entry
from accordant.ledger.tables import AMOUNT, COUNT, DAY, TEXT, BookTable, Cell, TableName, exact
from accordant.operations import table_files
from accordant.operations.table_files import TableFormat, write_table
from accordant.ports.audit import AuditEntry
from accordant.ports.books import BookChanges, KeptEntry
from accordant.ports.state import Changes, StoredEntity
from accordant.store.books import commit_books
from accordant.store.engine import Database
from accordant.store.state import SqlState
from accordant.views import payouts
from accordant.views.book_tables import book_table
from accordant.views.journal import open_bills, trial_balance
from accordant.views.revenue import booked_months
from tests.integration.operations.bookkit import LEDGER, live_half_a_year
from tests.integration.operations.kit import an_installation

_COLUMNS = (("text", TEXT), ("day", DAY), ("amount", AMOUNT), ("currency", TEXT), ("count", COUNT))
_HOSTILE = ("=1+1", "@SUM(A1)", "-2", "#N/A", "+x", '=HYPERLINK("http://x")', "a\nb", "„Ü“", "東京", "'quoted")
_TEXT = st.sampled_from(_HOSTILE) | st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
_NOW, _FIRST_ON = datetime(2026, 6, 1, tzinfo=UTC), date(2026, 1, 31)
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


async def test_each_table_of_the_books_adds_up_to_what_the_store_holds(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
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
        for name in set(TableName) - {TableName.PAYOUTS, TableName.COMMISSIONS}:
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


#: Currencies with two places, with none and with three.
_BOOKS = {"Example GmbH": "EUR", "Example K.K.": "JPY", "Example W.L.L.": "KWD"}
_LEDGER = LedgerPart(
    systems={"stripe": "Example GmbH"},
    legal_entities={
        company: LegalEntityPart(
            currency=currency,
            accounts={
                "1200": LedgerAccountPart(name="=Receivables", type=AccountType.ASSET),
                "2400": LedgerAccountPart(name="Deferred revenue", type=AccountType.LIABILITY),
            },
            rules=(
                AccountRulePart(role=Role.RECEIVABLE, account="1200"),
                AccountRulePart(role=Role.DEFERRED_REVENUE, account="2400"),
            ),
        )
        for company, currency in _BOOKS.items()
    },
)


def test_the_journal_is_exact_in_currencies_of_no_and_of_three_places(database: Database, tmp_path: Path) -> None:
    with database.write_unaudited() as connection:
        for company, currency in _BOOKS.items():
            entries = [an_entry(company, number, Money(10**number + number, currency)) for number in range(12)]
            kept = [KeptEntry(entry=one, root_id="acc_1", bill=None, charter="v1", cause=1) for one in entries]
            commit_books(connection, BookChanges(entries=kept), now=_NOW)
    minor = sum(10**number + number for number in range(12))
    wanted = {currency: exact(minor, currency) for currency in _BOOKS.values()}
    for name, column in ((TableName.JOURNAL, "debit"), (TableName.TRIAL_BALANCE, "debit")):
        for kind, rows in taken_elsewhere(database, name, tmp_path).items():
            sums = {
                one: sum(Decimal(str(row[column])) for row in rows if row["currency"] == one and row[column])
                for one in wanted
            }
            assert sums == wanted, (name, kind)
    journal = taken_elsewhere(database, TableName.JOURNAL, tmp_path)
    assert {row["text"] for row in journal["csv"]} == {'\'=HYPERLINK("http://x")'}
    assert {row["text"] for row in journal["xlsx"]} == {row["text"] for row in journal["parquet"]}
    shown = {row["currency"]: row["debit"] for row in journal["csv"] if row["entry"].endswith("_0") and row["debit"]}
    assert shown == {"EUR": "0.01", "JPY": "1", "KWD": "0.001"}
    # An earlier day, and the first entries only.
    days = {row["posted_on"] for row in taken_elsewhere(database, TableName.JOURNAL, tmp_path, until=_FIRST_ON)["csv"]}
    assert days == {_FIRST_ON.isoformat()}


def an_entry(company: str, number: int, amount: Money) -> JournalEntry:
    day = _FIRST_ON + timedelta(days=number)
    made = entry(
        legal_entity=company,
        posted_on=day,
        effective_on=day,
        cause=Cause(event=f"{company}_{number}", subject="stripe:invoice/in_1", rule="invoice_issued"),
        text='=HYPERLINK("http://x")',
        postings=(
            Posting(account="1200", amount=amount, role=Role.RECEIVABLE, party="stripe:customer/cus_1"),
            Posting(account="2400", amount=-amount, role=Role.DEFERRED_REVENUE),
        ),
        recorded_at=_NOW,
    )
    return msgspec.structs.replace(made, id=f"{company}_{number}")


def taken_elsewhere(
    database: Database, name: TableName, folder: Path, *, until: date = date(2030, 1, 1)
) -> dict[str, list[dict[str, Any]]]:
    """A table as other programs read it from each kind of file."""
    paths = {kind: folder / f"{name.value}.{kind.value}" for kind in TableFormat}
    for kind, path in paths.items():
        write_table(book_table(database, _LEDGER, name, until=until), kind, path)
    sheet = read_sheet(paths[TableFormat.XLSX])
    with paths[TableFormat.CSV].open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return {
        "csv": lines,
        "xlsx": [dict(zip(map(str, sheet[0]), row, strict=True)) for row in sheet[1:]],
        "parquet": pyarrow.parquet.read_table(paths[TableFormat.PARQUET]).to_pylist(),
    }


def test_a_payout_is_taken_elsewhere_with_all_it_consists_of(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts, "_AT_ONCE", 2)  # more payouts than are read at once
    for number, currency in enumerate(("EUR", "JPY", "KWD")):
        keep_payout(database, f"po_{number}", [Money(1_005, currency), Money(-3, currency)], fee=Money(1, currency))
    keep_payout(database, "po_3", [], fee=Money(0, "EUR"), paid=Money(777, "EUR"))
    for kind, rows in taken_elsewhere(database, TableName.PAYOUTS, tmp_path).items():
        told = {row["payout"]: row for row in rows}
        assert [row["payout"] for row in rows] == ["po_0", "po_0", "po_1", "po_1", "po_2", "po_2", "po_3"], kind
        for number, currency in enumerate(("EUR", "JPY", "KWD")):
            some = [row for row in rows if row["payout"] == f"po_{number}"]
            assert {row["currency"] for row in some} == {row["movement_currency"] for row in some} == {currency}
            net = sum(Decimal(str(row["net"])) for row in some)
            assert net == Decimal(str(some[0]["paid_out"])) == exact(1_000, currency), kind
            assert Decimal(str(some[0]["unexplained"])) == 0
        assert (told["po_3"]["movement"] or None, told["po_3"]["unexplained"] or None) == (None, None)
        assert Decimal(str(told["po_3"]["paid_out"])) == Decimal("7.77")


def keep_payout(database: Database, name: str, amounts: list[Money], *, fee: Money, paid: Money | None = None) -> None:
    """A payout and its movements, as the registry keeps them."""
    arrived = paid or Money(sum(one.amount_minor for one in amounts) - len(amounts) * fee.amount_minor, fee.currency)
    payout = Payout(external_id=name, status="paid", amount=arrived, arrives_on=date(2026, 5, 4))
    movements = [
        BalanceMovement(external_id=f"txn_{name}_{at}", type="charge", amount=one, fee=fee, net=one - fee,
                        payout_id=name)
        for at, one in enumerate(amounts)
    ]  # fmt: skip
    whole: list[Payout | BalanceMovement] = [payout, *movements]
    stored = [
        StoredEntity(
            ref=EntityRef(kind_of(one), EntityId(f"pay_{one.external_id}")),
            source=ExternalRef("stripe", kind_of(one).value, one.external_id),
            root_id=f"pay_{name}", version=1, observed_at=_NOW, standpoint=Standpoint.NOTICE, digest=b"x",
            entity=one, cause=1,
        )
        for one in whole
    ]  # fmt: skip
    SqlState(database).commit(
        Changes(
            entities=stored, audit=[a_line(f"registry.{one.ref.kind.value}.created", str(one.ref)) for one in stored]
        ),
        now=_NOW,
    )


def a_line(kind: str, subject: str) -> AuditEntry:
    return AuditEntry(kind=kind, actor="test", subject=subject, cause=1, at=_NOW, body={})
