"""The past as it is stored, to walk it again: settled events with the readings that were used, what is held, what was
confirmed. Only reads.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, func, select

from accordant.canonical.intents import WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.rehearsal import LeftOut
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.inbox import InboxEvent, WorkState
from accordant.ports.rehearsal import HeldEntity, HistoryPage
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.inbox import SqlInbox
from accordant.store.schema import confirmed_record, entity, inbox_event, inbox_work, observation
from accordant.store.vault import KeyDestroyed

#: These wait for another look: of their readings only those made before the last look were used in it.
_TO_BE_TRIED = frozenset({WorkState.RECEIVED.value, WorkState.AWAITING_REREAD.value})
_NOT_UNDERSTOOD = frozenset({WorkState.PARKED.value, WorkState.QUARANTINED.value})
_FIELDS: msgspec.json.Decoder[dict[str, WireValue]] = msgspec.json.Decoder(dict[str, WireValue])


class SqlHistory:
    """`ports.rehearsal.History` on a database."""

    def __init__(self, database: Database, inbox: SqlInbox) -> None:
        self._database = database
        self._inbox = inbox

    def count(self, *, until: datetime | None) -> tuple[int, LeftOut]:
        """See the port."""
        looked_at = inbox_work.c.settled_at.is_not(None)
        query = select(inbox_work.c.state, looked_at.label("looked_at"), func.count()).group_by(
            inbox_work.c.state, looked_at
        )
        settled = waiting = aside = 0
        with self._database.read() as connection:
            for state, was_looked_at, count in connection.execute(_until(query, until)):
                if state == WorkState.DEAD:
                    aside += count
                elif was_looked_at:
                    settled += count
                else:
                    waiting += count
        return settled, LeftOut(waiting=waiting, set_aside=aside)

    def after(self, seq: int, *, until: datetime | None, limit: int) -> HistoryPage:
        """See the port."""
        query = (
            select(inbox_work.c.seq, inbox_work.c.state, inbox_work.c.settled_at)
            .where(
                inbox_work.c.seq > seq,
                inbox_work.c.settled_at.is_not(None),
                inbox_work.c.state != WorkState.DEAD.value,
            )
            .order_by(inbox_work.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(_until(query, until)).all()
        if not rows:
            return HistoryPage(events=(), last=None)
        events = self.open([row.seq for row in rows])
        open_since = {row.seq: from_micros(row.settled_at) for row in rows if row.state in _TO_BE_TRIED}
        used = tuple(_as_settled(event, open_since.get(event.seq)) for event in events)
        aside = frozenset(row.seq for row in rows if row.state in _NOT_UNDERSTOOD)
        return HistoryPage(events=used, last=rows[-1].seq, erased=len(rows) - len(used), not_understood=aside)

    def open(self, seqs: Sequence[int]) -> tuple[InboxEvent, ...]:
        """Events that can still be read: one whose key was destroyed must not hide its neighbors."""
        try:
            return self._inbox.load(seqs)
        except KeyDestroyed:
            if len(seqs) == 1:
                return ()
            middle = len(seqs) // 2
            return (*self.open(seqs[:middle]), *self.open(seqs[middle:]))

    def of_subscriptions(self, account_id: str, *, limit: int) -> tuple[InboxEvent, ...]:
        """See `operations.tell_movements.Past`."""
        own = select(entity.c.id).where(entity.c.root_id == account_id, entity.c.kind == EntityKind.SUBSCRIPTION.value)
        query = (
            select(observation.c.seq)
            .where(observation.c.entity_id.in_(own))
            .distinct()
            .order_by(observation.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            seqs = list(connection.execute(query).scalars())
        return self.open(seqs) if seqs else ()

    def held_after(self, entity_id: str, *, limit: int) -> tuple[HeldEntity, ...]:
        """See the port."""
        query = (
            select(entity.c.id, entity.c.root_id, entity.c.digest)
            .where(entity.c.id > entity_id)
            .order_by(entity.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(
                HeldEntity(id=row.id, root_id=row.root_id, digest=bytes(row.digest))
                for row in connection.execute(query)
            )

    def account_ids(self) -> tuple[str, ...]:
        """See the port."""
        query = select(entity.c.id).where(entity.c.kind == EntityKind.ACCOUNT.value)
        with self._database.read() as connection:
            return tuple(sorted(connection.execute(query).scalars()))

    def touched(self, since: datetime, *, until: datetime | None) -> frozenset[str]:
        """See the port."""
        query = (
            select(observation.c.entity_id)
            .join(inbox_event, inbox_event.c.seq == observation.c.seq)
            .where(inbox_event.c.received_at >= to_micros(since))
            .distinct()
        )
        if until is not None:
            query = query.where(inbox_event.c.received_at < to_micros(until))
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def confirmed(self, refs: Iterable[str]) -> dict[str, dict[str, WireValue]]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, confirmed_record, ("ref", "fields"), "ref", refs)
        return {ref: _FIELDS.decode(fields) for ref, fields in rows}


def _until(query: Select[Any], until: datetime | None) -> Select[Any]:
    if until is None:
        return query
    arrived = select(inbox_event.c.seq).where(inbox_event.c.received_at < to_micros(until))
    return query.where(inbox_work.c.seq.in_(arrived))


def _as_settled(event: InboxEvent, looked_at: datetime | None) -> InboxEvent:
    """The event with the readings its last look had. ``looked_at`` is when that was, where another look is due."""
    if looked_at is None or not event.readings:
        return event
    used = tuple(reading for reading in event.readings if reading.read_at < looked_at)
    return msgspec.structs.replace(event, readings=used)
