"""Accounting periods: open, closed, opened again by two people; and the day on which something may be posted.

What comes after its period was closed is posted on the first day of the oldest open period, with both dates.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from itertools import pairwise

import msgspec

from accordant.kernel.errors import InvariantBroken


class PeriodState(StrEnum):
    """Whether postings are taken."""

    OPEN = "open"
    CLOSED = "closed"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """One accounting period of a legal entity, half-open: ``ends_on`` is the first day of the next.

    ``closed_by`` and ``reopened_by`` are the people who did it; opening again takes two.
    """

    legal_entity: str
    starts_on: date
    ends_on: date
    state: PeriodState = PeriodState.OPEN
    closed_by: str | None = None
    reopened_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.starts_on >= self.ends_on:
            raise InvariantBroken(f"A period from {self.starts_on} to {self.ends_on} has no day.")

    def holds(self, day: date) -> bool:
        """Whether ``day`` lies in the period."""
        return self.starts_on <= day < self.ends_on


class PeriodRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a period cannot be closed, opened again, or posted to."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}"


def posting_day(periods: Sequence[Period], happened_on: date) -> date | PeriodRefused:
    """The day in the books for something that happened on ``happened_on``.

    That day itself while its period is open; else the first day of the oldest open period after it. Source: a closed
    period keeps what was reported (finance.md 1.2, last paragraph; ASC 250 treats later knowledge as a change of the
    current period unless the error is material).
    """
    for period in periods:
        if period.holds(happened_on) and period.state is PeriodState.OPEN:
            return happened_on
    later = sorted(
        period.starts_on for period in periods if period.state is PeriodState.OPEN and period.starts_on > happened_on
    )
    if later:
        return later[0]
    return PeriodRefused(
        reason=f"No period is open for {happened_on.isoformat()} or after it.",
        remedy="Open the period, or add the coming fiscal year to the charter.",
    )


def close(periods: Sequence[Period], period: Period, *, by: str) -> Period | PeriodRefused:
    """The period, closed. Periods are closed in order, and only once."""
    if period.state is PeriodState.CLOSED:
        return PeriodRefused(reason=f"The period from {period.starts_on} is closed already.", remedy="Nothing to do.")
    earlier = [one for one in periods if one.starts_on < period.starts_on and one.state is PeriodState.OPEN]
    if earlier:
        first = min(one.starts_on for one in earlier)
        return PeriodRefused(reason=f"The period from {first} is still open.", remedy="Close that one first.")
    return msgspec.structs.replace(period, state=PeriodState.CLOSED, closed_by=by, reopened_by=())


def reopen(periods: Sequence[Period], period: Period, *, by: Sequence[str]) -> Period | PeriodRefused:
    """The period, open again. Two different people ask for it, and no later period may be closed over it."""
    people = tuple(dict.fromkeys(by))
    if period.state is PeriodState.OPEN:
        return PeriodRefused(reason=f"The period from {period.starts_on} is open.", remedy="Nothing to do.")
    if len(people) < 2:
        return PeriodRefused(
            reason="Opening a closed period takes two different people.",
            remedy="Somebody else runs the same command too.",
        )
    later = [one for one in periods if one.starts_on > period.starts_on and one.state is PeriodState.CLOSED]
    if later:
        last = max(one.starts_on for one in later)
        return PeriodRefused(
            reason=f"The period from {last} is closed on top of it.", remedy="Open the latest closed period first."
        )
    return msgspec.structs.replace(period, state=PeriodState.OPEN, closed_by=None, reopened_by=people)


def months(legal_entity: str, *, year: int, starts_month: int = 1) -> tuple[Period, ...]:
    """The twelve monthly periods of the fiscal year that starts in ``year``, all open."""
    starts = [
        date(year + (starts_month - 1 + index) // 12, (starts_month - 1 + index) % 12 + 1, 1) for index in range(13)
    ]
    return tuple(Period(legal_entity=legal_entity, starts_on=first, ends_on=after) for first, after in pairwise(starts))
