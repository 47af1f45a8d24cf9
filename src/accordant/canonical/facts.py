"""Facts: the canonical fields a mapping may name, with their types: all that a target can be told.

A fact nobody said is unknown: it is absent, and never written over a value. None is known to be empty: it clears.
"""

from datetime import date, datetime
from enum import StrEnum

from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money

Fact = str | int | bool | Money | date | datetime | None


class FactType(StrEnum):
    """The type of a fact, which says what it may be written as."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    MONEY = "money"
    DAY = "day"
    INSTANT = "instant"


#: Facts of an account that are counted out of its whole past, and not at once.
MOVEMENT_FACTS = frozenset(
    {"last_movement", "last_movement_on", "last_movement_amount", "movement_history", "expansion_total"}
)

#: Canonical field -> type, per kind of entity that flows out. `accordant check` refuses a mapping that names another.
FACTS: dict[EntityKind, dict[str, FactType]] = {
    EntityKind.ACCOUNT: {
        "external_id": FactType.TEXT,
        "parent": FactType.TEXT,
        "name": FactType.TEXT,
        "email": FactType.TEXT,
        "country": FactType.TEXT,
        "currency": FactType.TEXT,
        "status": FactType.TEXT,
        "mrr": FactType.MONEY,
        "at_risk_mrr": FactType.MONEY,
        "plan_name": FactType.TEXT,
        "billing_cycle": FactType.TEXT,
        "next_renewal_on": FactType.DAY,
        "subscription_count": FactType.NUMBER,
        "last_payment_on": FactType.DAY,
        "last_payment_amount": FactType.MONEY,
        "payment_method_status": FactType.TEXT,
        "failed_payment_count": FactType.NUMBER,
        "days_to_first_payment": FactType.NUMBER,
        "lifetime_value": FactType.MONEY,
        "discount": FactType.TEXT,
        "past_due_amount": FactType.MONEY,
        "receivable_open": FactType.MONEY,
        "receivable_overdue": FactType.MONEY,
        "receivable_overdue_since": FactType.DAY,
        "receivable_state": FactType.TEXT,
        "payment_risk": FactType.TEXT,
        "customer_since": FactType.DAY,
        "last_movement": FactType.TEXT,
        "last_movement_on": FactType.DAY,
        "last_movement_amount": FactType.MONEY,
        "movement_history": FactType.TEXT,
        "expansion_total": FactType.MONEY,
        "deleted": FactType.FLAG,
    },
    EntityKind.PRODUCT: {
        "external_id": FactType.TEXT,
        "name": FactType.TEXT,
        "active": FactType.FLAG,
        "deleted": FactType.FLAG,
    },
    EntityKind.SUBSCRIPTION: {
        "external_id": FactType.TEXT,
        "account": FactType.TEXT,
        "name": FactType.TEXT,
        "status": FactType.TEXT,
        "plan_name": FactType.TEXT,
        "mrr": FactType.MONEY,
        "currency": FactType.TEXT,
        "quantity": FactType.NUMBER,
        "billing_cycle": FactType.TEXT,
        "started_on": FactType.DAY,
        "trial_ends_on": FactType.DAY,
        "next_renewal_on": FactType.DAY,
        "cancel_at_period_end": FactType.FLAG,
        "ended_on": FactType.DAY,
        "discount": FactType.TEXT,
    },
    EntityKind.INVOICE: {
        "external_id": FactType.TEXT,
        "account": FactType.TEXT,
        "number": FactType.TEXT,
        "status": FactType.TEXT,
        "total": FactType.MONEY,
        "amount_paid": FactType.MONEY,
        "amount_remaining": FactType.MONEY,
        "tax": FactType.MONEY,
        "discount": FactType.MONEY,
        "currency": FactType.TEXT,
        "issued_on": FactType.DAY,
        "due_on": FactType.DAY,
        "paid_on": FactType.DAY,
        "next_attempt_on": FactType.DAY,
        "attempt_count": FactType.NUMBER,
        "subscription": FactType.TEXT,
        "line_count": FactType.NUMBER,
        "lines": FactType.TEXT,
    },
    EntityKind.PAYMENT: {
        "external_id": FactType.TEXT,
        "account": FactType.TEXT,
        "invoice": FactType.TEXT,
        "status": FactType.TEXT,
        "amount": FactType.MONEY,
        "refunded": FactType.MONEY,
        "currency": FactType.TEXT,
        "collected_on": FactType.DAY,
        "method": FactType.TEXT,
        "failure_code": FactType.TEXT,
        "failure_message": FactType.TEXT,
        "disputed": FactType.FLAG,
        "summary": FactType.TEXT,
    },
    EntityKind.REFUND: {
        "external_id": FactType.TEXT,
        "account": FactType.TEXT,
        "payment": FactType.TEXT,
        "status": FactType.TEXT,
        "amount": FactType.MONEY,
        "currency": FactType.TEXT,
        "refunded_on": FactType.DAY,
        "reason": FactType.TEXT,
        "summary": FactType.TEXT,
    },
    EntityKind.COMPANY: {
        "external_id": FactType.TEXT,
        "parent": FactType.TEXT,
        "name": FactType.TEXT,
        "email": FactType.TEXT,
        "phone": FactType.TEXT,
        "website": FactType.TEXT,
        "street": FactType.TEXT,
        "city": FactType.TEXT,
        "state": FactType.TEXT,
        "postcode": FactType.TEXT,
        "country": FactType.TEXT,
        "industry": FactType.TEXT,
        "won_opportunities": FactType.NUMBER,
        "billing_customer": FactType.TEXT,
        "billing_customers": FactType.NUMBER,
        "live_subscriptions": FactType.NUMBER,
        "deleted": FactType.FLAG,
    },
    EntityKind.OPPORTUNITY: {
        "external_id": FactType.TEXT,
        "company": FactType.TEXT,
        "company_name": FactType.TEXT,
        "name": FactType.TEXT,
        "stage": FactType.TEXT,
        "is_won": FactType.FLAG,
        "is_closed": FactType.FLAG,
        "close_on": FactType.DAY,
        "amount": FactType.MONEY,
        "currency": FactType.TEXT,
        "starts_on": FactType.DAY,
        "term_months": FactType.NUMBER,
        "lines": FactType.TEXT,
        "line_count": FactType.NUMBER,
        "unpriced": FactType.TEXT,
        "billing_customer": FactType.TEXT,
        "billing_customers": FactType.NUMBER,
        "billing_currency": FactType.TEXT,
        "live_subscriptions": FactType.NUMBER,
        "deleted": FactType.FLAG,
    },
    EntityKind.LEDGER_DOCUMENT: {
        "external_id": FactType.TEXT,
        "kind": FactType.TEXT,
        "rule": FactType.TEXT,
        "number": FactType.TEXT,
        "text": FactType.TEXT,
        "legal_entity": FactType.TEXT,
        "posted_on": FactType.DAY,
        "effective_on": FactType.DAY,
        "due_on": FactType.DAY,
        "party": FactType.TEXT,
        "currency": FactType.TEXT,
        "books_currency": FactType.TEXT,
        "total": FactType.MONEY,
        "books_total": FactType.MONEY,
        "settles": FactType.TEXT,
        "reverses": FactType.TEXT,
        "reverses_kind": FactType.TEXT,
        "lines": FactType.TEXT,
        "state": FactType.TEXT,
        "cause": FactType.TEXT,
        "subject": FactType.TEXT,
    },
}
