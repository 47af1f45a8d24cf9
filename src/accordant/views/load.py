"""How the hub is doing, in figures a monitoring system can keep: queues, ages, lags, troubles, and what they are worth.

Everything is read from the store, so any process may be asked and all say the same. Next: `web/observe.py`.
"""

from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection, func, select, text

from accordant.canonical.charter import Charter
from accordant.kernel.clock import to_micros
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.schema import alert, inbox_work, write_intent, write_receipt
from accordant.views.overview import FlowLag, flow_lags
from accordant.views.stakes import troubled
from accordant.views.status import OPEN_INTENT, UNSETTLED_EVENT, TroubleCounts, trouble_counts

#: Receipts younger than this are not counted yet: another courier may still commit one with a smaller number.
STILL_COMMITTING_S = 5


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One reading. Ages in seconds, None where nothing waits.

    ``events`` counts inbox events that are not processed, by state; ``writes`` open intents by (target, state).
    ``worth`` is the monthly recurring revenue of the ``customers`` behind what did not go through.
    """

    events: dict[str, int]
    oldest_event_s: float | None
    writes: dict[tuple[str, str], int]
    oldest_write_s: dict[str, float]
    trouble: TroubleCounts
    flows: tuple[FlowLag, ...]
    customers: int
    worth: tuple[Money, ...]
    unsent_alerts: int


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Answers since an earlier reading. ``last`` is the number to go on from; counts by (flow, target, outcome)."""

    last: int
    counts: dict[tuple[str, str, str], int]


def load(database: Database, charter: Charter, *, now: datetime, zone: tzinfo = UTC) -> Load:
    """One reading of everything above."""
    micros = to_micros(now)
    with database.read() as connection:
        at_risk = troubled(connection, now=now, zone=zone)
        return Load(
            events=_open_events(connection),
            oldest_event_s=_oldest_event(connection, micros),
            writes=_open_writes(connection),
            oldest_write_s=_oldest_writes(connection, micros),
            trouble=trouble_counts(connection),
            flows=flow_lags(connection, charter, now),
            customers=at_risk.accounts,
            worth=at_risk.worth,
            unsent_alerts=connection.execute(
                select(func.count()).select_from(alert).where(text("alert.sent_at IS NULL"))
            ).scalar_one(),
        )


def last_receipt(database: Database) -> int:
    """The number of the latest answer; 0 before the first."""
    with database.read() as connection:
        return int(connection.execute(select(func.max(write_receipt.c.id))).scalar_one() or 0)


def settled_since(database: Database, last: int, *, now: datetime) -> Settled:
    """Answers after number ``last`` whose neighbours are all committed, counted."""
    settled = to_micros(now) - STILL_COMMITTING_S * 1_000_000
    with database.read() as connection:
        younger = select(func.min(write_receipt.c.id)).where(
            write_receipt.c.id > last, write_receipt.c.settled_at > settled
        )
        newest = select(func.max(write_receipt.c.id)).where(write_receipt.c.id > last)
        first_young = connection.execute(younger).scalar_one()
        until = first_young - 1 if first_young is not None else connection.execute(newest).scalar_one()
        if until is None or until <= last:
            return Settled(last=last, counts={})
        rows = connection.execute(
            select(write_intent.c.flow, write_intent.c.target, write_receipt.c.outcome, func.count())
            .join(write_intent, write_intent.c.id == write_receipt.c.intent_id)
            .where(write_receipt.c.id > last, write_receipt.c.id <= until)
            .group_by(write_intent.c.flow, write_intent.c.target, write_receipt.c.outcome)
        )
        return Settled(last=until, counts={(row[0], row[1], row[2]): row[3] for row in rows})


def _open_events(connection: Connection) -> dict[str, int]:
    query = select(inbox_work.c.state, func.count()).where(UNSETTLED_EVENT).group_by(inbox_work.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def _oldest_event(connection: Connection, micros: int) -> float | None:
    # The number grows with the arrival, so the lowest is the oldest; the partial index holds only what waits.
    query = select(inbox_work.c.due_at).where(text("inbox_work.state = 'received'")).order_by(inbox_work.c.seq).limit(1)
    due_at = connection.execute(query).scalar()
    return None if due_at is None else max(0.0, (micros - due_at) / 1e6)


def _open_writes(connection: Connection) -> dict[tuple[str, str], int]:
    query = (
        select(write_intent.c.target, write_intent.c.state, func.count())
        .where(OPEN_INTENT)
        .group_by(write_intent.c.target, write_intent.c.state)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def _oldest_writes(connection: Connection, micros: int) -> dict[str, float]:
    query = (
        select(write_intent.c.target, func.min(write_intent.c.planned_at))
        .where(OPEN_INTENT)
        .group_by(write_intent.c.target)
    )
    return {row[0]: max(0.0, (micros - row[1]) / 1e6) for row in connection.execute(query)}
