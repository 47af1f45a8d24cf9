"""The approval packet of a red flag: everything requirement 152 lists, gathered as it stands now, under one digest.

Who approves names the digest he looked at: a value that changed since makes it another packet. What does not change the
matter (tries, what people said) is shown beside it and is no part of the digest.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select, text, union_all

from accordant.canonical.entities import Entity, decode_entity
from accordant.canonical.intents import WireValue
from accordant.canonical.red_flags import FlagDecision, RedFlag
from accordant.kernel.clock import from_micros
from accordant.kernel.hashing import fingerprint
from accordant.store.engine import Database
from accordant.store.schema import (
    confirmed_record,
    crosswalk,
    delivery,
    desired_record,
    entity,
    flag_decision,
    inbox_event,
    inbox_work,
    journal_entry,
    red_flag,
    write_intent,
    write_receipt,
)
from accordant.views.keyed import AnyRow, rows_by_key

#: Tries that are shown of one flag, the latest first.
TRIES_MAX = 50
#: Flags that a list holds.
LISTED_MAX = 2_000

IS_OPEN = text("red_flag.state = 'open'")
_FLAGS = msgspec.json.Decoder(RedFlag)
_DECISIONS = msgspec.json.Decoder(FlagDecision)
_FIELDS: msgspec.json.Decoder[dict[str, WireValue]] = msgspec.json.Decoder(dict[str, WireValue])


class SourceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The event that brought the flag. ``external_id`` is its provider's own id of it."""

    seq: int
    connection: str
    external_id: str
    event_type: str
    occurred_at: datetime
    received_at: datetime


class BillingState(msgspec.Struct, frozen=True, kw_only=True):
    """One object behind the flag as its owner said it last."""

    ref: str
    version: int
    observed_at: datetime
    state: Entity


class TargetState(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the customer at a target: what it held when we last looked, and what it should hold.

    ``before`` is None where nobody has looked yet; ``differing`` names the fields in which the two differ.
    """

    system: str
    record: str
    target_id: str | None
    confirmed_at: datetime | None
    before: dict[str, WireValue] | None
    after: dict[str, WireValue]
    differing: tuple[str, ...]


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival of the event, or one attempt at a write of the customer."""

    at: datetime
    what: str
    outcome: str
    attempt: int
    request_id: str | None = None


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One red flag with all that is needed to decide on it.

    ``receives`` counts how often its event was handed to a worker.
    """

    flag: RedFlag
    is_open: bool
    event: SourceEvent | None
    affected: tuple[str, ...]
    billing: tuple[BillingState, ...]
    targets: tuple[TargetState, ...]
    tries: tuple[Try, ...]
    receives: int
    decisions: tuple[FlagDecision, ...]

    @property
    def digest(self) -> str:
        """What an approval is bound to: the flag, the event, and the values in every system."""
        return fingerprint(
            msgspec.to_builtins(
                {
                    "flag": self.flag,
                    "event": self.event,
                    "billing": [(one.ref, one.version, one.state) for one in self.billing],
                    "targets": [(one.record, one.before, one.after) for one in self.targets],
                }
            )
        )


def packet(database: Database, flag_id: str) -> Packet | None:
    """The packet of a flag as it stands now; None where there is no such flag."""
    with database.read() as connection:
        row = connection.execute(select(red_flag).where(red_flag.c.id == flag_id)).first()
        return None if row is None else _packet(connection, row)


def packet_digest(database: Database, flag_id: str) -> str | None:
    """The digest of the packet as it stands now; None where there is no such flag."""
    found = packet(database, flag_id)
    return None if found is None else found.digest


def open_flags(connection: Connection) -> tuple[RedFlag, ...]:
    """The flags that are open, oldest first."""
    query = select(red_flag.c.body).where(IS_OPEN).order_by(red_flag.c.raised_at, red_flag.c.id).limit(LISTED_MAX)
    return tuple(_FLAGS.decode(body) for body in connection.execute(query).scalars())


def listed_flags(database: Database) -> tuple[RedFlag, ...]:
    """As ``open_flags``, for a page of its own."""
    with database.read() as connection:
        return open_flags(connection)


def _packet(connection: Connection, row: AnyRow) -> Packet:
    flag = _whose(connection, _FLAGS.decode(row.body))
    words = select(flag_decision.c.body).where(flag_decision.c.flag == flag.id).order_by(flag_decision.c.number)
    event = _event(connection, flag)
    targets = _targets(connection, flag)
    receives = select(inbox_work.c.attempts).where(inbox_work.c.seq == (flag.seq or 0))
    return Packet(
        flag=flag,
        is_open=row.state == "open",
        event=event,
        affected=(flag.subject, *flag.related),
        billing=_billing(connection, (flag.subject, *flag.related)),
        targets=targets,
        tries=_tries(connection, event, [one.record for one in targets]),
        receives=connection.execute(receives).scalar() or 0,
        decisions=tuple(_DECISIONS.decode(body) for body in connection.execute(words).scalars()),
    )


def _whose(connection: Connection, flag: RedFlag) -> RedFlag:
    """The flag with its customer, where he became known only after it was raised: by its event's lane, or by an object
    behind it.
    """
    if flag.account_id is not None:
        return flag
    lane = connection.execute(select(inbox_event.c.lane).where(inbox_event.c.seq == (flag.seq or 0))).scalar()
    query = select(entity.c.root_id).join(crosswalk, crosswalk.c.entity_id == entity.c.id)
    for name in (lane, *flag.related):
        account = connection.execute(query.where(crosswalk.c.ref == name)).scalar()
        if account is not None:
            return msgspec.structs.replace(flag, account_id=account)
    return flag


def _event(connection: Connection, flag: RedFlag) -> SourceEvent | None:
    if flag.seq is None:
        return None
    columns = (
        inbox_event.c.seq,
        inbox_event.c.connection,
        inbox_event.c.external_id,
        inbox_event.c.event_type,
        inbox_event.c.occurred_at,
        inbox_event.c.received_at,
    )
    row = connection.execute(select(*columns).where(inbox_event.c.seq == flag.seq)).first()
    if row is None:
        return None
    return SourceEvent(
        seq=row.seq,
        connection=row.connection,
        external_id=row.external_id,
        event_type=row.event_type,
        occurred_at=from_micros(row.occurred_at),
        received_at=from_micros(row.received_at),
    )


def _billing(connection: Connection, refs: Iterable[str]) -> tuple[BillingState, ...]:
    columns = (entity.c.ref, entity.c.version, entity.c.observed_at, entity.c.state)
    rows = {row.ref: row for row in rows_by_key(connection, columns, entity.c.ref, refs)}
    return tuple(
        BillingState(
            ref=ref,
            version=rows[ref].version,
            observed_at=from_micros(rows[ref].observed_at),
            state=decode_entity(rows[ref].state),
        )
        for ref in refs
        if ref in rows
    )


def _targets(connection: Connection, flag: RedFlag) -> tuple[TargetState, ...]:
    """The records of the flag's customer that its stop is about: those of what he is and has, and of his entries."""
    if flag.account_id is None:
        return ()
    owned = select(entity.c.id).where(entity.c.root_id == flag.account_id)
    posted = select(journal_entry.c.id).where(journal_entry.c.root_id == flag.account_id)
    query = (
        select(desired_record.c.ref, desired_record.c.target, desired_record.c.flow, desired_record.c.fields)
        .where(desired_record.c.entity_id.in_(union_all(owned, posted)))
        .order_by(desired_record.c.ref)
    )
    rows = [row for row in connection.execute(query) if not flag.flows or row.flow in flag.flows]
    columns = (
        confirmed_record.c.ref,
        confirmed_record.c.target_id,
        confirmed_record.c.fields,
        confirmed_record.c.confirmed_at,
    )
    held = {row.ref: row for row in rows_by_key(connection, columns, confirmed_record.c.ref, [row.ref for row in rows])}
    return tuple(_target(row, held.get(row.ref), flag) for row in rows)


def _target(row: AnyRow, held: AnyRow | None, flag: RedFlag) -> TargetState:
    after = _FIELDS.decode(row.fields)
    before = None if held is None else _FIELDS.decode(held.fields)
    is_met = row.ref == flag.subject and (before is not None or flag.target_id is not None)
    if is_met:
        before = (before or {}) | flag.after  # what somebody put there without a source is what it holds now
    return TargetState(
        system=row.target,
        record=row.ref,
        target_id=held.target_id if held is not None else flag.target_id if is_met else None,
        confirmed_at=None if held is None else from_micros(held.confirmed_at),
        before=before,
        after=after,
        differing=tuple(sorted(name for name, value in after.items() if (before or {}).get(name) != value)),
    )


def _tries(connection: Connection, event: SourceEvent | None, records: Sequence[str]) -> tuple[Try, ...]:
    """The retry history: arrivals of the event, those with other content, and attempts at the customer's writes."""
    found: list[Try] = []
    if event is not None:
        found.append(Try(at=event.received_at, what=f"event {event.external_id} arrived", outcome="new", attempt=1))
        mine = (delivery.c.connection == event.connection, delivery.c.external_id == event.external_id)
        query = select(delivery.c.outcome, delivery.c.received_at).where(*mine).order_by(delivery.c.received_at)
        found += [
            Try(
                at=from_micros(row.received_at),
                what=f"event {event.external_id} arrived",
                outcome=row.outcome,
                attempt=number,
            )
            for number, row in enumerate(connection.execute(query.limit(TRIES_MAX)), start=2)
        ]
    query = (
        select(
            write_intent.c.record,
            write_receipt.c.attempt,
            write_receipt.c.outcome,
            write_receipt.c.settled_at,
            write_receipt.c.body,
        )
        .join(write_receipt, write_receipt.c.intent_id == write_intent.c.id)
        .where(write_intent.c.record.in_(list(records)))
        .order_by(write_receipt.c.settled_at.desc())
        .limit(TRIES_MAX)
    )
    found += [
        Try(
            at=from_micros(row.settled_at),
            what=f"write to {row.record}",
            outcome=row.outcome,
            attempt=row.attempt,
            request_id=msgspec.json.decode(row.body).get("request_id"),
        )
        for row in connection.execute(query)
    ]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True)[:TRIES_MAX])
