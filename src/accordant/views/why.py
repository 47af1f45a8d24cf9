"""Why a target field holds what it holds: the value, and its chain upwards, newest first, one line a hop."""

from datetime import datetime
from itertools import islice

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.intents import AlreadyApplied, Applied, FieldChange, WireValue
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import desired_record, entity, inbox_event, observation, write_intent
from accordant.views.about import Told, TrailLine, lines_on, told_of
from accordant.views.book_trail import BookTrail, trail_of, trail_of_entry
from accordant.views.changes import changes_of
from accordant.views.customer import TargetRecord, target_records
from accordant.views.keyed import rows_by_key
from accordant.views.lookup import resolve_record
from accordant.views.trace import Write, read_writes

#: Changes of a field that are told, the latest.
HOPS_MAX = 200


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the field: the write that carried it, and the event that caused it.

    ``applied`` says that the target took it or held it already; ``event_type`` and ``source`` are None for a repair.
    """

    change: FieldChange
    write: Write
    applied: bool
    seq: int | None
    event_type: str | None
    connection: str | None
    received_at: datetime | None
    sources: tuple[tuple[str, int], ...]


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. Without ``field`` only the record is given; ``hops`` are newest first.

    ``silent`` are events about the record's own object that changed nothing, with the reason; ``trail`` is what else
    was decided about it, by rules and by persons. ``books`` are the entries of an ERP's document or of a contract.
    """

    record: TargetRecord
    root_id: str
    field: str | None
    hops: tuple[Hop, ...]
    silent: tuple[Told, ...]
    trail: tuple[TrailLine, ...]
    books: tuple[BookTrail, ...] = ()


def why(database: Database, ref: str, field: str | None) -> Why | None:
    """Why ``field`` of record ``ref`` (by key or by the target's id) is what it is; None without such a record."""
    with database.read() as connection:
        name = resolve_record(connection, ref.strip())
        if name is None:
            return None
        row = connection.execute(select(desired_record).where(desired_record.c.ref == name)).one()
        record = target_records(connection, [row])[0]
        own = connection.execute(
            select(entity.c.root_id, entity.c.kind).where(entity.c.id == row.entity_id)
        ).one_or_none()
        told = told_of(connection, [row.entity_id])
        found = Why(
            record=record,
            root_id=own.root_id if own is not None else row.entity_id,
            field=field,
            hops=_hops(connection, name, field) if field else (),
            silent=tuple(one for one in told if one.outcome != "advanced"),
            trail=lines_on(connection, [name, *([f"{own.kind}/{row.entity_id}"] if own is not None else [])]),
        )
    books = trail_of_entry(database, row.entity_id) if own is None else trail_of(database, own.kind, row.entity_id)
    return msgspec.structs.replace(found, books=books)


def _hops(connection: Connection, name: str, field: str) -> tuple[Hop, ...]:
    told = (revision for revision, names in changes_of(connection, name) if field in names)
    rows = connection.execute(
        select(write_intent)
        .where(write_intent.c.record == name, write_intent.c.revision.in_(list(islice(told, HOPS_MAX))))
        .order_by(write_intent.c.revision.desc())
    ).all()
    changed = [(write, change) for write in read_writes(connection, rows) if (change := _change_of(write, field))]
    causes = {write.intent.cause for write, _ in changed if write.intent.cause is not None}
    columns = (inbox_event.c.seq, inbox_event.c.event_type, inbox_event.c.connection, inbox_event.c.received_at)
    events = {row.seq: row for row in rows_by_key(connection, columns, inbox_event.c.seq, causes)}
    sources = _sources(connection, causes)
    hops = []
    for write, change in changed:
        event = events.get(write.intent.cause) if write.intent.cause is not None else None
        hops.append(
            Hop(
                change=change,
                write=write,
                applied=any(isinstance(receipt.outcome, Applied | AlreadyApplied) for receipt in write.receipts),
                seq=write.intent.cause,
                event_type=event.event_type if event is not None else None,
                connection=event.connection if event is not None else None,
                received_at=from_micros(event.received_at) if event is not None else None,
                sources=tuple(sources.get(write.intent.cause or -1, ())),
            )
        )
    return tuple(hops)


def _change_of(write: Write, field: str) -> FieldChange | None:
    for change in write.intent.changes:
        if change.field == field:
            return change
    return None


def _sources(connection: Connection, causes: set[int]) -> dict[int, list[tuple[str, int]]]:
    """Event -> the objects it changed: (reference at their owner, version it led to)."""
    columns = (observation.c.seq, observation.c.entity_id, observation.c.version, observation.c.outcome)
    seen = [row for row in rows_by_key(connection, columns, observation.c.seq, causes) if row.outcome == "advanced"]
    refs = {
        row.id: row.ref
        for row in rows_by_key(connection, (entity.c.id, entity.c.ref), entity.c.id, [row.entity_id for row in seen])
    }
    found: dict[int, list[tuple[str, int]]] = {}
    for row in sorted(seen):
        found.setdefault(row.seq, []).append((refs.get(row.entity_id, row.entity_id), row.version))
    return found


def held_value(record: TargetRecord, field: str) -> tuple[WireValue, bool]:
    """The value the target was last seen to hold in ``field``, and whether it was ever seen."""
    for pair in record.fields:
        if pair.field == field:
            return pair.held, pair.known
    return None, False
