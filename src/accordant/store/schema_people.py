"""The tables of people: who has a token, for what, until when, and who vouched for them. Next: `people.py`."""

from sqlalchemy import BigInteger, Column, Table, Text

from accordant.store.schema_base import metadata

person = Table(
    "person",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoked_by", Text),
    Column("last_used_at", BigInteger),
)

#: One row for each token that opens nothing until a second person has vouched for its holder.
person_second = Table(
    "person_second",
    metadata,
    Column("person_id", Text, primary_key=True),
    Column("vouched_by", Text),
    Column("vouched_at", BigInteger),
)
