"""What waits to be opened: each record with all that would be written, what is in the way, and where it comes from."""

from datetime import datetime

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import Charter, Trigger
from accordant.canonical.intents import IntentState, WireValue, WriteIntent
from accordant.canonical.refs import EntityRef
from accordant.governance.openings import RELEASE_DUE
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import entity, write_intent
from accordant.views.keyed import rows_by_key

LINES_MAX = 200
_DECODER = msgspec.json.Decoder(WriteIntent)


class WaitingField(msgspec.Struct, frozen=True, kw_only=True):
    """One field that would be written."""

    field: str
    value: WireValue


class WaitingOpening(msgspec.Struct, frozen=True, kw_only=True):
    """One record that is not there yet. ``content`` is what a release is of; ``why`` is everything it waits for.

    ``source`` is the object it comes of, by its owner's name; ``by_hand`` says that a person has to release it, and
    ``is_due`` that nothing else is in the way.
    """

    record: str
    flow: str
    target: str
    object: str
    entity: EntityRef
    source: str
    fields: tuple[WaitingField, ...]
    content: str
    why: str
    since: datetime
    cause: int | None
    by_hand: bool
    is_due: bool


class WaitingOpenings(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, the longest first; ``partial``: there is more."""

    lines: tuple[WaitingOpening, ...]
    partial: bool


def waiting_openings(database: Database, charter: Charter, *, record: str = "") -> WaitingOpenings:
    """What the flows of this charter would open and do not yet; of one ``record`` where it is named."""
    flows = {flow.name: flow for flow in charter.flows if flow.opens}
    if not flows:
        return WaitingOpenings(lines=(), partial=False)
    query = (
        select(write_intent.c.body, write_intent.c.reason, write_intent.c.planned_at, write_intent.c.record)
        .where(write_intent.c.state == IntentState.HELD.value, write_intent.c.flow.in_(sorted(flows)))
        .order_by(write_intent.c.planned_at, write_intent.c.id)
        .limit(LINES_MAX + 1)
    )
    if record:
        query = query.where(write_intent.c.record == record)
    with database.read() as connection:
        rows = connection.execute(query).all()
        found = [(row, _DECODER.decode(row.body)) for row in rows[:LINES_MAX]]
        ids = [intent.entity.id for _, intent in found]
        refs = {row.id: str(row.ref) for row in rows_by_key(connection, (entity.c.id, entity.c.ref), entity.c.id, ids)}
    lines = tuple(
        WaitingOpening(
            record=row.record,
            flow=intent.flow,
            target=intent.target,
            object=intent.object,
            entity=intent.entity,
            source=refs.get(intent.entity.id, str(intent.entity)),
            fields=tuple(WaitingField(field=name, value=value) for name, value in sorted(intent.fields.items())),
            content=intent.input_digest,
            why=row.reason or "",
            since=from_micros(row.planned_at),
            cause=intent.cause,
            by_hand=flows[intent.flow].trigger is Trigger.MANUAL,
            is_due=row.reason == RELEASE_DUE,
        )
        for row, intent in found
    )
    return WaitingOpenings(lines=lines, partial=len(rows) > LINES_MAX)


def waiting_write(database: Database, record: str) -> WriteIntent | None:
    """The write that is held of a record; None where nothing is."""
    query = (
        select(write_intent.c.body)
        .where(write_intent.c.record == record, write_intent.c.state == IntentState.HELD.value)
        .order_by(write_intent.c.revision.desc())
        .limit(1)
    )
    with database.read() as connection:
        body = connection.execute(query).scalar()
    return None if body is None else _DECODER.decode(body)
