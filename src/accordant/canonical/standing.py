"""Where an account stands: everything "are they paying us?" needs, folded from its subscriptions, invoices and payments.

It is computed only from entities and may be rebuilt from them at any time.
"""

from datetime import datetime

import msgspec

from accordant.canonical.entities import PaymentMethod, Subscription
from accordant.kernel.money import Money


class PaymentMark(msgspec.Struct, frozen=True, kw_only=True):
    """One payment worth remembering: the last that succeeded, the last that failed."""

    payment_id: str
    at: datetime
    amount: Money
    reason: str | None = None


class OpenInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that still wants money. ``due_at`` is when it was to be paid: the due date, else the day it was finalized."""

    invoice_id: str
    remaining: Money
    due_at: datetime
    attempt_count: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An account's position.

    ``subscriptions`` holds those that have not ended and the one that ended last. ``collected`` and ``refunded`` are running
    totals, one per currency, sorted by currency.
    """

    subscriptions: tuple[Subscription, ...] = ()
    collected: tuple[Money, ...] = ()
    refunded: tuple[Money, ...] = ()
    open_invoices: tuple[OpenInvoice, ...] = ()
    last_payment: PaymentMark | None = None
    first_payment: PaymentMark | None = None
    last_failure: PaymentMark | None = None
    failed_payment_count: int = 0
    open_dispute_ids: tuple[str, ...] = ()
    method: PaymentMethod | None = None


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Standing)


def encode_standing(standing: Standing) -> bytes:
    """Canonical JSON of a standing."""
    return _ENCODER.encode(standing)


def decode_standing(data: bytes) -> Standing:
    """The standing stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _DECODER.decode(data)
