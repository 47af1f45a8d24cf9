"""What stands below an account as the desk tells it: its subscriptions, and what their products are called."""

from collections.abc import Iterable

from accordant.canonical.entities import Product, Subscription
from accordant.canonical.refs import EntityKind
from accordant.pipeline.workbench import Workbench


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
