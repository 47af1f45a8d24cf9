"""`accordant bench books`: what the pages and commands of the books ask a large ledger, each question by itself.

Half a year is posted and recognised by the rooms, in two currencies and with open bills; the rest of the store is made
in SQL, copies of it that have ids and customers of their own.
"""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Table, func, select, text, update

from accordant.bench.arena import stored
from accordant.bench.figures import Run
from accordant.bench.ledger import COMPANY, Sale, history, post, rulebook
from accordant.kernel.errors import InvariantBroken
from accordant.operations.bookkeeper import Bookkeeper
from accordant.store.cursors import Cursors
from accordant.store.engine import Database
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.migrate import migrate
from accordant.store.schema import (
    crosswalk,
    journal_entry,
    journal_line,
    ledger_bill,
    period_balance,
    posting,
    recognised_month,
    recognition,
    revenue_schedule,
)
from accordant.store.state import SqlState
from accordant.views.journal import (
    JournalAsked,
    aged,
    held_postings,
    open_bills,
    read_journal,
    tie_of_bills,
    tie_of_schedules,
    trial_balance,
)
from accordant.views.revenue import booked_months, last_months, rolled_months

#: Counted up when the store below is made in another way, so that a kept one is made anew.
_MAKE = 1
_BILLS = 12_000
_MONTHS = 6
#: The days of the bills, and the day on which the questions are asked: the year is half over and half recognised.
_FIRST_AT = datetime(2026, 1, 1, 9, tzinfo=UTC)
_DAYS = 180
_ASKED_AT = datetime(2026, 7, 10, tzinfo=UTC)
_TIMES = 3
#: What names a row or one it belongs to, by table; a copy has the number of the copy behind each.
_NAMES: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (journal_line, ("entry_id", "party")),
    (journal_entry, ("id", "event", "subject", "bill", "root_id", "reverses")),
    (posting, ("event", "subject", "root_id", "bill", "entry_id")),
    (ledger_bill, ("ref", "root_id", "party", "number", "entry_id")),
    (revenue_schedule, ("id", "bill")),
    (recognition, ("schedule_id", "entry_id")),
    (crosswalk, ("ref", "external_id", "entity_id")),
)


def ask(store: str, n: int, seed: int, *, keep: Path | None = None) -> Run:
    """The slowest of the answers in milliseconds, and all of them as latencies, on ``n`` entries or a few more.

    ``keep`` is a folder that holds the store for the next measurement; without it the store is gone afterwards.
    """
    del seed  # what differs from bill to bill is counted off: nothing is left to chance
    with stored(store, f"books_{n}_{_MAKE}", keep=keep) as place:
        database = Database(place.url)
        try:
            migrate(database)
            if not place.is_made:
                _fill(database, n)
                place.made()
            return _ask(database)
        finally:
            database.close()


def _ask(database: Database) -> Run:
    taken, told = [], []
    for name, question in _questions(database):
        answers = []
        for _ in range(_TIMES):
            started = time.perf_counter()
            question()
            answers.append(time.perf_counter() - started)
        taken += answers
        told.append((max(answers), name))
    for seconds, name in sorted(told, reverse=True):
        sys.stderr.write(f"{seconds * 1000:8,.0f} ms  {name}\n")
    return Run(value=max(taken) * 1000, latencies_s=taken)


def _questions(database: Database) -> Iterator[tuple[str, Callable[[], object]]]:
    keeper = _keeper(database)
    today = _ASKED_AT.date()
    months = last_months(today, 12)
    with database.read() as connection:
        middle = connection.execute(
            select(journal_entry).where(journal_entry.c.bill.is_not(None)).order_by(journal_entry.c.id.desc())
        ).first()
        assert middle is not None  # noqa: S101  filled above
        customer = connection.execute(
            select(crosswalk.c.external_id).where(crosswalk.c.entity_id == middle.root_id)
        ).scalar_one()
        page = (
            select(journal_entry.c.posted_on)
            .order_by(journal_entry.c.posted_on.desc(), journal_entry.c.id)
            .offset(connection.execute(select(func.count()).select_from(journal_entry)).scalar_one() // 2)
            .limit(1)
        )
        half_way = connection.execute(page).scalar_one()
    yield "books: trial balance", lambda: trial_balance(database)
    yield "books: what is held", lambda: held_postings(database)
    yield "books, to-close: the month that is closed next", lambda: keeper.to_close(COMPANY)
    yield (
        "what the last month lacks, with the balances abroad of all months",
        lambda: keeper.missing(COMPANY, date(2026, _MONTHS, 1)),
    )
    yield "trial balance until a day", lambda: trial_balance(database, before_on=date(2026, 4, 1))
    asked = {
        "all": JournalAsked(),
        "half way": JournalAsked(after=f"{half_way}/"),
        "company": JournalAsked(company=COMPANY),
        "account": JournalAsked(account="clearing"),
        "a rare account": JournalAsked(account="revenue"),
        "account and month": JournalAsked(account="clearing", month_on=date(2026, 2, 1)),
        "account and system": JournalAsked(account="clearing", system="billing"),
        "account and customer": JournalAsked(account="clearing", customer=customer),
        "bill": JournalAsked(bill=middle.bill),
        "entry": JournalAsked(entry=middle.id),
        "customer": JournalAsked(customer=customer),
        "system": JournalAsked(system="billing"),
        "month": JournalAsked(month_on=date(2026, 2, 1)),
        "system and month": JournalAsked(system="billing", month_on=date(2026, 1, 1)),
    }
    for name, one in asked.items():
        yield f"journal: {name}", lambda one=one: read_journal(database, one)  # type: ignore[misc]
    yield "journal: nothing of a system", lambda: read_journal(database, JournalAsked(system="nobody"))
    yield "revenue: roll-forward of a year", lambda: rolled_months(database, legal_entity=COMPANY, months=months)
    yield "revenue: waterfall", lambda: booked_months(database, legal_entity=COMPANY)
    yield "revenue: tie", lambda: tie_of_schedules(database, legal_entity=COMPANY, remaining=0)
    yield "receivables: open bills by age", lambda: aged(database, legal_entity=COMPANY, as_of_on=today)
    yield "receivables: the longest due", lambda: open_bills(database, legal_entity=COMPANY, limit=200)
    yield "receivables: tie", lambda: tie_of_bills(database, legal_entity=COMPANY)


def _keeper(database: Database, at: datetime = _ASKED_AT) -> Bookkeeper:
    state = SqlState(database)
    return Bookkeeper(SqlLedgerDesk(database), state, Cursors(database), rulebook=rulebook, clock=lambda: at)


def _sold(number: int) -> Sale:
    at = _FIRST_AT + timedelta(days=number * 7 % _DAYS)
    return Sale(at=at, currency="USD" if number % 4 == 0 else "EUR", is_paid=number % 21 != 0)


def _fill(database: Database, entries: int) -> None:
    """Half a year of twelve thousand bills, or fewer, and copies of it."""
    state = SqlState(database)
    for events in history(state, min(_BILLS, entries // 2), lines=1, sale=_sold):
        post(state, events)
    keeper = _keeper(database)
    for month in range(1, _MONTHS):
        done = keeper.recognise(COMPANY, date(2026, month, 1))
        if done.refusals:
            raise InvariantBroken(f"The books to be measured were not recognised: {done.refusals}.")
    count = select(func.count()).select_from(journal_entry)
    with database.read() as connection:
        made = connection.execute(count).scalar_one()
    copies = -(-entries // made) - 1
    with database.write_unaudited() as connection:
        for table, sums in ((period_balance, ("debit_minor", "credit_minor")), (recognised_month, ("books_minor",))):
            connection.execute(update(table).values({name: table.c[name] * (copies + 1) for name in sums}))
    for first in range(1, copies + 1, 10):
        with database.write_unaudited() as connection:
            for table, names in _NAMES:
                _copy(connection, table, names, first=first, last=min(first + 9, copies))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("ANALYZE")
        else:
            # As the server's own cleaning has done with what is old.
            connection.exec_driver_sql("VACUUM ANALYZE")


def _copy(connection: Connection, table: Table, names: tuple[str, ...], *, first: int, last: int) -> None:
    """Each row as the rooms left it once more for every copy: its names have the copy's number behind them."""
    is_sqlite = connection.dialect.name == "sqlite"
    numbers = (
        "WITH RECURSIVE numbers(k) AS (SELECT :first UNION ALL SELECT k + 1 FROM numbers WHERE k < :last)"
        if is_sqlite
        else "WITH numbers(k) AS (SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer)))"
    )
    values = {column.name: f'"{column.name}"' for column in table.columns}
    for name in names:
        values[name] = f"\"{name}\" || '~' || k"
    if table is journal_entry:
        told = "CAST(body AS text)" if is_sqlite else "convert_from(body, 'UTF8')"
        renamed = f"replace({told}, '\"' || id || '\"', '\"' || id || '~' || k || '\"')"
        values["body"] = f"CAST({renamed} AS BLOB)" if is_sqlite else f"convert_to({renamed}, 'UTF8')"
    columns, chosen = ", ".join(f'"{name}"' for name in values), ", ".join(values.values())
    sql = (
        f'INSERT INTO "{table.name}" ({columns}) {numbers} SELECT {chosen} FROM "{table.name}", numbers '  # noqa: S608
        f"WHERE \"{names[0]}\" NOT LIKE '%~%'"
    )
    connection.execute(text(sql), {"first": first, "last": last})
