"""The sums of the months are those of the lines: whoever posts at once, in any month, also what cancels an entry."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from sqlalchemy import func, select, update

from accordant.canonical.books import Role
from accordant.kernel.money import Money, round_half_up
from accordant.ledger.entries import Cause, JournalEntry, Posting, entry, reverse
from accordant.ports.books import BookChanges, KeptEntry, KeptRecognition
from accordant.store import book_sums, bulk
from accordant.store.books import commit_books
from accordant.store.engine import Database
from accordant.store.guard import UnauditedChange
from accordant.store.schema import period_balance, revenue_schedule
from accordant.views.journal import trial_balance
from accordant.views.revenue import booked_months, rolled_months
from tests.integration.operations.bookkit import counted_anew, counted_on
from tests.integration.store.rows import race

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COMPANY = "Example GmbH"
WRITERS, ROUNDS = 6, 12


def a_bill(name: str, *, posted_on: date, minor: int = 100) -> JournalEntry:
    return entry(
        legal_entity=COMPANY,
        posted_on=posted_on,
        effective_on=posted_on,
        cause=Cause(event=name, subject=f"billing:invoice/{name}", rule="invoice_issued"),
        text="Bill",
        postings=(
            Posting(account="1200", amount=Money(minor, "EUR"), role=Role.RECEIVABLE),
            Posting(account="2400", amount=Money(-minor, "EUR"), role=Role.DEFERRED_REVENUE),
        ),
        recorded_at=NOW,
    )


def keep(database: Database, *entries: JournalEntry) -> None:
    kept = [KeptEntry(entry=one, root_id="acc_1", bill=None, charter="v1", cause=1) for one in entries]
    with database.write_unaudited() as connection:
        commit_books(connection, BookChanges(entries=kept), now=NOW)


def cancelled(one: JournalEntry, *, posted_on: date) -> JournalEntry:
    return reverse(one, posted_on=posted_on, event=f"void_{one.id}", text="Void", recorded_at=NOW)


def test_writers_that_post_the_same_accounts_run_lose_nothing(database: Database) -> None:
    def post(writer: int) -> None:
        dice = random.Random(writer)
        for at in range(ROUNDS):
            day = date(2026, 1 + dice.randrange(5), 1 + dice.randrange(28))
            keep(database, *(a_bill(f"in_{writer}_{at}_{n}", posted_on=day, minor=1 + n) for n in range(3)))

    assert race(WRITERS, post) == [None] * WRITERS
    assert counted_on(database) == counted_anew(database)
    (receivable, deferred) = trial_balance(database)
    assert receivable.balance_minor == -deferred.balance_minor == WRITERS * ROUNDS * 6


def test_what_cancels_an_entry_counts_where_that_did(database: Database) -> None:
    first, second = (a_bill(name, posted_on=date(2026, 1, 31)) for name in ("in_1", "in_2"))
    keep(database, first, second, cancelled(second, posted_on=date(2026, 1, 31)))
    keep(database, cancelled(first, posted_on=date(2026, 2, 10)))
    assert counted_on(database) == counted_anew(database)
    january, february = rolled_months(database, legal_entity=COMPANY, months=[date(2026, 1, 1), date(2026, 2, 1)])
    assert (january.moved.opening, january.moved.billings, january.closing) == (0, 100, 100)
    assert (february.moved.opening, february.moved.billings, february.moved.fx, february.closing) == (100, -100, 0, 0)


@pytest.mark.parametrize("day", [date(2026, 1, 1), date(2026, 1, 11), date(2026, 2, 1), date(2026, 2, 28), None])
def test_a_trial_balance_ends_on_any_day(database: Database, day: date | None) -> None:
    entries = [
        a_bill(f"in_{at}", posted_on=date(2026, 1, 1) + timedelta(days=at), minor=10**at) for at in (0, 9, 10, 15)
    ]
    keep(database, *entries, a_bill("later", posted_on=date(2026, 3, 1), minor=7))
    whole = sum(one.total_minor for one in entries if day is None or one.posted_on < day) + (7 if day is None else 0)
    found = {row.account: row.debit_minor - row.credit_minor for row in trial_balance(database, before_on=day)}
    assert found == ({"1200": whole, "2400": -whole} if whole else {})
    assert found == {
        row.account: row.balance_minor for row in trial_balance(database, legal_entity=COMPANY, before_on=day)
    }
    assert trial_balance(database, legal_entity="Nobody", before_on=day) == ()


def test_what_was_recognised_is_told_by_the_month_it_was_billed_in(database: Database) -> None:
    with database.write_unaudited() as connection:
        earned = [
            KeptRecognition(
                schedule_id=f"il_{at}", legal_entity=COMPANY, booked_on=date(2026, 1 + at % 2, 5), version=2,
                month_on=date(2026, 3, 1), minor=10, books_minor=at, entry_id="jrn_1",
            )
            for at in range(4)
        ]  # fmt: skip
        for part in (earned[:2], earned[2:]):
            book_sums.count_on(connection, BookChanges(recognitions=part))
    plan(database, [(500, 500, 500), (700, 700, 700)])
    (january,) = booked_months(database, legal_entity=COMPANY)
    assert (january.booked, january.recognised, january.remaining) == (1_200, {"2026-03": 0 + 2}, 1_198)


def plan(database: Database, amounts: list[tuple[int, int, int]]) -> None:
    """Schedules of January, by what is left to earn of them, what was billed, and what that is in the books."""
    one: dict[str, object] = {
        "version": 1, "legal_entity": COMPANY, "bill": "billing:invoice/in_1", "currency": "USD",
        "books_currency": "EUR", "booked_on": "2026-01-01", "starts_on": "2026-01-01", "ends_on": "2027-01-01",
        "grain": "day", "zone": "UTC", "spans": b"[]", "recognised_minor": 0, "recognised_books_minor": 0,
        "next_on": "2026-01-01", "updated_at": 1,
    }  # fmt: skip
    columns = (*one, "id", "minor", "billed_minor", "booked_minor")
    rows = [(*one.values(), f"billing:il_{at}", *row) for at, row in enumerate(amounts)]
    with database.write_unaudited() as connection:
        bulk.insert(connection, revenue_schedule, columns, rows)


def test_what_is_billed_abroad_is_told_as_it_is_deferred_to_the_minor_unit(database: Database) -> None:
    dice, amounts = random.Random(4), []
    for _ in range(300):
        billed = dice.choice((-1, 1)) * dice.randint(1, 10**9)
        booked = billed * dice.randint(1, 200) // 100 or billed
        amounts.append((billed * dice.randint(0, 100) // 100, billed, booked))
    amounts += [(1, 2, 1), (-1, -2, -1), (3, 2, 1), (0, 7, 5)]  # halves, away from zero
    plan(database, amounts)
    told = [
        minor if billed == booked else round_half_up(Fraction(minor * booked, billed))
        for minor, billed, booked in amounts
    ]
    (january,) = booked_months(database, legal_entity=COMPANY)
    assert january.booked == sum(told)


def test_a_sum_changes_with_an_entry_of_the_same_transaction_and_never_without(database: Database) -> None:
    keep(database, a_bill("in_1", posted_on=date(2026, 1, 1)))
    with pytest.raises(UnauditedChange), database.write() as connection:
        connection.execute(update(period_balance).values(debit_minor=period_balance.c.debit_minor + 1))
    with database.read() as connection:
        assert connection.execute(select(func.sum(period_balance.c.debit_minor))).scalar_one() == 100
