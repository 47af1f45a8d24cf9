"""Business events: what happened, in the past tense, once each. They drive what must happen once; states the rest.

The id is derived from the change itself (system, object, change), so two notices of one change are one business event.
A new field with a default keeps the version; any other change needs a new version and an upcaster in ``upcasters.py``.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.canonical.words import Said
from accordant.kernel.ids import BusinessEventId, derived_id
from accordant.kernel.money import Money


class EventType(StrEnum):
    """Every business event the hub knows, as ``<entity>.<past participle>``."""

    CUSTOMER_CREATED = "customer.created"
    SUBSCRIPTION_ACTIVATED = "subscription.activated"
    CONTRACT_AMENDED = "contract.amended"
    SUBSCRIPTION_CANCELLED = "subscription.cancelled"
    INVOICE_ISSUED = "invoice.issued"
    INVOICE_VOIDED = "invoice.voided"
    INVOICE_WRITTEN_OFF = "invoice.written_off"
    PAYMENT_APPLIED = "payment.applied"
    BALANCE_APPLIED = "balance.applied"
    PAYMENT_ALLOCATED = "payment.allocated"
    PAYMENT_COLLECTED_BY_SISTER = "payment.collected_by_sister"
    PAYMENT_FAILED = "payment.failed"
    REFUND_ISSUED = "refund.issued"
    CREDIT_APPROVED = "credit.approved"
    CREDITS_GRANTED = "credits.granted"
    CREDITS_DRAWN = "credits.drawn"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_CLOSED = "dispute.closed"
    PAYOUT_CREATED = "payout.created"
    PAYOUT_PAID = "payout.paid"
    PAYOUT_FAILED = "payout.failed"
    FEE_CHARGED = "fee.charged"
    CONTRACT_WON = "contract.won"
    OPPORTUNITY_CHANGED = "opportunity.changed"
    FUNDS_CONVERTED = "funds.converted"
    ENTRY_ORDERED = "entry.ordered"
    RAMP_AGREED = "ramp.agreed"
    PROGRESS_MEASURED = "progress.measured"
    WORD_WITHDRAWN = "word.withdrawn"


class BusinessEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened in business.

    ``subject`` is the object it happened to, ``root`` the customer or object whose lane it belongs to, ``amount`` the
    money it moved, where it moved any. ``said`` is there where no system tells of it and a person did.
    """

    id: BusinessEventId
    type: EventType
    version: int
    subject: ExternalRef
    root: ExternalRef
    occurred_at: datetime
    amount: Money | None = None
    note: str | None = None
    said: Said | None = None


#: How long the id of every event is.
EVENT_ID_LENGTH = len(derived_id("bev", ""))
#: The version each type is written with today.
CURRENT_VERSION: dict[EventType, int] = dict.fromkeys(EventType, 1)


def business_event(
    event_type: EventType,
    *,
    subject: ExternalRef,
    root: ExternalRef,
    occurred_at: datetime,
    change: str = "",
    amount: Money | None = None,
    note: str | None = None,
    said: Said | None = None,
) -> BusinessEvent:
    """Build the event with its derived id. ``change`` tells apart several changes of one kind on one subject (an
    attempt number).
    """
    name = derived_id("bev", event_type, subject.system, subject.object_type, subject.id, change)
    return BusinessEvent(
        id=BusinessEventId(name),
        type=event_type,
        version=CURRENT_VERSION[event_type],
        subject=subject,
        root=root,
        occurred_at=occurred_at,
        amount=amount,
        note=note,
        said=said,
    )
