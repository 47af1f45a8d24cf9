"""A change of governed state without its line in the trail is not stored, whoever wrote the statement (AU1)."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from accordant.store import bulk, schema
from accordant.store.audit import append
from accordant.store.engine import Database
from accordant.store.guard import FREE, GOVERNED, UnauditedChange, bookkeeping, written_tables
from tests.integration.store.rows import NOW, an_entry

#: An entry is taken only with its lines: tests/integration/operations/test_bookkeeping.py writes it nakedly.
_GOVERNED = [
    table for table in schema.metadata.sorted_tables if table.name in GOVERNED and table is not schema.journal_entry
]
_STANDING = ("account_id", "version", "state", "updated_at")


def _a_row(table: sa.Table) -> dict[str, Any]:
    values: dict[type[Any], Any] = {sa.Text: "x", sa.LargeBinary: b"{}", sa.Boolean: False}
    return {
        column.name: next((value for kind, value in values.items() if isinstance(column.type, kind)), 1)
        for column in table.c
    }


def _count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_somebody_said_of_every_table_whether_it_is_governed() -> None:
    assert GOVERNED.keys() | FREE.keys() == set(schema.metadata.tables) | {"alembic_version"}
    assert not GOVERNED.keys() & FREE.keys()
    assert all(rule.each or rule.act for rule in GOVERNED.values())


def test_no_governed_table_takes_a_naked_write(database: Database) -> None:
    for table in _GOVERNED:
        for kind in ("operations.other.done", "x"):
            with pytest.raises(UnauditedChange, match=table.name), database.write() as connection:  # noqa: PT012
                connection.execute(table.insert().values(_a_row(table)))
                append(connection, [msgspec.structs.replace(an_entry(), kind=kind)], now=NOW)
        assert _count(database, table) == 0
        with database.write_unaudited() as connection:
            connection.execute(table.insert().values(_a_row(table)))
        if table in schema.APPEND_ONLY:
            continue
        with pytest.raises(UnauditedChange), database.write() as connection:
            connection.execute(
                table.update().values({next(iter(table.c)).name: _a_row(table)[next(iter(table.c)).name]})
            )
        with pytest.raises(UnauditedChange), database.write() as connection:
            connection.execute(table.delete())
        with database.write() as connection:
            connection.execute(table.delete().where(sa.false()))
        assert _count(database, table) == 1


def test_each_governed_table_takes_a_write_with_its_line(database: Database) -> None:
    for table in _GOVERNED:
        rule = GOVERNED[table.name]
        for kind in (*rule.each, *rule.act):
            with database.write() as connection:
                connection.execute(table.insert().values(_a_row(table)))
                append(connection, [msgspec.structs.replace(an_entry(), kind=f"{kind}x")], now=NOW)
            assert _count(database, table) == 1
            with database.engine.begin() as connection:
                if table in schema.APPEND_ONLY:
                    break
                connection.execute(table.delete())


def test_fewer_lines_than_rows_are_too_few(database: Database) -> None:
    rows = [("a", 1, b"", 1), ("b", 1, b"", 1)]
    line = msgspec.structs.replace(an_entry(), kind="registry.account.advanced")
    both = msgspec.structs.replace(line, body={"intents": ["int_1", "int_2"]})
    with pytest.raises(UnauditedChange, match="2 rows of standing"), database.write() as connection:  # noqa: PT012
        bulk.insert(connection, schema.standing, _STANDING, rows)
        append(connection, [line], now=NOW)
    for lines in ([line, line], [both]):
        with database.write() as connection:
            bulk.upsert(connection, schema.standing, _STANDING, rows)
            append(connection, lines, now=NOW)
    assert _count(database, schema.standing) == 2


def test_rows_that_a_statement_gives_back_are_counted_as_well(database: Database) -> None:
    """SQLite's driver knows the rows a RETURNING changed only once they are fetched, which is too late to count."""
    line = msgspec.structs.replace(an_entry(), kind="registry.account.advanced")
    added = schema.standing.insert().returning(schema.standing.c.account_id)
    rows = [dict(zip(_STANDING, (name, 1, b"", 1), strict=True)) for name in ("a", "b")]
    for lines in ([], [line]):
        with pytest.raises(UnauditedChange, match="2 rows of standing"), database.write() as connection:  # noqa: PT012
            assert len(connection.execute(added.values(rows)).all()) == 2
            append(connection, lines, now=NOW)
    with database.write() as connection:
        connection.execute(added.values(rows))
        append(connection, [line, line], now=NOW)
    moved = schema.standing.update().values(version=2).returning(schema.standing.c.account_id)
    with pytest.raises(UnauditedChange, match="2 rows of standing"), database.write() as connection:  # noqa: PT012
        connection.execute(moved).all()
        append(connection, [line], now=NOW)
    with database.write() as connection:
        assert connection.execute(moved.where(schema.standing.c.account_id == "c")).all() == []


def test_rows_of_a_statement_that_begins_with_another_are_counted(database: Database) -> None:
    with pytest.raises(UnauditedChange, match="2 rows of standing"), database.write() as connection:
        connection.exec_driver_sql(
            "WITH named(n) AS (SELECT 'a' UNION ALL SELECT 'b') INSERT INTO standing "
            "(account_id, version, state, updated_at) SELECT n, 1, '', 1 FROM named"
        )


def test_a_table_nobody_thought_of_is_not_written(database: Database) -> None:
    with database.write_unaudited() as connection:
        connection.exec_driver_sql("CREATE TABLE forgotten (id integer)")
    with pytest.raises(UnauditedChange, match="forgotten"), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO forgotten VALUES (1)")


def test_bookkeeping_needs_no_line_and_ends_with_its_block(database: Database) -> None:
    with database.write() as connection, bookkeeping(connection):
        bulk.insert(connection, schema.standing, _STANDING, [("a", 1, b"", 1)])
    with pytest.raises(UnauditedChange), database.write() as connection:  # noqa: PT012
        with bookkeeping(connection):
            bulk.insert(connection, schema.standing, _STANDING, [("b", 1, b"", 1)])
        bulk.insert(connection, schema.standing, _STANDING, [("c", 1, b"", 1)])
    assert _count(database, schema.standing) == 1


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT 1 FROM entity FOR UPDATE", ()),
        ("SELECT id FROM write_intent FOR UPDATE OF write_intent SKIP LOCKED", ()),
        ('INSERT INTO "entity" ("id") VALUES (?) ON CONFLICT ("id") DO UPDATE SET "id" = excluded."id"', ("entity",)),
        ("insert or replace into entity values (1)", ("entity",)),
        ("UPDATE ONLY entity SET kind = ''", ("entity",)),
        ("update or ignore entity set kind = ''", ("entity",)),
        ("DELETE FROM switch WHERE name = 'update'", ("switch",)),
        ("WITH a AS (INSERT INTO entity VALUES (1)) INSERT INTO standing SELECT 1", ("entity", "standing")),
        ("TRUNCATE TABLE entity", ("entity",)),
        ("INSERT INTO inbox_work VALUES (1)", ()),
        ("CREATE TABLE entity (id text)", ()),
    ],
)  # fmt: skip
def test_what_a_statement_writes(statement: str, tables: tuple[str, ...]) -> None:
    assert written_tables(statement) == tables


def test_only_who_makes_a_store_writes_past_the_guard(repository: Path) -> None:
    found = {
        path.name
        for path in (repository / "src" / "accordant").rglob("*.py")
        if re.search(
            r"write_unaudited\(|engine\.(begin|connect)\(|LeanConnection\(self|is_scratch=True",
            path.read_text(encoding="utf-8"),
        )
    }
    # The store of the simulator is one connection that it holds; its writing transactions go through the guard. Two
    # benchmarks fill stores of their own: `why.py` and `books.py`.
    assert found == {"books.py", "engine.py", "memory_store.py", "migrate.py", "scratch.py", "why.py"}
