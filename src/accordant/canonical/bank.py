"""What a bank booked: one statement of one account, with its lines and the balances they lead from and to."""

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
