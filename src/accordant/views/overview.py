"""The first page: is it late, what is at risk, what is happening now. Agreement itself is counted in `agreement.py`."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection, func, select

from accordant.canonical.charter import Charter
from accordant.kernel.clock import from_micros, to_micros
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_work, write_intent, write_receipt
from accordant.views.keyed import rows_by_key
from accordant.views.stakes import Stake, troubled
from accordant.views.status import OPEN_INTENT, TroubleCounts, trouble_counts
from accordant.views.worth import accounts_of_lanes, parties

#: Receipts that a flow's lag is taken from, the latest of all flows together.
RECEIPTS_MAX = 1_000
FEED_MAX = 12
MINUTES = 60
#: The last minutes are counted anew each time: a courier commits its receipts a moment after it stamped them.
STILL_OPEN = 3
_MINUTE = 60_000_000
_DONE = ("Applied", "AlreadyApplied", "Compared")


class FlowLag(msgspec.Struct, frozen=True, kw_only=True):
    """How late a flow is, in seconds from the provider's event to the confirmed write; None where none was lately."""

    flow: str
    source: str
    target: str
    object: str
    phase: str
    expected_lag_s: int
    incident_lag_s: int
    settled: int
    lag_p50_s: float | None
    lag_p95_s: float | None
    waiting: int
    oldest_wait_s: float | None


class FeedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the feed. ``writes`` are (state of intent, how many)."""

    seq: int
    connection: str
    event_type: str
    received_at: datetime
    state: str
    account_id: str | None
    account_name: str | None
    writes: tuple[tuple[str, int], ...]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The overview but for the agreement."""

    counts: TroubleCounts
    risk: Stake
    flows: tuple[FlowLag, ...]
    settled_per_minute: tuple[tuple[datetime, int], ...]
    feed: tuple[FeedLine, ...]


def overview(
    database: Database,
    charter: Charter,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    finished: dict[datetime, int] | None = None,
) -> Overview:
    """Everything above, in one read.

    ``finished`` remembers minutes that are over between calls, so that a busy hour is not counted anew for every page.
    """
    with database.read() as connection:
        return Overview(
            counts=trouble_counts(connection),
            risk=troubled(connection, now=now, zone=zone),
            flows=flow_lags(connection, charter, now),
            settled_per_minute=_throughput(connection, now, {} if finished is None else finished),
            feed=_feed(connection, now, zone),
        )


def feed(database: Database, *, now: datetime, zone: tzinfo = UTC) -> tuple[FeedLine, ...]:
    """The latest events, newest first."""
    with database.read() as connection:
        return _feed(connection, now, zone)


def flow_lags(connection: Connection, charter: Charter, now: datetime) -> tuple[FlowLag, ...]:
    """How late each flow of the charter is, in its order."""
    waiting = {
        row.flow: (row.waiting, row.oldest)
        for row in connection.execute(
            select(
                write_intent.c.flow,
                func.count().label("waiting"),
                func.min(func.coalesce(inbox_event.c.occurred_at, write_intent.c.planned_at)).label("oldest"),
            )
            .select_from(write_intent.outerjoin(inbox_event, inbox_event.c.seq == write_intent.c.cause))
            .where(OPEN_INTENT)
            .group_by(write_intent.c.flow)
        )
    }
    samples = _lag_samples(connection)
    lags = []
    for flow in charter.flows:
        lag = sorted(samples.get(flow.name, ()))
        count, oldest = waiting.get(flow.name, (0, None))
        lags.append(
            FlowLag(
                flow=flow.name,
                source=flow.source,
                target=flow.target,
                object=flow.object,
                phase=flow.phase.value,
                expected_lag_s=flow.expected_lag_s,
                incident_lag_s=flow.incident_lag_s,
                settled=len(lag),
                lag_p50_s=quantile(lag, 50),
                lag_p95_s=quantile(lag, 95),
                waiting=count,
                oldest_wait_s=None if oldest is None else max(0.0, (to_micros(now) - oldest) / 1e6),
            )
        )
    return tuple(lags)


def _lag_samples(connection: Connection) -> dict[str, list[float]]:
    latest = (
        select(write_receipt.c.intent_id, write_receipt.c.settled_at, write_receipt.c.outcome)
        .order_by(write_receipt.c.settled_at.desc())
        .limit(RECEIPTS_MAX)
        .subquery()
    )
    rows = connection.execute(
        select(write_intent.c.flow, latest.c.settled_at, inbox_event.c.occurred_at)
        .select_from(
            latest.join(write_intent, write_intent.c.id == latest.c.intent_id).join(
                inbox_event, inbox_event.c.seq == write_intent.c.cause
            )
        )
        .where(latest.c.outcome.in_(_DONE))
    )
    samples: dict[str, list[float]] = {}
    for flow, settled_at, occurred_at in rows:
        samples.setdefault(flow, []).append(max(0.0, (settled_at - occurred_at) / 1e6))
    return samples


def quantile(ordered: Sequence[float], percent: int) -> float | None:
    """The value at least ``percent`` of the sorted values do not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _throughput(
    connection: Connection, now: datetime, finished: dict[datetime, int]
) -> tuple[tuple[datetime, int], ...]:
    """Receipts of each of the last sixty minutes; the last minute is not over yet."""
    last = to_micros(now) // _MINUTE
    minutes = [from_micros((last - MINUTES + 1 + index) * _MINUTE) for index in range(MINUTES)]
    unknown = next((minute for minute in minutes if minute not in finished), minutes[-1])
    bucket = write_receipt.c.settled_at // _MINUTE
    counted = {
        from_micros(int(minute) * _MINUTE): count
        for minute, count in connection.execute(
            select(bucket.label("minute"), func.count())
            .where(write_receipt.c.settled_at >= to_micros(unknown))
            .group_by(bucket)
        )
    }
    for old in [minute for minute in finished if minute < minutes[0]]:
        finished.pop(old, None)
    counts = tuple((minute, finished.get(minute, counted.get(minute, 0))) for minute in minutes)
    finished.update(counts[:-STILL_OPEN])
    return counts


def _feed(connection: Connection, now: datetime, zone: tzinfo) -> tuple[FeedLine, ...]:
    rows = connection.execute(
        select(
            inbox_event.c.seq,
            inbox_event.c.connection,
            inbox_event.c.event_type,
            inbox_event.c.lane,
            inbox_event.c.received_at,
        )
        .order_by(inbox_event.c.seq.desc())
        .limit(FEED_MAX)
    ).all()
    seqs = [row.seq for row in rows]
    states = {
        row.seq: row.state
        for row in rows_by_key(connection, (inbox_work.c.seq, inbox_work.c.state), inbox_work.c.seq, seqs)
    }
    writes: dict[int, dict[str, int]] = {}
    for cause, state in rows_by_key(
        connection, (write_intent.c.cause, write_intent.c.state), write_intent.c.cause, seqs
    ):
        counted = writes.setdefault(cause, {})
        counted[state] = counted.get(state, 0) + 1
    owners = accounts_of_lanes(connection, [row.lane for row in rows])
    named = parties(connection, owners.values(), as_of=now, zone=zone)
    lines = []
    for row in rows:
        account_id = owners.get(row.lane)
        party = named.get(account_id) if account_id else None
        lines.append(
            FeedLine(
                seq=row.seq,
                connection=row.connection,
                event_type=row.event_type,
                received_at=from_micros(row.received_at),
                state=states.get(row.seq, "received"),
                account_id=party.account_id if party else None,
                account_name=(party.name or party.external_id) if party else None,
                writes=tuple(sorted(writes.get(row.seq, {}).items())),
            )
        )
    return tuple(lines)
