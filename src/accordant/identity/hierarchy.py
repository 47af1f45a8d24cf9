"""Which record of a system stands below which: is that sound, and do two systems agree about their common customers?

Pure. A record that belongs to no customer leads up and is never compared. Next: `operations/compare_hierarchy.py`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from accordant.canonical.matching import Member


class Flaw(StrEnum):
    """What is not sound in one hierarchy."""

    CIRCLE = "circle"
    PARENT_MISSING = "parent_missing"
    PARENT_DELETED = "parent_deleted"
    TOO_DEEP = "too_deep"
    TWO_PLACES = "two_places"


class FlawFound(msgspec.Struct, frozen=True, kw_only=True):
    """A flaw at one record. ``others`` are the records it lies in: those of the circle in the order upwards, what
    should be above, all that are above, or the other record of the same customer.
    """

    flaw: Flaw
    member: str
    others: tuple[str, ...]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where two systems have one customer: its record in each, and the customer above it in each (None: nobody)."""

    account_id: str
    leading: str
    other: str
    above_leading: str | None
    above_other: str | None


class Hierarchy:
    """The records of one object of one system, and whose they are."""

    def __init__(self, members: Iterable[Member], accounts: Mapping[str, str]) -> None:
        """``accounts`` are the hub's accounts by record id; a record without one is no customer's."""
        self._members = {one.id: one for one in members}
        self._accounts = {one: accounts[one] for one in self._members if one in accounts and not self._is_gone(one)}
        self._records: dict[str, list[str]] = {}
        for record, account in sorted(self._accounts.items()):
            self._records.setdefault(account, []).append(record)

    @property
    def size(self) -> int:
        """How many records are there."""
        return sum(not one.deleted for one in self._members.values())

    @property
    def accounts(self) -> frozenset[str]:
        """The customers who have a record here."""
        return frozenset(self._records)

    def record_of(self, account_id: str) -> str:
        """The record of a customer; the first of several."""
        return self._records[account_id][0]

    def account_of(self, record_id: str) -> str | None:
        """Whose record it is."""
        return self._accounts.get(record_id)

    def flaws(self, *, levels_max: int | None) -> tuple[FlawFound, ...]:
        """Everything that is not sound. A circle is told once, at its smallest id; ``levels_max`` counts the top."""
        found = [flaw for one in sorted(self._members) if (flaw := self._flaw(one, levels_max)) is not None]
        for records in self._records.values():
            tops = {one: self._path(one)[-1] for one in records}
            found += [
                FlawFound(flaw=Flaw.TWO_PLACES, member=one, others=(records[0],))
                for one in records[1:]
                if tops[one] != tops[records[0]]
            ]
        return tuple(found)

    def _flaw(self, record: str, levels_max: int | None) -> FlawFound | None:
        member = self._members[record]
        above = member.parent_id
        if member.deleted or above is None:
            return None
        if self._is_gone(above):
            flaw = Flaw.PARENT_DELETED if above in self._members else Flaw.PARENT_MISSING
            return FlawFound(flaw=flaw, member=record, others=(above,))
        path = self._path(record)
        if self._closes(path):
            is_told_here = self._members[path[-1]].parent_id == record and record == min(path)
            return FlawFound(flaw=Flaw.CIRCLE, member=record, others=path) if is_told_here else None
        if levels_max is not None and len(path) > levels_max:
            return FlawFound(flaw=Flaw.TOO_DEEP, member=record, others=path[1:])
        return None

    def above(self, account_id: str, among: frozenset[str]) -> tuple[str | None, bool]:
        """The next customer of ``among`` above a customer, and whether the way up is sound as far as that."""
        path = self._path(self.record_of(account_id))
        above = self._members[path[-1]].parent_id
        if above == path[0]:
            return None, False  # it stands in a circle itself
        for record in path[1:]:
            account = self._accounts.get(record)
            if account is not None and account in among and account != account_id:
                return account, True
        return None, above is None

    def is_placed_twice(self, account_id: str) -> bool:
        """Whether several records are one customer's: then it has no one place."""
        return len(self._records[account_id]) > 1

    def _path(self, record: str) -> tuple[str, ...]:
        """The record and all above it, up to where it ends, or the way comes round."""
        path = {record: None}
        above = self._members[record].parent_id
        while above is not None and not self._is_gone(above) and above not in path:
            path[above] = None
            above = self._members[above].parent_id
        return tuple(path)

    def _closes(self, path: tuple[str, ...]) -> bool:
        above = self._members[path[-1]].parent_id
        return above is not None and above in path

    def _is_gone(self, record: str) -> bool:
        member = self._members.get(record)
        return member is None or member.deleted


def compare(leading: Hierarchy, other: Hierarchy) -> tuple[Placement, ...]:
    """The customers of both whom the two place below different customers, by account.

    A customer whose place is not sound in either is no difference: its flaw says more.
    """
    both = leading.accounts & other.accounts
    found = []
    for account in sorted(both):
        if leading.is_placed_twice(account) or other.is_placed_twice(account):
            continue
        (here, is_sound_here), (there, is_sound_there) = leading.above(account, both), other.above(account, both)
        if here != there and is_sound_here and is_sound_there:
            found.append(
                Placement(
                    account_id=account,
                    leading=leading.record_of(account),
                    other=other.record_of(account),
                    above_leading=here,
                    above_other=there,
                )
            )
    return tuple(found)
