"""The table of releases: which content of which record a person let be opened. Next: `openings.py`."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from accordant.store.schema_base import Serial, metadata

opening_release = Table(
    "opening_release",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("record", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_at", BigInteger, nullable=False),
)
Index("ix_opening_release_record", opening_release.c.record)
