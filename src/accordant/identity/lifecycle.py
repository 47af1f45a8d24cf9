"""Which of two states of one object came later, as far as its life proves it: some states are never left or re-entered.

Providers stamp to the second, and an invoice is drafted, finalized and paid within one. What the life of the object
does not prove is not guessed: the answer is None, and its owner is asked.
"""

from accordant.canonical.entities import Account, Entity, Invoice, Payment, Price, Product, Subscription

#: Each step can only be followed by a higher one. Source: Stripe, "Invoice status transitions and finalization".
_INVOICE_STEPS = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
#: A payment is decided once. Source: Stripe, "The Charge object", status.
_PAYMENT_STEPS = {"pending": 0, "succeeded": 1, "failed": 1}
#: Incomplete is the first state and never returns; the ended states are the last.
#: Source: Stripe, "How subscriptions work", subscription statuses.
_SUBSCRIPTION_STEPS = {"incomplete": 0, "incomplete_expired": 2, "canceled": 2}
_SUBSCRIPTION_LIVE = 1


def is_later(seen: Entity, held: Entity) -> bool | None:
    """Whether ``seen`` can only have followed ``held`` (True) or come before it (False); None when nobody can tell."""
    step_seen, step_held = _step(seen), _step(held)
    if step_seen is None or step_held is None or step_seen == step_held:
        return None
    return step_seen > step_held


def _step(entity: Entity) -> int | None:
    match entity:
        case Invoice(status=status):
            return _INVOICE_STEPS.get(status)
        case Payment(status=status):
            return _PAYMENT_STEPS.get(status)
        case Subscription(status=status):
            return _SUBSCRIPTION_STEPS.get(status, _SUBSCRIPTION_LIVE)
        case Account(deleted=deleted) | Product(deleted=deleted) | Price(deleted=deleted):
            return int(deleted)  # an id that was deleted never lives again
        case _:
            return None
