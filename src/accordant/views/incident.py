"""Where a recovery stands: its steps as a rail, the exit of the one it is at, and the timeline, for pages and files."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from accordant.orchestration.incident import STEPS, Compared, Exit, Incident, Moment, RecoveryStep
from accordant.store.engine import Database
from accordant.store.schema import incident, incident_moment

_INCIDENTS = msgspec.json.Decoder(Incident)
_MOMENTS = msgspec.json.Decoder(Moment)
_LISTED_MAX = 50

#: What each step is called, and what is true when it is left.
NAMES: dict[RecoveryStep, tuple[str, str]] = {
    RecoveryStep.STOP_OUTBOUND: (
        "Stop messages and tickets",
        "Every automation is stopped, and none that was set off before is still under way.",
    ),
    RecoveryStep.FREEZE_NONESSENTIAL: (
        "Freeze what is not essential",
        "Only money and subscriptions are written to targets, and no earlier write is still under way.",
    ),
    RecoveryStep.RECONCILE_MONEY: (
        "Reconcile invoices and payments",
        "The hub holds every invoice, payment, refund, credit note and dispute as its owner does.",
    ),
    RecoveryStep.REPLAY_MONEY: (
        "Replay financial events",
        "Every financial event since the beginning was walked once more, and the money still matches.",
    ),
    RecoveryStep.REPLAY_SUBSCRIPTIONS: (
        "Replay subscriptions",
        "Customers and subscriptions match their owner, and the targets show their financial state.",
    ),
    RecoveryStep.REPLAY_SUPPORT: (
        "Replay support enrichment",
        "Writes that are not essential go on, and every field of the targets matches.",
    ),
    RecoveryStep.RESTORE_AUTOMATIONS: (
        "Restore automations",
        "Automations run again, and owner, hub and targets match in one last comparison of everything.",
    ),
}


class RailStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step as the rail shows it. ``state`` is done, here or ahead; ``exit`` is there for the step it stands at."""

    step: RecoveryStep
    title: str
    promise: str
    state: str
    began_at: datetime | None = None
    left_at: datetime | None = None
    left_by: str | None = None
    told: str | None = None
    exit: Exit | None = None
    compared: tuple[Compared, ...] = ()


class IncidentBanner(msgspec.Struct, frozen=True, kw_only=True):
    """What every page says while an incident is open."""

    id: str
    title: str
    step: str
    opened_by: str
    opened_at: datetime


class PastIncident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident of the list. ``closed_at`` is None while it is open; ``is_cancelled``: it was opened by mistake."""

    id: str
    title: str
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None
    is_cancelled: bool = False


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One incident, whole: what is exported as one file."""

    incident: Incident
    rail: tuple[RailStep, ...]
    timeline: tuple[Moment, ...]


def report(database: Database, incident_id: str, exit_now: Exit | None = None) -> IncidentReport | None:
    """An incident with its rail and timeline; None where there is none of this id. ``exit_now`` is of its step."""
    with database.read() as connection:
        state = connection.execute(select(incident.c.state).where(incident.c.id == incident_id)).scalar()
        if state is None:
            return None
        query = select(incident_moment.c.body).where(incident_moment.c.incident_id == incident_id)
        moments = [_MOMENTS.decode(body) for body in connection.execute(query.order_by(incident_moment.c.id)).scalars()]
    found = _INCIDENTS.decode(state)
    return IncidentReport(incident=found, rail=rail(found, moments, exit_now), timeline=tuple(moments))


def rail(found: Incident, moments: Sequence[Moment], exit_now: Exit | None) -> tuple[RailStep, ...]:
    """The seven steps in their order, each as far as it came."""
    ended = len(STEPS) if found.cancelled_because is None else 0
    place = ended if found.step is None else found.step.place
    left = {moment.step: moment for moment in moments if moment.kind == "left"}
    began = {moment.step: moment for moment in moments if moment.kind in {"opened", "advanced"}}
    steps = []
    for step in STEPS:
        title, promise = NAMES[step]
        is_here = step is found.step
        done = left.get(step)
        start = began.get(step)
        steps.append(
            RailStep(
                step=step,
                title=title,
                promise=promise,
                state="done" if done is not None or step.place < place else "here" if is_here else "ahead",
                began_at=None if start is None else start.at,
                left_at=None if done is None else done.at,
                left_by=None if done is None else done.actor,
                told=None if done is None else done.text,
                exit=exit_now if is_here else None,
                compared=found.measured.compared if is_here and found.measured is not None else (),
            )
        )
    return tuple(steps)


def banner(connection: Connection) -> IncidentBanner | None:
    """The incident that is open, in a line."""
    state = connection.execute(select(incident.c.state).where(incident.c.slot == "open")).scalar()
    if state is None:
        return None
    found = _INCIDENTS.decode(state)
    step = "" if found.step is None else f"step {found.step.place + 1} of {len(STEPS)}, {NAMES[found.step][0].lower()}"
    return IncidentBanner(
        id=found.id, title=found.title, step=step, opened_by=found.opened_by, opened_at=found.opened_at
    )


def past_incidents(database: Database) -> tuple[PastIncident, ...]:
    """The latest incidents, the newest first."""
    query = select(incident.c.state).order_by(incident.c.opened_at.desc(), incident.c.id).limit(_LISTED_MAX)
    with database.read() as connection:
        found = [_INCIDENTS.decode(state) for state in connection.execute(query).scalars()]
    return tuple(
        PastIncident(
            id=one.id,
            title=one.title,
            opened_by=one.opened_by,
            opened_at=one.opened_at,
            closed_at=one.closed_at,
            is_cancelled=one.cancelled_because is not None,
        )
        for one in found
    )
