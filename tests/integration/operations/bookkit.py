"""A company with books, for tests: half a year of bills, what their events come to, and the trial balance of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import case, func, select

from accordant.store.engine import Database
from accordant.store.schema import (
    journal_entry,
    journal_line,
    period_balance,
    posting,
    recognised_month,
    recognition,
    revenue_schedule,
)
from tests.cli.test_books import LEDGER, live_half_a_year
from tests.integration.operations.kit import Installation

__all__ = ["LEDGER", "balances", "counted_anew", "counted_on", "entries", "held", "live_half_a_year", "refusing"]


def balances(database: Database) -> dict[str, int]:
    """Account -> debits less credits, in minor units; accounts at zero are left out."""
    query = select(journal_line.c.account, func.sum(journal_line.c.amount_minor)).group_by(journal_line.c.account)
    with database.read() as connection:
        return {account: int(minor) for account, minor in connection.execute(query) if minor}


def entries(database: Database) -> list[Any]:
    """Every entry, in the order of its rule and event."""
    with database.read() as connection:
        return list(connection.execute(select(journal_entry).order_by(journal_entry.c.rule, journal_entry.c.event)))


def held(database: Database) -> list[Any]:
    """What is held."""
    with database.read() as connection:
        return list(connection.execute(select(posting).where(posting.c.state == "held").order_by(posting.c.event)))


Sums = list[tuple[Any, ...]]


def counted_on(database: Database) -> tuple[Sums, Sums]:
    """The sums of the months as each commit counted them on: debits and credits, and what was recognised of what."""
    balance, earned = period_balance.c, recognised_month.c
    keys = (balance.legal_entity, balance.month, balance.account, balance.currency, balance.role, balance.rule)
    months = (earned.legal_entity, earned.booked_month, earned.month)
    return _rows(
        database,
        select(*keys, func.sum(balance.debit_minor), func.sum(balance.credit_minor)).group_by(*keys),
        select(*months, func.sum(earned.books_minor)).group_by(*months),
    )


def counted_anew(database: Database) -> tuple[Sums, Sums]:
    """The same sums, added up from every line and every recognition there is."""
    line, minor, original = journal_line.c, journal_line.c.amount_minor, journal_entry.alias()
    rule = func.coalesce(original.c.rule, journal_entry.c.rule)
    role = func.coalesce(line.role, "")
    keys = (line.legal_entity, func.substr(line.posted_on, 1, 7), line.account, line.currency, role, rule)
    debit, credit = (func.sum(case((side > 0, side), else_=0)) for side in (minor, -minor))
    plan, earned = revenue_schedule.c, recognition.c
    months = (plan.legal_entity, func.substr(plan.booked_on, 1, 7), func.substr(earned.month_on, 1, 7))
    return _rows(
        database,
        select(*keys, debit, credit)
        .join(journal_entry, journal_entry.c.id == line.entry_id)
        .outerjoin(original, original.c.id == journal_entry.c.reverses)
        .group_by(*keys),
        select(*months, func.sum(earned.books_minor))
        .join(recognition, earned.schedule_id == plan.id)
        .group_by(*months),
    )


def _rows(database: Database, *queries: Any) -> tuple[Sums, Sums]:
    with database.read() as connection:
        first, second = (sorted(tuple(row) for row in connection.execute(query)) for query in queries)
    return first, second


@contextmanager
def refusing(one: Installation, **parts: Any) -> Iterator[None]:
    """The charter's ledger with other parts for a while."""
    import msgspec

    before = one.hub.rulebook
    assert before.ledger is not None
    part = msgspec.structs.replace(before.ledger.part, **parts)
    one.hub.rulebook = msgspec.structs.replace(before, ledger=msgspec.structs.replace(before.ledger, part=part))
    yield
    one.hub.rulebook = before
