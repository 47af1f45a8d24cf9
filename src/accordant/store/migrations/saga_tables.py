"""The table of sagas as version 0007 makes it, and the index by which the events that begin one are found.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0007_sagas.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

_RUNS = "ended_at IS NULL"


def add_saga_tables(metadata: MetaData) -> None:
    """Add the table with its indexes."""
    saga = Table(
        "saga",
        metadata,
        Column("id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("cause", Text, nullable=False, unique=True),
        Column("version", Integer, nullable=False),
        Column("opened_at", BigInteger, nullable=False),
        Column("ended_at", BigInteger),
        Column("state", LargeBinary, nullable=False),
    )
    Index("ix_saga_running", saga.c.opened_at, postgresql_where=text(_RUNS), sqlite_where=text(_RUNS))
    Index("ix_saga_opened", saga.c.opened_at)
