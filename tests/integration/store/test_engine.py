"""Which commits wait for the disk: all of them, but those that are asked not to, and no later one by mistake."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Connection, select

from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.schema import lease

#: What SQLite calls its levels.
_NORMAL, _FULL = 1, 2


@pytest.fixture
def database(bare_store_url: str) -> Iterator[Database]:
    """A store of its own: those that are lent to tests do not wait for the disk."""
    with closing(Database(bare_store_url)) as opened:
        migrate(opened)
        yield opened


def waits(connection: Connection) -> bool:
    """Whether a commit of this connection would wait for the disk now."""
    if connection.dialect.name == "sqlite":
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        assert level in {_NORMAL, _FULL}
        return bool(level == _FULL)
    return bool(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on")


def _token(database: Database) -> int | None:
    with database.read() as connection:
        return connection.execute(select(lease.c.token)).scalar()


def test_a_commit_waits_for_the_disk(database: Database) -> None:
    with database.write() as connection:
        assert waits(connection)


def test_a_commit_that_may_be_redone_does_not_wait_and_is_seen_by_all(database: Database) -> None:
    with database.write(survives_power_loss=False) as connection:
        assert not waits(connection)
        connection.execute(lease.insert().values(name="probe", owner="worker-1", token=7, expires_at=0))
    assert _token(database) == 7


@pytest.mark.parametrize("fails", [False, True])
def test_the_next_commit_of_the_same_connection_waits_again(database: Database, fails: bool) -> None:
    try:
        with database.write(survives_power_loss=False) as connection:
            connection.execute(lease.insert().values(name="probe", owner="worker-1", token=7, expires_at=0))
            if fails:
                raise ValueError("planted")
    except ValueError:
        assert fails
    assert _token(database) == (None if fails else 7)
    with database.write() as connection:
        assert waits(connection)
