"""What needs a person: dead letters, held and uncertain writes, events set aside, twins, parked lanes; by cause.

Groups are sorted by the recurring revenue of the accounts behind them, then by how much they hold.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.error_patterns import ErrorPattern, KnownPattern, pattern_of
from accordant.canonical.intents import IntentState
from accordant.canonical.shapes import TargetDrift
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.hashing import digest
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.schema import inbox_event, inbox_twin, inbox_work, parked_lane, target_shape, write_intent
from accordant.views.conflicts import waiting_fields
from accordant.views.keyed import AnyRow, rows_by_key
from accordant.views.orphans import orphans
from accordant.views.packets import open_flags
from accordant.views.patterns import known_patterns, refusal_codes
from accordant.views.status import TROUBLED_EVENT, TROUBLED_INTENT, TroubleCounts, late_flows, trouble_counts
from accordant.views.worth import Party, accounts_of_lanes, accounts_of_records, parties, total

#: Items looked at of each kind; the counts above the list cover all of them.
ITEMS_MAX = 2_000
#: Items of a group that are listed in place.
LISTED_MAX = 50

_DRIFT = msgspec.json.Decoder(tuple[TargetDrift, ...])


class TroubleItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that waits. ``id`` is an intent's id, or the number of an event; ``record`` is None for an event."""

    kind: str
    id: str
    name: str
    where: str
    reason: str
    since_at: datetime
    attempts: int
    seq: int | None
    record: str | None
    lane: str
    lane_parked: bool
    party: Party | None
    pattern: ErrorPattern


class TroubleGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Items with one cause. ``reason`` is the text of the first of them, whole.

    ``pattern`` is the key of its error pattern; ``known`` what a person called it and what helps.
    """

    key: str
    kind: str
    where: str
    reason: str
    worth: tuple[Money, ...]
    accounts: int
    since_at: datetime
    items: tuple[TroubleItem, ...]
    pattern: str
    known: KnownPattern | None = None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """The list. ``partial`` says that only the first ``ITEMS_MAX`` items of a kind were looked at."""

    counts: TroubleCounts
    groups: tuple[TroubleGroup, ...]
    partial: bool


class _Row(msgspec.Struct, frozen=True):
    kind: str
    id: str
    name: str
    where: str
    reason: str
    since: int
    attempts: int
    seq: int | None
    record: str | None
    lane: str
    system: str = ""
    code: str = ""


def trouble(database: Database, *, now: datetime, zone: tzinfo = UTC) -> Trouble:
    """The whole list."""
    with database.read() as connection:
        rows = [*_intents(connection), *_events(connection), *_twins(connection), *_conflicts(connection)]
        rows += _late(connection)
        rows += _drifted(connection)
        rows += _orphaned(connection)
        rows += _flagged(connection)
        partial = len(rows) > 0 and any(
            sum(row.kind in kinds for row in rows) > ITEMS_MAX
            for kinds in (
                {"dead", "held", "uncertain"},
                {"dead_event", "parked", "quarantined"},
                {"twin"},
                {"conflict"},
            )
        )
        lanes = {row.lane: row for row in connection.execute(select(parked_lane))}
        rows += _other_lanes(lanes.values(), rows)
        items = _named(connection, rows, frozenset(lanes), now, zone)
        return Trouble(
            counts=trouble_counts(connection), groups=_grouped(items, known_patterns(connection)), partial=partial
        )


def _intents(connection: Connection) -> list[_Row]:
    rows = connection.execute(
        select(write_intent).where(TROUBLED_INTENT).order_by(write_intent.c.state).limit(ITEMS_MAX + 1)
    ).all()
    codes = refusal_codes(connection, [row.id for row in rows if row.state == IntentState.DEAD.value])
    return [
        _Row(
            row.state,
            row.id,
            f"{row.object} {row.record.partition('/')[2]}",
            f"{row.target} {row.object}",
            row.reason or "No reason was kept.",
            row.settled_at or row.planned_at,
            row.attempts,
            row.cause,
            row.record,
            row.lane,
            row.target,
            codes.get(row.id, ""),
        )
        for row in rows
    ]


def _events(connection: Connection) -> list[_Row]:
    rows = connection.execute(select(inbox_work).where(TROUBLED_EVENT).limit(ITEMS_MAX + 1)).all()
    columns = (inbox_event.c.seq, inbox_event.c.event_type, inbox_event.c.received_at)
    events = {row.seq: row for row in rows_by_key(connection, columns, inbox_event.c.seq, [row.seq for row in rows])}
    found = []
    for row in rows:
        event = events[row.seq]
        found.append(
            _Row(
                "dead_event" if row.state == "dead" else row.state,
                str(row.seq),
                f"Event {row.seq}, {event.event_type}",
                f"{row.connection} {event.event_type}",
                row.reason or "No reason was kept.",
                row.settled_at or event.received_at,
                row.attempts,
                row.seq,
                None,
                row.lane,
                row.connection,
            )
        )
    return found


def _twins(connection: Connection) -> list[_Row]:
    rows = connection.execute(
        select(
            inbox_twin.c.id,
            inbox_twin.c.connection,
            inbox_twin.c.external_id,
            inbox_twin.c.received_at,
            inbox_event.c.seq,
            inbox_event.c.lane,
            inbox_event.c.event_type,
        )
        .select_from(
            inbox_twin.join(
                inbox_event,
                (inbox_event.c.connection == inbox_twin.c.connection)
                & (inbox_event.c.external_id == inbox_twin.c.external_id),
            )
        )
        .order_by(inbox_twin.c.id)
        .limit(ITEMS_MAX + 1)
    )
    reason = "The event arrived again with other content. The first stays in force; both are kept."
    return [
        _Row(
            "twin",
            str(row.id),
            f"Event {row.seq}, {row.event_type}",
            f"{row.connection} {row.event_type}",
            reason,
            row.received_at,
            1,
            row.seq,
            None,
            row.lane,
        )
        for row in rows
    ]


def _conflicts(connection: Connection) -> list[_Row]:
    found = []
    for waiting in waiting_fields(connection, limit=ITEMS_MAX + 1):
        place, _, key = waiting.record.partition("/")
        target, _, object_name = place.partition(":")
        since = to_micros(waiting.since_at)
        found.append(
            _Row(
                "conflict",
                waiting.conflict_id,
                f"{waiting.field} of {object_name} {key}",
                f"{target} {object_name}.{waiting.field}",
                waiting.reason,
                since,
                0,
                None,
                waiting.record,
                waiting.lane,
            )
        )
    return found


def _late(connection: Connection) -> list[_Row]:
    return [
        _Row(
            "late",
            late.flow,
            f"{late.flow}, {late.waiting:,} waiting",
            late.flow,
            f"It is {late.lag_s:,} seconds behind its source; {late.limit_s:,} are an incident.",
            to_micros(late.opened_at),
            0,
            None,
            None,
            "",
        )
        for late in late_flows(connection)
    ]


def _drifted(connection: Connection) -> list[_Row]:
    rows = connection.execute(select(target_shape).where(target_shape.c.drifted_at.is_not(None)))
    return [
        _Row(
            "drift",
            f"{row.system}/{row.object}/{one.field or ''}/{one.kind}",
            f"{row.object}.{one.field}" if one.field else row.object,
            f"{row.system} {row.object}",
            f"{one.problem} {one.remedy}",
            row.drifted_at,
            0,
            None,
            None,
            "",
        )
        for row in rows
        for one in _DRIFT.decode(row.drift)
    ]


def _orphaned(connection: Connection) -> list[_Row]:
    return [
        _Row(
            "orphan",
            one.case.id,
            f"{one.case.object} of {one.case.subject.external_id}",
            f"{one.case.system} {one.case.object}",
            f"Its customer has {one.live_subscriptions} live "
            f"{'subscription' if one.live_subscriptions == 1 else 'subscriptions'}. {one.case.why}",
            to_micros(one.case.opened_at),
            0,
            None,
            None,
            f"{one.case.system}:{one.case.account_id}",
        )
        for one in orphans(connection)
    ]


def _flagged(connection: Connection) -> list[_Row]:
    return [
        _Row(
            "red_flag",
            flag.id,
            f"{flag.kind.value.replace('_', ' ').capitalize()}, {flag.subject}",
            flag.system,
            flag.why,
            to_micros(flag.raised_at),
            0,
            flag.seq,
            None,
            f"{flag.system}:{flag.account_id or ''}",
        )
        for flag in open_flags(connection)
    ]


def _other_lanes(lanes: Iterable[AnyRow], rows: list[_Row]) -> list[_Row]:
    """Parked lanes whose cause is not itself on the list."""
    shown = {f"intent/{row.id}" for row in rows} | {f"event/{row.seq}" for row in rows}
    found = []
    for lane in lanes:
        if lane.cause not in shown:
            seq = lane.cause.removeprefix("event/")
            number = int(seq) if seq.isdecimal() else None
            name, where = f"Lane {lane.lane}", f"{lane.direction} lane"
            found.append(
                _Row("parked_lane", lane.lane, name, where, lane.reason, lane.parked_at, 0, number, None, lane.lane)
            )
    return found


def _named(
    connection: Connection, rows: list[_Row], parked: frozenset[str], now: datetime, zone: tzinfo
) -> list[TroubleItem]:
    by_record = accounts_of_records(connection, {row.record for row in rows if row.record is not None})
    by_lane = accounts_of_lanes(connection, {row.lane for row in rows if row.record is None})
    found = parties(connection, {*by_record.values(), *by_lane.values()}, as_of=now, zone=zone)
    items = []
    for row in rows:
        account_id = by_record.get(row.record) if row.record is not None else by_lane.get(row.lane)
        items.append(
            TroubleItem(
                kind=row.kind,
                id=row.id,
                name=row.name,
                where=row.where,
                reason=row.reason,
                since_at=from_micros(row.since),
                attempts=row.attempts,
                seq=row.seq,
                record=row.record,
                lane=row.lane,
                lane_parked=row.lane in parked,
                party=found.get(account_id) if account_id is not None else None,
                pattern=pattern_of(row.reason, system=row.system, code=row.code),
            )
        )
    return items


def _grouped(items: list[TroubleItem], known: dict[str, KnownPattern]) -> tuple[TroubleGroup, ...]:
    by_cause: dict[tuple[str, str, ErrorPattern], list[TroubleItem]] = {}
    for item in items:
        by_cause.setdefault((item.kind, item.where, item.pattern), []).append(item)
    groups = []
    for (kind, where, pattern), members in by_cause.items():
        behind = {item.party.account_id: item.party for item in members if item.party is not None}
        groups.append(
            TroubleGroup(
                key=digest(f"{kind}\n{where}\n{pattern.text}".encode("utf-8", "surrogatepass")).hex()[:16],
                kind=kind,
                where=where,
                reason=members[0].reason,
                worth=total(amount for party in behind.values() for amount in party.mrr),
                accounts=len(behind),
                since_at=min(item.since_at for item in members),
                items=tuple(sorted(members, key=lambda item: (item.since_at, item.id))),
                pattern=pattern.key,
                known=known.get(pattern.key),
            )
        )
    # Amounts of different currencies have no order: the largest figure of any of them decides, as a rough guide.
    groups.sort(key=lambda group: (-max((one.amount_minor for one in group.worth), default=0), -len(group.items)))
    return tuple(groups)


def lanes_behind(database: Database, lanes: Iterable[str]) -> int:
    """How many open writes wait behind these outbound lanes."""
    with database.read() as connection:
        columns = (write_intent.c.lane, write_intent.c.state)
        found = rows_by_key(connection, columns, write_intent.c.lane, lanes)
        return sum(row.state in {"pending", "leased", "uncertain"} for row in found)
