"""The tables of missed events: how often each type is heard, and the adopted endpoint of each system.

Names as in `schema.py`, which gives them out with the others. Next: `missed.py`.
"""

from sqlalchemy import BigInteger, Column, Table, Text

from accordant.store.schema_base import metadata

event_rhythm = Table(
    "event_rhythm",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("event_type", Text, primary_key=True),
    Column("heard_at", BigInteger),
    Column("fetched_at", BigInteger),
    Column("gaps", Text, nullable=False),
    Column("alarmed_at", BigInteger),
)

adopted_endpoint = Table(
    "adopted_endpoint",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("api_version", Text),
    Column("adopted_at", BigInteger, nullable=False),
    Column("adopted_by", Text, nullable=False),
)
