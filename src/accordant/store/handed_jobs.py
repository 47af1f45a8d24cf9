"""Jobs at targets, kept among the leases: who waits for one renews its row, and who finds it run out ends the job."""

from datetime import datetime

from sqlalchemy import delete, select

from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import lease

_ROW = ("name", "owner", "token", "expires_at")


class SqlHandedJobs:
    """`ports.handed_jobs.HandedJobs` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, target: str, job: str, *, until: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            bulk.upsert(connection, lease, _ROW, [(_name(target, job), "", 0, to_micros(until))])

    def over(self, target: str, job: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(lease).where(lease.c.name == _name(target, job)))

    def left(self, target: str, *, at: datetime) -> tuple[str, ...]:
        """See the port."""
        first = _name(target, "")
        query = select(lease.c.name).where(lease.c.name.startswith(first, autoescape=True))
        query = query.where(lease.c.expires_at <= to_micros(at)).order_by(lease.c.name)
        with self._database.read() as connection:
            return tuple(name.removeprefix(first) for name in connection.execute(query).scalars())


def _name(target: str, job: str) -> str:
    return f"job/{target}/{job}"
