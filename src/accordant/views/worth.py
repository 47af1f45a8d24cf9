"""What an account is worth a month, and who it is: the two things every list of troubles is sorted and read by."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection

from accordant.analytics.mrr import mrr_position
from accordant.canonical.entities import Account, decode_entity
from accordant.canonical.standing import decode_standing
from accordant.kernel.money import Money
from accordant.store.schema import crosswalk, desired_record, entity, standing
from accordant.views.keyed import rows_by_key


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """An account as a list names it. ``name`` is None where nobody stated one; ``mrr`` has one amount a currency."""

    account_id: str
    name: str | None
    external_id: str | None
    mrr: tuple[Money, ...]


def total(amounts: Iterable[Money]) -> tuple[Money, ...]:
    """The sum of each currency, largest currency code last; zero sums are left out."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.amount_minor
    return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()) if minor)


def parties(
    connection: Connection, account_ids: Iterable[str], *, as_of: datetime, zone: tzinfo = UTC
) -> dict[str, Party]:
    """The accounts among ``account_ids`` that somebody described, with their recurring revenue at ``as_of``."""
    wanted = set(account_ids)
    positions = {
        row.account_id: mrr_position(decode_standing(row.state), as_of=as_of, zone=zone).counted
        for row in rows_by_key(connection, (standing.c.account_id, standing.c.state), standing.c.account_id, wanted)
    }
    found = {}
    for row in rows_by_key(connection, (entity.c.id, entity.c.state), entity.c.id, wanted):
        account = decode_entity(row.state)
        if isinstance(account, Account):
            found[row.id] = Party(
                account_id=row.id,
                name=account.name,
                external_id=account.external_id,
                mrr=positions.get(row.id, ()),
            )
    return found


def parties_named(
    connection: Connection, system: str, names: Iterable[str], *, as_of: datetime, zone: tzinfo = UTC
) -> dict[str, Party]:
    """The accounts that ``system`` knows by these ids, by its ids."""
    columns = (crosswalk.c.external_id, crosswalk.c.entity_id, crosswalk.c.system)
    rows = rows_by_key(connection, columns, crosswalk.c.external_id, names)
    owners = {row.external_id: row.entity_id for row in rows if row.system == system}
    known = parties(connection, owners.values(), as_of=as_of, zone=zone)
    return {name: known[owner] for name, owner in owners.items() if owner in known}


def accounts_of_records(connection: Connection, records: Iterable[str]) -> dict[str, str]:
    """Record (``target:object/key``) -> the account it belongs to."""
    owners = {
        row.ref: row.entity_id
        for row in rows_by_key(
            connection, (desired_record.c.ref, desired_record.c.entity_id), desired_record.c.ref, records
        )
    }
    return _to_roots(connection, owners)


def accounts_of_lanes(connection: Connection, lanes: Collection[str]) -> dict[str, str]:
    """Lane -> the account behind it.

    An inbound lane is the reference of an object at its owner (``stripe:customer/cus_1``), an outbound one ends in the
    id of an account (``salesforce:acc_1``).
    """
    owners = {lane: lane.partition(":")[2] for lane in lanes}
    for row in rows_by_key(connection, (crosswalk.c.ref, crosswalk.c.entity_id), crosswalk.c.ref, lanes):
        owners[row.ref] = row.entity_id
    return _to_roots(connection, owners)


def _to_roots(connection: Connection, owners: Mapping[str, str]) -> dict[str, str]:
    roots = {
        row.id: row.root_id
        for row in rows_by_key(connection, (entity.c.id, entity.c.root_id), entity.c.id, owners.values())
    }
    return {name: roots.get(entity_id, entity_id) for name, entity_id in owners.items()}
