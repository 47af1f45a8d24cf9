"""Replays on SQL: which stored events a scope holds, and the jobs with how far they are."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, update

from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.inbox import WorkState
from accordant.ports.rehearsal import HistoryPage
from accordant.ports.replay import EventKind, ReplayJob, ReplayOrder, ReplayProgress, ReplayScope
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.history import SqlHistory
from accordant.store.schema import crosswalk, entity, inbox_event, inbox_work, observation
from accordant.store.schema_recovery import replay_job

_NOT_UNDERSTOOD = (WorkState.PARKED.value, WorkState.QUARANTINED.value)
_SETTLED = (WorkState.PROCESSED.value, *_NOT_UNDERSTOOD)
_JOB = ("id", "order", "progress", "started_at")
_ENCODER = msgspec.json.Encoder(order="sorted")
_ORDERS = msgspec.json.Decoder(ReplayOrder)
_PROGRESS = msgspec.json.Decoder(ReplayProgress)
_FIND = select(replay_job).where(replay_job.c.id == bindparam("of"))
_KEEP = (
    update(replay_job)
    .where(replay_job.c.id == bindparam("of"))
    .values(progress=bindparam("so_far"), finished_at=bindparam("until"))
)


class SqlReplayHistory:
    """`ports.replay.ReplayHistory` on a database."""

    def __init__(self, database: Database, history: SqlHistory) -> None:
        self._database = database
        self._history = history

    def kinds(self, scope: ReplayScope) -> tuple[EventKind, ...]:
        """See the port."""
        columns = (inbox_event.c.connection, inbox_event.c.event_type)
        query = select(*columns, func.count().label("count"), func.max(inbox_event.c.seq).label("newest"))
        query = _within(query, scope).group_by(*columns).order_by(*columns)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(EventKind(row[0], row[1], row[2], row[3]) for row in rows)

    def walk(self, scope: ReplayScope, kinds: frozenset[tuple[str, str]], *, after: int, limit: int) -> HistoryPage:
        """See the port."""
        chosen = or_(
            *(
                and_(inbox_event.c.connection == name, inbox_event.c.event_type == event_type)
                for name, event_type in sorted(kinds)
            )
        )
        query = _within(select(inbox_work.c.seq, inbox_work.c.state), scope).where(inbox_event.c.seq > after, chosen)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(inbox_event.c.seq).limit(limit)).all()
        return self._page([(row.seq, row.state) for row in rows])

    def pick(self, seqs: tuple[int, ...]) -> HistoryPage:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, inbox_work, ("seq", "state"), "seq", seqs)
        return self._page(sorted((seq, state) for seq, state in rows if state in _SETTLED))

    def _page(self, rows: Sequence[tuple[int, str]]) -> HistoryPage:
        """The events of these numbers, which ascend, each with its state."""
        if not rows:
            return HistoryPage(events=(), last=None)
        events = self._history.open([seq for seq, _ in rows])
        aside = frozenset(seq for seq, state in rows if state in _NOT_UNDERSTOOD)
        return HistoryPage(events=events, last=rows[-1][0], erased=len(rows) - len(events), not_understood=aside)


def _within(query: Select[Any], scope: ReplayScope) -> Select[Any]:
    query = query.select_from(inbox_event.join(inbox_work, inbox_work.c.seq == inbox_event.c.seq))
    return query.where(inbox_work.c.state.in_(_SETTLED), *_conditions(scope))


def _conditions(scope: ReplayScope) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if scope.event is not None:
        found.append(inbox_event.c.seq == scope.event)
    if scope.event_type is not None:
        found.append(inbox_event.c.event_type == scope.event_type)
    if scope.since is not None:
        found.append(inbox_event.c.received_at >= to_micros(scope.since))
    if scope.until is not None:
        found.append(inbox_event.c.received_at < to_micros(scope.until))
    if scope.entity is not None:
        named = select(crosswalk.c.entity_id).where(crosswalk.c.ref == scope.entity)
        itself = or_(entity.c.id == scope.entity, entity.c.id.in_(named))
        under = or_(entity.c.root_id == scope.entity, entity.c.root_id.in_(named))
        ids = select(entity.c.id).where(or_(itself, under))
        found.append(inbox_event.c.seq.in_(select(observation.c.seq).where(observation.c.entity_id.in_(ids))))
    return found


class SqlReplayBook:
    """`ports.replay.ReplayBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, job: ReplayJob, *, entry: AuditEntry) -> None:
        """See the port."""
        row = (job.id, _ENCODER.encode(job.order), _ENCODER.encode(job.progress), to_micros(job.started_at))
        with self._database.write() as connection:
            bulk.insert(connection, replay_job, _JOB, [row])
            audit.append(connection, [entry], now=entry.at)

    def keep(self, job: ReplayJob) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(_KEEP, _kept(job))

    def finish(self, job: ReplayJob, *, entry: AuditEntry) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(_KEEP, _kept(job))
            audit.append(connection, [entry], now=entry.at)

    def ordered(self) -> tuple[ReplayJob, ...]:
        """See the port."""
        query = select(replay_job).where(replay_job.c.finished_at.is_(None)).order_by(replay_job.c.started_at)
        with self._database.read() as connection:
            jobs = [_job(row) for row in connection.execute(query)]
        return tuple(job for job in jobs if job.order.by_server)

    def find(self, job_id: str) -> ReplayJob | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(_FIND, {"of": job_id}).first()
        return None if row is None else _job(row)


def _job(row: Any) -> ReplayJob:  # noqa: ANN401  a row of the table
    return ReplayJob(
        id=row.id,
        order=_ORDERS.decode(row.order),
        progress=_PROGRESS.decode(row.progress),
        started_at=from_micros(row.started_at),
        finished_at=None if row.finished_at is None else from_micros(row.finished_at),
    )


def _kept(job: ReplayJob) -> dict[str, Any]:
    finished = None if job.finished_at is None else to_micros(job.finished_at)
    return {"of": job.id, "so_far": _ENCODER.encode(job.progress), "until": finished}
