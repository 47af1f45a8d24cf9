"""The eight domains that are governed first, each with the entities of the ownership matrix that it is made of.

Source: requirement 32. A flow uses a domain by carrying one of its entities, or by a fact that is made of one.
"""

from collections.abc import Iterator

import msgspec

from accordant.canonical.charter import Charter
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import Defect, Severity
from accordant.governance.ownership import facts_of


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One domain. The first of its ``entities`` is the one whose owner speaks for it."""

    name: str
    entities: tuple[EntityKind, ...]


DOMAINS = (
    Domain(name="customer master", entities=(EntityKind.ACCOUNT,)),
    Domain(name="account hierarchy", entities=(EntityKind.ACCOUNT, EntityKind.COMPANY)),
    Domain(name="product and price catalog", entities=(EntityKind.PRODUCT, EntityKind.PRICE)),
    Domain(name="contract terms", entities=(EntityKind.SUBSCRIPTION, EntityKind.OPPORTUNITY)),
    Domain(name="subscription status", entities=(EntityKind.SUBSCRIPTION,)),
    Domain(name="invoice status", entities=(EntityKind.INVOICE, EntityKind.CREDIT_NOTE)),
    Domain(
        name="payment events",
        entities=(EntityKind.PAYMENT, EntityKind.REFUND, EntityKind.DISPUTE, EntityKind.PAYOUT),
    ),
    Domain(name="financial posting attributes", entities=(EntityKind.LEDGER_DOCUMENT,)),
)
_OF_SUBSCRIPTIONS = (
    "status",
    "mrr",
    "at_risk_mrr",
    "billing_cycle",
    "next_renewal_on",
    "subscription_count",
    "discount",
    "last_movement",
    "last_movement_on",
    "last_movement_amount",
    "movement_history",
    "expansion_total",
)
_OF_PAYMENTS = (
    "last_payment_on",
    "last_payment_amount",
    "payment_method_status",
    "failed_payment_count",
    "days_to_first_payment",
    "lifetime_value",
)
#: Facts that are made of another entity than the one they are told of.
MADE_OF: dict[EntityKind, dict[str, EntityKind]] = {
    EntityKind.ACCOUNT: {
        **dict.fromkeys(_OF_SUBSCRIPTIONS, EntityKind.SUBSCRIPTION),
        **dict.fromkeys(_OF_PAYMENTS, EntityKind.PAYMENT),
        "past_due_amount": EntityKind.INVOICE,
        "plan_name": EntityKind.PRODUCT,
    },
    EntityKind.SUBSCRIPTION: {"plan_name": EntityKind.PRODUCT, "name": EntityKind.PRODUCT},
    EntityKind.OPPORTUNITY: {"lines": EntityKind.PRICE, "unpriced": EntityKind.PRICE},
}


def domain_of(kind: EntityKind) -> str | None:
    """The name of the domain that a kind belongs to first; None for what is in none."""
    found = (one.name for one in DOMAINS if kind in one.entities and one.name != "account hierarchy")
    return next(found, "account hierarchy" if kind is EntityKind.COMPANY else None)


def check_domains(charter: Charter, said: frozenset[EntityKind]) -> Iterator[Defect]:
    """What flows tell by the way of a domain nobody owns; ``said`` are kinds that are owned, or told of elsewhere.

    A warning: nothing false is written, but where it is wrong nobody is there to ask.
    """
    used: dict[EntityKind, dict[str, list[str]]] = {}
    for flow in charter.flows:
        mapping = charter.mapping_of(flow)
        for field in mapping.fields.values() if mapping is not None else ():
            for fact in facts_of(field):
                kind = MADE_OF.get(flow.entity, {}).get(fact)
                if kind is not None and kind not in said:
                    used.setdefault(kind, {}).setdefault(fact, []).append(flow.name)
    for kind, facts in sorted(used.items()):
        flows = tuple(dict.fromkeys(name for names in facts.values() for name in names))
        yield Defect(
            where="ownership",
            problem=f"{', '.join(flows)}: {', '.join(sorted(facts))} is told, which is made of the {domain_of(kind)},"
            f" and no sentence says which system owns {kind}.",
            remedy=f"Add an entry for {kind} to ownership: system_of_record, and one sentence of purpose.",
            severity=Severity.WARNING,
            flows=flows,
        )
