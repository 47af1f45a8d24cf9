"""What every table is made with: the one collection they belong to, and the type of a count. Next: `schema.py`."""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData()

# SQLite counts up by itself only in a column typed INTEGER; PostgreSQL needs eight bytes for a count that never wraps.
Serial = BigInteger().with_variant(Integer(), "sqlite")
