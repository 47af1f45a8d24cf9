"""How far a walk over the past has come, kept by name, so that it goes on where it stopped after a restart."""

from datetime import datetime

from sqlalchemy import select

from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import hub_fact


class Cursors:
    """Positions by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> int | None:
        """The position, or None before the first move."""
        with self._database.read() as connection:
            value = connection.execute(select(hub_fact.c.value).where(hub_fact.c.name == f"cursor/{name}")).scalar()
        return None if value is None else int(value)

    def move(self, name: str, position: int, *, now: datetime) -> None:
        """Everything up to ``position`` is done."""
        row = (f"cursor/{name}", str(position), to_micros(now))
        with self._database.write() as connection, bookkeeping(connection):
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [row])
