"""How recurring revenue moved, on SQL: one row an account, counted anew where something was said of it since.

Next: `operations/count_movements.py`, which counts.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from accordant.analytics.movements import MovedRevenue
from accordant.canonical.refs import EntityKind
from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.owed import owe
from accordant.store.schema import entity, moved_revenue, observation

_COLUMNS = ("account_id", "body", "next_at", "counted_at")
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(MovedRevenue)


class SqlMovementBook:
    """`ports.movements.MovementBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def told_since(self, place: int) -> tuple[str, ...]:
        """See the port."""
        query = (
            select(entity.c.root_id)
            .join(observation, observation.c.entity_id == entity.c.id)
            .where(observation.c.id > place, entity.c.kind == EntityKind.SUBSCRIPTION.value)
            .distinct()
            .order_by(entity.c.root_id)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def place_at(self, moment: datetime, *, after: int) -> int:
        """See the port."""
        query = select(func.max(observation.c.id)).where(
            observation.c.id > after, observation.c.recorded_at <= to_micros(moment)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar() or after

    def due(self, now: datetime) -> tuple[str, ...]:
        """See the port."""
        query = (
            select(moved_revenue.c.account_id)
            .where(moved_revenue.c.next_at <= to_micros(now))
            .order_by(moved_revenue.c.account_id)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def of(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """See the port."""
        with self._database.read() as connection:
            return read_moved(connection, account_ids)

    def keep(self, counted: Mapping[str, MovedRevenue], *, changed: Iterable[str], now: datetime) -> None:
        """See the port."""
        rows = [
            (name, _ENCODER.encode(one), None if one.next_at is None else to_micros(one.next_at), to_micros(now))
            for name, one in sorted(counted.items())
        ]
        with self._database.write() as connection:
            bulk.upsert(connection, moved_revenue, _COLUMNS, rows)
            owe(connection, changed, now=now)


def read_moved(connection: Connection, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
    """What was counted of these accounts."""
    rows = bulk.select_by_keys(connection, moved_revenue, ("account_id", "body"), "account_id", account_ids)
    return {account_id: _DECODER.decode(body) for account_id, body in rows}
