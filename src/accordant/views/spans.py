"""An event's life as spans: made from what is stored, so a trace cannot say other than the audit trail does.

Nothing is measured beside the work and nothing is lost in a crash: the instants were stored with the facts. Attributes
name what was done, never the values that were written. Next: `connectors/sdk/collector.py`, which sends them.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select

from accordant.canonical.correlation import Span, correlation_id, step_id
from accordant.canonical.intents import Refused, Uncertain, WriteReceipt
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import inbox_event
from accordant.views.status import OPEN_STATES
from accordant.views.trace import Trace, Write
from accordant.views.trace import trace as trace_event

#: Events looked at in one round.
ROUND_MAX = 200
#: A life that is not over by then is told as far as it came: a lane that waits for a person must not stop the rest.
PATIENCE = timedelta(minutes=1)
#: Another process may still commit an event with a smaller number.
STILL_COMMITTING = timedelta(seconds=2)


class Lives(msgspec.Struct, frozen=True, kw_only=True):
    """The spans of events that are over, in order of arrival. ``reached`` is the number to go on from."""

    reached: int
    spans: tuple[Span, ...]


def latest_event(database: Database) -> int:
    """The number of the latest event; 0 before the first."""
    with database.read() as connection:
        return int(connection.execute(select(func.max(inbox_event.c.seq))).scalar_one() or 0)


def finished_lives(database: Database, last: int, *, is_wanted: Callable[[str], bool], now: datetime) -> Lives:
    """The lives after event number ``last``, up to the first that is not over.

    ``is_wanted`` is asked by correlation id.
    """
    spans: list[Span] = []
    reached = last
    for seq, connection, external_id, received_at in _next(database, last):
        if received_at > now - STILL_COMMITTING:
            break
        life = trace_event(database, seq) if is_wanted(correlation_id(connection, external_id)) else None
        if life is not None:
            is_over = life.settled_at is not None and all(write.state not in OPEN_STATES for write in life.writes)
            if not is_over and received_at > now - PATIENCE:
                break
            spans.extend(spans_of(life))
        reached = seq
    return Lives(reached=reached, spans=tuple(spans))


def _next(database: Database, last: int) -> list[tuple[int, str, str, datetime]]:
    query = (
        select(inbox_event.c.seq, inbox_event.c.connection, inbox_event.c.external_id, inbox_event.c.received_at)
        .where(inbox_event.c.seq > last)
        .order_by(inbox_event.c.seq)
        .limit(ROUND_MAX)
    )
    with database.read() as connection:
        return [(row[0], row[1], row[2], from_micros(row[3])) for row in connection.execute(query)]


def spans_of(trace: Trace) -> tuple[Span, ...]:
    """The whole, the way to us, the rooms, each write and each try at it, in that order. A step still open is left out.

    The same trace always gives the same ids, so what is sent twice is the same span.
    """
    correlation = trace.correlation
    whole = step_id(correlation, "event")
    inner = [
        Span(
            correlation=correlation,
            id=step_id(correlation, "travel"),
            parent=whole,
            name=f"{trace.connection} to door",
            began_at=min(trace.occurred_at, trace.received_at),
            ended_at=trace.received_at,
            attributes={"accordant.connection": trace.connection},
        )
    ]
    if trace.settled_at is not None:
        inner.append(
            Span(
                correlation=correlation,
                id=step_id(correlation, "rooms"),
                parent=whole,
                name="rooms",
                began_at=trace.received_at,
                ended_at=max(trace.received_at, trace.settled_at),
                attributes={
                    "accordant.state": trace.state,
                    "accordant.attempts": trace.attempts,
                    "accordant.observations": len(trace.observations),
                },
                problem=trace.state if trace.state in {"dead", "quarantined"} else None,
            )
        )
    for write in trace.writes:
        inner.extend(_write_spans(correlation, whole, write))
    event = Span(
        correlation=correlation,
        id=whole,
        parent=None,
        name=f"event {trace.event_type}",
        began_at=min(span.began_at for span in inner),
        ended_at=max(span.ended_at for span in inner),
        attributes={
            "accordant.connection": trace.connection,
            "accordant.event": trace.external_id,
            "accordant.event_type": trace.event_type,
            "accordant.seq": trace.seq,
        },
    )
    return (event, *inner)


def _write_spans(correlation: str, parent: str, write: Write) -> Iterator[Span]:
    if write.settled_at is None:
        return
    intent = write.intent
    own = step_id(correlation, f"intent/{intent.id}")
    yield Span(
        correlation=correlation,
        id=own,
        parent=parent,
        name=f"write {intent.target} {intent.object}",
        began_at=min(intent.planned_at, write.settled_at),
        ended_at=write.settled_at,
        attributes={
            "accordant.flow": intent.flow,
            "accordant.target": intent.target,
            "accordant.object": intent.object,
            "accordant.intent": intent.id,
            "accordant.state": write.state,
            "accordant.shadow": write.shadow,
            "accordant.charter": write.charter,
        },
        problem=write.state if write.state in {"dead", "held"} else None,
    )
    since = intent.planned_at
    for receipt in write.receipts:
        yield Span(
            correlation=correlation,
            id=step_id(correlation, f"intent/{intent.id}/{receipt.attempt}"),
            parent=own,
            name=f"try {receipt.attempt} at {intent.target}",
            began_at=min(since, receipt.settled_at),
            ended_at=receipt.settled_at,
            attributes={
                "accordant.target": intent.target,
                "accordant.outcome": type(receipt.outcome).__name__,
                "accordant.attempt": receipt.attempt,
            },
            problem=_problem(receipt),
            is_call=True,
        )
        since = receipt.settled_at


def _problem(receipt: WriteReceipt) -> str | None:
    match receipt.outcome:
        case Refused(cause=cause):
            return cause.value
        case Uncertain():
            return "uncertain"
        case _:
            return None
