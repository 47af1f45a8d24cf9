"""The tables of recovery: waivers of the window, named error patterns, replays and how far they are.

Names as in `schema.py`, which gives them out with the others. Next: `redrive.py`, `patterns.py`, `replays.py`.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from accordant.store.schema_base import Serial, metadata

redrive_waiver = Table(
    "redrive_waiver",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("letter", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_at", BigInteger, nullable=False),
)
Index("ix_redrive_waiver_letter", redrive_waiver.c.letter)

error_pattern = Table(
    "error_pattern",
    metadata,
    Column("key", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("remedy", Text, nullable=False),
    Column("named_by", Text, nullable=False),
    Column("named_at", BigInteger, nullable=False),
)

replay_job = Table(
    "replay_job",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order", LargeBinary, nullable=False),
    Column("progress", LargeBinary, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
Index("ix_replay_job_started", replay_job.c.started_at)
