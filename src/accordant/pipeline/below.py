"""What stands below an account as the desk tells it: its subscriptions, and what their products are called."""

from collections.abc import Iterable

from accordant.canonical.entities import Product, Subscription
from accordant.canonical.refs import EntityKind
from accordant.pipeline.match import Seated, Seats
from accordant.pipeline.workbench import Workbench
from accordant.ports.state import StoredEntity


def subscriptions_of(account_id: str, bench: Workbench) -> tuple[Subscription, ...]:
    """Those of the account's standing, and those the batch brought an end to.

    A standing remembers only the one that ended last; the record of any other has to learn of its end all the same.
    """
    remembered = {one.external_id: one for one in bench.standing(account_id).subscriptions}
    moved = [one.entity for one in bench.moved_below(account_id) if isinstance(one.entity, Subscription)]
    return tuple(({one.external_id: one for one in moved} | remembered).values())


def product_names(subscriptions: Iterable[Subscription], system: str, bench: Workbench) -> dict[str, str]:
    """Product ids of a system -> names, of those subscriptions' products that have one."""
    names = {}
    for product_id in {item.product_id for one in subscriptions for item in one.items if item.product_id}:
        stored = bench.named(system, EntityKind.PRODUCT, product_id)
        if stored is not None and isinstance(stored.entity, Product) and stored.entity.name:
            names[product_id] = stored.entity.name
    return names


def names_needed(
    accounts: Iterable[tuple[StoredEntity, int | None]], seats: Seats, bench: Workbench
) -> set[tuple[str, EntityKind, str]]:
    """The subscriptions and products of accounts, and of all who share a record with them, by their owner's ids."""
    names: set[tuple[str, EntityKind, str]] = set()
    sharing = {name for seat in seats.values() if isinstance(seat, Seated) for name in seat.members}
    whole: dict[str, StoredEntity] = {stored.ref.id: stored for stored, _ in accounts}
    whole |= {name: stored for name in sharing - whole.keys() if (stored := bench.entity(name)) is not None}
    for stored in whole.values():
        system = stored.source.system
        for subscription in subscriptions_of(stored.ref.id, bench):
            names.add((system, EntityKind.SUBSCRIPTION, subscription.external_id))
            names |= {(system, EntityKind.PRODUCT, item.product_id) for item in subscription.items if item.product_id}
    return names
