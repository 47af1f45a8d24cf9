"""Scheduled jobs on SQL: one row a job, how far it is and what its last run came to."""

from datetime import datetime

from sqlalchemy import select

from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.jobs import JobState
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import scheduled_job

_COLUMNS = ("name", "ticked_at", "started_at", "finished_at", "outcome", "told")


class SqlJobBook:
    """`ports.jobs.JobBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, name: str) -> JobState | None:
        """See the port."""
        return self.states().get(name)

    def states(self) -> dict[str, JobState]:
        """Every job that was ever seen, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(*(scheduled_job.c[name] for name in _COLUMNS))).all()
        return {
            row.name: JobState(
                name=row.name,
                ticked_at=from_micros(row.ticked_at),
                started_at=_instant(row.started_at),
                finished_at=_instant(row.finished_at),
                outcome=row.outcome,
                told=row.told,
            )
            for row in rows
        }

    def enter(self, name: str, *, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            bulk.insert_new(connection, scheduled_job, _COLUMNS[:2], [(name, to_micros(now))])

    def keep(self, state: JobState) -> None:
        """See the port."""
        row = (
            state.name,
            to_micros(state.ticked_at),
            None if state.started_at is None else to_micros(state.started_at),
            None if state.finished_at is None else to_micros(state.finished_at),
            state.outcome,
            state.told,
        )
        with self._database.write() as connection:
            bulk.upsert(connection, scheduled_job, _COLUMNS, [row])


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
