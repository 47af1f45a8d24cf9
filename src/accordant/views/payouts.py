"""Payouts and what they consist of, from the stored movements: which are explained to the last unit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

from sqlalchemy import Connection, select

from accordant.analytics.bank import Arrival, arrivals
from accordant.analytics.funding import VIRTUAL_ACCOUNT, Funding, fundings
from accordant.analytics.settlement import PayoutTrace, trace_payout
from accordant.canonical.bank import BankStatement, CashMovement
from accordant.canonical.entities import BalanceMovement, Dispute, Entity, Payment, Payout, Refund, decode_entity
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.errors import RejectedError
from accordant.store.engine import Database
from accordant.store.schema import crosswalk, entity
from accordant.views.keyed import AnyRow, rows_by_key

#: What a movement or its source may name, in the words of owners.
_SOURCES = (EntityKind.PAYMENT, EntityKind.REFUND, EntityKind.DISPUTE)
#: Names in one question.
_ASKED_MAX = 1_000
_AT_ONCE = 100


class PayoutUnknown(RejectedError):
    """No payout of this name is known."""

    remedy = "`accordant payouts` lists those that are."


def payouts(database: Database, *, limit: int | None) -> tuple[tuple[str, PayoutTrace], ...]:
    """The newest payouts, or all, each followed to its collections, with the system that made it."""
    query = (
        select(entity.c.id, entity.c.ref, entity.c.state)
        .where(entity.c.kind == EntityKind.PAYOUT.value)
        .order_by(entity.c.updated_at.desc(), entity.c.ref)
        .limit(limit)
    )
    with database.read() as connection:
        return _traced(connection, _made(connection.execute(query)), _at_bank(connection))


def every_payout(database: Database) -> Iterator[tuple[str, PayoutTrace]]:
    """All payouts, in the order of their names, each followed as in ``payouts``; a few of them in memory at a time."""
    after = ""
    with database.read() as connection:
        at_bank = _at_bank(connection)
    while True:
        query = (
            select(entity.c.id, entity.c.ref, entity.c.state)
            .where(entity.c.kind == EntityKind.PAYOUT.value, entity.c.ref > after)
            .order_by(entity.c.ref)
            .limit(_AT_ONCE)
        )
        with database.read() as connection:
            rows = connection.execute(query).all()
            if not rows:
                return
            after = rows[-1].ref
            yield from _traced(connection, _made(rows), at_bank)


def payout(database: Database, payout_id: str) -> tuple[str, PayoutTrace]:
    """One payout by its owner's id. Raises PayoutUnknown."""
    query = select(entity.c.id, entity.c.ref, entity.c.state).join(crosswalk, crosswalk.c.entity_id == entity.c.id)
    with database.read() as connection:
        row = connection.execute(
            query.where(crosswalk.c.external_id == payout_id, entity.c.kind == EntityKind.PAYOUT.value)
        ).first()
        found = None if row is None else decode_entity(row.state)
        if row is None or not isinstance(found, Payout):
            raise PayoutUnknown(f"{payout_id} is no payout the hub was told of.")
        system = ExternalRef.parse(row.ref).system
        return _traced(connection, [(row.id, system, found)], _at_bank(connection))[0]


def _made(rows: Iterable[AnyRow]) -> list[tuple[str, str, Payout]]:
    """Each payout with its id and the system that made it."""
    read = ((row.id, ExternalRef.parse(row.ref).system, decode_entity(row.state)) for row in rows)
    return [(name, system, one) for name, system, one in read if isinstance(one, Payout)]


def _traced(
    connection: Connection, made: Sequence[tuple[str, str, Payout]], at_bank: Mapping[str, Arrival]
) -> tuple[tuple[str, PayoutTrace], ...]:
    """Each payout by the id of its root and its system, followed: as many questions for a hundred as for one."""
    columns = (entity.c.root_id, entity.c.state)
    movements: dict[str, list[BalanceMovement]] = {root_id: [] for root_id, _, _ in made}
    for row in rows_by_key(connection, columns, entity.c.root_id, movements):
        stored = decode_entity(row.state)
        if isinstance(stored, BalanceMovement):
            movements[row.root_id].append(stored)
    known: dict[str, dict[str, Entity]] = {}
    for system in sorted({system for _, system, _ in made}):
        parts = [one for root_id, maker, _ in made if maker == system for one in movements[root_id]]
        told = _named(connection, system, (one.source_id for one in parts if one.source_id is not None))
        behind = (one.payment_id for one in told.values() if isinstance(one, Refund | Dispute) and one.payment_id)
        known[system] = told | _named(connection, system, behind)
    funded = {system: _funded(connection, system, objects.values()) for system, objects in known.items()}
    return tuple(
        (
            system,
            trace_payout(
                payout,
                sorted(movements[root_id], key=lambda one: one.external_id),
                known[system],
                funded=funded[system],
                arrival=at_bank.get(payout.external_id),
            ),
        )
        for root_id, system, payout in made
    )


def _at_bank(connection: Connection) -> dict[str, Arrival]:
    """What the bank says of every payout, since a booking may be another's; nothing where there are no statements."""
    told = [one for one in _all_of(connection, EntityKind.BANK_STATEMENT) if isinstance(one, BankStatement)]
    if not told:
        return {}
    return arrivals([one for one in _all_of(connection, EntityKind.PAYOUT) if isinstance(one, Payout)], told)


def _all_of(connection: Connection, kind: EntityKind) -> Iterator[Entity]:
    for row in connection.execute(select(entity.c.state).where(entity.c.kind == kind.value)):
        yield decode_entity(row.state)


def _funded(connection: Connection, system: str, known: Iterable[Entity]) -> dict[str, Funding]:
    """What payments among ``known`` took from the virtual accounts of their customers, by intent."""
    customers = sorted({one.customer_id for one in known if _is_from_virtual_account(one) and one.customer_id})
    if not customers:
        return {}
    account = crosswalk.alias()
    query = (
        select(entity.c.state)
        .join(account, account.c.entity_id == entity.c.root_id)
        .where(account.c.system == system, entity.c.kind == EntityKind.CASH_MOVEMENT.value)
    )
    found: list[CashMovement] = []
    for at in range(0, len(customers), _ASKED_MAX):
        rows = connection.execute(query.where(account.c.external_id.in_(customers[at : at + _ASKED_MAX])))
        found += [one for row in rows if isinstance(one := decode_entity(row.state), CashMovement)]
    return fundings(found)


def _is_from_virtual_account(one: Entity) -> TypeGuard[Payment]:
    return isinstance(one, Payment) and one.method is not None and one.method.type == VIRTUAL_ACCOUNT


def _named(connection: Connection, system: str, names: Iterable[str]) -> dict[str, Entity]:
    """Objects of a system by their owner's id."""
    query = select(crosswalk.c.external_id, entity.c.state).join(crosswalk, crosswalk.c.entity_id == entity.c.id)
    query = query.where(crosswalk.c.system == system, entity.c.kind.in_([kind.value for kind in _SOURCES]))
    wanted = sorted(set(names))
    return {
        row.external_id: decode_entity(row.state)
        for at in range(0, len(wanted), _ASKED_MAX)
        for row in connection.execute(query.where(crosswalk.c.external_id.in_(wanted[at : at + _ASKED_MAX])))
    }
