"""The tables of dispatch: requests to targets that cannot be asked at once, restores, and who uses which product.

Names as in `schema.py`, which gives them out with the others. Next: `outbox.py`, `epochs.py`, `state.py`.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from accordant.store.schema_base import Serial, metadata

sent_request = Table(
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

restore_epoch = Table(
    "restore_epoch",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("declared_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("noticed_at", BigInteger, nullable=False),
    Column("reconciled_at", BigInteger),
    Column("body", LargeBinary),
    Column("said_to", BigInteger),
)

product_use = Table(
    "product_use",
    metadata,
    Column("product", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
)
