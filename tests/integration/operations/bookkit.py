"""A company with books, for tests: half a year of bills, what their events come to, and the trial balance of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, select

from accordant.store.engine import Database
from accordant.store.schema import journal_entry, journal_line, posting
from tests.cli.test_books import LEDGER, live_half_a_year
from tests.integration.operations.kit import Installation

__all__ = ["LEDGER", "balances", "entries", "held", "live_half_a_year", "refusing"]


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
