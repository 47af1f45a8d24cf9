"""The table of reference rates that came out after those that ship. Next: `kept_rates.py`."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from accordant.store.schema_base import metadata

reference_rate = Table(
    "reference_rate",
    metadata,
    Column("currency", Text, primary_key=True),
    Column("published_on", Text, primary_key=True),
    Column("rate", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)
Index("ix_reference_rate_day", reference_rate.c.published_on)
