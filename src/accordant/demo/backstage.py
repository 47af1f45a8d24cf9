"""What the demo asks the hub's own tables: what is open, what records should hold, whether every write is explained.

Only the closing report and `Stage.settled` look here; the story's checks look into the two systems themselves.
"""

import json
from datetime import date

import msgspec
from sqlalchemy import Connection, Table, func, select

from accordant.canonical.intents import WireValue
from accordant.store.audit import verify_chain
from accordant.store.calendar import Calendar
from accordant.store.engine import Database
from accordant.store.schema import (
    audit_entry,
    crosswalk,
    delivery,
    desired_record,
    inbox_event,
    inbox_work,
    owed_decision,
    parked_lane,
    write_intent,
    write_receipt,
)

_FIELDS = msgspec.json.Decoder(dict[str, WireValue])
_OPEN_EVENTS = ("received", "awaiting_reread")
_OPEN_INTENTS = ("pending", "leased", "uncertain")


class OpenWork(msgspec.Struct, frozen=True, kw_only=True):
    """What has not come to its end. What waits behind a parked lane waits for a person and is counted apart."""

    events: tuple[str, ...]
    intents: tuple[str, ...]
    behind_parked_lanes: int
    #: A day that has begun and for which not everything is decided yet.
    day: str = ""

    @property
    def is_none(self) -> bool:
        """Nothing moves any more by itself."""
        return not self.events and not self.intents and not self.day

    def __str__(self) -> str:
        day = f", the day {self.day}" if self.day else ""
        return (
            f"{len(self.events)} events {list(self.events[:5])}, "
            f"{len(self.intents)} writes {list(self.intents[:5])}{day}"
        )


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Whether every write can be asked why. ``unexplained`` names receipts without intent, decision or cause.

    The cause is a source event, or for ``by_calendar`` of them a new day, noted on the trail when it was decided.
    """

    receipts: int
    by_calendar: int
    unexplained: tuple[str, ...]
    writes: int
    chain_entries: int
    chain_faults: tuple[str, ...]


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries came, and how many events they were. ``parked`` are of types the hub does not read."""

    deliveries: int
    events: int
    parked: int
    unsettled: int


def owes(database: Database) -> bool:
    """Whether an account waits to be decided again for a word that no event brought."""
    with database.read() as connection:
        return connection.execute(select(owed_decision.c.account_id).limit(1)).first() is not None


def open_work(database: Database, *, today: date | None = None) -> OpenWork:
    """Everything that is still open; with ``today``, also whether that day has been decided."""
    undecided = today is not None and Calendar(database).planned_on() != today
    with database.read() as connection:
        parked = {str(row.lane) for row in connection.execute(select(parked_lane.c.lane))}
        events = connection.execute(
            select(inbox_work.c.seq, inbox_work.c.lane, inbox_work.c.state, inbox_work.c.reason).where(
                inbox_work.c.state.in_(_OPEN_EVENTS)
            )
        ).all()
        intents = connection.execute(
            select(write_intent.c.record, write_intent.c.lane, write_intent.c.state, write_intent.c.reason).where(
                write_intent.c.state.in_(_OPEN_INTENTS)
            )
        ).all()
    return OpenWork(
        events=tuple(
            f"event {row.seq} {row.state}{f' ({row.reason})' if row.reason else ''}"
            for row in events
            if row.lane not in parked
        ),
        intents=tuple(
            f"{row.record} {row.state}{f' ({row.reason})' if row.reason else ''}"
            for row in intents
            if row.lane not in parked
        ),
        day=str(today) if undecided else "",
        behind_parked_lanes=sum(row.lane in parked for row in (*events, *intents)),
    )


def desired(database: Database, target: str) -> dict[tuple[str, str], dict[str, WireValue]]:
    """What each record of a target should hold, by object and key."""
    with database.read() as connection:
        rows = connection.execute(
            select(desired_record.c.object, desired_record.c.key, desired_record.c.fields).where(
                desired_record.c.target == target
            )
        ).all()
    return {(row.object, row.key): _FIELDS.decode(row.fields) for row in rows}


def parked_keys(database: Database) -> dict[str, str]:
    """Customers whose outbound lane waits for a person: their external id and the reason."""
    with database.read() as connection:
        lanes = connection.execute(select(parked_lane.c.lane, parked_lane.c.reason)).all()
        by_account = {str(row.lane).partition(":")[2]: str(row.reason) for row in lanes}
        links = connection.execute(
            select(crosswalk.c.external_id, crosswalk.c.entity_id).where(
                crosswalk.c.entity_id.in_(by_account), crosswalk.c.system == "stripe"
            )
        ).all()
    return {row.external_id: by_account[row.entity_id] for row in links}


def explained(database: Database) -> Explained:
    """Follow every receipt back to its intent, decision and source event; then walk the trail."""
    with database.read() as connection:
        rows = connection.execute(
            select(
                write_receipt.c.id,
                write_receipt.c.outcome,
                write_intent.c.id.label("intent"),
                write_intent.c.record,
                func.length(write_intent.c.decision).label("decision"),
                write_intent.c.charter,
                inbox_event.c.seq,
            )
            .select_from(
                write_receipt.outerjoin(write_intent, write_intent.c.id == write_receipt.c.intent_id).outerjoin(
                    inbox_event, inbox_event.c.seq == write_intent.c.cause
                )
            )
            .order_by(write_receipt.c.id)
        ).all()
        planned = {
            json.loads(body)["intent"]
            for body in connection.execute(
                select(audit_entry.c.body).where(
                    audit_entry.c.kind == "desk.intent.planned", audit_entry.c.cause.is_(None)
                )
            ).scalars()
        }
    # A view of its own: between two statements of the one above, a hub at work appends.
    with database.snapshot() as connection:
        chain = verify_chain(connection)
    unexplained = tuple(
        f"receipt {row.id} of {row.record}"
        for row in rows
        if row.intent is None or not row.decision or not row.charter or (row.seq is None and row.intent not in planned)
    )
    return Explained(
        receipts=len(rows),
        by_calendar=sum(row.seq is None for row in rows),
        unexplained=unexplained,
        writes=sum(row.outcome == "Applied" for row in rows),
        chain_entries=chain.entries,
        chain_faults=tuple(str(fault) for fault in chain.faults),
    )


def intake(database: Database) -> Intake:
    """Deliveries, events, and events that are not settled."""
    with database.read() as connection:
        events = _count(connection, inbox_event)
        states = {
            str(row[0]): int(row[1])
            for row in connection.execute(select(inbox_work.c.state, func.count()).group_by(inbox_work.c.state))
        }
        # The first delivery of an event is the event itself; only the others have a line of their own.
        return Intake(
            deliveries=_count(connection, delivery) + events,
            events=events,
            parked=states.get("parked", 0),
            unsettled=sum(count for state, count in states.items() if state not in {"processed", "parked"}),
        )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
