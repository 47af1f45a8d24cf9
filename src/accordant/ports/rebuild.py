"""What the books are built again from: every delivery, and what persons decided about the books, each at its moment."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from accordant.ports.inbox import InboxEvent


class Act(StrEnum):
    """What was done to the books at a moment; within one, in this order."""

    SETTLED = "settled"
    CAUGHT_UP = "caught_up"
    RECOGNISED = "recognised"
    REVALUED = "revalued"
    CLOSED = "closed"
    REOPENED = "reopened"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One act. ``seqs`` are the deliveries that were settled together; the others are of a company and a month, whose
    first day is ``month_on``, and of periods ``by`` is who closed or asked to open them.
    """

    at: datetime
    act: Act
    seqs: tuple[int, ...] = ()
    legal_entity: str = ""
    month_on: date = date.min
    by: str = ""


class BooksPast(Protocol):
    """Obligations: only reads; every delivery that was settled and is not dead is in exactly one moment."""

    def moments(self) -> tuple[Moment, ...]:
        """All of them, in the order in which they were."""
        ...

    def open(self, seqs: Sequence[int]) -> tuple[InboxEvent, ...]:
        """Deliveries that can still be read, with the readings made for them."""
        ...
