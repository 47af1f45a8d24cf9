"""A store that takes no writes for a while is what passes: whoever asks is told to come back, and sees no trace."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from accordant.store.cursors import Cursors
from accordant.store.engine import Database, StoreUnavailable
from accordant.store.migrate import migrate
from tests.integration.store.rows import NOW


@pytest.mark.postgres
def test_a_database_that_is_read_only_for_a_while_is_waited_for(postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[call-overload,unused-ignore]
    database.close()
    with pytest.raises(StoreUnavailable, match="read-only transaction") as refusal:
        Cursors(database).move("work", 1, now=NOW)
    assert refusal.value.retry_after_s == 1.0
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")  # type: ignore[call-overload,unused-ignore]
    database.close()
    Cursors(database).move("work", 1, now=NOW)
    database.close()


@pytest.mark.postgres
def test_a_connection_that_breaks_in_a_transaction_is_a_store_to_come_back_to(postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    with pytest.raises(StoreUnavailable):
        _break_in(database, postgres_url)
    Cursors(database).move("work", 1, now=NOW)
    database.close()


def _break_in(database: Database, url: str) -> None:
    """A transaction whose connection the server ends in the middle."""
    with database.write() as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (process,))
        connection.execute(text("SELECT 1"))
