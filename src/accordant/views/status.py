"""What every page shows around its own matter: switches that are thrown, and how much waits for a person."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select, text

from accordant.governance.decide import flow_switch
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import (
    inbox_event,
    inbox_twin,
    inbox_work,
    lag_incident,
    parked_lane,
    red_flag,
    switch,
    target_shape,
    write_intent,
    write_receipt,
)
from accordant.views.conflicts import open_conflicts
from accordant.views.incident import IncidentBanner, banner
from accordant.views.orphans import orphans

# Written out, not bound: SQLite takes a partial index only when it can see the index's own condition in the query.
TROUBLED_INTENT = text("write_intent.state IN ('dead', 'held', 'uncertain')")
OPEN_STATES = frozenset(("pending", "leased", "uncertain"))
OPEN_INTENT = text("write_intent.state IN ('pending', 'leased', 'uncertain')")
OPEN_FLAG = text("red_flag.state = 'open'")
UNSETTLED_EVENT = text("inbox_work.state <> 'processed'")
TROUBLED_EVENT = text("inbox_work.state <> 'processed' AND inbox_work.state IN ('dead', 'parked', 'quarantined')")


class ThrownSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person stopped."""

    name: str
    reason: str
    thrown_by: str
    thrown_at: datetime


class TroubleCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits, by what it is."""

    dead: int = 0
    uncertain: int = 0
    held: int = 0
    dead_events: int = 0
    quarantined: int = 0
    parked_events: int = 0
    parked_lanes: int = 0
    twins: int = 0
    conflicts: int = 0
    late: int = 0
    drifted: int = 0
    orphans: int = 0
    red_flags: int = 0

    @property
    def for_a_person(self) -> int:
        """What will not settle by itself: a parked lane is counted by what parked it."""
        return (
            self.dead
            + self.held
            + self.dead_events
            + self.quarantined
            + self.parked_events
            + self.twins
            + self.conflicts
            + self.late
            + self.drifted
            + self.orphans
            + self.red_flags
        )


class LateFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow that is later than its charter bears. Lags in whole seconds, from the provider's event."""

    flow: str
    lag_s: int
    limit_s: int
    waiting: int
    opened_at: datetime


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The frame of a page."""

    switches: tuple[ThrownSwitch, ...]
    counts: TroubleCounts
    late: tuple[LateFlow, ...] = ()
    incident: IncidentBanner | None = None

    @property
    def switches_of_others(self) -> tuple[ThrownSwitch, ...]:
        """The switches that the open incident did not throw: its own are told by its step."""
        if self.incident is None:
            return self.switches
        return tuple(thrown for thrown in self.switches if thrown.reason != f"Incident: {self.incident.title}")

    def is_paused(self, flow: str) -> bool:
        """Whether the switch of this flow is thrown."""
        return any(thrown.name == flow_switch(flow) for thrown in self.switches)


def status(database: Database) -> Status:
    """Switches and counts, in one read."""
    with database.read() as connection:
        thrown = connection.execute(select(switch).order_by(switch.c.thrown_at.desc()))
        return Status(
            switches=tuple(
                ThrownSwitch(
                    name=row.name,
                    reason=row.reason,
                    thrown_by=row.thrown_by,
                    thrown_at=from_micros(row.thrown_at),
                )
                for row in thrown
            ),
            counts=trouble_counts(connection),
            late=late_flows(connection),
            incident=banner(connection),
        )


def late_flows(connection: Connection) -> tuple[LateFlow, ...]:
    """Flows that are later than their charter bears, the oldest incident first."""
    rows = connection.execute(select(lag_incident).order_by(lag_incident.c.opened_at, lag_incident.c.flow))
    return tuple(
        LateFlow(
            flow=row.flow,
            lag_s=row.lag_s,
            limit_s=row.limit_s,
            waiting=row.waiting,
            opened_at=from_micros(row.opened_at),
        )
        for row in rows
    )


def trouble_counts(connection: Connection) -> TroubleCounts:
    """The counts, from the partial indexes of what is troubled."""
    states = select(write_intent.c.state, func.count()).where(TROUBLED_INTENT).group_by(write_intent.c.state)
    intents: dict[str, int] = {str(row[0]): int(row[1]) for row in connection.execute(states)}
    open_events = select(inbox_work.c.state, func.count()).where(TROUBLED_EVENT).group_by(inbox_work.c.state)
    events: dict[str, int] = {str(row[0]): int(row[1]) for row in connection.execute(open_events)}
    return TroubleCounts(
        dead=intents.get("dead", 0),
        uncertain=intents.get("uncertain", 0),
        held=intents.get("held", 0),
        dead_events=events.get("dead", 0),
        quarantined=events.get("quarantined", 0),
        parked_events=events.get("parked", 0),
        parked_lanes=connection.execute(select(func.count()).select_from(parked_lane)).scalar_one(),
        conflicts=open_conflicts(connection),
        late=connection.execute(select(func.count()).select_from(lag_incident)).scalar_one(),
        twins=connection.execute(select(func.count()).select_from(inbox_twin)).scalar_one(),
        orphans=len(orphans(connection)),
        red_flags=connection.execute(select(func.count()).select_from(red_flag).where(OPEN_FLAG)).scalar_one(),
        drifted=connection.execute(
            select(func.count()).select_from(target_shape).where(target_shape.c.drifted_at.is_not(None))
        ).scalar_one(),
    )


def pulse(database: Database) -> tuple[int, int, int]:
    """Three numbers that change when something happened: last event, last receipt, troubled things."""
    with database.read() as connection:
        counts = trouble_counts(connection)
        event = connection.execute(select(func.max(inbox_event.c.seq))).scalar_one()
        receipt = connection.execute(select(func.max(write_receipt.c.id))).scalar_one()
        return event or 0, receipt or 0, counts.for_a_person + counts.uncertain
