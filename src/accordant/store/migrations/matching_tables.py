"""The tables of matching as the first version makes them: the directory, links, review cases, rejections.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions/0001_first_tables.py`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

_Serial = BigInteger().with_variant(Integer(), "sqlite")


def add_matching_tables(metadata: MetaData) -> None:
    """Add the tables with their indexes."""
    _add_directory(metadata)
    _add_links(metadata)
    _add_decisions(metadata)


def _add_directory(metadata: MetaData) -> None:
    Table(
        "directory_record",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("system", Text, nullable=False),
        Column("object", Text, nullable=False),
        Column("record_id", Text, nullable=False),
        Column("is_live", Boolean, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("seen_at", BigInteger, nullable=False),
        UniqueConstraint("system", "record_id", "object", name="uq_directory_record"),
    )
    directory_key = Table(
        "directory_key",
        metadata,
        Column("digest", BigInteger, primary_key=True, autoincrement=False),
        Column("record", BigInteger, primary_key=True, autoincrement=False),
    )
    Index("ix_directory_key_record", directory_key.c.record)
    Table(
        "directory_draft",
        metadata,
        Column("digest", BigInteger, nullable=False),
        Column("record", BigInteger, nullable=False),
    )
    Table(
        "directory_scan",
        metadata,
        Column("system", Text, primary_key=True),
        Column("object", Text, primary_key=True),
        Column("started_at", BigInteger, nullable=False),
        Column("cursor", Text, nullable=False),
        Column("records", BigInteger, nullable=False),
        Column("complete_at", BigInteger),
    )


def _add_links(metadata: MetaData) -> None:
    record_link = Table(
        "record_link",
        metadata,
        Column("account_id", Text, primary_key=True),
        Column("system", Text, primary_key=True),
        Column("object", Text, primary_key=True),
        Column("key", Text, nullable=False),
        Column("target_id", Text),
        Column("parent", Text),
        Column("rung", Text),
        Column("body", LargeBinary, nullable=False),
        Column("linked_at", BigInteger, nullable=False),
    )
    Index("ix_record_link_key", record_link.c.key)
    Index("ix_record_link_target", record_link.c.target_id)
    Index("ix_record_link_parent", record_link.c.parent)


def _add_decisions(metadata: MetaData) -> None:
    review_case = Table(
        "review_case",
        metadata,
        Column("id", Text, primary_key=True),
        Column("account_id", Text, nullable=False),
        Column("system", Text, nullable=False),
        Column("object", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("waits", Boolean, nullable=False),
        Column("record_gone", Boolean, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("opened_at", BigInteger, nullable=False),
        Column("decided_at", BigInteger),
        Column("decided_by", Text),
        Column("reason", Text),
        Column("chosen_id", Text),
    )
    Index("ix_review_case_state", review_case.c.state, review_case.c.opened_at)
    Index("ix_review_case_account", review_case.c.account_id)
    Index(
        "ix_review_case_gone",
        review_case.c.record_gone,
        postgresql_where=text("state = 'open'"),
        sqlite_where=text("state = 'open'"),
    )
    Table(
        "match_rejection",
        metadata,
        Column("account_id", Text, primary_key=True),
        Column("system", Text, primary_key=True),
        Column("object", Text, primary_key=True),
        Column("target_id", Text, primary_key=True),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("rejected_at", BigInteger, nullable=False),
    )
    Table(
        "review_decision",
        metadata,
        Column("case_id", Text, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("action", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("decided_at", BigInteger, nullable=False),
    )
