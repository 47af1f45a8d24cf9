"""The shared fixtures themselves: each promise they make to other tests is held here."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from accordant.store import schema
from accordant.store.engine import Database
from accordant.store.migrate import schema_version
from tests import conftest
from tests.databases import Pool, shape_of


def test_a_bare_store_url_opens_an_empty_store(bare_store_url: str) -> None:
    if bare_store_url.startswith("sqlite:///"):
        path = Path(bare_store_url.removeprefix("sqlite:///"))
        assert path.parent.is_dir()
        assert not path.exists()
        return
    with psycopg.connect(bare_store_url) as connection:
        rows = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert rows == (0,)


@pytest.mark.postgres
def test_a_fresh_database_is_gone_afterwards_even_with_a_guest(postgres_server: str) -> None:
    with conftest.fresh_database(postgres_server, "Guest Left!") as url:
        guest = psycopg.connect(url)
        name = url.rsplit("/", 1)[1]
        assert name.startswith("accordant_guest_left_")
    guest.close()
    with psycopg.connect(postgres_server) as connection:
        row = connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,)).fetchone()
    assert row == (0,)


def test_a_store_url_opens_every_table_and_no_row(store_url: str) -> None:
    with closing(Database(store_url)) as database, database.read() as connection:
        assert schema_version(database) is not None
        for table in schema.metadata.sorted_tables:
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0, table.name


def _note(database: Database, name: str) -> int:
    """A row of the past, which nobody may remove, and its number."""
    event = dict.fromkeys(("connection", "external_id", "event_type", "lane", "key_id"), name)
    numbers = {"occurred_at": 0, "received_at": 0, "digest": b"", "body": b""}
    query = schema.inbox_event.insert().values(event | numbers).returning(schema.inbox_event.c.seq)
    with database.write_unaudited() as connection:
        return int(connection.execute(query).scalar_one())


@pytest.mark.postgres
def test_a_lent_database_is_lent_again_as_it_was(postgres_pool: Pool) -> None:
    with postgres_pool.lend("first") as url:
        guest = psycopg.connect(url)
        with closing(Database(url)) as database:
            assert [_note(database, "a"), _note(database, "b")] == [1, 2]
    with pytest.raises(psycopg.OperationalError):
        guest.execute("SELECT 1")
    guest.close()
    with postgres_pool.lend("second") as again, closing(Database(again)) as database:
        assert again == url
        assert _note(database, "a") == 1


@pytest.mark.postgres
def test_a_database_whose_tables_were_changed_is_not_lent_again(postgres_pool: Pool) -> None:
    with postgres_pool.lend("changed") as url, psycopg.connect(url) as connection:
        connection.execute("DROP TABLE lease")
    with postgres_pool.lend("another") as other:
        assert other != url


@pytest.mark.postgres
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE lease ADD COLUMN more text",
        "DROP TRIGGER append_only_audit_entry ON audit_entry",
        "ALTER TABLE audit_entry DISABLE TRIGGER append_only_audit_entry",
        "CREATE INDEX more ON lease (owner)",
        "UPDATE alembic_version SET version_num = '9999'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
    ],
)
def test_any_change_of_the_tables_shows(postgres_pool: Pool, change: str) -> None:
    with postgres_pool.lend("shape") as url, psycopg.connect(url) as connection:
        before = shape_of(connection)
        connection.execute(change)
        assert shape_of(connection) != before
        connection.rollback()
        assert shape_of(connection) == before


def test_what_is_missing_skips_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"A teapot is missing\. Buy one\."):
        conftest.missing("A teapot", "Buy one.")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"A teapot is missing\. Buy one\. \(CI=true"):
        conftest.missing("A teapot", "Buy one.")


async def test_async_tests_run_without_a_mark(anyio_backend: str) -> None:
    assert anyio_backend == "asyncio"
