"""The tables of incidents as version 0002 makes them.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0002_incidents.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

_Serial = BigInteger().with_variant(Integer(), "sqlite")


def add_incident_tables(metadata: MetaData) -> None:
    """Add the tables with their indexes."""
    Table(
        "incident",
        metadata,
        Column("id", Text, primary_key=True),
        Column("slot", Text, nullable=False, unique=True),
        Column("version", Integer, nullable=False),
        Column("state", LargeBinary, nullable=False),
        Column("opened_at", BigInteger, nullable=False),
    )
    moment = Table(
        "incident_moment",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("incident_id", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    Index("ix_incident_moment", moment.c.incident_id, moment.c.id)
