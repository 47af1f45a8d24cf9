"""The tables of red flags as version 0003 makes them.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0003_red_flags.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

_Serial = BigInteger().with_variant(Integer(), "sqlite")


def add_flag_tables(metadata: MetaData) -> None:
    """Add the tables with their indexes."""
    flag = Table(
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
        flag.c.raised_at,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    )
    decision = Table(
        "flag_decision",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("flag", Text, nullable=False),
        Column("number", Integer, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    Index("ix_flag_decision", decision.c.flag, decision.c.number, unique=True)
