"""The tables of dispatch as their version makes them: requests that went out, restores, who uses which product.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

_Serial = BigInteger().with_variant(Integer(), "sqlite")


def add_dispatch_tables(metadata: MetaData) -> None:
    """Add the tables."""
    Table(
        "sent_request",
        metadata,
        Column("record", Text, primary_key=True),
        Column("intent_id", Text, nullable=False),
        Column("idempotency_key", Text, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("generation", Integer, nullable=False),
        Column("first_sent_at", BigInteger, nullable=False),
        Column("sent_at", BigInteger, nullable=False),
        Column("answered_at", BigInteger),
        Column("target_id", Text),
    )
    Table(
        "restore_epoch",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("declared_by", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("noticed_at", BigInteger, nullable=False),
        Column("reconciled_at", BigInteger),
        Column("body", LargeBinary),
    )
    Table(
        "product_use",
        metadata,
        Column("product", Text, primary_key=True),
        Column("account_id", Text, primary_key=True),
    )
