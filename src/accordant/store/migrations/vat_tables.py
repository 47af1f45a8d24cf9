"""The table of questions to the register of value-added tax numbers as its version makes it.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

_Serial = BigInteger().with_variant(Integer(), "sqlite")
#: What is only ever added to.
APPEND_ONLY = ("vat_consultation",)


def add_vat_tables(metadata: MetaData) -> None:
    """Add the table."""
    consultation = Table(
        "vat_consultation",
        metadata,
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("account_id", Text, nullable=False),
        Column("country", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("code", Text, nullable=False),
        Column("remedy", Text),
        Column("requester", Text, nullable=False),
        Column("consultation", Text, nullable=False),
        Column("answered_on", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("asked_by", Text, nullable=False),
        Column("asked_at", BigInteger, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    Index("ix_vat_consultation_account", consultation.c.account_id)
    Index("ix_vat_consultation_country", consultation.c.country, consultation.c.asked_at)
