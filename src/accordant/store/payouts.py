"""`ports.settlement.PayoutBook` on SQL."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from accordant.canonical.entities import Payout, decode_entity
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.schema import crosswalk, entity

PAID = "paid"


class SqlPayoutBook:
    """Payouts and their movements as the registry folded them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def paid(self, system: str, *, changed_since: datetime) -> tuple[Payout, ...]:
        """See the port."""
        query = (
            select(entity.c.ref, entity.c.state)
            .where(entity.c.kind == EntityKind.PAYOUT.value, entity.c.updated_at >= to_micros(changed_since))
            .order_by(entity.c.updated_at, entity.c.ref)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        payouts = (decode_entity(row.state) for row in rows if ExternalRef.parse(row.ref).system == system)
        return tuple(one for one in payouts if isinstance(one, Payout) and one.status == PAID)

    def unsettled(self, system: str, payout_ids: Collection[str]) -> frozenset[str]:
        """See the port. A page is one commit, and what it says another: what counts is what was folded."""
        refs = {str(ExternalRef(system, "payout", name)): name for name in payout_ids}
        with self._database.read() as connection:
            known = bulk.select_by_keys(connection, crosswalk, ("entity_id", "ref"), "ref", refs)
            names = {entity_id: refs[ref] for entity_id, ref in known}
            rows = bulk.select_by_keys(connection, entity, ("root_id", "kind"), "root_id", names)
        settled = {names[root_id] for root_id, kind in rows if kind == EntityKind.BALANCE_MOVEMENT.value}
        return frozenset(payout_ids) - settled
