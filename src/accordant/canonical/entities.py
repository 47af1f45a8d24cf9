"""Entities: what the owning systems said last, in the hub's words. Money in minor units, instants UTC, days as dates.

References between entities are the owner's ids (``customer_id`` is the billing system's customer id): the crosswalk
turns them into entities. A value that the owner did not state is None, never zero or an empty string.
"""

from datetime import date, datetime
from functools import cache

import msgspec

from accordant.canonical.bank import BankStatement, CashMovement
from accordant.canonical.deals import Company, Contact, Opportunity
from accordant.canonical.documents import LedgerDocument
from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer pays with, as far as it may be shown: never a full number.

    ``expires_on`` is the last day the card is good for.
    """

    type: str
    brand: str | None = None
    last4: str | None = None
    expires_on: date | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.ACCOUNT.value):
    """The commercial party: a billing customer. ``balance_minor`` follows the owner's sign: negative is credit for the
    customer. ``phone`` and ``postcode`` are as the owner spells them, ``country`` has two letters.
    """

    external_id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    postcode: str | None = None
    country: str | None = None
    currency: str | None = None
    balance_minor: int | None = None
    delinquent: bool | None = None
    has_payment_method: bool | None = None
    tax_ids: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    created_at: datetime | None = None
    deleted: bool = False


class Product(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.PRODUCT.value):
    """Something sold."""

    external_id: str
    name: str | None = None
    active: bool | None = None
    deleted: bool = False


class RecurringPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What recurs. ``unit_minor`` is a decimal string of minor units, since prices may be finer than a minor unit
    ("0.5").
    """

    currency: str
    unit_minor: str | None
    interval: str
    interval_count: int
    metered: bool = False
    tax_inclusive: bool = False


class Price(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.PRICE.value):
    """A price of a product; ``recurring`` is None for a one-time price."""

    external_id: str
    product_id: str | None = None
    name: str | None = None
    active: bool | None = None
    recurring: RecurringPrice | None = None
    deleted: bool = False


class SubscriptionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a subscription."""

    external_id: str
    price_id: str | None
    product_id: str | None
    plan_name: str | None
    quantity: int | None
    recurring: RecurringPrice | None
    period_starts_at: datetime | None = None
    period_ends_at: datetime | None = None


class Discount(msgspec.Struct, frozen=True, kw_only=True):
    """A reduction in force. ``duration`` is forever, repeating or once; ``percent`` a decimal string; ``ends_at``
    exclusive.
    """

    coupon_id: str
    duration: str
    percent: str | None = None
    amount_off: Money | None = None
    ends_at: datetime | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.SUBSCRIPTION.value):
    """A recurring agreement. ``status`` is one of trialing, active, past_due, unpaid, paused, incomplete,
    incomplete_expired, canceled.
    """

    external_id: str
    customer_id: str
    status: str
    currency: str | None = None
    items: tuple[SubscriptionItem, ...] = ()
    discounts: tuple[Discount, ...] = ()
    started_at: datetime | None = None
    trial_ends_at: datetime | None = None
    period_starts_at: datetime | None = None
    period_ends_at: datetime | None = None
    cancel_at_period_end: bool = False
    cancels_at: datetime | None = None
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    cancellation_reason: str | None = None
    collection_paused: bool = False
    latest_invoice_id: str | None = None
    metadata: dict[str, str] = {}


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an invoice; the period is half-open. ``amount_minor`` includes the tax ``included_tax_minor``, and
    ``credits_minor``, which credits of before pay: so much less is asked for.
    """

    external_id: str
    amount_minor: int
    description: str | None = None
    price_id: str | None = None
    subscription_id: str | None = None
    quantity: int | None = None
    proration: bool = False
    period_starts_at: datetime | None = None
    period_ends_at: datetime | None = None
    included_tax_minor: int = 0
    credits_minor: int = 0


class Invoice(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.INVOICE.value):
    """A bill. ``status`` is one of draft, open, paid, void, uncollectible; ``lines_complete`` is False when the owner
    sent only the first page. ``discount`` is what is taken off the lines, which are stated before it. Under
    ``reverse_charge`` the customer owes the tax, and the bill has none.
    """

    external_id: str
    customer_id: str | None
    status: str
    total: Money
    amount_due: Money
    amount_paid: Money
    amount_remaining: Money
    tax: Money | None = None
    discount: Money | None = None
    number: str | None = None
    subscription_id: str | None = None
    billing_reason: str | None = None
    attempt_count: int = 0
    due_at: datetime | None = None
    finalized_at: datetime | None = None
    paid_at: datetime | None = None
    next_attempt_at: datetime | None = None
    created_at: datetime | None = None
    lines: tuple[InvoiceLine, ...] = ()
    lines_complete: bool = True
    reverse_charge: bool = False
    deleted: bool = False


class Payment(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.PAYMENT.value):
    """One attempt to collect. ``status`` is one of pending, succeeded, failed. ``intent_id`` is what it is an attempt
    at, in the words of its owner: a bill that it does not name itself may name it by that. ``merchant`` is who answers
    for the sale towards the customer, where that is not the company itself: its account at the processor.
    """

    external_id: str
    customer_id: str | None
    status: str
    amount: Money
    refunded: Money
    invoice_id: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    method: PaymentMethod | None = None
    balance_movement_id: str | None = None
    intent_id: str | None = None
    disputed: bool = False
    merchant: str | None = None
    created_at: datetime | None = None


class Refund(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.REFUND.value):
    """Money given back. ``status`` is one of pending, requires_action, succeeded, failed, canceled."""

    external_id: str
    status: str
    amount: Money
    payment_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    balance_movement_id: str | None = None
    created_at: datetime | None = None


class CreditNote(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.CREDIT_NOTE.value):
    """A correction of an invoice. ``status`` is issued or void. ``to_balance`` is what of it is kept for the customer's
    next bills; None where nothing is.
    """

    external_id: str
    customer_id: str | None
    invoice_id: str | None
    status: str
    total: Money
    number: str | None = None
    reason: str | None = None
    to_balance: Money | None = None
    created_at: datetime | None = None


class Dispute(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.DISPUTE.value):
    """A payment contested by the card holder; ``status`` is the owner's word (needs_response, under_review, won, lost,
    ...).
    """

    external_id: str
    status: str
    amount: Money
    payment_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    evidence_due_at: datetime | None = None
    created_at: datetime | None = None


class Payout(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.PAYOUT.value):
    """Money sent to the bank. ``status`` is one of pending, in_transit, paid, failed, canceled.

    ``bank_reference`` is what stands beside it on the bank's statement, where the processor was told.
    """

    external_id: str
    status: str
    amount: Money
    arrives_on: date | None = None
    automatic: bool | None = None
    failure_code: str | None = None
    balance_movement_id: str | None = None
    bank_reference: str | None = None
    created_at: datetime | None = None


class BalanceMovement(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.BALANCE_MOVEMENT.value
):
    """One movement on the processor's balance: ``net`` = ``amount`` - ``fee``, all in the settlement currency."""

    external_id: str
    type: str
    amount: Money
    fee: Money
    net: Money
    source_id: str | None = None
    payout_id: str | None = None
    available_at: datetime | None = None
    created_at: datetime | None = None


class Receivable(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.RECEIVABLE.value):
    """What one customer owes by the ERP's own books. ``external_id`` is the ERP's id of the customer.

    ``overdue`` is the part of ``open`` whose due day is over, ``oldest_due_on`` the first such day. ``blocked`` says
    that the ERP lets nothing more be sold on credit.
    """

    external_id: str
    open: Money
    overdue: Money
    oldest_due_on: date | None = None
    blocked: bool = False


Entity = (
    Account
    | Product
    | Price
    | Subscription
    | Invoice
    | Payment
    | Refund
    | CreditNote
    | Dispute
    | Payout
    | BalanceMovement
    | BankStatement
    | CashMovement
    | LedgerDocument
    | Receivable
    | Company
    | Contact
    | Opportunity
)

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[Entity] = msgspec.json.Decoder(Entity)


def kind_of(entity: Entity) -> EntityKind:
    """The kind of an entity."""
    return _kind_of_type(type(entity))


@cache
def _kind_of_type(of: type[Entity]) -> EntityKind:
    return EntityKind(str(of.__struct_config__.tag))


def encode_entity(entity: Entity) -> bytes:
    """Canonical JSON of an entity: equal states give equal bytes."""
    return _ENCODER.encode(entity)


def decode_entity(data: bytes) -> Entity:
    """The entity stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _DECODER.decode(data)
