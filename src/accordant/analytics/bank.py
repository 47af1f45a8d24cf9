"""Which booking at the bank is which payout: by the reference that both carry, else by the amount and the days.

Pure. A booking is of one payout at most. A payout that the bank should have booked and has not is a finding, and so is
one that it booked with another amount (requirements 97 and 196: lineage from collection to payout stays whole).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec

from accordant.canonical.bank import BankLine, BankStatement
from accordant.canonical.entities import Payout

#: A payout without a reference is looked for from so many days before the day its processor announced to so many after:
#: weekends and holidays of two places lie between.
EARLY, LATE = timedelta(days=2), timedelta(days=7)
#: A shorter name may stand in a text by chance, unless it stands there as a word.
NAME_LENGTH_MIN = 12
_SIGNS = re.compile(r"[\W_]+")
#: States of a payout in which the bank has, or should have, its money.
_SENT = frozenset({"paid", "in_transit"})


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What the bank says of one payout. ``line`` is its booking on ``account``; ``finding`` is what does not fit.

    Neither is there where no statement covers the days yet.
    """

    account: str | None = None
    line: BankLine | None = None
    finding: str | None = None


class _Booked:
    """A booking with its account. ``turn`` orders by day, so that equal amounts go to their payouts in turn."""

    def __init__(self, account: str, line: BankLine) -> None:
        self.account = account
        self.line = line
        self.turn = (line.booked_on, account, line.reference)
        texts = (*line.texts, line.reference)
        self.words = frozenset(_plain(word) for text in texts for word in text.split())
        self.squeezed = tuple(_plain(text) for text in texts)


def _plain(text: str) -> str:
    """A name as it is compared: banks write in capitals, break lines and leave signs out."""
    return _SIGNS.sub("", text.casefold())


class _Bookings:
    """Bookings that are still nobody's. One that stands on two statements is one."""

    def __init__(self, statements: Iterable[BankStatement]) -> None:
        found = {one.turn: one for told in statements for one in (_Booked(told.account, line) for line in told.lines)}
        self._booked = [found[turn] for turn in sorted(found)]
        self._days = [one.line.booked_on for one in self._booked]
        self._by_word: dict[str, list[_Booked]] = {}
        for one in self._booked:
            for word in one.words:
                self._by_word.setdefault(word, []).append(one)
        self._taken: set[tuple[date, str, str]] = set()

    def take_named(self, payout: Payout) -> _Booked | None:
        """The first that carries a name of the payout: as a word, or, where that is too long for chance, in parts."""
        names = [plain for name in (payout.external_id, payout.bank_reference) if name and (plain := _plain(name))]
        if (found := self._take(one for name in names for one in self._by_word.get(name, ()))) is not None:
            return found
        long = [name for name in names if len(name) >= NAME_LENGTH_MIN]
        if not long or payout.arrives_on is None:
            return None
        around = self._around(payout.arrives_on)
        return self._take(one for one in around if any(name in text for name in long for text in one.squeezed))

    def take_equal(self, payout: Payout, day: date) -> _Booked | None:
        """The one of that amount that is nearest to the day."""
        fitting = (one for one in self._around(day) if one.line.amount == payout.amount)
        return self._take(sorted(fitting, key=lambda one: (abs(one.line.booked_on - day), one.turn)))

    def _around(self, day: date) -> Iterable[_Booked]:
        return self._booked[bisect_left(self._days, day - EARLY) : bisect_right(self._days, day + LATE)]

    def _take(self, fitting: Iterable[_Booked]) -> _Booked | None:
        found = next((one for one in fitting if one.turn not in self._taken), None)
        if found is not None:
            self._taken.add(found.turn)
        return found


def arrivals(payouts: Sequence[Payout], statements: Iterable[BankStatement]) -> dict[str, Arrival]:
    """What the bank says of each payout, by its owner's id."""
    told = tuple(statements)
    bookings, covered = _Bookings(told), _Covered(told)
    found: dict[str, Arrival] = {}
    ordered = sorted(payouts, key=lambda one: (one.arrives_on or date.max, one.external_id))
    for payout in ordered:
        if (named := bookings.take_named(payout)) is not None:
            found[payout.external_id] = _arrived(payout, named)
    for payout in ordered:
        if payout.external_id in found or payout.arrives_on is None or payout.status not in _SENT:
            continue
        if (equal := bookings.take_equal(payout, payout.arrives_on)) is not None:
            found[payout.external_id] = _arrived(payout, equal)
        elif covered.whole(payout.amount.currency, payout.arrives_on):
            finding = f"It should have come by {payout.arrives_on + LATE:%Y-%m-%d}, and no account booked it."
            found[payout.external_id] = Arrival(finding=finding)
    return {payout.external_id: found.get(payout.external_id, Arrival()) for payout in payouts}


def _arrived(payout: Payout, booked: _Booked) -> Arrival:
    amount = booked.line.amount
    finding = None
    if amount.currency == payout.amount.currency and amount != payout.amount:
        finding = f"The bank booked {amount} for it ({booked.line.reference}), and it is {payout.amount}."
    elif payout.status not in _SENT:
        finding = f"The bank booked it ({booked.line.reference}), and its processor calls it {payout.status}."
    return Arrival(account=booked.account, line=booked.line, finding=finding)


class _Covered:
    """On which days the statements of every account leave nothing out."""

    def __init__(self, statements: Iterable[BankStatement]) -> None:
        self._spans: dict[str, dict[str, list[tuple[date, date]]]] = {}
        for one in statements:
            self._spans.setdefault(one.opening.currency, {}).setdefault(one.account, []).append(
                (one.starts_on, one.ends_on)
            )

    def whole(self, currency: str, day: date) -> bool:
        """Whether there are accounts of a currency, and none of them lacks a day on which a payout may have come."""
        accounts = self._spans.get(currency, {})
        return bool(accounts) and all(_reaches(sorted(spans), day - EARLY) > day + LATE for spans in accounts.values())


def _reaches(spans: Sequence[tuple[date, date]], day: date) -> date:
    """The first day from ``day`` on that no span has."""
    for first, last in spans:
        if first <= day <= last:
            day = last + timedelta(days=1)
    return day
