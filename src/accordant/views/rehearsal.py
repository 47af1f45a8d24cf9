"""Rehearsals that were held, newest first, and the differences of one, filtered and page by page."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Row, select

from accordant.canonical.rehearsal import Difference, Rehearsal, RehearsalProgress
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import rehearsal_difference, rehearsal_run

#: Differences on one page.
PAGE_MAX = 100
#: A rehearsal nobody heard of for this long is not being worked on.
SILENT_AFTER = timedelta(minutes=2)
_REHEARSAL = msgspec.json.Decoder(Rehearsal)
_PROGRESS = msgspec.json.Decoder(RehearsalProgress)
_DIFFERENCE = msgspec.json.Decoder(Difference)


class RehearsalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal. ``result`` is None where it did not come to its end. Versions are those of charters.

    ``ordered`` says that the hub holds it by itself; ``problem`` why it ended without a result.
    """

    id: str
    before: str
    after: str
    actor: str
    started_at: datetime
    result: Rehearsal | None
    ordered: bool = False
    progress: RehearsalProgress | None = None
    problem: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a result may still come."""
        return self.result is None and self.problem is None

    def is_moving(self, now: datetime) -> bool:
        """Whether somebody works on it just now."""
        return self.is_open and self.progress is not None and now - self.progress.seen_at < SILENT_AFTER


class DifferencePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some differences in the order they were found. ``next`` is where the following page begins; None at the end."""

    differences: tuple[Difference, ...]
    next: int | None


def rehearsals(database: Database) -> tuple[RehearsalLine, ...]:
    """Every rehearsal that is kept."""
    with database.read() as connection:
        rows = connection.execute(select(rehearsal_run).order_by(rehearsal_run.c.started_at.desc())).all()
    return tuple(_line(row) for row in rows)


def rehearsal(database: Database, run_id: str) -> RehearsalLine | None:
    """One rehearsal, or None when nothing is kept of it."""
    with database.read() as connection:
        row = connection.execute(select(rehearsal_run).where(rehearsal_run.c.id == run_id)).one_or_none()
    return None if row is None else _line(row)


def rehearsal_differences(
    database: Database, run_id: str, *, flow: str = "", field: str = "", kind: str = "", after: int = 0
) -> DifferencePage:
    """Differences of a rehearsal, optionally of one flow, field or kind; ``after`` is the ``next`` of a page."""
    table = rehearsal_difference
    query = (
        select(table.c.id, table.c.body)
        .where(table.c.run_id == run_id, table.c.id > after)
        .order_by(table.c.id)
        .limit(PAGE_MAX + 1)
    )
    for column, wanted in ((table.c.flow, flow), (table.c.field, field), (table.c.kind, kind)):
        if wanted:
            query = query.where(column == wanted)
    with database.read() as connection:
        rows = connection.execute(query).all()
    shown = rows[:PAGE_MAX]
    return DifferencePage(
        differences=tuple(_DIFFERENCE.decode(row.body) for row in shown),
        next=shown[-1].id if len(rows) > PAGE_MAX else None,
    )


def _line(row: Row[Any]) -> RehearsalLine:
    return RehearsalLine(
        id=row.id,
        before=row.before,
        after=row.after,
        actor=row.actor,
        started_at=from_micros(row.started_at),
        result=None if row.body is None else _REHEARSAL.decode(row.body),
        ordered=row.ticket is not None,
        progress=None if row.progress is None else _PROGRESS.decode(row.progress),
        problem=row.problem,
    )
