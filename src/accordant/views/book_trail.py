"""From an entry of the books to what it comes from, and back: the provider's event, the bill, the contract, the deal.

One answer for an invoice or a line in an ERP, and for the opportunity at the other end. Reads the store alone.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.correlation import correlation_id
from accordant.canonical.entities import decode_entity
from accordant.canonical.refs import EntityKind
from accordant.kernel.clock import from_micros
from accordant.ledger.entries import JournalEntry
from accordant.store.contracts import contract_of, contracts_by_bill, deals_by_contract, subscription_ref
from accordant.store.engine import Database
from accordant.store.schema import confirmed_record, desired_record, entity, inbox_event, ledger_bill
from accordant.views.journal import JournalAsked, JournalRow, Sent, read_journal
from accordant.views.keyed import rows_by_key

#: Entries that are told of one contract, the latest.
ENTRIES_MAX = 100
#: Bills of one contract that are looked at, the latest.
BILLS_MAX = 100


class BookTrail(msgspec.Struct, frozen=True, kw_only=True):
    """One entry with both its ends. ``bill``, ``subscription`` and ``opportunity`` are references at their owners.

    ``event`` is the provider's own id of what caused it, under ``seq`` in the inbox; ``correlation`` is the id that a
    collector of traces knows it by. All are None for an entry that no single event caused, as a month's recognition.
    """

    entry: JournalEntry
    root_id: str
    sent: tuple[Sent, ...]
    bill: str | None = None
    number: str | None = None
    subscription: str | None = None
    opportunity: str | None = None
    seq: int | None = None
    connection: str | None = None
    event: str | None = None
    event_type: str | None = None
    received_at: datetime | None = None
    correlation: str | None = None


def trail_of_entry(database: Database, entry_id: str) -> tuple[BookTrail, ...]:
    """The trail of one entry; nothing where the books have no such entry."""
    return _trails(database, read_journal(database, JournalAsked(entry=entry_id)).entries)


def trail_of(database: Database, kind: str, entity_id: str) -> tuple[BookTrail, ...]:
    """The entries of an opportunity, of a subscription or of an invoice, the latest first; of anything else nothing."""
    with database.read() as connection:
        bills = _bills_of(connection, kind, entity_id)
    rows = [row for bill in bills[:BILLS_MAX] for row in read_journal(database, JournalAsked(bill=bill)).entries]
    rows.sort(key=lambda row: (row.entry.posted_on, row.entry.id), reverse=True)
    return _trails(database, rows[:ENTRIES_MAX])


def _bills_of(connection: Connection, kind: str, entity_id: str) -> list[str]:
    """The bills of a contract by their references, the latest first."""
    held = connection.execute(select(entity.c.ref, entity.c.root_id).where(entity.c.id == entity_id)).one_or_none()
    if held is None:
        return []
    if kind == EntityKind.INVOICE:
        return [held.ref]
    if kind == EntityKind.SUBSCRIPTION:
        contracts = {held.ref}
    elif kind == EntityKind.OPPORTUNITY:
        contracts = _contracts_of(connection, entity_id)
    else:
        return []
    roots = connection.execute(
        select(entity.c.root_id).where(entity.c.kind == EntityKind.SUBSCRIPTION.value, entity.c.ref.in_(contracts))
    ).scalars()
    query = select(entity.c.ref, entity.c.state).where(
        entity.c.root_id.in_(set(roots)), entity.c.kind == EntityKind.INVOICE.value
    )
    rows = connection.execute(query.order_by(entity.c.updated_at.desc())).all()
    return [row.ref for row in rows if contract_of(row.ref, decode_entity(row.state)) in contracts]


def _contracts_of(connection: Connection, opportunity: str) -> set[str]:
    """The subscriptions that billing opened for an opportunity, by their references."""
    query = (
        select(confirmed_record.c.target, confirmed_record.c.target_id)
        .join(desired_record, desired_record.c.ref == confirmed_record.c.ref)
        .where(desired_record.c.entity_id == opportunity)
    )
    return {subscription_ref(row.target, row.target_id) for row in connection.execute(query)}


def _trails(database: Database, rows: Iterable[JournalRow]) -> tuple[BookTrail, ...]:
    listed = list(rows)
    bills = {row.bill for row in listed if row.bill is not None}
    with database.read() as connection:
        columns = (
            inbox_event.c.seq, inbox_event.c.connection, inbox_event.c.external_id, inbox_event.c.event_type,
            inbox_event.c.received_at,
        )  # fmt: skip
        causes = {row.cause for row in listed if row.cause is not None}
        events = {row.seq: row for row in rows_by_key(connection, columns, inbox_event.c.seq, causes)}
        numbered = rows_by_key(connection, (ledger_bill.c.ref, ledger_bill.c.number), ledger_bill.c.ref, bills)
        contracts = contracts_by_bill(connection, bills)
        deals = deals_by_contract(connection, set(contracts.values()))
    numbers = {row.ref: row.number for row in numbered}
    found = []
    for row in listed:
        contract = contracts.get(row.bill or "")
        one = BookTrail(
            entry=row.entry,
            root_id=row.root_id,
            sent=row.sent,
            bill=row.bill,
            number=numbers.get(row.bill or ""),
            subscription=contract,
            opportunity=deals.get(contract or ""),
        )
        if (event := events.get(row.cause or -1)) is not None:
            one = msgspec.structs.replace(
                one,
                seq=event.seq,
                connection=event.connection,
                event=event.external_id,
                event_type=event.event_type,
                received_at=from_micros(event.received_at),
                correlation=correlation_id(event.connection, event.external_id),
            )
        found.append(one)
    return tuple(found)
