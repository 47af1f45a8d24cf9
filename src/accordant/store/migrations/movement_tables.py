"""The tables of movements and of vouching as their version makes them.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text


def add_movement_tables(metadata: MetaData) -> None:
    """Add the tables."""
    moved = Table(
        "moved_revenue",
        metadata,
        Column("account_id", Text, primary_key=True),
        Column("body", LargeBinary, nullable=False),
        Column("next_at", BigInteger),
        Column("counted_at", BigInteger, nullable=False),
    )
    Index("ix_moved_revenue_next", moved.c.next_at)
    Table(
        "person_second",
        metadata,
        Column("person_id", Text, primary_key=True),
        Column("vouched_by", Text),
        Column("vouched_at", BigInteger),
    )
