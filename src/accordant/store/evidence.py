"""Counting evidence on SQL: what the hub itself can say of a flow before it is widened. Reads only.

Counts cover the whole window they name; only the followed writes are a sample, spread evenly over the newest of it.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, LargeBinary, Select, exists, func, literal, select

from accordant.canonical.charter import FlowPart
from accordant.canonical.events import EventType
from accordant.canonical.intents import Applied, Compared, IntentState, WriteReceipt
from accordant.canonical.upcasters import read_business_event
from accordant.governance.decide import decode_decision
from accordant.governance.evidence import Comparison, Figures, SampledPayout, SampledTrace
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.inbox import WorkState
from accordant.store.schema import (
    audit_entry,
    business_event,
    charter_version,
    discrepancy,
    inbox_event,
    inbox_twin,
    inbox_work,
    observation,
    parked_lane,
    reconcile_run,
    write_intent,
    write_receipt,
)

#: Receipts among which the followed writes are chosen.
_NEWEST = 5_000
#: Payouts that are followed, of those that were paid and of those that were not.
_PAYOUTS_OF_A_KIND = 3
_PLANNED = "desk.intent.planned"
_SHADOWED = "desk.intent.shadowed"
_STUCK = (WorkState.DEAD.value, WorkState.QUARANTINED.value)
_WAITING = (IntentState.DEAD.value, IntentState.HELD.value, IntentState.UNCERTAIN.value)
_EXPLAINED = b'"cause":"not_written"'
_RECEIPT = msgspec.json.Decoder(WriteReceipt)


def count_figures(
    connection: Connection, flow: FlowPart, *, events_since: datetime, since: datetime, traces: int
) -> Figures:
    """Everything that is counted for a flow, in one snapshot."""
    receipts = _newest_receipts(connection, flow.name, events_since)
    compared = [row for row in receipts if row.outcome == Compared.__name__]
    agreeing = sum(not _differing(row.receipt) for row in compared)
    return Figures(
        understood=_understood(connection, flow.source, events_since),
        business=_business(connection, events_since),
        stuck=_grouped(
            connection,
            select(inbox_work.c.state, func.count())
            .where(inbox_work.c.connection == flow.source, inbox_work.c.state.in_(_STUCK))
            .group_by(inbox_work.c.state),
        ),
        traces=_followed(connection, receipts, traces),
        payouts=_payouts(connection, events_since),
        outcomes=_grouped(
            connection,
            _of_flow(flow.name, since, write_receipt.c.outcome, func.count()).group_by(write_receipt.c.outcome),
        ),
        compared=len(compared),
        agreeing=agreeing,
        comparisons=_comparisons(connection, flow.name, since),
        source_comparisons=_comparisons(connection, f"source:{flow.source}", since),
        reused_keys=_count(
            connection,
            select(func.count())
            .select_from(inbox_twin)
            .where(inbox_twin.c.connection == flow.source, inbox_twin.c.received_at >= to_micros(since)),
        ),
        doubled=_doubled(connection, flow.name, since),
        untraced=_untraced(connection, flow.name, since),
        waiting=_grouped(
            connection,
            select(write_intent.c.state, func.count())
            .where(write_intent.c.flow == flow.name, write_intent.c.state.in_(_WAITING))
            .group_by(write_intent.c.state),
        ),
        parked=_count(
            connection,
            select(func.count())
            .select_from(parked_lane)
            .where(parked_lane.c.lane.startswith(f"{flow.target}:", autoescape=True)),
        ),
    )


def _grouped(connection: Connection, query: Select[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in connection.execute(query)}


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())


def _of_flow(flow: str, since: datetime, *columns: Any) -> Select[Any]:  # noqa: ANN401  columns of any table
    """Receipts of a flow since a moment."""
    return (
        select(*columns)
        .select_from(write_receipt.join(write_intent, write_intent.c.id == write_receipt.c.intent_id))
        .where(write_intent.c.flow == flow, write_receipt.c.settled_at >= to_micros(since))
    )


def _understood(connection: Connection, source: str, since: datetime) -> dict[str, int]:
    return _grouped(
        connection,
        select(inbox_event.c.event_type, func.count())
        .join(inbox_work, inbox_work.c.seq == inbox_event.c.seq)
        .where(
            inbox_event.c.connection == source,
            inbox_event.c.received_at >= to_micros(since),
            inbox_work.c.state == WorkState.PROCESSED.value,
        )
        .group_by(inbox_event.c.event_type),
    )


def _business(connection: Connection, since: datetime) -> dict[EventType, int]:
    counted = _grouped(
        connection,
        select(business_event.c.type, func.count())
        .where(business_event.c.recorded_at >= to_micros(since))
        .group_by(business_event.c.type),
    )
    return {EventType(name): count for name, count in counted.items() if name in set(EventType)}


def _comparisons(connection: Connection, flow: str, since: datetime) -> tuple[Comparison, ...]:
    """Finished comparisons; a finding that a phase, a switch or a refusal explains is no surprise."""
    told: Any = literal(_EXPLAINED, LargeBinary)
    place = (
        func.instr(discrepancy.c.body, told)
        if connection.dialect.name == "sqlite"
        else func.position(told.op("IN")(discrepancy.c.body))
    )
    unexplained = (
        select(func.count())
        .select_from(discrepancy)
        .where(discrepancy.c.run_id == reconcile_run.c.id, place == 0)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(reconcile_run.c.id, reconcile_run.c.finished_at, reconcile_run.c.records, unexplained.label("open"))
        .where(
            reconcile_run.c.flow == flow,
            reconcile_run.c.started_at >= to_micros(since),
            reconcile_run.c.finished_at.is_not(None),
        )
        .order_by(reconcile_run.c.started_at)
    )
    return tuple(
        Comparison(run=row.id, finished_at=from_micros(row.finished_at), records=row.records, unexplained=row.open)
        for row in rows
    )


def _doubled(connection: Connection, flow: str, since: datetime) -> int:
    twice = (
        _of_flow(flow, since, write_receipt.c.intent_id)
        .where(write_receipt.c.outcome == Applied.__name__)
        .group_by(write_receipt.c.intent_id)
        .having(func.count() > 1)
        .subquery()
    )
    return _count(connection, select(func.count()).select_from(twice))


def _untraced(connection: Connection, flow: str, since: datetime) -> int:
    """Confirmed changes whose event is not there, or that no event caused and no line of the trail explains."""
    heard = exists().where(inbox_event.c.seq == write_intent.c.cause)
    told = exists().where(audit_entry.c.subject == write_intent.c.record, audit_entry.c.kind.in_((_PLANNED, _SHADOWED)))
    query = _of_flow(flow, since, func.count()).where(
        write_receipt.c.outcome == Applied.__name__,
        (write_intent.c.cause.is_not(None) & ~heard) | (write_intent.c.cause.is_(None) & ~told),
    )
    return _count(connection, query)


# -- the followed writes -----------------------------------------------------------------------------------------------


class _Settled(msgspec.Struct, frozen=True, kw_only=True):
    intent: str
    record: str
    cause: int | None
    charter: str
    decision: bytes
    outcome: str
    receipt: bytes


def _newest_receipts(connection: Connection, flow: str, since: datetime) -> list[_Settled]:
    columns = (
        write_intent.c.id,
        write_intent.c.record,
        write_intent.c.cause,
        write_intent.c.charter,
        write_intent.c.decision,
        write_receipt.c.outcome,
        write_receipt.c.body,
    )
    rows = connection.execute(_of_flow(flow, since, *columns).order_by(write_receipt.c.id.desc()).limit(_NEWEST))
    return [
        _Settled(
            intent=row.id,
            record=row.record,
            cause=row.cause,
            charter=row.charter,
            decision=bytes(row.decision),
            outcome=row.outcome,
            receipt=bytes(row.body),
        )
        for row in rows
    ]


def _differing(receipt: bytes) -> bool:
    outcome = _RECEIPT.decode(receipt).outcome
    return isinstance(outcome, Compared) and bool(outcome.differing)


def _followed(connection: Connection, receipts: list[_Settled], wanted: int) -> tuple[SampledTrace, ...]:
    """At most ``wanted`` writes of different records, spread evenly, each followed back to what caused it."""
    records = list({row.record: row for row in reversed(receipts)}.values())
    chosen = [records[index * len(records) // wanted] for index in range(wanted)] if len(records) > wanted else records
    causes = {row.cause for row in chosen if row.cause is not None}
    heard = set(connection.execute(select(inbox_event.c.seq).where(inbox_event.c.seq.in_(causes))).scalars())
    seen = set(connection.execute(select(observation.c.seq).where(observation.c.seq.in_(causes))).scalars())
    charters = {row.charter for row in chosen}
    known = set(
        connection.execute(select(charter_version.c.version).where(charter_version.c.version.in_(charters))).scalars()
    )
    subjects = {row.record for row in chosen}
    planned = set(
        connection.execute(
            select(audit_entry.c.subject).where(
                audit_entry.c.subject.in_(subjects), audit_entry.c.kind.in_((_PLANNED, _SHADOWED))
            )
        ).scalars()
    )
    return tuple(
        SampledTrace(
            record=row.record,
            event=row.cause,
            intent=row.intent,
            outcome=row.outcome,
            gap=_gap(row, heard=heard, seen=seen, charters=known, planned=planned),
        )
        for row in chosen
    )


_PAYOUTS = {EventType.PAYOUT_PAID: False, EventType.PAYOUT_FAILED: True}


def _payouts(connection: Connection, since: datetime) -> tuple[SampledPayout, ...]:
    """The newest payouts that were paid and the newest that were not, each followed back to its event."""
    rows = [
        (blocked, row)
        for kind, blocked in _PAYOUTS.items()
        for row in connection.execute(
            select(business_event.c.seq, business_event.c.body)
            .where(business_event.c.type == kind.value, business_event.c.recorded_at >= to_micros(since))
            .order_by(business_event.c.recorded_at.desc(), business_event.c.id)
            .limit(_PAYOUTS_OF_A_KIND)
        )
    ]
    causes = {row.seq for _, row in rows}
    heard = set(connection.execute(select(inbox_event.c.seq).where(inbox_event.c.seq.in_(causes))).scalars())
    columns = select(observation.c.seq, observation.c.entity_id).where(observation.c.seq.in_(causes))
    seen = {row.seq: f"payout/{row.entity_id}" for row in connection.execute(columns)}
    # Which of its notices moved a payout is chance: an update may have said it before the event that is named so.
    told = set(
        connection.execute(
            select(audit_entry.c.subject).where(
                audit_entry.c.subject.in_(set(seen.values())), audit_entry.c.kind.startswith("registry.payout.")
            )
        ).scalars()
    )
    found = []
    for blocked, row in rows:
        happened = read_business_event(row.body)
        found.append(
            SampledPayout(
                payout=str(happened.subject),
                event=row.seq,
                blocked=blocked,
                amount="" if happened.amount is None else str(happened.amount),
                gap=_gap_of_payout(row.seq, heard=heard, seen=seen, told=told),
            )
        )
    return tuple(found)


def _gap_of_payout(seq: int, *, heard: set[int], seen: dict[int, str], told: set[str]) -> str:
    if seq not in heard:
        return f"the event {seq} that told of it is not in the inbox."
    if seq not in seen:
        return f"nothing was kept of what the event {seq} was understood to say."
    return "" if seen[seq] in told else "the trail does not tell that it was taken up."


def _gap(row: _Settled, *, heard: set[int], seen: set[int], charters: set[str], planned: set[str]) -> str:
    """What is missing between the event and the receipt; empty where nothing is."""
    if row.cause is not None and row.cause not in heard:
        return f"the event {row.cause} that caused it is not in the inbox."
    if row.cause is not None and row.cause not in seen:
        return f"nothing was kept of what the event {row.cause} was understood to say."
    if row.record not in planned:
        return "the trail does not tell of its plan."
    if row.charter not in charters:
        return f"the charter {row.charter} it was decided under is not kept."
    try:
        decode_decision(row.decision)
        _RECEIPT.decode(row.receipt)
    except msgspec.DecodeError:
        return "its decision or its receipt cannot be read."
    return ""
