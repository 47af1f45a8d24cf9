"""Accounts that have to be decided again, on SQL: one row each, gone when it is done."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.owed import Owed
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import owed_decision

_WAITING = (
    select(owed_decision.c.account_id, owed_decision.c.since_at)
    .where(owed_decision.c.since_at <= bindparam("before"))
    .order_by(owed_decision.c.since_at, owed_decision.c.account_id)
    .limit(bindparam("count"))
)
_DONE = delete(owed_decision).where(
    owed_decision.c.account_id == bindparam("account"), owed_decision.c.since_at == bindparam("since")
)


def owe(connection: Connection, account_ids: Iterable[str], *, now: datetime) -> None:
    """Note accounts, in the transaction that keeps what they have to be decided again for."""
    rows = [(account_id, to_micros(now)) for account_id in account_ids]
    bulk.upsert(connection, owed_decision, ("account_id", "since_at"), rows)


class SqlOwedBook:
    """`ports.owed.OwedBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, *, before: datetime, limit: int) -> tuple[Owed, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = connection.execute(_WAITING, {"before": to_micros(before), "count": limit}).all()
        return tuple(Owed(account_id=account_id, since=from_micros(since)) for account_id, since in rows)

    def of(self, account_ids: Iterable[str]) -> tuple[Owed, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, owed_decision, ("account_id", "since_at"), "account_id", account_ids)
        return tuple(Owed(account_id=account_id, since=from_micros(since)) for account_id, since in rows)

    def settle(self, done: Iterable[Owed]) -> None:
        """See the port."""
        settled = tuple(done)
        if not settled:
            return
        with self._database.write() as connection:
            for one in settled:
                connection.execute(_DONE, {"account": one.account_id, "since": to_micros(one.since)})
