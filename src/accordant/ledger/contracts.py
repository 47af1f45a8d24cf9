"""Contracts that are earned otherwise than they are billed: a ramp of prices for an equal service, a project.

Every line billed of one is a part that is earned as the whole is, and so is what was agreed and is on no bill yet. A
credit, a refund or a void is then its own bill's affair. Next: `contract_month.py`, `meanings/agreed.py`.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from fractions import Fraction

import msgspec

from accordant.canonical.entities import InvoiceLine
from accordant.ledger.bills import Bill
from accordant.ledger.compose import Books
from accordant.ledger.modify import catch_up
from accordant.ledger.schedule import RevenueSchedule, Span, cut, earned_before, measured, part_out, respread


class Slice(msgspec.Struct, kw_only=True):
    """One line of a bill that belongs to a contract."""

    bill: Bill
    at: int

    @property
    def schedule(self) -> RevenueSchedule:
        """How it is earned."""
        return self.bill.schedules[self.at]

    @schedule.setter
    def schedule(self, becomes: RevenueSchedule) -> None:
        self.bill.schedules[self.at] = becomes

    @property
    def price(self) -> int:
        """What it still comes to, less all that was taken back of it."""
        return self.schedule.minor - self.bill.contra[self.at]


class Contract(msgspec.Struct, kw_only=True):
    """One contract as far as it was read; minor units of its currency, which is that of ``unbilled``.

    ``unbilled`` is what was agreed and is on no bill yet. A ramp is earned evenly from ``starts_at`` until ``ends_at``,
    whatever its steps are billed at (ASC 606-10-55-184: an equal service is earned by time); ``ended_on`` is the day on
    which its service stopped before that. A project is earned by ``progress``, None before it was measured.
    """

    name: str
    books: Books
    agreed_on: date
    unbilled: RevenueSchedule
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ended_on: date | None = None
    has_ended: bool = False
    progress: Fraction | None = None
    slices: list[Slice] = []
    measured_price: int | None = None

    @property
    def is_project(self) -> bool:
        """Whether it is earned by progress."""
        return self.unbilled.by_progress

    @property
    def billed(self) -> int:
        """What bills of it come to now, without tax: less credits, refunds and what is lost."""
        return sum(one.price for one in self._standing())

    @property
    def price(self) -> int:
        """What all of it comes to, billed or not."""
        return self.billed + self.unbilled.minor

    def holds(self, line: InvoiceLine, starts_at: datetime) -> bool:
        """Whether a line for a service from ``starts_at`` is part of what was agreed: of a ramp, within its term."""
        if self.starts_at is None or self.ends_at is None:
            return True
        return not line.proration and self.starts_at <= starts_at < self.ends_at

    def put(self, bill: Bill, at: int) -> None:
        """The line at ``at`` of a bill belongs to it."""
        self.slices.append(Slice(bill=bill, at=at))

    def take_over(self) -> None:
        """What was billed before anything was agreed is part of what is agreed."""
        for one in self.slices:
            one.schedule = msgspec.structs.replace(one.schedule, contract=self.name)
            one.bill.agreed[one.at] = max(one.schedule.minor, 0)

    def bill_line(self, own: RevenueSchedule, day: date, *, is_agreed: bool) -> tuple[RevenueSchedule, int]:
        """How a line is earned that is billed on ``day``, where ``own`` is how it would be by itself, and how much of
        it was agreed: so much is not unbilled any more. What is billed beyond that is earned by itself.
        """
        minor = own.minor
        whole = msgspec.structs.replace(own, contract=self.name, by_progress=self.is_project)
        if self.has_ended:
            return cut(msgspec.structs.replace(whole, spans=()), day, remaining_minor=minor, at_once=True), 0
        agreed = min(max(minor, 0), max(self.unbilled.minor, 0)) if is_agreed else 0
        taken, self.unbilled = part_out(self.unbilled, agreed) if agreed else (None, self.unbilled)
        spans = () if taken is None else taken.spans
        if self.is_project:
            undated = minor - sum(span.minor for span in spans)
            return msgspec.structs.replace(whole, spans=spans, undated_minor=undated), agreed
        beyond = tuple(msgspec.structs.replace(span, minor=minor - agreed) for span in own.spans)
        return msgspec.structs.replace(whole, spans=spans + (beyond if minor != agreed else ())), agreed

    def agree(self, day: date, price: int, *, starts_at: datetime, ends_at: datetime) -> None:
        """From ``day`` on all of a ramp comes to ``price``, over this term: what is not earned yet is earned evenly
        over what is left of it. Source: ASC 606-10-25-13(a), each day of a service being distinct.
        """
        self.starts_at, self.ends_at = starts_at, ends_at
        remaining = price - self.billed - earned_before(self.unbilled, day)
        self.unbilled = respread(self.unbilled, day, remaining_minor=remaining, starts_at=starts_at, ends_at=ends_at)
        for one in self._standing():
            left = one.schedule.minor - earned_before(one.schedule, day)
            one.schedule = respread(one.schedule, day, remaining_minor=left, starts_at=starts_at, ends_at=ends_at)

    def price_at(self, price: int) -> None:
        """All of a project comes to ``price``: what is not billed of it is still to be."""
        undated = self.unbilled.undated_minor + price - self.price
        self.unbilled = msgspec.structs.replace(self.unbilled, undated_minor=undated)

    def measure(self, day: date) -> None:
        """By the end of ``day`` as much of a project is earned as its progress says of its price as it is now.

        Of running totals, so that all parts together are what `modify.catch_up` gives of the whole.
        """
        if not self.is_project or self.progress is None:
            return
        price = self.price
        changed_on = day if self.measured_price not in {None, price} else None
        self.measured_price = price
        running = done = 0
        for one in self._standing():
            running += one.price
            upto = catch_up(progress=self.progress, price_minor=running, recognised_minor=0)
            earned = upto - done + one.bill.contra[one.at]
            one.schedule = _stamped(measured(one.schedule, day, earned_minor=earned), changed_on)
            done = upto
        earned = catch_up(progress=self.progress, price_minor=price, recognised_minor=done)
        self.unbilled = _stamped(measured(self.unbilled, day, earned_minor=earned), changed_on)

    def end(self, day: date) -> None:
        """The service stops on ``day``: what was not billed never will be, what was billed has no service left to be
        earned by. Source: ASC 606-10-25-13(a) and 606-10-32-42 to 32-45 (the price is what remains of it).
        """
        self.has_ended = True
        earned = earned_before(self.unbilled, day)
        self.unbilled = cut(self.unbilled, day, remaining_minor=-earned, at_once=True)
        for one in self._standing():
            left = one.schedule.minor - earned_before(one.schedule, day)
            one.schedule = cut(one.schedule, day, remaining_minor=left, at_once=True)

    def void(self, bill: Bill, day: date) -> None:
        """A bill of it is void, and not stopped yet: what was agreed of its lines is to be billed again."""
        for one in self.slices:
            agreed = one.bill.agreed[one.at] if one.bill is bill else 0
            if not agreed or self.has_ended:
                continue
            earned = min(earned_before(one.schedule, day), agreed)
            left = self.unbilled.minor - earned_before(self.unbilled, day) + agreed - earned
            rest = cut(self.unbilled, day, remaining_minor=left)
            at = datetime.combine(day, time(), rest.zone)
            again = () if self.is_project else (Span(starts_at=at, ends_at=at, minor=earned),)
            undated = rest.undated_minor + (earned if self.is_project else 0)
            self.unbilled = msgspec.structs.replace(rest, spans=(*rest.spans, *again), undated_minor=undated)

    def _standing(self) -> Iterator[Slice]:
        return (one for one in self.slices if not one.bill.is_void)


def progress_of(text: str) -> Fraction:
    """A progress as it is told: per cent (``51.2``), or the cost so far by all that is expected (``420000/820000``).

    Source: ASC 606-10-25-31 to 25-37, 606-10-55-20 (a cost-based measure). Raises ValueError for what is none, or not
    between nothing and all.
    """
    done, slash, whole = text.partition("/")
    expected = Fraction(whole) if slash else Fraction(100)
    if expected <= 0 or not 0 <= Fraction(done) <= expected:
        raise ValueError(text)
    return Fraction(done) / expected


def _stamped(schedule: RevenueSchedule, changed_on: date | None) -> RevenueSchedule:
    if changed_on is None or changed_on in schedule.caught_up_on:
        return schedule
    return msgspec.structs.replace(schedule, caught_up_on=(*schedule.caught_up_on, changed_on))
