"""Deferred revenue month by month, as it is kept: how it rolled forward, and the triangle of billed by recognised.

Minor units of the currency of the books, which is the legal entity's own.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec
from sqlalchemy import BigInteger, ColumnElement, case, func, select

from accordant.canonical.books import Role
from accordant.ledger.balances import RollForward, column_of
from accordant.store.engine import Database
from accordant.store.schema import period_balance, recognised_month, revenue_schedule


class RolledMonth(msgspec.Struct, frozen=True, kw_only=True):
    """How deferred revenue moved in one month; ``closing`` is what the ledger holds at its end."""

    month_on: date
    moved: RollForward
    closing: int


class BookedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """What was billed in one month, as it stands after credits and refunds: by the month it was recognised in, and what
    remains. What was agreed and is on no bill yet counts in the month it was agreed in.
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


#: The columns of a roll-forward between opening and closing.
_COLUMNS = ("billings", "recognised", "credits", "write_offs", "fx")


def last_months(today: date, count: int) -> list[date]:
    """First days of the last ``count`` months, the one of ``today`` last."""
    found = [today.replace(day=1)]
    while len(found) < count:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def rolled_months(database: Database, *, legal_entity: str, months: Sequence[date]) -> tuple[RolledMonth, ...]:
    """Each month by itself; ``months`` are first days, in order. Every closing is the next month's opening.

    Every posting of the role is in one column. A reversal counts in the column of what it cancels, with the other sign;
    what no rule explains is ``fx``.
    """
    sums = period_balance.c
    query = (
        select(sums.month, sums.rule, func.sum(sums.credit_minor - sums.debit_minor).label("minor"))
        .where(sums.legal_entity == legal_entity, sums.role == Role.DEFERRED_REVENUE.value)
        .group_by(sums.month, sums.rule)
    )
    level, columns = 0, {f"{month_on:%Y-%m}": dict.fromkeys(_COLUMNS, 0) for month_on in months}
    first = min(columns, default="")
    with database.read() as connection:
        for row in connection.execute(query):
            if row.month in columns:
                column = column_of(row.rule)
                columns[row.month][column] += int(row.minor) if column in {"billings", "fx"} else -int(row.minor)
            elif row.month < first:
                level += int(row.minor)
    found = []
    for month_on in months:
        moved = RollForward(opening=level, **columns[f"{month_on:%Y-%m}"])
        level = moved.closing
        found.append(RolledMonth(month_on=month_on, moved=moved, closing=level))
    return tuple(found)


def booked_months(database: Database, *, legal_entity: str) -> tuple[BookedMonth, ...]:
    """The triangle: a row for each month in which anything was billed, or agreed."""
    schedule, earned_in = revenue_schedule.c, recognised_month.c
    month = func.substr(schedule.booked_on, 1, 7)
    booked = (
        select(month.label("month"), func.sum(_in_books()).label("minor"))
        .where(schedule.legal_entity == legal_entity)
        .group_by(month)
        .order_by(month)
    )
    earned = (
        select(earned_in.booked_month.label("month"), earned_in.month.label("month_on"),
               func.sum(earned_in.books_minor).label("minor"))
        .where(earned_in.legal_entity == legal_entity)
        .group_by(earned_in.booked_month, earned_in.month)
    )  # fmt: skip
    rows: dict[str, dict[str, int]] = {}
    with database.read() as connection:
        sums = {row.month: int(row.minor) for row in connection.execute(booked)}
        for row in connection.execute(earned):
            rows.setdefault(row.month, {})[row.month_on] = int(row.minor)
    return tuple(
        BookedMonth(booked_month_on=date.fromisoformat(f"{name}-01"), booked=minor, recognised=rows.get(name, {}))
        for name, minor in sums.items()
    )


def _nearest(product: ColumnElement[int], by: ColumnElement[int]) -> ColumnElement[int]:
    """``product / by`` to the nearest integer, halves away from zero, as `kernel.money.round_half_up` has it."""
    size = func.abs(by, type_=BigInteger)
    nearest = (2 * func.abs(product, type_=BigInteger) + size) // (2 * size)
    return case(((product < 0) == (by < 0), nearest), else_=-nearest)


def agreed_not_billed(database: Database, *, legal_entity: str) -> int:
    """What contracts have agreed and no bill has asked for yet: part of what remains to be earned, of no account."""
    schedule = revenue_schedule.c
    query = select(func.coalesce(func.sum(_in_books()), 0))
    with database.read() as connection:
        query = query.where(schedule.legal_entity == legal_entity, schedule.bill == schedule.contract)
        return int(connection.execute(query).scalar_one())


def _in_books() -> ColumnElement[int]:
    """As `ledger.schedule.in_books`: half a minor unit is rounded up, and what was not cut is what was booked."""
    schedule = revenue_schedule.c
    product: ColumnElement[int] = schedule.minor * schedule.booked_minor
    return case(
        (schedule.billed_minor == schedule.booked_minor, schedule.minor),
        (schedule.minor == schedule.billed_minor, schedule.booked_minor),
        else_=_nearest(product, schedule.billed_minor),
    )
