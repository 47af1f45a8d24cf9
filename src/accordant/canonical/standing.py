"""Where an account stands: all that "are they paying us?" needs, folded from subscriptions, invoices and payments.

It is computed only from entities and may be rebuilt from them at any time; `analytics.standing` does both.
"""

from datetime import date, datetime

import msgspec

from accordant.canonical.entities import PaymentMethod, Subscription
from accordant.kernel.money import Money


class PaymentMark(msgspec.Struct, frozen=True, kw_only=True):
    """One payment worth remembering: the last that succeeded, the last that failed."""

    payment_id: str
    at: datetime
    amount: Money
    reason: str | None = None


class MethodMark(msgspec.Struct, frozen=True, kw_only=True):
    """The payment that last showed what this account pays with; one that ``succeeded`` outranks any that did not."""

    payment_id: str
    at: datetime
    succeeded: bool
    method: PaymentMethod


class OpenInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that still wants money. ``due_at`` is when it was to be paid: the due date, else the day it was
    finalized.
    """

    invoice_id: str
    remaining: Money
    due_at: datetime
    attempt_count: int
    subscription_id: str | None = None


class ReceivableMark(msgspec.Struct, frozen=True, kw_only=True):
    """What an account owes by the word of one ERP; ``party`` is the ERP's name for the account."""

    party: str
    open: Money
    overdue: Money
    oldest_due_on: date | None = None
    blocked: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An account's position.

    ``subscriptions`` holds those that have not ended and the one that ended last, by id. ``collected`` and ``refunded``
    are running totals, one per currency, sorted by currency. ``open_invoices`` are sorted oldest first. ``rebuild_due``
    says that something remembered was taken back (a payment that had succeeded, an end that was none), so that what
    stood behind it has to be read from the entities; until then the remembered fields, not the totals, may lag.
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
    method_mark: MethodMark | None = None
    receivables: tuple[ReceivableMark, ...] = ()
    rebuild_due: bool = False

    @property
    def method(self) -> PaymentMethod | None:
        """What the account pays with: the method of its latest payment that succeeded, else of its latest payment."""
        return None if self.method_mark is None else self.method_mark.method


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Standing)


def encode_standing(standing: Standing) -> bytes:
    """Canonical JSON of a standing."""
    return _ENCODER.encode(standing)


def decode_standing(data: bytes) -> Standing:
    """The standing stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _DECODER.decode(data)
