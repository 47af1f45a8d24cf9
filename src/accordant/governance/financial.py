"""What is part of the financial state: only billing and finance systems may speak for it (requirements 7, 8, 15).

The charter's check and the ownership matrix both ask here, so that no rule has a list of its own.
"""

from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind

#: Kinds that sales keeps for itself.
OF_SALES = frozenset({EntityKind.COMPANY, EntityKind.CONTACT, EntityKind.OPPORTUNITY})
#: Kinds that are a financial state as a whole; of an account only some facts are.
FINANCIAL_KINDS = frozenset(EntityKind) - {EntityKind.ACCOUNT, EntityKind.PRODUCT, *OF_SALES}

#: Facts of an account that say whether and what it pays, beside every amount.
_FINANCIAL_ACCOUNT_FACTS = frozenset(
    {
        "status",
        "currency",
        "plan_name",
        "billing_cycle",
        "next_renewal_on",
        "subscription_count",
        "last_payment_on",
        "payment_method_status",
        "failed_payment_count",
        "days_to_first_payment",
        "discount",
        "customer_since",
        "last_movement",
        "last_movement_on",
        "movement_history",
        "receivable_overdue_since",
        "receivable_state",
        "payment_risk",
    }
)


def is_financial(entity: EntityKind, fact: str) -> bool:
    """Whether a fact is part of the financial state, which only billing or finance systems may own."""
    if entity in FINANCIAL_KINDS:
        return True
    if entity in OF_SALES:
        return False  # what sales agreed is nobody's debt yet; what becomes of it in billing is judged by the flow
    return FACTS.get(entity, {}).get(fact) is FactType.MONEY or (
        entity is EntityKind.ACCOUNT and fact in _FINANCIAL_ACCOUNT_FACTS
    )


def financial_facts(entity: EntityKind) -> tuple[str, ...]:
    """The facts of a kind that are part of the financial state, in the order of the vocabulary."""
    return tuple(fact for fact in FACTS.get(entity, {}) if is_financial(entity, fact))
