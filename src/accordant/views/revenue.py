"""Deferred revenue month by month, as it is kept: how it rolled forward, and the triangle of billed by recognised.

Minor units of the currency of the books, which is the legal entity's own.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec
from sqlalchemy import BigInteger, case, cast, func, select

from accordant.ledger.balances import RollForward
from accordant.store.engine import Database
from accordant.store.schema import recognition, revenue_schedule
from accordant.views.journal import roll_forward


class RolledMonth(msgspec.Struct, frozen=True, kw_only=True):
    """How deferred revenue moved in one month; ``closing`` is what the ledger holds at its end."""

    month_on: date
    moved: RollForward
    closing: int


class BookedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """What was billed in one month, as it stands after credits and refunds: by the month it was recognised in, and what
    remains.
    """

    booked_month_on: date
    booked: int
    recognised: dict[str, int]

    @property
    def recognised_so_far(self) -> int:
        """All that is recognised of it."""
        return sum(self.recognised.values())

    @property
    def remaining(self) -> int:
        """What is still to be recognised: the remaining performance obligation. Source: ASC 606-10-50-13."""
        return self.booked - self.recognised_so_far


def last_months(today: date, count: int) -> list[date]:
    """First days of the last ``count`` months, the one of ``today`` last."""
    found = [today.replace(day=1)]
    while len(found) < count:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def rolled_months(database: Database, *, legal_entity: str, months: Sequence[date]) -> tuple[RolledMonth, ...]:
    """Each month by itself; ``months`` are first days, in order. Every closing is the next month's opening."""
    found = []
    for month_on in months:
        moved = roll_forward(database, legal_entity=legal_entity, first_on=month_on, after_on=_next(month_on))
        found.append(RolledMonth(month_on=month_on, moved=moved, closing=moved.closing))
    return tuple(found)


def booked_months(database: Database, *, legal_entity: str) -> tuple[BookedMonth, ...]:
    """The triangle: a row for each month in which anything was billed."""
    schedule = revenue_schedule.c
    month = func.substr(schedule.booked_on, 1, 7)
    in_books = case(
        (schedule.billed_minor == schedule.booked_minor, schedule.minor),
        else_=cast(schedule.minor * schedule.booked_minor, BigInteger) / schedule.billed_minor,
    )
    booked = (
        select(month.label("month"), func.sum(in_books).label("minor"))
        .where(schedule.legal_entity == legal_entity)
        .group_by(month)
        .order_by(month)
    )
    earned = (
        select(month.label("month"), recognition.c.month_on, func.sum(recognition.c.books_minor).label("minor"))
        .join(recognition, recognition.c.schedule_id == schedule.id)
        .where(schedule.legal_entity == legal_entity)
        .group_by(month, recognition.c.month_on)
        .order_by(month, recognition.c.month_on)
    )
    rows: dict[str, dict[str, int]] = {}
    with database.read() as connection:
        sums = {row.month: int(row.minor) for row in connection.execute(booked)}
        for row in connection.execute(earned):
            rows.setdefault(row.month, {})[row.month_on[:7]] = int(row.minor)
    return tuple(
        BookedMonth(booked_month_on=date.fromisoformat(f"{name}-01"), booked=minor, recognised=rows.get(name, {}))
        for name, minor in sums.items()
    )


def _next(month_on: date) -> date:
    return date(month_on.year + month_on.month // 12, month_on.month % 12 + 1, 1)
