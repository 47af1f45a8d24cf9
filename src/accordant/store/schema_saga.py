"""The table of sagas. Names as in `schema.py`, which gives them out with the others. Next: `sagas.py`."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from accordant.store.schema_base import metadata

#: ``cause`` is the business event that began it: one event, one saga. ``ended_at`` is NULL while it runs.
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
_RUNS = "ended_at IS NULL"
Index("ix_saga_running", saga.c.opened_at, postgresql_where=text(_RUNS), sqlite_where=text(_RUNS))
Index("ix_saga_opened", saga.c.opened_at)
