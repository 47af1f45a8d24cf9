"""Migrations: they make exactly the tables of the schema, close the past to change, stand several starts at once."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from accordant.kernel.errors import ConfigurationError
from accordant.store import schema
from accordant.store.engine import Database
from accordant.store.migrate import migrate, schema_version

HEAD = "0017"
_PROCESSES = 4
_START = """
import sys
from accordant.store.engine import Database
from accordant.store.migrate import migrate
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
migrate(database)
database.close()
"""

# What alembic does not compare: conditions of indexes, names and columns of constraints.
_SHAPE = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master "
    "WHERE type <> 'trigger' AND tbl_name <> 'alembic_version' ORDER BY 1, 2",
    "postgresql": "SELECT 'index', tablename, indexdef, '' FROM pg_indexes "
    "WHERE schemaname = 'public' AND tablename <> 'alembic_version' UNION ALL "
    "SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' UNION ALL "
    "SELECT 'column', table_name, column_name, concat_ws(' ', data_type, is_nullable, column_default) "
    "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
    "ORDER BY 1, 2, 3",
}


def _shape(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        rows = connection.exec_driver_sql(_SHAPE[connection.dialect.name])
        # A column that was added later stands in the statement without the breaks of the others.
        return [tuple(" ".join(one.split()) if isinstance(one, str) else one for one in row) for row in rows]


def test_the_versions_make_exactly_the_tables_of_the_schema(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    migrated = _shape(database)
    with database.write_unaudited() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("DROP FUNCTION accordant_append_only CASCADE")
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
    assert migrated == _shape(database)
    assert len(migrated) > 2 * len(schema.metadata.tables)


def test_a_second_run_changes_nothing(database: Database) -> None:
    before = _shape(database)
    migrate(database)
    assert schema_version(database) == HEAD
    assert _shape(database) == before


def test_an_empty_database_has_no_version(bare_store_url: str) -> None:
    database = Database(bare_store_url)
    assert schema_version(database) is None
    database.close()


def _fill(database: Database, table: sa.Table) -> None:
    row: dict[str, object] = {}
    for column in table.columns:
        match column.type:
            case sa.LargeBinary():
                row[column.name] = b"x"
            case sa.Text():
                row[column.name] = "x"
            case _:
                row[column.name] = 1
    with database.write_unaudited() as connection:
        if table is schema.journal_entry:
            # An entry is weighed against its lines, which are there before it.
            line = {"entry_id": "x", "legal_entity": "x", "account": "x", "posted_on": "x", "currency": "x"}
            amounts = [line | {"line": at, "amount_minor": minor} for at, minor in ((1, 5), (2, -5))]
            connection.execute(schema.journal_line.insert(), amounts)
        connection.execute(table.insert().values(row))


@pytest.mark.parametrize("table", schema.APPEND_ONLY, ids=lambda table: table.name)
def test_what_happened_can_neither_be_changed_nor_removed(database: Database, table: sa.Table) -> None:
    _fill(database, table)
    first = next(iter(table.columns)).name
    attempts = [f"UPDATE {table.name} SET {first} = {first}", f"DELETE FROM {table.name}"]  # noqa: S608  our own names
    if database.is_sqlite:
        attempts.append(f"INSERT OR REPLACE INTO {table.name} SELECT * FROM {table.name}")  # noqa: S608
    else:
        attempts.append(f"TRUNCATE {table.name} CASCADE")
    for attempt in attempts:
        with (
            pytest.raises(IntegrityError, match=f"The table {table.name} is append-only"),
            database.write_unaudited() as connection,
        ):
            connection.exec_driver_sql(attempt)
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 1


def test_what_is_worked_on_may_change(database: Database) -> None:
    closed = {table.name for table in schema.APPEND_ONLY}
    for table in schema.metadata.sorted_tables:
        if table.name not in closed:
            _fill(database, table)
            with database.write_unaudited() as connection:
                connection.execute(table.delete())


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write_unaudited() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = _shape(database)
    with pytest.raises(ConfigurationError, match=rf"schema version 9999.*up to {HEAD}") as refusal:
        migrate(database)
    assert "newer version" in refusal.value.remedy
    assert schema_version(database) == "9999"
    assert _shape(database) == before


def test_a_failing_version_leaves_nothing_behind(bare_store_url: str) -> None:
    """A table of our name is already there: the version fails half way, and what it made is gone."""
    database = Database(bare_store_url)
    with database.write_unaudited() as connection:
        connection.exec_driver_sql("CREATE TABLE discrepancy (id integer)")
    with pytest.raises(Exception, match="discrepancy"):
        migrate(database)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["discrepancy"]
    database.close()


@pytest.mark.subprocess
def test_processes_that_start_together_take_turns(bare_store_url: str, repository: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _START, bare_store_url],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(_PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert errors == [""] * _PROCESSES
    assert [process.returncode for process in started] == [0] * _PROCESSES
    database = Database(bare_store_url)
    assert schema_version(database) == HEAD
    database.close()
