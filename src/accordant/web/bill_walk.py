"""Put together from a hub: the comparison of an owner's bills at every place that keeps them."""

from accordant.bootstrap import Hub
from accordant.connectors import registry
from accordant.kernel.errors import ConfigurationError
from accordant.operations.compare_bills import compare_bills, erp_sides
from accordant.operations.reconcile import Progress, Reconciliation


async def compare_bills_of(hub: Hub, system: str, *, actor: str, progress: Progress | None = None) -> Reconciliation:
    """Compare every bill of an owner. Raises ConfigurationError where it cannot be read."""
    if system not in hub.readers or system not in hub.inbounds:
        raise ConfigurationError(
            f"{system} cannot be read: the charter gives no API key for it.", remedy="Set its api_key in the charter."
        )
    manifest = registry.connector(hub.charter.systems[system].connector, where=f"systems.{system}").manifest
    ledger = hub.charter.ledger
    return await compare_bills(
        system=system,
        object_types=tuple(part.name for part in manifest.reads if part.listed),
        reader=hub.readers[system],
        inbound=hub.inbounds[system],
        sides=erp_sides(hub.rulebook.all_routes, hub.outbounds),
        keeps_books=ledger is not None and system in ledger.systems,
        book=hub.book,
        state=hub.state,
        actor=actor,
        clock=hub.clock,
        progress=progress,
    )
