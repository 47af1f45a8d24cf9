"""Alerts are rows of the transaction that causes them; a courier of their own carries them to the webhook."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from accordant.kernel.clock import to_micros
from accordant.store.engine import Database
from accordant.store.schema import alert


def raise_alert(connection: Connection, *, kind: str, subject: str, body: str, at: datetime) -> None:
    """Put an alert into the current transaction."""
    micros = to_micros(at)
    connection.execute(
        alert.insert().values(
            kind=kind, subject=subject, body=body, raised_at=micros, attempts=0, due_at=micros, sent_at=None
        )
    )


class AlertQueue:
    """Alerts that wait to be sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, *, now: datetime, limit: int) -> tuple[tuple[int, str, str, str, int], ...]:
        """Unsent alerts: (id, kind, subject, text, attempts)."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(alert.c.id, alert.c.kind, alert.c.subject, alert.c.body, alert.c.attempts)
                .where(alert.c.sent_at.is_(None), alert.c.due_at <= to_micros(now))
                .order_by(alert.c.id)
                .limit(limit)
            )
            return tuple((row.id, row.kind, row.subject, row.body, row.attempts) for row in rows)

    def add(self, *, kind: str, subject: str, body: str, now: datetime) -> None:
        """Put an alert of its own into the queue."""
        with self._database.write() as connection:
            raise_alert(connection, kind=kind, subject=subject, body=body, at=now)

    def mark_sent(self, alert_id: int, *, now: datetime) -> None:
        """The webhook took it."""
        with self._database.write() as connection:
            connection.execute(
                update(alert)
                .where(alert.c.id == alert_id)
                .values(sent_at=to_micros(now), attempts=alert.c.attempts + 1)
            )

    def postpone(self, alert_id: int, *, until: datetime) -> None:
        """The webhook did not take it; try again at ``until``."""
        with self._database.write() as connection:
            connection.execute(
                update(alert)
                .where(alert.c.id == alert_id)
                .values(due_at=to_micros(until), attempts=alert.c.attempts + 1)
            )
