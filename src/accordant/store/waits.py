"""Waits that a wrong watch made too long: what was put down while the clock was ahead is due now that it was set right.

A stamp of ours that lies in the future tells of such a watch. What a target asked us to wait for keeps its length.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, exists, select, text, update

from accordant.kernel.clock import to_micros
from accordant.ports.inbox import WorkState
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import inbox_event, inbox_work, write_intent, write_receipt

#: Machines that are kept on time differ by less; what is further ahead is no ordinary skew.
SLACK = timedelta(minutes=1)
#: An event that waits for a reading is looked at again within seconds.
REREAD_MAX = timedelta(minutes=10)
_IS_OPEN = "write_intent.state IN ('pending', 'uncertain')"


def shorten_waits(database: Database, *, now: datetime) -> int:
    """Bring forward what a wrong watch put off; how many events and writes there were. Cheap where there are none."""
    micros = to_micros(now)
    ahead = to_micros(now + SLACK)
    statements = (
        _events(micros, ahead),
        _rereads(micros, to_micros(now + REREAD_MAX)),
        _planned_ahead(micros, ahead),
        _tried_ahead(micros, ahead),
    )
    if not _is_anything_ahead(database, ahead):
        return 0
    with database.write() as connection, bookkeeping(connection):
        return sum(int(connection.execute(one).rowcount) for one in statements)


def _is_anything_ahead(database: Database, ahead: int) -> bool:
    with database.read() as connection:
        events = select(inbox_work.c.seq).where(text("inbox_work.state <> 'processed'"), inbox_work.c.due_at > ahead)
        writes = select(write_intent.c.id).where(text(_IS_OPEN), write_intent.c.due_at > ahead)
        return any(connection.execute(one.limit(1)).first() is not None for one in (events, writes))


def _events(micros: int, ahead: int) -> Update:
    """Events that arrived in what is the future now."""
    is_ahead = exists().where(inbox_event.c.seq == inbox_work.c.seq, inbox_event.c.received_at > ahead)
    received = inbox_work.c.state == WorkState.RECEIVED.value
    return update(inbox_work).where(received, inbox_work.c.due_at > ahead, is_ahead).values(due_at=micros)


def _rereads(micros: int, latest: int) -> Update:
    waiting = inbox_work.c.state == WorkState.AWAITING_REREAD.value
    return update(inbox_work).where(waiting, inbox_work.c.due_at > latest).values(due_at=micros)


def _planned_ahead(micros: int, ahead: int) -> Update:
    is_ahead = write_intent.c.planned_at > ahead
    return update(write_intent).where(text(_IS_OPEN), write_intent.c.due_at > ahead, is_ahead).values(due_at=micros)


def _tried_ahead(micros: int, ahead: int) -> Update:
    """Writes whose last try was in what is the future now wait from now on as long as they were to wait then."""
    tried: ColumnElement[int] = (
        select(write_receipt.c.settled_at)
        .where(write_receipt.c.intent_id == write_intent.c.id)
        .order_by(write_receipt.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        update(write_intent)
        .where(text(_IS_OPEN), write_intent.c.due_at > ahead, write_intent.c.planned_at <= ahead, tried > ahead)
        .values(due_at=write_intent.c.due_at - tried + micros)
    )
