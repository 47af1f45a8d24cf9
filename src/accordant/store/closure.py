"""The closure question: was anything that is due forgotten? And the digest of what everything came to.

Every effect due is done, waits with a time, waits for a person, or was cancelled with a reason: there is no fifth.
Read-only; asked by the simulator after every schedule.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, exists, func, select

from accordant.canonical.events import EventType
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import ExternalRef
from accordant.canonical.standing import Standing, encode_standing
from accordant.ports.inbox import FAILED, WorkState
from accordant.store.schema import (
    business_event,
    crosswalk,
    desired_record,
    entity,
    inbox_event,
    inbox_work,
    journal_entry,
    parked_lane,
    standing,
    write_intent,
)

_OPEN = (IntentState.PENDING.value, IntentState.LEASED.value, IntentState.UNCERTAIN.value)

# Made once, as all questions that are asked again and again: to make one takes longer than to ask it.
_PARKED = select(parked_lane.c.lane)
_MOVING = select(inbox_work.c.lane).where(inbox_work.c.state.in_((WorkState.RECEIVED, WorkState.AWAITING_REREAD)))
_INTENTS = select(write_intent.c.lane, write_intent.c.record, write_intent.c.state).where(
    write_intent.c.state.in_((*_OPEN, IntentState.HELD.value, IntentState.DEAD.value))
)
_UNWORKED = select(inbox_event.c.external_id).where(~exists().where(inbox_work.c.seq == inbox_event.c.seq))
_UNPLANNED = select(desired_record.c.ref, desired_record.c.revision).where(
    ~exists().where(write_intent.c.record == desired_record.c.ref, write_intent.c.revision >= desired_record.c.revision)
)
_FAILED = select(inbox_work.c.seq, inbox_work.c.reason).where(
    inbox_work.c.state == WorkState.DEAD, inbox_work.c.reason.startswith(FAILED)
)
_DEAD = select(write_intent.c.id, write_intent.c.record).where(
    write_intent.c.state == IntentState.DEAD.value,
    ~exists().where(parked_lane.c.lane == write_intent.c.lane),
)
_EVENTS = select(inbox_event.c.external_id)
_OUTCOMES: tuple[tuple[str, Select[Any]], ...] = (
    ("entity", select(entity.c.id, entity.c.root_id, entity.c.state)),
    (
        "standing",
        select(standing.c.account_id, standing.c.state).where(standing.c.state != encode_standing(Standing())),
    ),
    (
        "desired",
        select(
            desired_record.c.ref,
            desired_record.c.flow,
            desired_record.c.lane,
            desired_record.c.key,
            desired_record.c.fields,
            desired_record.c.notes,
        ),
    ),
    (
        "business event",
        select(business_event.c.id, business_event.c.type, business_event.c.root_id, business_event.c.occurred_at),
    ),
)
#: How the outcome names what persons ordered (`ledger/orders.py`).
ORDERED = "business event ord_"
_ORDERS = (
    select(journal_entry.c.subject, func.count())
    .join(business_event, business_event.c.id == journal_entry.c.event)
    .where(business_event.c.type == EventType.ENTRY_ORDERED.value)
    .group_by(journal_entry.c.subject)
)
_LINKS = select(crosswalk.c.ref, crosswalk.c.kind, crosswalk.c.entity_id).where(
    crosswalk.c.system.in_(bindparam("sources", expanding=True))
)


class OpenEnds(msgspec.Struct, frozen=True, kw_only=True):
    """What is not finished. ``forgotten`` are sentences on what nobody will ever come back to: there must be none.

    ``events`` and ``intents`` still move by themselves; ``waiting`` are records that wait for a person.
    """

    events: int
    intents: int
    waiting: frozenset[str]
    forgotten: tuple[str, ...]


def open_ends(connection: Connection) -> OpenEnds:
    """What is open now, and what fell through."""
    parked = {row.lane for row in connection.execute(_PARKED)}
    moving = connection.execute(_MOVING).all()
    intents = connection.execute(_INTENTS).all()
    return OpenEnds(
        events=sum(row.lane not in parked for row in moving),
        intents=sum(row.state in _OPEN and row.lane not in parked for row in intents),
        waiting=frozenset(row.record for row in intents if row.state not in _OPEN or row.lane in parked),
        forgotten=tuple(_forgotten(connection)),
    )


def _forgotten(connection: Connection) -> Iterator[str]:
    for row in connection.execute(_UNWORKED):
        yield f"The event {row.external_id} is stored and nobody will ever process it."
    for row in connection.execute(_UNPLANNED):
        yield f"Revision {row.revision} of {row.ref} is desired and no intent carries it."
    for row in connection.execute(_FAILED):
        yield f"The event {row.seq} was set aside by a defect of ours: {row.reason}"
    for row in connection.execute(_DEAD):
        yield f"The intent {row.id} for {row.record} is dead and its lane is not parked."


def external_ids(connection: Connection) -> frozenset[str]:
    """The ids of all stored events, as their providers gave them."""
    return frozenset(connection.execute(_EVENTS).scalars())


def orders_posted(connection: Connection) -> dict[str, int]:
    """How many entries stand in the books under the key of each order."""
    return {ExternalRef.parse(subject).id: count for subject, count in connection.execute(_ORDERS)}


def outcome(connection: Connection, sources: frozenset[str]) -> dict[str, str]:
    """A digest of each thing that must not depend on order, repeats or crashes, by its name.

    ``sources`` are the owners whose crosswalk entries count: those of targets name records that a target numbered.
    """
    found: dict[str, str] = {}
    for name, query in _OUTCOMES:
        for row in connection.execute(query):
            found[f"{name} {row[0]}"] = hashlib.sha256(repr(tuple(row)).encode()).hexdigest()
    for row in connection.execute(_LINKS, {"sources": sorted(sources)}):
        found[f"link {row[0]}"] = hashlib.sha256(repr(tuple(row)).encode()).hexdigest()
    return found
