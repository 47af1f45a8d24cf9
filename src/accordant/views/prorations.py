"""What billing invoiced for changes in mid-term, held against its rule, from the stored bills."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from accordant.canonical.books import LedgerPart, ProrationRule
from accordant.canonical.entities import Invoice, Price, decode_entity
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.ledger.invoiced import CheckedChange, check_changes
from accordant.store.engine import Database
from accordant.store.schema import entity

#: Bills that are looked through for changes: the newest so many.
BILLS_MAX = 5_000


def checked_changes(database: Database, part: LedgerPart, *, zone: ZoneInfo) -> tuple[CheckedChange, ...]:
    """Every change that the newest bills of the charter's systems charge for, the latest first."""
    newest = (
        select(entity.c.ref, entity.c.root_id, entity.c.state)
        .where(entity.c.kind == EntityKind.INVOICE.value)
        .order_by(entity.c.updated_at.desc(), entity.c.ref)
        .limit(BILLS_MAX)
    )
    with database.read() as connection:
        read = (
            (ExternalRef.parse(row.ref), row.root_id, decode_entity(row.state)) for row in connection.execute(newest)
        )
        bills = [
            (ref.system, root_id, bill)
            for ref, root_id, bill in read
            if isinstance(bill, Invoice) and ref.system in part.systems and any(one.proration for one in bill.lines)
        ]
        if not bills:
            return ()
        prices = dict(_prices(connection))
        histories = {root_id: _bills_of(connection, root_id) for root_id in {one[1] for one in bills}}
    found = [
        change
        for system, root_id, bill in bills
        for change in check_changes(
            bill, histories[root_id], prices, part.proration.get(system, ProrationRule.SECOND), zone=zone
        )
    ]
    return tuple(sorted(found, key=lambda one: (one.changed_at, one.bill), reverse=True))


def _prices(connection: Connection) -> Iterator[tuple[str, Price]]:
    query = select(entity.c.state).where(entity.c.kind == EntityKind.PRICE.value)
    for state in connection.execute(query).scalars():
        one = decode_entity(state)
        if isinstance(one, Price):
            yield one.external_id, one


def _bills_of(connection: Connection, root_id: str) -> list[Invoice]:
    query = select(entity.c.state).where(entity.c.root_id == root_id, entity.c.kind == EntityKind.INVOICE.value)
    read = (decode_entity(state) for state in connection.execute(query).scalars())
    return [one for one in read if isinstance(one, Invoice)]
