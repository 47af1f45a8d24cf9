"""Lag on SQL: what waits and since when, and open incidents, each told in the transaction that opens or closes it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select, text, update

from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.lag import LagIncident, Waiting
from accordant.store import bulk
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work, lag_incident, parked_lane, write_intent

_KIND = "flow.late"
_KIND_BACK = "flow.on_time"
#: What waits behind a parked lane waits for a person, who was told of the lane: the flow is not late for it.
_PARKED = select(parked_lane.c.lane)
_INCIDENT = ("flow", "lag_s", "limit_s", "waiting", "opened_at", "seen_at")


class SqlLagBook:
    """`ports.lag.LagBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def writes(self) -> dict[str, Waiting]:
        """See the port. A write that no event caused is as old as its plan."""
        happened = func.min(func.coalesce(inbox_event.c.occurred_at, write_intent.c.planned_at))
        query = (
            select(write_intent.c.flow.label("name"), func.count().label("many"), happened.label("oldest"))
            .select_from(write_intent.outerjoin(inbox_event, inbox_event.c.seq == write_intent.c.cause))
            # Written out, not bound: a partial index is taken only where the query shows the index's own condition.
            .where(
                text("write_intent.state IN ('pending', 'leased', 'uncertain')"),
                ~write_intent.c.shadow,
                write_intent.c.lane.not_in(_PARKED),
            )
            .group_by(write_intent.c.flow)
        )
        return self._waiting(query)

    def events(self) -> dict[str, Waiting]:
        """See the port."""
        query = (
            select(
                inbox_work.c.connection.label("name"),
                func.count().label("many"),
                func.min(inbox_event.c.occurred_at).label("oldest"),
            )
            .select_from(inbox_work.join(inbox_event, inbox_event.c.seq == inbox_work.c.seq))
            .where(text("inbox_work.state = 'received'"), inbox_work.c.lane.not_in(_PARKED))
            .group_by(inbox_work.c.connection)
        )
        return self._waiting(query)

    def _waiting(self, query: Select[Any]) -> dict[str, Waiting]:
        with self._database.read() as connection:
            return {
                row.name: Waiting(count=row.many, oldest_at=from_micros(row.oldest))
                for row in connection.execute(query)
            }

    def incidents(self) -> dict[str, LagIncident]:
        """See the port."""
        with self._database.read() as connection:
            return {row.flow: _incident(row) for row in connection.execute(select(lag_incident))}

    def open(self, incident: LagIncident, *, told: str) -> bool:
        """See the port."""
        row = (incident.flow, incident.lag_s, incident.limit_s, incident.waiting, to_micros(incident.opened_at),
               to_micros(incident.seen_at))  # fmt: skip
        with self._database.write() as connection:
            if not bulk.insert_new(connection, lag_incident, _INCIDENT, [row]):
                return False
            raise_alert(connection, kind=_KIND, subject=f"{incident.flow} is late", body=told, at=incident.opened_at)
            return True

    def note(self, incident: LagIncident) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(
                update(lag_incident)
                .where(lag_incident.c.flow == incident.flow)
                .values(lag_s=incident.lag_s, waiting=incident.waiting, seen_at=to_micros(incident.seen_at))
            )

    def close(self, flow: str, *, told: str, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not connection.execute(delete(lag_incident).where(lag_incident.c.flow == flow)).rowcount:
                return False
            raise_alert(connection, kind=_KIND_BACK, subject=f"{flow} is on time again", body=told, at=now)
            return True


def _incident(row: Any) -> LagIncident:  # noqa: ANN401  a row of the table
    """The incident in a row."""
    return LagIncident(
        flow=row.flow,
        lag_s=row.lag_s,
        limit_s=row.limit_s,
        waiting=row.waiting,
        opened_at=from_micros(row.opened_at),
        seen_at=from_micros(row.seen_at),
    )
