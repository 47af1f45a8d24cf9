"""The table of questions to the register of tax numbers; the number, name and address are sealed in ``body``.

Next: `vat.py`.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from accordant.store.schema_base import Serial, metadata

vat_consultation = Table(
    "vat_consultation",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
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
Index("ix_vat_consultation_account", vat_consultation.c.account_id)
Index("ix_vat_consultation_country", vat_consultation.c.country, vat_consultation.c.asked_at)
