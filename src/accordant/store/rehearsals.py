"""Rehearsals that were held: the result of each, and its differences to look through. Nothing here is acted upon."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from accordant.canonical.rehearsal import Difference, Rehearsal, RehearsalProgress, RehearsalTicket, Walked
from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import rehearsal_difference, rehearsal_run

#: Runs that are kept; the oldest go first, with their differences.
RUNS_KEPT = 50
_RUN = ("id", "before", "after", "actor", "started_at")
_DIFFERENCE = ("run_id", "flow", "field", "kind", "record", "body")
_TICKET = msgspec.json.Decoder(RehearsalTicket)
_PROGRESS = msgspec.json.Decoder(RehearsalProgress)
_ENCODER = msgspec.json.Encoder(order="sorted")


class SqlRehearsalBook:
    """`ports.rehearsal.RehearsalBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run_id: str, *, before: str, after: str, started_at: datetime, actor: str) -> None:
        """See the port. The oldest runs make room."""
        with self._database.write() as connection:
            _make_room(connection)
            bulk.insert(connection, rehearsal_run, _RUN, [(run_id, before, after, actor, to_micros(started_at))])

    def keep(self, run_id: str, differences: Sequence[Difference]) -> None:
        """See the port."""
        rows = [
            (run_id, one.flow, one.field or "", one.kind.value, one.record, _ENCODER.encode(one)) for one in differences
        ]
        with self._database.write() as connection:
            bulk.insert(connection, rehearsal_difference, _DIFFERENCE, rows)

    def finish(self, rehearsal: Rehearsal) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(
                update(rehearsal_run)
                .where(rehearsal_run.c.id == rehearsal.id)
                .values(finished_at=to_micros(rehearsal.finished_at), body=_ENCODER.encode(rehearsal))
            )

    def order(self, ticket: RehearsalTicket) -> None:
        """See the port. The oldest runs make room."""
        at = to_micros(ticket.ordered_at)
        row = (ticket.id, ticket.before, ticket.after, ticket.actor, at, _ENCODER.encode(ticket))
        with self._database.write() as connection:
            _make_room(connection)
            bulk.insert(connection, rehearsal_run, (*_RUN, "ticket"), [row])

    def next_order(self) -> RehearsalTicket | None:
        """See the port."""
        query = select(rehearsal_run.c.ticket).where(*_OPEN).order_by(rehearsal_run.c.started_at).limit(1)
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else _TICKET.decode(found)

    def find_order(self, run_id: str) -> RehearsalTicket | None:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(
                select(rehearsal_run.c.ticket).where(rehearsal_run.c.id == run_id, *_OPEN)
            ).scalar()
        return None if found is None else _TICKET.decode(found)

    def mark(self, run_id: str, progress: RehearsalProgress) -> bool:
        """See the port."""
        change = (
            update(rehearsal_run)
            .where(rehearsal_run.c.id == run_id, rehearsal_run.c.problem.is_(None))
            .values(progress=_ENCODER.encode(progress))
        )
        with self._database.write() as connection:
            return bool(connection.execute(change).rowcount)

    def walked(self, run_id: str) -> Walked | None:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(select(rehearsal_run.c.progress).where(rehearsal_run.c.id == run_id)).scalar()
        return None if found is None else _PROGRESS.decode(found).walked

    def forget_differences(self, run_id: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(rehearsal_difference).where(rehearsal_difference.c.run_id == run_id))

    def end(self, run_id: str, *, problem: str, at: datetime) -> bool:
        """See the port."""
        change = (
            update(rehearsal_run)
            .where(rehearsal_run.c.id == run_id, rehearsal_run.c.finished_at.is_(None))
            .values(problem=problem, finished_at=to_micros(at))
        )
        with self._database.write() as connection:
            return bool(connection.execute(change).rowcount)


_OPEN = (rehearsal_run.c.ticket.is_not(None), rehearsal_run.c.finished_at.is_(None))


def _make_room(connection: Connection) -> None:
    oldest = select(rehearsal_run.c.id).order_by(rehearsal_run.c.started_at.desc()).offset(RUNS_KEPT - 1)
    gone = list(connection.execute(oldest).scalars())
    if gone:
        connection.execute(delete(rehearsal_difference).where(rehearsal_difference.c.run_id.in_(gone)))
        connection.execute(delete(rehearsal_run).where(rehearsal_run.c.id.in_(gone)))
