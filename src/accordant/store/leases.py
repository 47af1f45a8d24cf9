"""Leases: a named right to do something alone, for a while. The token grows with every change of owner: it fences.

The database only compares what it stored: what time it is says the clock of leases, or the caller.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from accordant.kernel.clock import Clock, to_micros
from accordant.kernel.errors import TransientError
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import lease

_HELD = select(lease.c.token).where(lease.c.name == bindparam("name")).with_for_update(read=True)
_ROW = select(lease).where(lease.c.name == bindparam("name")).with_for_update()
_TAKE = (
    update(lease)
    .where(lease.c.name == bindparam("of"))
    .values(owner=bindparam("by"), token=bindparam("number"), expires_at=bindparam("until"))
)
_GIVE_BACK = (
    update(lease)
    .where(lease.c.name == bindparam("of"), lease.c.owner == bindparam("by"), lease.c.token == bindparam("under"))
    .values(expires_at=0)
)

#: Asked first in a transaction; raises where its caller may not go on.
Guard = Callable[[Connection], None]


def anybody(_connection: Connection) -> None:
    """The guard that lets everybody pass."""


class LeaseTaken(TransientError):
    """Somebody else holds the lease."""


class Leases:
    """Takes, renews and returns leases."""

    def __init__(
        self,
        database: Database,
        owner: str,
        *,
        clock: Clock | None = None,
        is_gone: Callable[[str], bool] = lambda _owner: False,
    ) -> None:
        """``clock`` is what leases run out by, whatever the callers' watches say; without it their ``now`` counts.

        ``is_gone`` knows of an owner that its process certainly runs no more: what it held is free at once.
        """
        self._is_gone = is_gone
        self._database = database
        self.owner = owner
        self._clock = clock
        self._kept: dict[str, datetime] = {}

    def acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int:
        """Take the lease, or renew our own; its token. Raises LeaseTaken while another owner's has not expired."""
        at = self._clock() if self._clock is not None else now
        micros, expires = to_micros(at), to_micros(at + ttl)
        with self._database.write() as connection:
            held = connection.execute(_ROW, {"name": name}).one_or_none()
            if held is None:
                first = [(name, self.owner, 1, expires)]
                if bulk.insert_new(connection, lease, ("name", "owner", "token", "expires_at"), first):
                    return 1
                # It was taken in this very moment, perhaps by another thread of ours: it is looked at as it stands now.
                held = connection.execute(_ROW, {"name": name}).one()
            # An end further away than any renewal could put it is of before a restart of the machine (`lease_time.py`).
            is_held = held.owner != self.owner and micros < held.expires_at <= 2 * expires - micros
            if is_held and not self._is_gone(held.owner):
                raise LeaseTaken(
                    f"The lease {name} is held by {held.owner}.", retry_after_s=(held.expires_at - micros) / 1e6
                )
            token: int = held.token + (held.owner != self.owner)
            connection.execute(_TAKE, {"of": name, "by": self.owner, "number": token, "until": expires})
            return token

    def try_acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int | None:
        """As ``acquire``, but None while somebody else holds it."""
        try:
            return self.acquire(name, ttl=ttl, now=now)
        except LeaseTaken:
            return None

    def is_ours(self, name: str, *, ttl: timedelta, now: datetime) -> bool:
        """Whether the lease is ours, or could be had just now. Asked often, renewed when a third of it is over."""
        at = self._clock() if self._clock is not None else now
        since = self._kept.get(name)
        if since is not None and timedelta() <= at - since < ttl / 3:
            return True
        try:
            self.acquire(name, ttl=ttl, now=at)
        except LeaseTaken:
            self._kept.pop(name, None)
            return False
        self._kept[name] = at
        return True

    def release(self, name: str, *, token: int) -> None:
        """Give the lease back, if it is still ours: the next owner need not wait."""
        with self._database.write() as connection:
            connection.execute(_GIVE_BACK, {"of": name, "by": self.owner, "under": token})


def holds(connection: Connection, name: str, token: int) -> bool:
    """Whether ``token`` is still the current one; asked inside a transaction, nobody can take over before that ends."""
    return connection.execute(_HELD, {"name": name}).scalar() == token
