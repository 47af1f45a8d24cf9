"""The lanes' partitions shared among the workers of one store. A commit asks first whether its worker still may.

A worker that joins draws a token and keeps a lease under it, renewed by a thread of its own; ``lanes/7`` says under
which token partition 7 is taken. Who finds a lease run out removes it: its worker's commits are refused from then on.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, bindparam, delete, func, select, update

from accordant.kernel.clock import Clock, to_micros
from accordant.ports.lanes import Share, StaleLease
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.inbox import PARTITIONS
from accordant.store.leases import Guard, holds
from accordant.store.schema import lease

#: A worker that has not been heard of for so long is taken for dead.
TTL = timedelta(seconds=10)
#: How often a worker says that it lives, and looks who else does.
BEAT = timedelta(seconds=2.5)
_LANE = "lanes/"
_WORKER = "worker/"
#: The row that counts the tokens.
_COUNTER = "workers"
_ROW = ("name", "owner", "token", "expires_at")
_NOTHING = Share(token=0, partitions=frozenset())
_MICROSECOND = timedelta(microseconds=1)

_LANES_AND_WORKERS = select(lease.c.name, lease.c.owner, lease.c.token, lease.c.expires_at).where(
    lease.c.name.like(f"{_LANE}%") | lease.c.name.like(f"{_WORKER}%")
)
_RENEW = update(lease).where(lease.c.name == bindparam("of")).values(expires_at=bindparam("until"))
_REMOVE = delete(lease).where(lease.c.name == bindparam("of"))
_COUNTED = select(lease.c.token).where(lease.c.name == _COUNTER).with_for_update()
_COUNT = update(lease).where(lease.c.name == _COUNTER).values(token=bindparam("number"))
_GIVE_UP = (
    update(lease)
    .where(lease.c.name.like(f"{_LANE}%"), lease.c.token == bindparam("under"))
    .values(owner=bindparam("nobody"), token=bindparam("none"))
)
_IS_THERE = select(lease.c.name).where(lease.c.name == bindparam("of"))
_IS_IDLE = _IS_THERE.with_for_update(skip_locked=True)
_log = structlog.get_logger("lanes")


class _Standing(NamedTuple):
    """Tokens of the workers that live and of those that do not, and under which each partition is taken (0: none)."""

    alive: tuple[int, ...]
    dead: tuple[int, ...]
    takers: dict[int, int]


class SqlLanes:
    """`ports.lanes.Lanes` on a database, for one worker; its heart may beat in another thread than its rooms.

    ``clock`` is the clock of leases (`lease_time.py`). ``worker`` names this process, and ``is_gone`` knows of a name
    that its process certainly runs no more: its lanes are given away without waiting.
    """

    def __init__(
        self,
        database: Database,
        *,
        worker: str,
        clock: Clock,
        ttl: timedelta = TTL,
        is_gone: Callable[[str], bool] = lambda _worker: False,
    ) -> None:
        self._database = database
        self._is_gone = is_gone
        self._worker = worker
        self._clock = clock
        self._ttl = ttl // _MICROSECOND
        self._token = 0
        self._beaten_at = 0
        self._balanced_at: int | None = None
        self._share = _NOTHING
        self._heart = threading.Lock()

    @property
    def token(self) -> int:
        """Under which token this worker has its lanes; 0 before it joined."""
        return self._token

    def beat(self) -> None:
        """See the port. A worker that was taken for dead joins again, under a new token and without lanes."""
        with self._heart:
            now = to_micros(self._clock())
            with self._database.write() as connection:
                renewed = (
                    self._token
                    and connection.execute(_RENEW, {"of": _name(self._token), "until": now + self._ttl}).rowcount
                )
                token = self._token if renewed else self._join(connection, now)
            self._token, self._beaten_at = token, now

    def balance(self) -> Share:
        """See the port. Looks at the store once a beat, or at once when this worker was taken for dead."""
        now = to_micros(self._clock())
        if not 0 <= now - self._beaten_at < self._ttl // 2 or not self._token:
            self.beat()
        token = self._token
        is_fresh = self._balanced_at is not None and 0 <= now - self._balanced_at < BEAT // _MICROSECOND
        if self._share.token != token or not is_fresh:
            self._share = self._settle(token, now)
            self._balanced_at = now
        return self._share

    def leave(self) -> None:
        """See the port."""
        with self._heart:
            token, self._token, self._share = self._token, 0, _NOTHING
            if token:
                with self._database.write() as connection:
                    connection.execute(_REMOVE, {"of": _name(token)})
                    _free(connection, token)

    def guard(self, share: Share) -> Guard:
        """What a transaction of a round under ``share`` asks first. It raises StaleLease."""

        def ask(connection: Connection) -> None:
            if not holds(connection, _name(share.token), share.token):
                self._balanced_at = None
                raise StaleLease

        return ask

    def _join(self, connection: Connection, now: int) -> int:
        bulk.insert_new(connection, lease, _ROW, [(_COUNTER, "", 0, 0)])
        token = int(connection.execute(_COUNTED).scalar_one()) + 1
        connection.execute(_COUNT, {"number": token})
        bulk.insert(connection, lease, _ROW, [(_name(token), self._worker, token, now + self._ttl)])
        return token

    def _settle(self, token: int, now: int) -> Share:
        with self._database.read() as connection:
            seen = self._look(connection, now)
        if _is_settled(seen, token):
            return _share(token, seen.takers)
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(_LANE))))
            seen = self._look(connection, now)
            for other in seen.dead:
                if _bury(connection, other):
                    _free(connection, other)
                    _log.warning("a worker is taken for dead and its lanes are given away", token=other)
            if seen.dead:
                seen = self._look(connection, now)
            takers = _divide(connection, seen, token, self._worker)
        return _share(token, takers)

    def _look(self, connection: Connection, now: int) -> _Standing:
        takers: dict[int, int] = {}
        workers, alive = set[int](), set[int]()
        for name, owner, token, expires_at in connection.execute(_LANES_AND_WORKERS):
            if name.startswith(_LANE):
                takers[int(name[len(_LANE) :])] = token
                continue
            workers.add(token)
            # An end that is further away than any renewal could put it is of before a restart of the machine, whose
            # uptime began anew.
            is_fresh = now < expires_at <= now + 2 * self._ttl
            if is_fresh and (owner == self._worker or not self._is_gone(owner)):
                alive.add(token)
        dead = (workers | set(takers.values())) - alive - {0}
        return _Standing(tuple(sorted(alive)), tuple(sorted(dead)), takers)


def _name(token: int) -> str:
    return f"{_WORKER}{token}"


def _quota(alive: tuple[int, ...], token: int) -> int:
    """How many partitions are a worker's: as even as whole numbers allow, whoever counts."""
    whole, rest = divmod(PARTITIONS, len(alive))
    return whole + (alive.index(token) < rest)


def _is_settled(seen: _Standing, token: int) -> bool:
    """Whether there is nothing to bury, to take or to give back."""
    if seen.dead or len(seen.takers) < PARTITIONS or token not in seen.alive:
        return False
    mine, quota = list(seen.takers.values()).count(token), _quota(seen.alive, token)
    return mine == quota or (mine < quota and all(seen.takers.values()))


def _divide(connection: Connection, seen: _Standing, token: int, worker: str) -> dict[int, int]:
    """Take what is free up to our quota, or give back what is above it; under which token each is taken afterwards."""
    missing = {number: 0 for number in range(PARTITIONS) if number not in seen.takers}
    bulk.insert_new(connection, lease, _ROW, [(f"{_LANE}{number}", "", 0, 0) for number in missing])
    takers = seen.takers | missing
    if token not in seen.alive:
        return takers
    quota = _quota(seen.alive, token)
    mine = sorted(number for number, taker in takers.items() if taker == token)
    free = sorted(number for number, taker in takers.items() if not taker)
    _give(connection, mine[quota:], 0, "")
    taken = free[: max(0, quota - len(mine))]
    _give(connection, taken, token, worker)
    return takers | dict.fromkeys(mine[quota:], 0) | dict.fromkeys(taken, token)


def _give(connection: Connection, numbers: list[int], token: int, worker: str) -> None:
    if numbers:
        rows = [(f"{_LANE}{number}", worker, token, 0) for number in numbers]
        bulk.upsert(connection, lease, _ROW, rows)


def _share(token: int, takers: Mapping[int, int]) -> Share:
    mine = frozenset(number for number, taker in takers.items() if taker == token)
    return Share(token=token, partitions=mine, is_whole=len(mine) == PARTITIONS)


def _free(connection: Connection, token: int) -> None:
    connection.execute(_GIVE_UP, {"under": token, "nobody": "", "none": 0})


def _bury(connection: Connection, token: int) -> bool:
    """Remove the lease of a dead worker, so that nothing it still wants to commit passes; whether it is gone.

    One that is in the middle of a commit just now is left for the next look: its commit is as good as any before it.
    """
    named = {"of": _name(token)}
    if connection.execute(_IS_THERE, named).first() is None:
        return True
    if connection.execute(_IS_IDLE, named).first() is None:
        return False
    connection.execute(_REMOVE, named)
    return True
