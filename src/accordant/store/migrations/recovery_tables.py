"""The tables of recovery as the first version makes them: waivers of the window, named error patterns, replays.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0001_first_tables.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

_Serial = BigInteger().with_variant(Integer(), "sqlite")


def add_recovery_tables(metadata: MetaData) -> None:
    """Add the tables with their indexes."""
    waiver = Table(
        "redrive_waiver",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("letter", Text, nullable=False),
        Column("granted_by", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("granted_at", BigInteger, nullable=False),
    )
    Index("ix_redrive_waiver_letter", waiver.c.letter)
    Table(
        "error_pattern",
        metadata,
        Column("key", Text, primary_key=True),
        Column("text", Text, nullable=False),
        Column("name", Text, nullable=False, unique=True),
        Column("remedy", Text, nullable=False),
        Column("named_by", Text, nullable=False),
        Column("named_at", BigInteger, nullable=False),
    )
    job = Table(
        "replay_job",
        metadata,
        Column("id", Text, primary_key=True),
        Column("order", LargeBinary, nullable=False),
        Column("progress", LargeBinary, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("finished_at", BigInteger),
    )
    Index("ix_replay_job_started", job.c.started_at)
