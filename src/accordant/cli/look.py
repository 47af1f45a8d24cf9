"""Commands that only look: `trace` and `status`. They print the read models of `accordant.views`, covered.

Next: `why.py` for one record and where its fields come from.
"""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.options import COMMON, AudienceOption, Common, charter_in_force, now, opened_store
from accordant.cli.render import amounts, counted, emit, field_text, say, shown, table
from accordant.governance.sensitivity import LEAST, lens
from accordant.kernel.errors import RejectedError

if TYPE_CHECKING:
    from accordant.views.customer import Customer
    from accordant.views.overview import Overview
    from accordant.views.status import Status
    from accordant.views.trace import Trace, Write
    from accordant.views.why import Why

_LINES_MAX = 15


class NothingFound(RejectedError):
    """Nothing in this store has that name."""


def trace(
    name: Annotated[str, Parameter(help="Any id of any system: an event, a customer, an invoice, a record, a write.")],
    /,
    *,
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Everything that came of one thing: an event through the eight rooms, a customer whole, or one record."""
    from accordant.views.customer import customer
    from accordant.views.lookup import look_up
    from accordant.views.masked import masked
    from accordant.views.trace import trace as read_trace
    from accordant.views.why import why as read_why

    with opened_store(common) as database:
        charter = charter_in_force(database)
        hit = look_up(database, name, connections=charter.systems if charter is not None else ())
        found: Trace | Customer | Why | None = None
        if hit is not None and hit.page == "event":
            found = read_trace(database, int(hit.id))
        elif hit is not None and hit.page == "customer":
            found = customer(database, hit.id, now=now())
        elif hit is not None:
            found = read_why(database, hit.id, None)
        if found is None:
            raise NothingFound(
                f"Nothing here is called {name!r}.",
                remedy="Give an id of any connected system, an event number, or system:object/id.",
            )
        found = masked(found, lens(charter, audience))
        if common.json:
            emit(found)
        else:
            _tell(found)
    return 0


def _tell(found: "Trace | Customer | Why") -> None:
    from accordant.views.customer import Customer
    from accordant.views.trace import Trace

    if isinstance(found, Trace):
        _tell_event(found)
    elif isinstance(found, Customer):
        _tell_customer(found)
    else:
        tell_record(found)


def _tell_event(event: "Trace") -> None:
    say(
        f"Event {event.seq} of {event.connection}: {event.event_type} ({event.external_id})",
        f"Received {shown(event.received_at)}, {event.state}"
        + (f" {shown(event.settled_at)}" if event.settled_at else "")
        + (f": {event.reason}" if event.reason else "."),
        f"Correlation {event.correlation}",
    )
    if event.deliveries or event.twins:
        say(f"It arrived again {counted(event.deliveries, 'time')}, with other content {counted(event.twins, 'time')}.")
    if event.lane_parked:
        say(f"Its lane {event.lane} is stopped: {event.lane_parked}")
    table(
        "Understood as",
        ("Object", "Outcome", "Version", "Why"),
        ((seen.ref or seen.entity_id, seen.outcome, seen.version, seen.reason or "") for seen in event.observations),
        right=("Version",),
    )
    table(
        "Said of the business",
        ("Event", "Happened"),
        ((happened.type.value, happened.occurred_at) for happened in event.business_events),
    )
    if event.writes:
        _tell_writes(event.writes)
    elif not event.carried:
        say("It led to no write: no target record had to change.")
    table(
        "Also moved by it, with the write of a later event of its batch",
        ("Record", "State", "Event"),
        ((one.record, one.state, one.seq) for one in event.carried),
        right=("Event",),
    )


def _tell_writes(writes: "tuple[Write, ...]") -> None:
    table(
        "Written",
        ("Record", "State", "Fields", "Tries", "Settled", "Why"),
        (
            (
                write.record,
                f"{write.state} (shadow)" if write.shadow else write.state,
                ", ".join(change.field for change in write.intent.changes),
                write.attempts,
                write.settled_at or "not yet",
                write.reason or "",
            )
            for write in writes
        ),
        right=("Tries",),
    )


def _tell_customer(found: "Customer") -> None:
    say(f"{found.account.name or found.account.external_id} ({found.account_id})", found.sentence)
    table(
        "Known as",
        ("System", "Object", "Id", "Since"),
        ((one.system, one.object_type, one.external_id, one.since) for one in found.identities[:_LINES_MAX]),
    )
    table(
        "Records",
        ("Record", "Confirmed", "Differs in"),
        (
            (
                record.ref,
                record.confirmed_at or "not yet",
                ", ".join(pair.field for pair in record.fields if pair.differs) or "nothing",
            )
            for record in found.records
        ),
    )
    table(
        "Latest events",
        ("Event", "What", "Happened"),
        ((seq, event.type.value, event.occurred_at) for seq, event in found.events[:_LINES_MAX]),
        right=("Event",),
    )


def tell_record(found: "Why") -> None:
    """A record beside what its target was last seen to hold."""
    record = found.record
    say(
        f"{record.ref}, flow {record.flow}, revision {record.revision}",
        f"Held by {record.target} as {record.target_id}, confirmed {shown(record.confirmed_at)}."
        if record.target_id
        else f"{record.target} was not seen to hold it yet.",
        *record.notes,
    )
    table(
        "Fields",
        ("Field", "Should be", "Was last seen as", ""),
        (
            (
                pair.field,
                field_text(pair.desired),
                field_text(pair.held) if pair.known else "never seen",
                "differs" if pair.differs else "",
            )
            for pair in record.fields
        ),
    )


def status(*, common: Common = COMMON) -> int:
    """What is stopped, what waits for a person, how late each flow is, what is at stake, and what runs next."""
    from accordant.operations.schedule import duties
    from accordant.views.duties import duty_lines
    from accordant.views.masked import masked
    from accordant.views.overview import overview
    from accordant.views.status import status as read_status

    with opened_store(common) as database:
        frame = read_status(database)
        charter = charter_in_force(database)
        moment = now()
        seen = None if charter is None else overview(database, charter, now=moment)
        named = () if charter is None else tuple((duty.name, duty.schedule) for duty in duties(charter))
        lines = () if charter is None else duty_lines(database, charter, named, now=moment)
        frame, seen = masked((frame, seen), lens(charter))
    if common.json:
        emit({"status": frame, "overview": seen, "duties": lines})
        return 0
    _tell_waiting(frame)
    if seen is None:
        say("No charter was in force here yet: run `accordant serve`.")
        return 0
    _tell_flows(seen)
    table(
        "By the clock",
        ("Duty", "Next", "Last", "What it came to"),
        ((one.name, one.next_at, one.finished_at or "not yet", one.told or "") for one in lines),
    )
    if seen.risk.accounts:
        at_least = "at least " if seen.risk.partial else ""
        say(f"At stake: {at_least}{amounts(seen.risk.worth)} a month, {counted(seen.risk.accounts, 'account')}.")
    return 0


def _tell_waiting(frame: "Status") -> None:
    """What a person stopped, and what waits for one."""
    counts = frame.counts
    waits = counts.for_a_person
    verb = "waits" if waits == 1 else "wait"
    say("Nothing waits for a person." if not waits else f"{counted(waits, 'thing')} {verb} for a person.")
    table(
        "Stopped",
        ("Switch", "By", "Since", "Because"),
        ((s.name, s.thrown_by, s.thrown_at, s.reason) for s in frame.switches),
    )
    told = (
        ("writes refused for good", counts.dead),
        ("writes held", counts.held),
        ("writes with an unknown outcome", counts.uncertain),
        ("events that failed", counts.dead_events),
        ("events that are unusable", counts.quarantined),
        ("events not understood yet", counts.parked_events),
        ("events that came again with other content", counts.twins),
        ("fields with two values that wait for a decision", counts.conflicts),
        ("lanes stopped", counts.parked_lanes),
        ("flows that are late", counts.late),
        ("objects that changed at a target", counts.drifted),
        ("paying customers whose record was deleted at a target", counts.orphans),
        ("red flags that wait for an approval", counts.red_flags),
    )
    table("Waiting", ("What", "Count"), ((what, count) for what, count in told if count), right=("Count",))


def _tell_flows(seen: "Overview") -> None:
    """How late each flow is, from the provider's event to the confirmed write."""
    table(
        "Flows",
        ("Flow", "To", "Phase", "Waiting", "Lag p50 s", "Lag p95 s", "Promised s"),
        (
            (
                flow.flow,
                f"{flow.target} {flow.object}",
                flow.phase,
                flow.waiting,
                _seconds(flow.lag_p50_s),
                _seconds(flow.lag_p95_s),
                flow.expected_lag_s,
            )
            for flow in seen.flows
        ),
        right=("Waiting", "Lag p50 s", "Lag p95 s", "Promised s"),
    )


def _seconds(lag_s: float | None) -> str:
    return "unknown" if lag_s is None else f"{lag_s:,.1f}"
