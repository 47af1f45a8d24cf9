"""The tables of missed events as the first version makes them: rhythms of types, adopted endpoints.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0001_first_tables.py`.
"""

from sqlalchemy import BigInteger, Column, MetaData, Table, Text


def add_missed_tables(metadata: MetaData) -> None:
    """Add the tables."""
    Table(
        "event_rhythm",
        metadata,
        Column("connection", Text, primary_key=True),
        Column("event_type", Text, primary_key=True),
        Column("heard_at", BigInteger),
        Column("fetched_at", BigInteger),
        Column("gaps", Text, nullable=False),
        Column("alarmed_at", BigInteger),
    )
    Table(
        "adopted_endpoint",
        metadata,
        Column("connection", Text, primary_key=True),
        Column("endpoint_id", Text, nullable=False),
        Column("url", Text, nullable=False),
        Column("api_version", Text),
        Column("adopted_at", BigInteger, nullable=False),
        Column("adopted_by", Text, nullable=False),
    )
