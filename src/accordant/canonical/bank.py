"""What a bank booked on the company's accounts, and what came to the account a processor keeps for one customer."""

from datetime import date, datetime

import msgspec

from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money


class BankLine(msgspec.Struct, frozen=True, kw_only=True):
    """One booking. ``amount`` is a credit when positive, a debit when negative.

    ``reference`` is the bank's own name of it, unique on the account; ``texts`` are all that came along with it, by
    which it may be known: end-to-end ids, creditor references, what the sender wrote.
    """

    reference: str
    amount: Money
    booked_on: date
    valued_on: date | None = None
    texts: tuple[str, ...] = ()
    counterparty: str | None = None


class BankStatement(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.BANK_STATEMENT.value):
    """Everything booked on ``account`` (its IBAN, or the bank's own number) from ``starts_on`` to ``ends_on``, both in.

    ``opening`` and the lines come to ``closing``.
    """

    external_id: str
    account: str
    starts_on: date
    ends_on: date
    opening: Money
    closing: Money
    lines: tuple[BankLine, ...]
    created_at: datetime


class CashMovement(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.CASH_MOVEMENT.value):
    """One movement on the virtual account of one customer: what he transferred there, or what was taken for a bill.

    ``type`` is the processor's word. ``amount`` is positive where it came in; ``intent_id`` names what it was taken
    for, or given back from. ``reference`` and ``sender`` are what the customer's bank sent along.
    """

    external_id: str
    customer_id: str
    type: str
    amount: Money
    intent_id: str | None = None
    reference: str | None = None
    sender: str | None = None
    created_at: datetime | None = None
