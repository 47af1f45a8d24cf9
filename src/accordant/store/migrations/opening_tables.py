"""The table of releases as its version makes it.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

_Serial = BigInteger().with_variant(Integer(), "sqlite")
#: What is only ever added to.
APPEND_ONLY = ("opening_release",)


def add_opening_tables(metadata: MetaData) -> None:
    """Add the table."""
    release = Table(
        "opening_release",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("record", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("released_at", BigInteger, nullable=False),
    )
    Index("ix_opening_release_record", release.c.record)
