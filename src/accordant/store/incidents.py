"""Incidents on SQL: `ports.incident.IncidentBook`. The version is compared in the statement that changes the state."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select, text, update

from accordant.kernel.clock import to_micros
from accordant.orchestration.incident import Incident, Moment
from accordant.ports.audit import AuditEntry
from accordant.ports.incident import IncidentMoved, IncidentOpen
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import write_intent
from accordant.store.schema_incident import incident, incident_moment

OPEN = "open"
_ROW = ("id", "slot", "version", "state", "opened_at")
_MOMENT = ("incident_id", "at", "body")
_ENCODER = msgspec.json.Encoder(order="sorted")
_INCIDENTS = msgspec.json.Decoder(Incident)
_MOMENTS = msgspec.json.Decoder(Moment)


class SqlIncidentBook:
    """`ports.incident.IncidentBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, opened: Incident, moments: Sequence[Moment], entry: AuditEntry) -> None:
        """See the port."""
        row = (opened.id, OPEN, opened.version, _ENCODER.encode(opened), to_micros(opened.opened_at))
        with self._database.write() as connection:
            if not bulk.insert_new(connection, incident, _ROW, [row]):
                raise IncidentOpen
            _tell(connection, opened, moments, entry)

    def keep(self, moved: Incident, moments: Sequence[Moment], entry: AuditEntry) -> None:
        """See the port."""
        slot = OPEN if moved.closed_at is None else moved.id
        with self._database.write() as connection:
            done = connection.execute(
                update(incident)
                .where(incident.c.id == moved.id, incident.c.version == moved.version - 1)
                .values(slot=slot, version=moved.version, state=_ENCODER.encode(moved))
            )
            if done.rowcount != 1:
                raise IncidentMoved
            _tell(connection, moved, moments, entry)

    def current(self) -> Incident | None:
        """See the port."""
        with self._database.read() as connection:
            return current_incident(connection)

    def find(self, incident_id: str) -> Incident | None:
        """See the port."""
        with self._database.read() as connection:
            state = connection.execute(select(incident.c.state).where(incident.c.id == incident_id)).scalar()
        return None if state is None else _INCIDENTS.decode(state)

    def timeline(self, incident_id: str) -> tuple[Moment, ...]:
        """See the port."""
        query = (
            select(incident_moment.c.body)
            .where(incident_moment.c.incident_id == incident_id)
            .order_by(incident_moment.c.id)
        )
        with self._database.read() as connection:
            return tuple(_MOMENTS.decode(body) for body in connection.execute(query).scalars())

    def waiting(self, *, since: datetime) -> int:
        """See the port."""
        # Written out, not bound: a partial index is taken only where the query shows the index's own condition.
        query = select(func.count()).select_from(write_intent)
        query = query.where(
            text("write_intent.state IN ('pending', 'leased', 'uncertain')"),
            ~write_intent.c.shadow,
            write_intent.c.planned_at < to_micros(since),
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def hasten(self, *, now: datetime) -> int:
        """See the port. Nothing is decided by it: each is asked for its policy before it leaves."""
        micros = to_micros(now)
        stopped = update(write_intent).where(
            text("write_intent.state IN ('pending', 'leased', 'uncertain') AND write_intent.state = 'pending'"),
            write_intent.c.attempts == 0,
            write_intent.c.due_at > micros,
        )
        with self._database.write() as connection, bookkeeping(connection):
            return connection.execute(stopped.values(due_at=micros)).rowcount

    def under_way(self, flows: frozenset[str] | None, *, since: datetime, lease_now: datetime) -> int:
        """See the port. A lease that ran out is nobody's: such a write is asked for its policy again."""
        # Written out, not bound: a partial index is taken only where the query shows the index's own condition.
        query = (
            select(func.count())
            .select_from(write_intent)
            .where(
                text("write_intent.state IN ('pending', 'leased', 'uncertain') AND write_intent.state = 'leased'"),
                write_intent.c.planned_at < to_micros(since),
                write_intent.c.lease_expires_at > to_micros(lease_now),
            )
        )
        if flows is not None:
            query = query.where(write_intent.c.flow.in_(sorted(flows)))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def current_incident(connection: Connection) -> Incident | None:
    """The incident that is open."""
    state = connection.execute(select(incident.c.state).where(incident.c.slot == OPEN)).scalar()
    return None if state is None else _INCIDENTS.decode(state)


def _tell(connection: Connection, told: Incident, moments: Sequence[Moment], entry: AuditEntry) -> None:
    rows = [(told.id, to_micros(moment.at), _ENCODER.encode(moment)) for moment in moments]
    bulk.insert(connection, incident_moment, _MOMENT, rows)
    audit.append(connection, [entry], now=entry.at)
