"""What an event asks the books for, or why it cannot be said. Next: `table.py`; `ledger/post.py` posts it."""

from collections.abc import Callable
from datetime import date

import msgspec

from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import ExternalRef
from accordant.kernel.hashing import digest
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Books, Refusal
from accordant.ledger.entries import JournalEntry
from accordant.ledger.patterns import Leg


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the books it belongs in, and the day it happened in the company's zone.

    ``key`` is what its posting is known by: the event's id, with the bill behind it where it is about several.
    """

    event: BusinessEvent
    books: Books
    day: date
    key: str


def _nothing_more(_entry: JournalEntry) -> None:
    """What is posted changes nothing else."""


class Sister(msgspec.Struct, frozen=True, kw_only=True):
    """The other side of what is asked for, in the books of another legal entity: posted with it or not at all.

    The first ``total_legs`` of its legs are its total, in ``currency``, that of the deal.
    """

    legal_entity: str
    rule: str
    text: str
    currency: str
    legs: list[Leg]
    total_legs: int = 1


class Ask(msgspec.Struct, kw_only=True):
    """One thing an event asks the books for: a pattern with its words, or the reason why it cannot be said.

    ``rate_on`` is the day whose rate counts: what is taken back has that of its bill, as the revenue it was has.
    ``stated`` is the total the source states, where the legs may come to another; ``then`` is called once it is posted.
    ``cancels`` is a bill that is void, ``bill`` the one it pays or lowers, ``party`` whose it is where that is none,
    ``number`` the source's name for the document, ``due_on`` its day of payment. ``contradicts``: the refusal is final
    as things are known now, what was posted for the event before does not hold either. Without ``is_of_party`` it
    belongs to no customer. ``part`` tells the asks of one event apart where it is about several bills: the first has
    none, the ``others`` theirs.
    """

    rule: str = ""
    text: str = ""
    currency: str = ""
    legs: list[Leg] = []
    stated: int | None = None
    total_legs: int = 1
    original_currency: str | None = None
    rate_on: date | None = None
    refusal: Refusal | None = None
    contradicts: bool = False
    cancels: Bill | None = None
    bill: Bill | None = None
    party: str | None = None
    number: str | None = None
    due_on: date | None = None
    is_of_party: bool = True
    sister: Sister | None = None
    part: str = ""
    others: list["Ask"] = []
    then: Callable[[JournalEntry], None] = _nothing_more

    @property
    def asked(self) -> str:
        """The fingerprint of what is asked: the amounts by what they are. Accounts may be called otherwise since."""
        legs = [f"{leg.use.role.value} {leg.minor} {leg.original}" for leg in self.legs if leg.minor]
        return digest("\n".join([self.rule, self.currency, *legs]).encode()).hex()

    @property
    def source_minor(self) -> int:
        """What the source states the total of the pattern to be, above zero where both lie on the same side of it."""
        total = sum(leg.minor for leg in self.legs[: self.total_legs])
        if self.stated is None:
            return abs(total)
        return self.stated if total >= 0 else -self.stated


def refused(what: str, remedy: str, *, waits_for: ExternalRef | None = None) -> Ask:
    """Nothing can be asked for, for this reason; it is looked at again when ``waits_for`` arrives."""
    waiting = None if waits_for is None else str(waits_for)
    named = "" if waits_for is None else f" ({waits_for})"
    reason = f"It cannot be posted: {what}{named}."
    return Ask(refusal=Refusal(check="source", reason=reason, remedy=remedy, waits_for=waiting))


def contradicted(what: str, remedy: str, *, waits_for: ExternalRef | None = None) -> Ask:
    """As `refused`, where what is known of the bill speaks against it: whatever was posted for it goes."""
    ask = refused(what, remedy, waits_for=waits_for)
    ask.contradicts = True
    return ask
