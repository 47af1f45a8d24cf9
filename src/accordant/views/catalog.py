"""What is sold, as the hub holds it, held against the charter, the books and the quotes of sales."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from accordant.analytics.catalog_findings import Catalog, CatalogFinding, catalog_findings
from accordant.canonical.charter import Charter, FlowPart
from accordant.canonical.deals import Opportunity
from accordant.canonical.entities import Entity, Price, Product, decode_entity
from accordant.canonical.refs import EntityKind
from accordant.store.engine import Database
from accordant.store.schema import confirmed_record, entity
from accordant.views.keyed import rows_by_key


def catalog_drift(database: Database, charter: Charter, *, now: datetime) -> tuple[CatalogFinding, ...]:
    """Everything about what is sold that disagrees now; nothing where no product or price was ever heard."""
    systems = {flow.source for flow in charter.flows} | {flow.target for flow in charter.flows}
    if charter.ledger is not None:
        systems |= charter.ledger.systems.keys()
    with database.read() as connection:
        catalogs = {system: found for system in sorted(systems) if (found := _catalog(connection, system)) is not None}
        waiting = {
            flow.name: tuple(_waiting(connection, flow))
            for flow in charter.flows
            if flow.entity is EntityKind.OPPORTUNITY and flow.target in catalogs
        }
    return catalog_findings(charter, catalogs, waiting, today=now.astimezone(ZoneInfo(charter.timezone)).date())


def _catalog(connection: Connection, system: str) -> Catalog | None:
    products: dict[str, Product] = {}
    prices: dict[str, Price] = {}
    for one in _held(connection, system, EntityKind.PRODUCT, EntityKind.PRICE):
        match one:
            case Product():
                products[one.external_id] = one
            case Price():
                prices[one.external_id] = one
            case _:
                continue
    return Catalog(system=system, products=products, prices=prices) if products or prices else None


def _waiting(connection: Connection, flow: FlowPart) -> Iterator[Opportunity]:
    """What may still be opened by a flow: not lost, and no record there yet."""
    found = [
        one
        for one in _held(connection, flow.source, EntityKind.OPPORTUNITY)
        if isinstance(one, Opportunity) and not one.deleted and (one.is_won or not one.is_closed)
    ]
    records = {f"{flow.target}:{flow.object}/{one.external_id}": one for one in found}
    rows = rows_by_key(connection, (confirmed_record.c.ref,), confirmed_record.c.ref, records)
    opened = {row.ref for row in rows}
    yield from (one for record, one in records.items() if record not in opened)


def _held(connection: Connection, system: str, *kinds: EntityKind) -> Iterator[Entity]:
    query = (
        select(entity.c.state)
        .where(entity.c.kind.in_([kind.value for kind in kinds]))
        .where(entity.c.ref.startswith(f"{system}:", autoescape=True))
    )
    yield from map(decode_entity, connection.execute(query).scalars())
