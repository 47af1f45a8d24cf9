"""The books added up: what goes in comes out, on every report, to the minor unit; and two strangers agree."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.ledger import patterns
from accordant.ledger.balances import (
    OpenBill,
    aging,
    remaining_obligation,
    roll_forward,
    subledger,
    trial_balance,
    waterfall,
)
from accordant.ledger.compose import compose
from accordant.ledger.entries import JournalEntry, reverse
from accordant.ledger.export import account_names, beancount, hledger
from accordant.ledger.patterns import Leg, share_of
from accordant.ledger.schedule import RevenueSchedule, straight_line
from accordant.ledger.tables import csv_lines, journal_table
from tests.unit.ledger.books import RECORDED, a_bill, a_chart, a_request, some_books
from tests.unit.ledger.judges import beancount_says, hledger_says, written

DEFERRED = "2400"


def posted(legs: list[Leg], *, on: date, event: str, rule: str) -> JournalEntry:
    source = sum(leg.minor for leg in legs if leg.minor > 0)
    made = compose(a_request(legs, source=source, on=on, event=event, rule=rule), some_books(), recorded_at=RECORDED)
    assert isinstance(made, JournalEntry), made
    return made


def a_year() -> list[JournalEntry]:
    """A bill of 1,200.00, paid; two months earned; 300.00 given back in March; a second bill, voided in April."""
    billed = compose(a_bill(net=120_000, tax=0, on=date(2027, 1, 1)), some_books(), recorded_at=RECORDED)
    assert isinstance(billed, JournalEntry)
    twice = posted(
        patterns.invoice_issued([patterns.BilledLine(product="pro", net_minor=5_000)]),
        on=date(2027, 3, 2), event="bev_void", rule="invoice_issued",
    )  # fmt: skip
    return [
        billed,
        posted(patterns.payment_applied(120_000, open_minor=120_000, processor="cards"),
               on=date(2027, 1, 2), event="bev_paid", rule="payment_applied"),
        posted(patterns.revenue_recognised(10_000, deferred=120_000),
               on=date(2027, 1, 31), event="jan", rule="revenue_recognised"),
        posted(patterns.revenue_recognised(10_000, deferred=110_000),
               on=date(2027, 2, 28), event="feb", rule="revenue_recognised"),
        posted(patterns.refunded(share_of(30_000, recognised=20_000, deferred=100_000), processor="cards"),
               on=date(2027, 3, 1), event="bev_refund", rule="refunded"),
        twice,
        reverse(twice, posted_on=date(2027, 4, 1), event="bev_voided", text="Voided", recorded_at=RECORDED),
    ]  # fmt: skip


def test_a_trial_balance_is_zero_and_its_rows_are_the_postings() -> None:
    rows = trial_balance(a_year())
    assert sum(row.balance_minor for row in rows) == 0
    by_code = {row.account: row.balance_minor for row in rows}
    assert by_code == {"1090": 90_000, "1200": 0, "2400": -75_000, "4000": -20_000, "4900": 5_000}
    assert {row.account: row.balance_minor for row in trial_balance(a_year(), before_on=date(2027, 1, 31))}[
        "2400"
    ] == -120_000


def test_the_subledger_is_the_account() -> None:
    entries = a_year()[:1]
    assert subledger(entries, "1200") == {"acc_1": 120_000}
    assert subledger(a_year(), "1200") == {}
    assert sum(subledger(a_year(), DEFERRED).values()) == -75_000


def test_deferred_revenue_rolls_forward_to_the_unit() -> None:
    entries = a_year()
    quarter = roll_forward(entries, account=DEFERRED, first_on=date(2027, 1, 1), after_on=date(2027, 4, 1))
    assert (quarter.opening, quarter.billings, quarter.recognised, quarter.credits) == (0, 125_000, 20_000, 25_000)
    assert quarter.closing == 80_000
    april = roll_forward(entries, account=DEFERRED, first_on=date(2027, 4, 1), after_on=date(2027, 5, 1))
    assert (april.opening, april.billings, april.closing, april.fx) == (80_000, -5_000, 75_000, 0)


def schedule(minor: int, first: date, after: date) -> RevenueSchedule:
    at = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, after)]
    return straight_line(line="x", currency="USD", minor=minor, starts_at=at[0], ends_at=at[1])


def test_booked_is_recognised_and_remaining_in_every_row_of_the_waterfall() -> None:
    booked = [
        (date(2027, 1, 1), schedule(36_500, date(2027, 1, 1), date(2028, 1, 1))),
        (date(2027, 1, 20), schedule(3_100, date(2027, 1, 1), date(2027, 2, 1))),
        (date(2027, 2, 1), schedule(2_800, date(2027, 2, 1), date(2027, 3, 1))),
    ]
    rows = waterfall(booked, as_of_on=date(2027, 2, 1))
    assert [(row.booked_month_on, row.booked, row.recognised_so_far, row.remaining) for row in rows] == [
        (date(2027, 1, 1), 39_600, 6_200, 33_400),
        (date(2027, 2, 1), 2_800, 0, 2_800),
    ]
    assert all(sum(row.recognised.values()) == row.booked for row in rows)
    assert remaining_obligation([one for _, one in booked], as_of_on=date(2027, 2, 1)) == 36_200


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(-3, "current"), (0, "current"), (1, "1-30"), (30, "1-30"), (31, "31-60"), (90, "61-90"), (91, "over 90")],
)
def test_bills_age_by_their_due_date(days: int, bucket: str) -> None:
    today = date(2027, 6, 30)
    due = date.fromordinal(today.toordinal() - days)
    sums = aging(
        [OpenBill(party="a", bill="b", open_minor=700, issued_on=date(2027, 1, 1), due_on=due)], as_of_on=today
    )
    assert {name: minor for name, minor in sums.items() if minor} == {bucket: 700}
    assert list(sums) == ["current", "1-30", "31-60", "61-90", "over 90"]


_EVENTS = st.lists(
    st.tuples(st.sampled_from(["bill", "pay", "earn", "refund"]), st.integers(1, 10**7)), min_size=1, max_size=30
)


@given(_EVENTS)
@settings(max_examples=60)
def test_no_sequence_of_events_unbalances_the_books(events: list[tuple[str, int]]) -> None:
    """The trial balance is zero after every entry; deferred plus earned is what was billed less what was given back."""
    entries: list[JournalEntry] = []
    billed = earned = open_minor = given_back = 0
    for number, (what, amount) in enumerate(events):
        deferred = billed - earned - given_back
        if what == "bill":
            billed, open_minor = billed + amount, open_minor + amount
            legs = patterns.invoice_issued([patterns.BilledLine(product=None, net_minor=amount)])
        elif what == "pay":
            legs = patterns.payment_applied(amount, open_minor=open_minor)
            open_minor -= min(open_minor, amount)
        elif what == "earn":
            part = min(amount, deferred)
            earned += part
            legs = patterns.revenue_recognised(part, deferred=deferred)
        else:
            part = min(amount, deferred)
            given_back += part
            legs = patterns.refunded(share_of(part, recognised=0, deferred=deferred)) if part else []
        if any(leg.minor for leg in legs):
            entries.append(posted(legs, on=date(2027, 1, 1), event=f"bev_{number}", rule="invoice_issued"))
        assert sum(row.balance_minor for row in trial_balance(entries)) == 0
    balance = {row.account: row.balance_minor for row in trial_balance(entries)}
    assert -balance.get(DEFERRED, 0) == billed - earned - given_back
    assert balance.get("1200", 0) == open_minor


def test_beancount_and_hledger_accept_the_export_and_have_the_same_balances(tmp_path: Path) -> None:
    names = account_names([a_chart()])
    ours = {
        (names[row.legal_entity, row.account], "USD"): Decimal(row.balance_minor) / 100
        for row in trial_balance(a_year())
        if row.balance_minor
    }
    lines = list(beancount(a_year(), [a_chart()], opened_on=date(2027, 1, 1)))
    assert beancount_says(written(tmp_path / "books.beancount", lines)) == (ours, {})
    assert hledger_says(written(tmp_path / "books.journal", list(hledger(a_year(), [a_chart()])))) == ours


def test_the_table_for_a_spreadsheet_sums_to_zero_and_runs_nothing() -> None:
    rows = list(csv.DictReader(csv_lines(journal_table(a_year()))))
    amounts = [Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0) for row in rows]
    assert sum(amounts) == 0
    assert len(rows) == sum(len(one.postings) for one in a_year())
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())
