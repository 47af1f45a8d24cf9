"""How far schedules are recognised is stored by their keys, however many there are, and only over what was read."""

from contextlib import closing
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from accordant.ports.books import BookChanges, ScheduleAdvance
from accordant.ports.state import ConcurrentChange
from accordant.store import bulk
from accordant.store.books import ADVANCE_POSTGRES, commit_books
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.packed import pack
from accordant.store.schema import revenue_schedule

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MANY, BATCH = 20_000, 5_000
_TYPES = ("bigint", "bigint", "text", "integer", "bigint", "text")


def add_schedules(database: Database, count: int) -> None:
    one: dict[str, object] = {
        "version": 1, "legal_entity": "Example GmbH", "bill": "billing:invoice/in_1", "currency": "EUR",
        "books_currency": "EUR", "booked_on": "2026-01-01", "starts_on": "2026-01-01", "ends_on": "2027-01-01",
        "minor": 365, "billed_minor": 365, "booked_minor": 365, "grain": "day", "zone": "UTC", "spans": b"[]",
        "recognised_minor": 0, "recognised_books_minor": 0, "next_on": "2026-01-01", "updated_at": 1,
    }  # fmt: skip
    with database.write_unaudited() as connection:
        rows = [(*one.values(), f"billing:il_{at}") for at in range(count)]
        bulk.insert(connection, revenue_schedule, (*one, "id"), rows)


def an_advance(at: int, *, version: int) -> ScheduleAdvance:
    return ScheduleAdvance(
        id=f"billing:il_{at}",
        version=version,
        recognised_minor=31 + at,
        recognised_books_minor=32 + at,
        next_on=date(2026, 2, 1) if at % 2 else None,
    )


def test_an_advance_is_stored_whole_or_refused(database: Database) -> None:
    add_schedules(database, 4)
    told = BookChanges(advances=[an_advance(at, version=2) for at in range(3)])
    with database.write_unaudited() as connection:
        commit_books(connection, told, now=NOW)
    late = BookChanges(advances=[an_advance(3, version=2), an_advance(2, version=2)])
    with pytest.raises(ConcurrentChange, match="1 of 2"), database.write_unaudited() as connection:
        commit_books(connection, late, now=NOW)
    columns = revenue_schedule.c
    query = sa.select(columns.version, columns.recognised_minor, columns.recognised_books_minor, columns.next_on)
    with database.read() as connection:
        kept = [tuple(row) for row in connection.execute(query.order_by(columns.id))]
    assert kept == [(2, 31, 32, None), (2, 32, 33, "2026-02-01"), (2, 33, 34, None), (1, 0, 0, "2026-01-01")]


@pytest.mark.postgres
def test_a_batch_is_looked_up_by_its_keys_and_not_by_reading_every_schedule(postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    add_schedules(database, MANY)
    rows = [(1, 1, "2026-02-01", 2, 1, f"billing:il_{at}") for at in range(BATCH)]
    arrays = tuple(map(pack, _TYPES, zip(*rows, strict=True)))
    with closing(database), database.read() as connection:
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {ADVANCE_POSTGRES}", arrays))
    assert "revenue_schedule_pkey" in plan
    assert "Seq Scan" not in plan
