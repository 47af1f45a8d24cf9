"""Journal entries that cannot be unbalanced: postings that sum to zero, whole or not at all, corrected by reversal.

A posting's amount is in the legal entity's own currency; what was agreed in another currency stands beside it.
Next: `chart.py` for the accounts, `post.py` for what an event means.
"""

from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from accordant.canonical.books import Role
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One amount on one ledger account: a debit when positive, a credit when negative, never zero.

    ``original`` is the amount in the currency of the deal, with the same sign, where that is not the entity's own.
    ``party`` is the customer whose subledger the amount belongs to, ``dimensions`` what reports cut by (product,
    region, cost center), ``role`` what the amount is to the rules.
    """

    account: str
    amount: Money
    role: Role | None = None
    original: Money | None = None
    party: str | None = None
    dimensions: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not self.amount.amount_minor:
            raise InvariantBroken(f"A posting of nothing on {self.account}.")
        if self.original is not None and self.original.amount_minor * self.amount.amount_minor < 0:
            raise InvariantBroken(f"A posting on {self.account} is a debit in one currency and a credit in the other.")

    @property
    def debit_minor(self) -> int:
        """The amount where it is a debit, else 0."""
        return max(self.amount.amount_minor, 0)

    @property
    def credit_minor(self) -> int:
        """The amount where it is a credit, else 0; never negative."""
        return max(-self.amount.amount_minor, 0)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why an entry exists: the business event, the object it is about, and the rule that read it.

    ``rule`` with ``rule_version`` names the pattern; together with the event they are the entry's idempotency key, so
    the same event read twice by the same rule is one entry.
    """

    event: str
    subject: str
    rule: str
    rule_version: int = 1


class Papers(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry's document is known by outside the books: see `JournalEntry`."""

    number: str | None = None
    due_on: date | None = None
    party: str | None = None
    settles: str | None = None


NO_PAPERS = Papers()


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Postings of one legal entity that sum to zero.

    ``posted_on`` is the day in the books, ``effective_on`` the day it happened: they differ when it came after its
    period was closed. ``reverses`` names the entry this one cancels. ``number`` is the source's own for the document
    behind it, ``due_on`` when that is to be paid, ``party`` whose it is, and ``settles`` names the entry of the bill
    that this one pays or lowers. Raises InvariantBroken when the postings do not balance, hold two currencies, or are
    fewer than two.
    """

    id: str
    legal_entity: str
    posted_on: date
    effective_on: date
    cause: Cause
    text: str
    postings: tuple[Posting, ...]
    recorded_at: datetime
    reverses: str | None = None
    number: str | None = None
    due_on: date | None = None
    party: str | None = None
    settles: str | None = None

    def __post_init__(self) -> None:
        if len(self.postings) < 2:
            raise InvariantBroken(f"The entry {self.id} has fewer than two postings.")
        currencies = {posting.amount.currency for posting in self.postings}
        if len(currencies) > 1:
            raise InvariantBroken(f"The entry {self.id} mixes {' and '.join(sorted(currencies))} in one ledger.")
        off = sum(posting.amount.amount_minor for posting in self.postings)
        if off:
            raise InvariantBroken(f"The entry {self.id} is off by {off} minor units.")

    @property
    def currency(self) -> str:
        """The currency of the legal entity's books."""
        return self.postings[0].amount.currency

    @property
    def total_minor(self) -> int:
        """The sum of the debits, which is that of the credits."""
        return sum(posting.debit_minor for posting in self.postings)


_ENCODER = msgspec.json.Encoder(order="sorted")


def encode_entry(one: JournalEntry) -> bytes:
    """Canonical JSON of an entry: what is kept of it, and what the trail holds the digest of."""
    return _ENCODER.encode(one)


def entry_id(legal_entity: str, cause: Cause) -> str:
    """The id of the entry that ``cause`` makes in the books of ``legal_entity``: the same cause, the same entry."""
    return derived_id("jrn", legal_entity, cause.event, cause.rule, str(cause.rule_version))


def entry(
    *,
    legal_entity: str,
    posted_on: date,
    effective_on: date,
    cause: Cause,
    text: str,
    postings: Iterable[Posting],
    recorded_at: datetime,
    papers: Papers = NO_PAPERS,
) -> JournalEntry:
    """An entry with its derived id. Raises InvariantBroken when it does not balance."""
    return JournalEntry(
        id=entry_id(legal_entity, cause),
        legal_entity=legal_entity,
        posted_on=posted_on,
        effective_on=effective_on,
        cause=cause,
        text=text,
        postings=tuple(postings),
        recorded_at=recorded_at,
        number=papers.number,
        due_on=papers.due_on,
        party=papers.party,
        settles=papers.settles,
    )


def reverse(
    original: JournalEntry,
    *,
    posted_on: date,
    event: str,
    text: str,
    recorded_at: datetime,
    effective_on: date | None = None,
) -> JournalEntry:
    """The entry that cancels ``original``: the same postings the other way round. Nothing posted is ever edited.

    ``event`` is the business event that called for it, ``effective_on`` its day where that is not ``posted_on``.
    Raises InvariantBroken when ``original`` is a reversal itself: what was cancelled by mistake is posted anew.
    """
    if original.reverses is not None:
        raise InvariantBroken(f"The entry {original.id} is a reversal; post the original again instead.")
    cause = Cause(event=event, subject=original.cause.subject, rule=f"reverse {original.id}")
    return JournalEntry(
        id=entry_id(original.legal_entity, cause),
        legal_entity=original.legal_entity,
        posted_on=posted_on,
        effective_on=effective_on or posted_on,
        cause=cause,
        text=text,
        postings=tuple(_opposite(posting) for posting in original.postings),
        recorded_at=recorded_at,
        reverses=original.id,
        number=original.number,
        party=original.party,
    )


def _opposite(posting: Posting) -> Posting:
    original = None if posting.original is None else -posting.original
    return msgspec.structs.replace(posting, amount=-posting.amount, original=original)
