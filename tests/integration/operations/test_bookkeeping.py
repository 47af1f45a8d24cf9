"""What is posted on the way is what the whole history would make; in any order, twice, and never half."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from accordant.bootstrap import checked_charter
from accordant.canonical.events import EventType
from accordant.ledger.balances import trial_balance
from accordant.ledger.periods import PeriodState
from accordant.ledger.schedule import earned_before, next_month
from accordant.operations import bookkeeper
from accordant.operations.bookkeeper import PeriodKept
from accordant.store.books import read_schedule
from accordant.store.engine import Database
from accordant.store.guard import UnauditedChange
from accordant.store.ledger_desk import SqlLedgerDesk, unread_of
from accordant.store.schema import (
    business_event,
    journal_entry,
    journal_line,
    ledger_bill,
    recognition,
    revenue_schedule,
)
from accordant.views.books import draft_books
from accordant.views.journal import held_postings
from accordant.views.revenue import rolled_months
from tests.integration.operations.bookkit import (
    LEDGER,
    balances,
    counted_anew,
    counted_on,
    entries,
    held,
    live_half_a_year,
)
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


async def test_a_balance_that_pays_a_bill_closes_it(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        (customer,) = one.sell(1)
        book = one.stripe.account.book
        book.change(book.get("customer", customer), "customer.updated", balance=-2_000)
        one.stripe.advance(32 * 86_400)
        one.take_in()
        one.process()
        (applied,) = [row for row in entries(one.hub.database) if row.rule == "balance_applied"]
        assert applied.bill is not None
        found = balances(one.hub.database)
        assert "1200" not in found
        assert found["2450"] == 2_000
        with one.hub.database.read() as connection:
            assert {row.state for row in connection.execute(select(ledger_bill.c.state))} == {"settled"}
        assert found == drafted(one)


@pytest.mark.parametrize("first", ["charge", "invoice_payment", "all at once"])
async def test_a_charge_that_names_no_bill_gets_it_from_the_event_that_does(
    store_url: str, tmp_path: Path, first: str
) -> None:
    """As accounts of 2025-03-31 and later tell it: no charge names its invoice, in no notice of it."""
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        told = [row for event in one.events() for row in told_since_2025(event.body())]
        parts = [[body for body, kind in told if not kind.startswith(("charge", "invoice_payment", "refund"))]]
        rest = [body for body, kind in told if kind.startswith(first)]
        parts += [rest, [body for body, kind in told if body not in rest and body not in parts[0]]]
        for part in parts if first != "all at once" else [[body for body, _ in told]]:
            one.hub.inbox.accept([one.arrival(body) for body in part])
            one.process()
        while await one.hub.reread_round():
            one.clock.move(seconds=3)
            one.process()
        found = balances(one.hub.database)
        assert held(one.hub.database) == []
        assert not {"1200", "2450"} & found.keys()
        assert found == drafted(one)
        with one.hub.database.read() as connection:
            assert set(connection.execute(select(ledger_bill.c.state)).scalars()) == {"settled", "void"}
        before = len(entries(one.hub.database))
        one.hub.inbox.accept([one.arrival(body) for body, _ in told])
        one.process()
        assert len(entries(one.hub.database)) == before


def told_since_2025(body: bytes) -> list[tuple[bytes, str]]:
    """An event as newer versions tell it, with its type: a charge without its bill, and the event that names it."""
    told = json.loads(body)
    what = told["data"]["object"]
    bill = what.pop("invoice", None) if what["object"] == "charge" else None
    found = [(json.dumps(told).encode(), told["type"])]
    if bill is not None and told["type"] == "charge.succeeded":
        link = {
            "id": f"inpay_{what['id']}", "object": "invoice_payment", "invoice": bill, "currency": what["currency"],
            "amount_paid": what["amount"],
            "payment": {"type": "payment_intent", "payment_intent": what["payment_intent"]},
        }  # fmt: skip
        event = {**told, "id": f"evt_{link['id']}", "type": "invoice_payment.paid", "data": {"object": link}}
        found.append((json.dumps(event).encode(), "invoice_payment.paid"))
    return found


@pytest.mark.parametrize("late", [b'"type":"charge.', b'"type":"price.created"', b'"type":"invoice.'])
async def test_what_is_held_is_posted_by_what_it_waits_for_and_nobody_comes_round(
    store_url: str, tmp_path: Path, late: bytes
) -> None:
    async with an_installation(store_url, tmp_path, more=f"{LEDGER}  products: {{prod_other: even_months}}\n") as one:
        live_half_a_year(one)
        said = [(event, late in event.body().replace(b" ", b"")) for event in one.events()]
        for is_late in (False, True):
            one.hub.inbox.accept([one.arrival(event.body()) for event, was in said if was is is_late])
            one.process()
            while is_late and await one.hub.reread_round():
                one.clock.move(seconds=3)
                one.process()
            # What waits stands under whatever was known of it then: the account, or only its name at the source.
            assert bool(held(one.hub.database)) is not is_late
        assert balances(one.hub.database) == drafted(one)


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


async def test_what_is_unread_is_found_by_its_type_and_not_by_walking_all_events(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        query = unread_of(EventType.INVOICE_ISSUED, "", 10)
        with one.hub.database.read() as connection:
            text = query.compile(connection, compile_kwargs={"literal_binds": True}).string
            plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
        assert "USING INDEX ix_business_event_type" in plan
        assert "SCAN" not in plan


async def test_a_page_of_other_systems_is_not_the_end_of_what_is_unread(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(3)
        one.take_in()
        one.process()
        desk = SqlLedgerDesk(one.hub.database)
        every = [event.id for event, _ in desk.unread(["stripe"], after="", limit=1_000)]
        assert every == sorted(every)
        with one.hub.database.write_unaudited() as connection:
            row = connection.execute(select(business_event).where(business_event.c.id == every[0])).one()
            body = row.body.replace(b'"system":"stripe"', b'"system":"elsewhere"')
            connection.execute(insert(business_event).values(**row._asdict() | {"id": "bev_0", "body": body}))
        after, seen = "", []
        while found := desk.unread(["stripe"], after=after, limit=1):
            after = found[-1][0].id
            seen.append(after)
        assert seen == every
        assert len(desk.unread(["elsewhere"], after="", limit=1)) == 1


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


# -- month ends ------------------------------------------------------------------------------------------------------

COMPANY = "Example GmbH"


def months(one: Installation) -> list[date]:
    """The months in which anything was posted, and the two after them."""
    days = [date.fromisoformat(row.posted_on) for row in entries(one.hub.database)]
    found, month_on = [], min(days).replace(day=1)
    while month_on <= max(days):
        found.append(month_on)
        month_on = next_month(month_on)
    return [*found, month_on, next_month(month_on)]


async def test_month_by_month_the_books_close_and_what_is_deferred_rolls_forward(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        keeper, database = one.hub.bookkeeper, one.hub.database
        closing = 0
        with pytest.raises(PeriodKept, match="not recognised"):
            keeper.close(COMPANY, months(one)[0], by="Ann")
        for month_on in months(one):
            assert keeper.recognise(COMPANY, month_on).refusals == ()
            again = keeper.recognise(COMPANY, month_on)
            assert (again.lines, again.entries) == (0, 0)
            moved = rolled_months(database, legal_entity=COMPANY, months=[month_on])[0].moved
            assert (moved.opening, moved.fx) == (closing, 0)
            closing = moved.closing
            assert closing == remaining(database, next_month(month_on))
            closed = keeper.close(COMPANY, month_on, by="Ann")
            # With the first month everything before it is closed that holds nothing; a later month stands alone.
            before = [one.starts_on for one in keeper.periods(COMPANY) if one.starts_on < month_on]
            assert [period.starts_on for period in closed[:-1]] == (before if month_on == months(one)[0] else [])
            assert closed[-1].starts_on == month_on
            assert {one.state for one in keeper.periods(COMPANY) if one.starts_on <= month_on} == {PeriodState.CLOSED}
        assert closing == 0
        made = draft_books(database, one.hub.charter, before_on=BEFORE, now=one.clock())
        whole = {row.account: row.balance_minor for row in trial_balance(made.entries) if row.balance_minor}
        assert balances(database) == whole
        counted = counted_on(database)
        assert counted == counted_anew(database)
        assert all(counted)
        # A store that was filled before there were sums is counted through once, by the step that brings them.
        step = import_module("accordant.store.migrations.versions.0014_sums_of_the_books")
        with database.write_unaudited() as connection:
            for table, statement in (("period_balance", step.BALANCES), ("recognised_month", step.RECOGNISED)):
                connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608  our own names
                connection.exec_driver_sql(statement)
        assert counted_on(database) == counted


def remaining(database: Database, day: date) -> int:
    """What all schedules booked before a day have still to earn on it."""
    with database.read() as connection:
        rows = [read_schedule(tuple(row)) for row in connection.execute(select(revenue_schedule))]
    return sum(one.schedule.minor - earned_before(one.schedule, day) for one in rows if one.booked_on < day)


class Stopped(Exception):
    """The process died here."""


async def test_a_run_that_dies_anywhere_is_gone_on_with_and_recognises_nothing_twice(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        one.sell(9)
        one.take_in()
        one.process()
        month_on = months(one)[0]
        monkeypatch.setattr(bookkeeper, "_LINES", 2)
        commit, left = one.hub.state.commit, [3]

        def dies(*given: Any, **named: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            commit(*given, **named)

        monkeypatch.setattr(one.hub.state, "commit", dies)
        with pytest.raises(Stopped):
            one.hub.bookkeeper.recognise(COMPANY, month_on)
        monkeypatch.setattr(one.hub.state, "commit", commit)
        partly = sum(1 for row in entries(one.hub.database) if row.rule == "revenue_recognised")
        assert partly == 3
        assert sum(balances(one.hub.database).values()) == 0
        rest = one.hub.bookkeeper.recognise(COMPANY, month_on)
        assert rest.lines == 9 - 6
        earned = balances(one.hub.database)["4000"]
        with one.hub.database.read() as connection:
            rows = connection.execute(select(recognition.c.schedule_id, recognition.c.books_minor)).all()
        assert len({row.schedule_id for row in rows}) == len(rows) == 9
        assert sum(row.books_minor for row in rows) == -earned


async def test_a_closed_month_takes_nothing_and_two_people_open_it(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        one.sell(1)
        said = list(one.events())
        paid = [
            event for event in said if b'"invoice_payment.paid"' in event.body() or b"charge.succeeded" in event.body()
        ]
        assert paid
        late = {id(event) for event in paid}
        one.hub.inbox.accept([one.arrival(event.body()) for event in said if id(event) not in late])
        one.process()
        keeper, (first, *_) = one.hub.bookkeeper, months(one)
        keeper.recognise(COMPANY, first)
        for period in keeper.periods(COMPANY):
            if period.starts_on <= first:
                keeper.close(COMPANY, period.starts_on, by="Ann")
        one.hub.inbox.accept([one.arrival(event.body()) for event in paid])
        one.process()
        (payment,) = (row for row in entries(one.hub.database) if row.rule == "payment_applied")
        assert date.fromisoformat(payment.effective_on).replace(day=1) == first
        assert date.fromisoformat(payment.posted_on) == next_month(first)
        with pytest.raises(PeriodKept, match="closed already"):
            keeper.close(COMPANY, first, by="Bob")
        assert keeper.reopen(COMPANY, first, by="Ann").state is PeriodState.CLOSED
        assert keeper.reopen(COMPANY, first, by="Ann").state is PeriodState.CLOSED
        opened = keeper.reopen(COMPANY, first, by="Bob")
        assert (opened.state, opened.reopened_by) == (PeriodState.OPEN, ("Ann", "Bob"))
        with pytest.raises(PeriodKept, match="is open"):
            keeper.reopen(COMPANY, first, by="Bob")


async def test_a_missing_row_holds_the_event_and_the_charter_that_has_it_posts_it(
    store_url: str, tmp_path: Path
) -> None:
    row = '        - {role: deferred_revenue, account: "2400"}\n'
    async with an_installation(store_url, tmp_path, more=LEDGER.replace(row, "")) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        waiting = held(one.hub.database)
        assert waiting
        count, told = held_postings(one.hub.database, limit=1000)
        assert count == len(told) == len(waiting)
        reasons = {refusal.check for posting in told for refusal in posting.reasons}
        assert reasons == {"ledger_mapping", "source"}
        assert all(refusal.remedy for posting in told for refusal in posting.reasons)
        assert one.hub.bookkeeper.catch_up().posted == 0
        (tmp_path / "charter" / "more.yaml").write_text(LEDGER, encoding="utf-8")
        one.hub.charter = checked_charter(one.settings)
        one.hub.rulebook = one.hub._write_rulebook(one.hub.charter)
        assert one.hub.bookkeeper.catch_up().posted >= len(waiting)
        assert held(one.hub.database) == []
        assert balances(one.hub.database) == drafted(one)


async def test_what_happened_before_there_were_books_is_read_once(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        assert entries(one.hub.database) == []
        (tmp_path / "charter" / "more.yaml").write_text(LEDGER, encoding="utf-8")
        one.hub.charter = checked_charter(one.settings)
        one.hub.rulebook = one.hub._write_rulebook(one.hub.charter)
        assert one.hub.bookkeeper.catch_up().read > 0
        assert balances(one.hub.database) == drafted(one)
        again = one.hub.bookkeeper.catch_up()
        assert (again.read, again.told, again.posted) == (0, 0, 0)
