"""The first reading of a target's records: their keys are drafted without an index, and published at its end in order.

Nobody is looked for in an object before it was read whole, so nobody misses what is drafted. Next: `directory.py`.
"""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, delete, func, select

from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import directory_key
from accordant.store.schema_matching import directory_draft

_KEY = ("digest", "record")
#: From so many keys on it is quicker to make the indexes anew than to enter each key in them.
REBUILD_FROM = 200_000
_ENTER = (
    "INSERT INTO directory_key (digest, record) "
    "SELECT DISTINCT digest, record FROM directory_draft WHERE true ORDER BY digest, record"
)
_ALL_INTO_DRAFT = "INSERT INTO directory_draft (digest, record) SELECT digest, record FROM directory_key"
_INDEX = "CREATE INDEX ix_directory_key_record ON directory_key (record)"
_NO_INDEX = "DROP INDEX ix_directory_key_record"
_NO_KEY = "ALTER TABLE directory_key DROP CONSTRAINT directory_key_pkey"
_KEY_AGAIN = "ALTER TABLE directory_key ADD CONSTRAINT directory_key_pkey PRIMARY KEY (digest, record)"


def draft_keys(connection: Connection, keys: Sequence[tuple[int, int]]) -> None:
    """Draft keys, as rows of digest and record. One that is drafted twice is published once."""
    bulk.insert(connection, directory_draft, _KEY, keys)


def publish_keys(database: Database, *, rebuild_from: int = REBUILD_FROM) -> int:
    """Make records found by the keys that were drafted; how many were. A crash leaves them drafted.

    Whoever looks something up meanwhile waits: seconds for a million records, once in the life of a target.
    """
    with database.write() as connection:
        if not database.is_sqlite:
            # First of all, so that no two who publish or write keys wait for one another.
            connection.exec_driver_sql("LOCK TABLE directory_key, directory_draft IN ACCESS EXCLUSIVE MODE")
            connection.exec_driver_sql("SET LOCAL work_mem = '128MB'")
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
        drafted = _count(connection, directory_draft.c.digest)
        if drafted >= max(rebuild_from, _count(connection, directory_key.c.digest)):
            _rebuild(connection)
        elif drafted:
            connection.exec_driver_sql(f"{_ENTER} ON CONFLICT DO NOTHING")
        connection.execute(delete(directory_draft))
    return drafted


def is_drafted(connection: Connection) -> bool:
    """Whether there are keys that nobody published yet."""
    return connection.execute(select(directory_draft.c.digest).limit(1)).first() is not None


def _rebuild(connection: Connection) -> None:
    """Write the table anew, in the order of its keys, and its indexes behind it. SQLite cannot drop a primary key."""
    connection.exec_driver_sql(_ALL_INTO_DRAFT)
    connection.execute(delete(directory_key))
    is_sqlite = connection.dialect.name == "sqlite"
    for step in (_NO_INDEX, _ENTER, _INDEX) if is_sqlite else (_NO_KEY, _NO_INDEX, _ENTER, _KEY_AGAIN, _INDEX):
        connection.exec_driver_sql(step)


def _count(connection: Connection, column: Column[int]) -> int:
    return int(connection.execute(select(func.count(column))).scalar_one())
