"""Sample traces for an evidence pack: of each kind of event of a connection the latest that was processed."""

from sqlalchemy import func, select

from accordant.canonical.connector_evidence import TraceSample
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work
from accordant.views.trace import trace

#: Kinds of event that are shown of one connection, the most recent first.
SAMPLES_MAX = 20
_PROCESSED = "processed"


def trace_samples(database: Database, connection_name: str) -> tuple[TraceSample, ...]:
    """The latest processed event of each kind, the most recent kinds first."""
    latest = func.max(inbox_event.c.seq)
    query = (
        select(latest)
        .join(inbox_work, inbox_work.c.seq == inbox_event.c.seq)
        .where(inbox_event.c.connection == connection_name, inbox_work.c.state == _PROCESSED)
        .group_by(inbox_event.c.event_type)
        .order_by(latest.desc())
        .limit(SAMPLES_MAX)
    )
    with database.read() as connection:
        found = list(connection.execute(query).scalars())
    return tuple(sample for seq in found if (sample := _sample(database, seq)) is not None)


def _sample(database: Database, seq: int) -> TraceSample | None:
    seen = trace(database, seq)
    if seen is None:
        return None
    return TraceSample(
        connection=seen.connection,
        seq=seen.seq,
        event_type=seen.event_type,
        external_id=seen.external_id,
        occurred_at=seen.occurred_at.isoformat(timespec="seconds"),
        received_at=seen.received_at.isoformat(timespec="seconds"),
        state=seen.state,
        attempts=seen.attempts,
        repeated=seen.deliveries,
        business_events=tuple(event.type.value for event in seen.business_events),
        writes=(
            *((one.record, one.state) for one in seen.writes),
            *((one.record, one.state) for one in seen.carried),
        ),
    )
