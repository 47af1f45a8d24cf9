"""The table of people as the first version makes it.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0001_first_tables.py`.
"""

from sqlalchemy import BigInteger, Column, MetaData, Table, Text


def add_people_tables(metadata: MetaData) -> None:
    """Add the table."""
    Table(
        "person",
        metadata,
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("roles", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("added_by", Text, nullable=False),
        Column("added_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("revoked_at", BigInteger),
        Column("revoked_by", Text),
        Column("last_used_at", BigInteger),
    )
