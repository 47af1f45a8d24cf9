"""From a bill to the contract it is of, and from a contract to the opportunity it was opened for, as they are kept.

For some hundreds at once: each set of names is one question. Imports no port, so that pages may read with it.
"""

from sqlalchemy import Connection, select

from accordant.canonical.entities import Invoice, decode_entity
from accordant.canonical.refs import EntityKind
from accordant.store.schema import confirmed_record, crosswalk, desired_record, entity


def subscription_ref(system: str, subscription_id: str) -> str:
    """A subscription by its reference."""
    return f"{system}:{EntityKind.SUBSCRIPTION.value}/{subscription_id}"


def contract_of(ref: str, bill: object) -> str | None:
    """The subscription of the bill ``ref``, by its reference at the same owner."""
    if not isinstance(bill, Invoice) or bill.subscription_id is None:
        return None
    return subscription_ref(ref.partition(":")[0], bill.subscription_id)


def read_bills(connection: Connection, bills: set[str]) -> dict[str, Invoice]:
    """Bills by their references, as they are known now; others are absent."""
    links = {
        row.ref: row.entity_id
        for row in connection.execute(select(crosswalk.c.ref, crosswalk.c.entity_id).where(crosswalk.c.ref.in_(bills)))
    }
    names = set(links.values())
    states = {
        row.id: row.state
        for row in connection.execute(select(entity.c.id, entity.c.state).where(entity.c.id.in_(names)))
    }
    known = {ref: decode_entity(states[name]) for ref, name in links.items() if name in states}
    return {ref: one for ref, one in known.items() if isinstance(one, Invoice)}


def contracts_by_bill(connection: Connection, bills: set[str]) -> dict[str, str]:
    """The subscription of each bill that has one, both by their references."""
    known = read_bills(connection, bills)
    return {ref: contract for ref, bill in known.items() if (contract := contract_of(ref, bill)) is not None}


def deals_by_contract(connection: Connection, contracts: set[str]) -> dict[str, str]:
    """The opportunity that each subscription was opened for."""
    found = {}
    for contract in sorted(contracts):
        system, _, rest = contract.partition(":")
        query = (
            select(entity.c.ref)
            .join(desired_record, desired_record.c.entity_id == entity.c.id)
            .join(confirmed_record, confirmed_record.c.ref == desired_record.c.ref)
            .where(
                confirmed_record.c.target == system,
                confirmed_record.c.target_id == rest.partition("/")[2],
                entity.c.kind == EntityKind.OPPORTUNITY.value,
            )
        )
        deal = connection.execute(query.limit(1)).scalar()
        if deal is not None:
            found[contract] = str(deal)
    return found


def companies_of(connection: Connection, accounts: set[str], crm: str) -> dict[str, str]:
    """The company in a CRM that each account has its record at, by the CRM's own reference."""
    query = (
        select(desired_record.c.entity_id, confirmed_record.c.target_id)
        .join(confirmed_record, confirmed_record.c.ref == desired_record.c.ref)
        .where(confirmed_record.c.target == crm)
    )
    found: dict[str, str] = {}
    for account in sorted(accounts):
        for row in connection.execute(query.where(desired_record.c.entity_id == account).limit(1)):
            found[account] = f"{crm}:{EntityKind.COMPANY.value}/{row.target_id}"
    return found
