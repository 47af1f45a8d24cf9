"""The search box: an id of any system, or of the hub, and the page that shows it."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.refs import EntityKind
from accordant.store.engine import Database
from accordant.store.schema import (
    business_event,
    confirmed_record,
    crosswalk,
    desired_record,
    entity,
    inbox_event,
    write_intent,
)

#: Longer texts are nobody's id.
QUERY_LENGTH_MAX = 300
_SEQ_DIGITS_MAX = 15


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search leads: an ``event`` by number, a ``customer`` by the hub's id, or a ``record`` by its name."""

    page: str
    id: str


def look_up(database: Database, query: str, *, connections: Iterable[str]) -> Hit | None:
    """The object that ``query`` names, or None when nothing has that id. ``connections``: the charter's systems."""
    wanted = query.strip()
    if not wanted or len(wanted) > QUERY_LENGTH_MAX:
        return None
    with database.read() as connection:
        return (
            _own(connection, wanted)
            or _event(connection, wanted, connections)
            or _crosswalk(connection, wanted)
            or _record(connection, wanted)
        )


def _own(connection: Connection, wanted: str) -> Hit | None:
    """The hub's own ids: events by number, entities, intents and their keys, business events."""
    number = wanted.removeprefix("event/").removeprefix("#")
    if number.isascii() and number.isdecimal() and len(number) <= _SEQ_DIGITS_MAX:
        seq = connection.execute(select(inbox_event.c.seq).where(inbox_event.c.seq == int(number))).scalar()
        if seq is not None:
            return Hit(page="event", id=str(seq))
    name = wanted.rpartition("/")[2]
    hit = _customer(connection, name)
    if hit is not None:
        return hit
    intent = name.removeprefix("accordant-")
    row = connection.execute(
        select(write_intent.c.cause, write_intent.c.record).where(write_intent.c.id == intent)
    ).one_or_none()
    if row is not None:
        return Hit(page="record", id=row.record) if row.cause is None else Hit(page="event", id=str(row.cause))
    seq = connection.execute(select(business_event.c.seq).where(business_event.c.id == wanted)).scalar()
    return Hit(page="event", id=str(seq)) if seq is not None else None


def _customer(connection: Connection, entity_id: str) -> Hit | None:
    row = connection.execute(select(entity.c.root_id, entity.c.cause).where(entity.c.id == entity_id)).one_or_none()
    if row is None:
        return None
    root = connection.execute(select(entity.c.kind).where(entity.c.id == row.root_id)).scalar()
    if root == EntityKind.ACCOUNT:
        return Hit(page="customer", id=row.root_id)
    return Hit(page="event", id=str(row.cause))


def _event(connection: Connection, wanted: str, connections: Iterable[str]) -> Hit | None:
    seq = connection.execute(
        select(inbox_event.c.seq)
        .where(inbox_event.c.connection.in_(sorted(connections)), inbox_event.c.external_id == wanted)
        .order_by(inbox_event.c.seq)
    ).scalar()
    return Hit(page="event", id=str(seq)) if seq is not None else None


def _crosswalk(connection: Connection, wanted: str) -> Hit | None:
    """An id of any connected system, alone or in full (``stripe:customer/cus_1``). An account wins over its parts."""
    columns = select(crosswalk.c.kind, crosswalk.c.entity_id)
    rows = list(connection.execute(columns.where(crosswalk.c.external_id == wanted).limit(20)))
    rows += connection.execute(columns.where(crosswalk.c.ref == wanted))
    for row in sorted(rows, key=lambda row: row.kind != EntityKind.ACCOUNT):
        hit = _customer(connection, row.entity_id)
        if hit is not None:
            return hit
    return None


def _record(connection: Connection, wanted: str) -> Hit | None:
    """A target record by its name, or by its name with the target's own id."""
    ref = resolve_record(connection, wanted)
    return Hit(page="record", id=ref) if ref is not None else None


def resolve_record(connection: Connection, wanted: str) -> str | None:
    """The record (``target:object/key``) named by key or by the target's id; None when the hub keeps no such record."""
    found = connection.execute(select(desired_record.c.ref).where(desired_record.c.ref == wanted)).scalar()
    if found is not None:
        return str(found)
    target, _, rest = wanted.partition(":")
    object_name, _, target_id = rest.partition("/")
    found = connection.execute(
        select(confirmed_record.c.ref).where(
            confirmed_record.c.target == target,
            confirmed_record.c.target_id == target_id,
            confirmed_record.c.object == object_name,
        )
    ).scalar()
    return None if found is None else str(found)


def record_of_entry(database: Database, target: str, entry_id: str) -> str | None:
    """The record of an entry's document at a target, by its name; None where no flow brings it there."""
    query = select(desired_record.c.ref).where(
        desired_record.c.entity_id == entry_id, desired_record.c.ref.startswith(f"{target}:", autoescape=True)
    )
    with database.read() as connection:
        found = connection.execute(query.limit(1)).scalar()
    return None if found is None else str(found)
