"""The tables of incidents: where each stands, and its timeline.

Names as in `schema.py`, which gives them out with the others. Next: `incidents.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from accordant.store.schema_base import Serial, metadata

#: ``slot`` is "open" of the incident that is open, and the id of each that is closed: one is open at a time.
incident = Table(
    "incident",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slot", Text, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
)

incident_moment = Table(
    "incident_moment",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("incident_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("ix_incident_moment", incident_moment.c.incident_id, incident_moment.c.id)
