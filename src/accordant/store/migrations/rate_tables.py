"""The table of reference rates as its version makes it.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

#: What is only ever added to.
APPEND_ONLY = ("reference_rate",)


def add_rate_tables(metadata: MetaData) -> None:
    """Add the table."""
    rate = Table(
        "reference_rate",
        metadata,
        Column("currency", Text, primary_key=True),
        Column("published_on", Text, primary_key=True),
        Column("rate", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("kept_at", BigInteger, nullable=False),
    )
    Index("ix_reference_rate_day", rate.c.published_on)
