"""The table of how each account's recurring revenue moved, as it was last counted. Next: `movements.py`."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from accordant.store.schema_base import metadata

moved_revenue = Table(
    "moved_revenue",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("next_at", BigInteger),
    Column("counted_at", BigInteger, nullable=False),
)
#: Those that the calendar alone moves, by when.
Index("ix_moved_revenue_next", moved_revenue.c.next_at)
