"""The tables of red flags: what was raised, and what people said of it.

Names as in `schema.py`, which gives them out with the others. Next: `flags.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from accordant.store.schema_base import Serial, metadata

#: ``state`` is open or approved; the flag itself never changes.
red_flag = Table(
    "red_flag",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("account_id", Text),
    Column("state", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
)
Index(
    "ix_red_flag_open",
    red_flag.c.raised_at,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)

flag_decision = Table(
    "flag_decision",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("flag", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index("ix_flag_decision", flag_decision.c.flag, flag_decision.c.number, unique=True)
