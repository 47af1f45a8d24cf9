"""Rehearsals that were held: the result of each, and its differences to look through. Nothing here is acted upon."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import delete, select, update

from accordant.canonical.rehearsal import Difference, Rehearsal
from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import rehearsal_difference, rehearsal_run

#: Runs that are kept; the oldest go first, with their differences.
RUNS_KEPT = 50
_RUN = ("id", "before", "after", "actor", "started_at")
_DIFFERENCE = ("run_id", "flow", "field", "kind", "record", "body")
_ENCODER = msgspec.json.Encoder(order="sorted")


class SqlRehearsalBook:
    """`ports.rehearsal.RehearsalBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run_id: str, *, before: str, after: str, started_at: datetime, actor: str) -> None:
        """See the port. The oldest runs make room."""
        oldest = select(rehearsal_run.c.id).order_by(rehearsal_run.c.started_at.desc()).offset(RUNS_KEPT - 1)
        with self._database.write() as connection:
            gone = list(connection.execute(oldest).scalars())
            if gone:
                connection.execute(delete(rehearsal_difference).where(rehearsal_difference.c.run_id.in_(gone)))
                connection.execute(delete(rehearsal_run).where(rehearsal_run.c.id.in_(gone)))
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
