"""Sagas on SQL: `ports.sagas.SagaBook`. The version is compared in the statement that changes the state."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, exists, select, text, update

from accordant.canonical.correlation import correlation_id
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.intents import IntentState
from accordant.kernel.clock import from_micros, to_micros
from accordant.orchestration.saga import Saga, SagaKind
from accordant.ports.audit import AuditEntry
from accordant.ports.sagas import SagaMoved, SeenEvent, SeenWrite
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.schema import business_event, confirmed_record, inbox_event, saga, write_intent

_ROW = ("id", "kind", "cause", "version", "opened_at", "ended_at", "state")
_ENCODER = msgspec.json.Encoder(order="sorted")
_SAGAS = msgspec.json.Decoder(Saga)
_EVENTS = msgspec.json.Decoder(BusinessEvent)
_WRITE = (
    write_intent.c.id,
    write_intent.c.flow,
    write_intent.c.target,
    write_intent.c.record,
    write_intent.c.state,
    write_intent.c.shadow,
    write_intent.c.reason,
    write_intent.c.cause,
    write_intent.c.planned_at,
)
# Written out, not bound: a partial index is taken only where the query shows the index's own condition.
_BEGINS = text("business_event.type IN ('contract.amended', 'contract.won')")
_RUNS = text("saga.ended_at IS NULL")


class SqlSagaBook:
    """`ports.sagas.SagaBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfollowed(self, types: Collection[EventType], *, since: datetime) -> tuple[SeenEvent, ...]:
        """See the port."""
        query = _events().where(
            _BEGINS,
            business_event.c.type.in_([one.value for one in types]),
            business_event.c.occurred_at >= to_micros(since),
            ~exists().where(saga.c.cause == business_event.c.id),
        )
        with self._database.read() as connection:
            return tuple(map(_event, connection.execute(query.order_by(business_event.c.occurred_at))))

    def begin(self, new: Saga, entry: AuditEntry) -> bool:
        """See the port."""
        row = (new.id, new.kind.value, new.cause, new.version, to_micros(new.opened_at), None, _ENCODER.encode(new))
        with self._database.write() as connection:
            if not bulk.insert_new(connection, saga, _ROW, [row]):
                return False
            audit.append(connection, [entry], now=new.opened_at)
        return True

    def keep(self, moved: Saga, entry: AuditEntry) -> None:
        """See the port."""
        ended_at = None if moved.ended_at is None else to_micros(moved.ended_at)
        with self._database.write() as connection:
            done = connection.execute(
                update(saga)
                .where(saga.c.id == moved.id, saga.c.version == moved.version - 1)
                .values(version=moved.version, ended_at=ended_at, state=_ENCODER.encode(moved))
            )
            if done.rowcount != 1:
                raise SagaMoved
            audit.append(connection, [entry], now=entry.at)

    def running(self) -> tuple[Saga, ...]:
        """See the port."""
        with self._database.read() as connection:
            states = connection.execute(select(saga.c.state).where(_RUNS).order_by(saga.c.opened_at, saga.c.id))
            return tuple(_SAGAS.decode(state) for state in states.scalars())

    def ended_since(self, kind: SagaKind, since: datetime) -> tuple[Saga, ...]:
        """See the port."""
        query = select(saga.c.state).where(saga.c.kind == kind.value, saga.c.ended_at >= to_micros(since))
        with self._database.read() as connection:
            states = connection.execute(query.order_by(saga.c.opened_at, saga.c.id)).scalars()
            return tuple(map(_SAGAS.decode, states))

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """See the port."""
        with self._database.read() as connection:
            found = bulk.select_by_keys(connection, confirmed_record, ("ref", "target_id"), "ref", set(records))
            return dict(map(tuple, found))

    def find(self, saga_id: str) -> Saga | None:
        """See the port."""
        with self._database.read() as connection:
            state = connection.execute(select(saga.c.state).where(saga.c.id == saga_id)).scalar()
        return None if state is None else _SAGAS.decode(state)

    def latest(self, *, limit: int) -> tuple[Saga, ...]:
        """See the port."""
        newest = saga.c.opened_at.desc(), saga.c.id
        with self._database.read() as connection:
            running = connection.execute(select(saga.c.state).where(_RUNS).order_by(*newest).limit(limit)).scalars()
            found = [_SAGAS.decode(state) for state in running]
            rest = select(saga.c.state).where(saga.c.ended_at.is_not(None)).order_by(*newest)
            ended = connection.execute(rest.limit(limit - len(found))).scalars() if len(found) < limit else ()
            return (*found, *(_SAGAS.decode(state) for state in ended))

    def events(self, root_id: str, types: Collection[EventType], *, since: datetime) -> tuple[SeenEvent, ...]:
        """See the port."""
        query = _events().where(
            business_event.c.root_id == root_id,
            business_event.c.occurred_at >= to_micros(since),
            business_event.c.type.in_([one.value for one in types]),
        )
        with self._database.read() as connection:
            return tuple(map(_event, connection.execute(query.order_by(business_event.c.occurred_at))))

    def writes(self, lane: str, *, since: datetime) -> tuple[SeenWrite, ...]:
        """See the port."""
        query = select(*_WRITE).where(write_intent.c.lane == lane, write_intent.c.planned_at >= to_micros(since))
        with self._database.read() as connection:
            return _newest(connection.execute(query.order_by(write_intent.c.record, write_intent.c.revision)))

    def writes_of(self, causes: Iterable[int], targets: Sequence[str]) -> tuple[SeenWrite, ...]:
        """See the port."""
        query = select(*_WRITE).where(write_intent.c.cause.in_(sorted(set(causes))), write_intent.c.target.in_(targets))
        with self._database.read() as connection:
            return _newest(connection.execute(query.order_by(write_intent.c.record, write_intent.c.revision)))


def _events() -> Select[Any]:
    return select(
        business_event.c.body,
        business_event.c.root_id,
        business_event.c.seq,
        inbox_event.c.connection,
        inbox_event.c.external_id,
    ).join(inbox_event, inbox_event.c.seq == business_event.c.seq)


def _event(row: Sequence[Any]) -> SeenEvent:
    body, root_id, seq, connection, external_id = row
    return SeenEvent(
        event=_EVENTS.decode(body), root_id=root_id, seq=seq, correlation=correlation_id(connection, external_id)
    )


def _newest(rows: Iterable[Sequence[Any]]) -> tuple[SeenWrite, ...]:
    found: dict[str, SeenWrite] = {}
    for name, flow, target, record, state, shadow, reason, cause, planned_at in rows:
        found[record] = SeenWrite(
            id=name,
            flow=flow,
            target=target,
            record=record,
            state=IntentState(state),
            shadow=shadow,
            reason=reason,
            cause=cause,
            planned_at=from_micros(planned_at),
        )
    return tuple(found.values())
