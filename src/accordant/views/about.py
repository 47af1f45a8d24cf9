"""What was said and done about one thing: the events that spoke of it, taken up or not, and the trail's lines on it."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from accordant.kernel.clock import from_micros
from accordant.store.schema import audit_entry, entity, inbox_event, observation
from accordant.views.keyed import AnyRow, rows_by_key

#: Lines of one thing that are shown, the latest.
LINES_MAX = 50
#: Kinds of lines that a record's own chain tells already, better.
_TOLD_BY_THE_CHAIN = (
    "registry.",
    "desk.",
    "archive.write.applied",
    "archive.write.already_applied",
    "archive.write.compared",
    "archive.write.superseded",
)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an event said of an object. ``outcome`` is advanced, unchanged, superseded, tie, awaiting_root, …"""

    seq: int
    event_type: str
    connection: str
    received_at: datetime
    ref: str
    outcome: str
    reason: str | None
    version: int


class TrailLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit trail."""

    position: int
    kind: str
    actor: str
    subject: str
    at: datetime


def told_of(connection: Connection, entity_ids: Iterable[str]) -> tuple[Told, ...]:
    """What events said of these entities, the latest first."""
    rows = [
        row
        for entity_id in sorted(set(entity_ids))
        for row in connection.execute(
            select(observation)
            .where(observation.c.entity_id == entity_id)
            .order_by(observation.c.id.desc())
            .limit(LINES_MAX)
        )
    ]
    rows = sorted(rows, key=lambda row: row.id, reverse=True)[:LINES_MAX]
    columns = (inbox_event.c.seq, inbox_event.c.event_type, inbox_event.c.connection, inbox_event.c.received_at)
    events = {row.seq: row for row in rows_by_key(connection, columns, inbox_event.c.seq, [row.seq for row in rows])}
    refs = {
        row.id: row.ref
        for row in rows_by_key(connection, (entity.c.id, entity.c.ref), entity.c.id, [row.entity_id for row in rows])
    }
    return tuple(
        Told(
            seq=row.seq,
            event_type=events[row.seq].event_type,
            connection=events[row.seq].connection,
            received_at=from_micros(events[row.seq].received_at),
            ref=refs.get(row.entity_id, row.entity_id),
            outcome=row.outcome,
            reason=row.reason,
            version=row.version,
        )
        for row in rows
        if row.seq in events
    )


def lines_on(connection: Connection, subjects: Iterable[str]) -> tuple[TrailLine, ...]:
    """What else the trail says of these subjects, the latest first: held, cancelled, merged, decided by a person."""
    found: list[AnyRow] = []
    for subject in sorted(set(subjects)):
        rows = connection.execute(
            select(
                audit_entry.c.position,
                audit_entry.c.kind,
                audit_entry.c.actor,
                audit_entry.c.subject,
                audit_entry.c.at,
            )
            .where(audit_entry.c.subject == subject)
            .order_by(audit_entry.c.position.desc())
            .limit(LINES_MAX * 4)
        )
        found.extend(row for row in rows if not row.kind.startswith(_TOLD_BY_THE_CHAIN))
    latest = sorted(found, key=lambda row: row.position, reverse=True)[:LINES_MAX]
    return tuple(
        TrailLine(position=row.position, kind=row.kind, actor=row.actor, subject=row.subject, at=from_micros(row.at))
        for row in latest
    )
