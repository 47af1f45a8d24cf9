"""What is posted on the way is what the whole history would make; in any order, twice, and never half."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from accordant.ledger.balances import trial_balance
from accordant.store.engine import Database
from accordant.store.guard import UnauditedChange
from accordant.store.schema import journal_entry, journal_line, ledger_bill
from accordant.views.books import draft_books
from tests.integration.operations.bookkit import LEDGER, balances, entries, held, live_half_a_year
from tests.integration.operations.kit import Installation, an_installation

BEFORE = date(2031, 1, 1)


def drafted(one: Installation) -> dict[str, int]:
    """The trial balance of the draft, without what a month end recognises."""
    made = draft_books(one.hub.database, one.hub.charter, before_on=BEFORE, now=one.clock())
    assert made.unposted == ()
    posted = [entry for entry in made.entries if entry.cause.rule != "revenue_recognised"]
    return {row.account: row.balance_minor for row in trial_balance(posted) if row.balance_minor}


async def test_what_is_posted_on_the_way_is_what_the_history_would_make(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        found = balances(one.hub.database)
        assert found == drafted(one)
        assert sum(found.values()) == 0
        assert "1200" not in found  # every bill was paid or voided
        rules = {row.rule for row in entries(one.hub.database)}
        assert {"invoice_issued", "payment_applied", "refunded"} <= rules
        assert any(rule.startswith("reverse ") for rule in rules)
        assert held(one.hub.database) == []
        with one.hub.database.read() as connection:
            states = {row.state for row in connection.execute(select(ledger_bill.c.state))}
        assert states == {"settled", "void"}


async def test_any_order_of_arrival_and_every_repeat_come_to_the_same_books(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        said = list(one.events())
        random.Random(4).shuffle(said)
        for start in range(0, len(said), 7):
            one.hub.inbox.accept([one.arrival(event.body()) for event in said[start : start + 7]])
            one.process()
            found = balances(one.hub.database)
            assert sum(found.values()) == 0
        for _ in range(20):
            one.process()
            one.clock.move(seconds=3)
            if await one.hub.reread_round() == 0:
                break
        assert balances(one.hub.database) == drafted(one)
        assert held(one.hub.database) == []


async def test_the_database_itself_keeps_the_journal(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        one.sell(1)
        one.take_in()
        one.process()
        database = one.hub.database
        (first, *_) = entries(database)
        line = {"entry_id": first.id, "legal_entity": "x", "account": "1000", "posted_on": "2027-01-01",
                "currency": "USD", "amount_minor": 1}  # fmt: skip
        lonely = {name: getattr(first, name) for name in journal_entry.c.keys()} | {"id": "jrn_lonely"}  # noqa: SIM118
        for statement, words in (
            (update(journal_entry).values(rule="other"), "append-only"),
            (delete(journal_line), "append-only"),
            (insert(journal_line).values(line=99, **line), "takes no further line"),
            (insert(journal_entry).values(**lonely), "sum to zero"),
        ):
            assert_refused(database, statement, words)
        two = [line | {"entry_id": "jrn_off", "line": at, "amount_minor": minor} for at, minor in ((1, 5), (2, -4))]
        assert_refused(database, insert(journal_entry).values(**lonely | {"id": "jrn_off"}), "sum to zero", lines=two)
        with pytest.raises(UnauditedChange, match="journal"):
            naked(
                database,
                insert(journal_entry).values(**lonely | {"id": "jrn_off"}),
                [two[0] | {"amount_minor": 4}, two[1]],
            )


def assert_refused(database: Database, statement: Executable, words: str, lines: Sequence[dict[str, Any]] = ()) -> None:
    with pytest.raises(DBAPIError, match=words):
        change(database, statement, lines)


def naked(database: Database, statement: Executable, lines: Sequence[dict[str, Any]]) -> None:
    with database.write() as connection:
        connection.execute(insert(journal_line), lines)
        connection.execute(statement)


def change(database: Database, statement: Executable, lines: Sequence[dict[str, Any]]) -> None:
    with database.write_unaudited() as connection:
        if lines:
            connection.execute(insert(journal_line), lines)
        connection.execute(statement)
