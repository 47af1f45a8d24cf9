"""A contract of a year, billed by the month, with usage above it: from Stripe's events to the journal and the MRR."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from accordant.ledger.schedule import next_month
from accordant.store.books import read_schedule
from accordant.store.schema import journal_entry, journal_line, ledger_bill, revenue_schedule
from accordant.views.revenue import rolled_months
from tests.integration.operations.bookkit import LEDGER, balances, held
from tests.integration.operations.kit import MRR, Installation, an_installation
from tests.integration.operations.test_bookkeeping import drafted

COMPANY = "Example GmbH"
FEE, UNIT, DAY_S = 10_000, 5, 86_400
#: Units used in each month of the year, above what the fee holds.
USED = (100, 0, 250, 40, 1, 0, 0, 3_000, 75, 20, 10, 60)
JANUARY = date(2024, 1, 1)
MONTHS = [date(2024, month, 1) for month in range(1, 13)]


def sign(one: Installation) -> Any:
    """The contract: a fee each month, and so much for each unit that is used."""
    account = one.stripe.account
    fee = account.create_product({"name": "Platform", "metadata": {}})
    calls = account.create_product({"name": "Calls", "metadata": {}})
    prices = [
        account.create_price(fee, currency="usd", unit_amount=FEE, interval="month"),
        account.create_price(
            calls, currency="usd", unit_amount=UNIT, interval="month", given={"usage_type": "metered"}
        ),
    ]
    person = {"name": "EXAMPLE-1", "email": "billing@example.com", "metadata": {}}
    customer = account.create_customer(person, card=True)
    return account.billing.subscribe(customer, [(price, 1) for price in prices])


def use(one: Installation, subscription: Any, month_on: date) -> None:
    """What is used in a month is reported in two parts, and the month passes; with the last one the contract ends."""
    billing, book = one.stripe.account.billing, one.stripe.account.book
    metered = subscription["items"]["data"][1]
    used = USED[month_on.month - 1]
    one.stripe.advance(5 * DAY_S)
    billing.usage.record(metered, quantity=used // 3)
    one.stripe.advance(9 * DAY_S)
    billing.usage.record(metered, quantity=used - used // 3)
    if month_on.month == 12:
        billing.update(subscription, fields={"cancel_at_period_end": True})
    after = datetime.combine(next_month(month_on), datetime.min.time(), UTC)
    one.stripe.advance_to(int(after.timestamp()) + 12 * 3_600)
    one.clock.at = datetime.fromtimestamp(book.now, UTC)


def revenue(one: Installation) -> dict[date, int]:
    """What was earned, by the month it was posted in."""
    lines = select(journal_line.c.posted_on, journal_line.c.amount_minor).where(journal_line.c.account == "4000")
    found: Counter[date] = Counter()
    with one.hub.database.read() as connection:
        for posted_on, minor in connection.execute(lines):
            found[date.fromisoformat(posted_on).replace(day=1)] -= int(minor)
    return dict(found)


@pytest.mark.parametrize("late", [None, 3])
async def test_a_year_of_it_is_earned_month_by_month_as_it_is_used(
    store_url: str, tmp_path: Path, late: int | None
) -> None:
    """``late``: what is said after the end of this month comes only once it is closed."""
    accounts = LEDGER.replace(
        '        "2200":', '        "1250": {name: Contract assets, type: asset}\n        "2200":'
    ).replace("      rules:\n", '      rules:\n        - {role: contract_asset, account: "1250"}\n')
    async with an_installation(store_url, tmp_path, more=accounts) as one:
        subscription, keeper = sign(one), one.hub.bookkeeper
        for month_on in MONTHS:
            await one.settle()
            if month_on.month < 12:
                # What is used is in no committed revenue: the fee is, until the contract ends.
                assert one.salesforce.record("Account", subscription["customer"])[MRR] == FEE / 100
            use(one, subscription, month_on)
            if month_on.month != late:
                await one.settle()
            if month_on == JANUARY:
                for period in keeper.periods(COMPANY):
                    if period.starts_on < month_on:
                        keeper.close(COMPANY, period.starts_on, by="Ann")
            for _ in range(2):  # a second run recognises nothing more
                assert keeper.recognise(COMPANY, month_on).refusals == ()
            keeper.close(COMPANY, month_on, by="Ann")
        await one.settle()
        assert held(one.hub.database) == []
        by_use = {month_on: FEE + UNIT * used for month_on, used in zip(MONTHS, USED, strict=True)}
        if late is not None:
            # The month was closed without its use: that is in the next one, where its bill is.
            missed = UNIT * USED[late - 1]
            by_use[MONTHS[late - 1]] -= missed
            by_use[MONTHS[late]] += missed
        assert revenue(one) == by_use
        found = balances(one.hub.database)
        assert found == {"1090": sum(by_use.values()), "4000": -sum(by_use.values())}
        months = [*MONTHS, next_month(MONTHS[-1])]
        moved = [month.moved for month in rolled_months(one.hub.database, legal_entity=COMPANY, months=months)]
        assert [(row.fx, row.closing) for row in moved if row.fx or row.closing] == []
        billed = [FEE, *(FEE + UNIT * used for used in USED[:11]), UNIT * USED[11]]
        assert [row.billings for row in moved] == billed
        assert one.salesforce.record("Account", subscription["customer"])[MRR] == 0


async def test_any_order_of_arrival_comes_to_the_same_books(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        subscription = sign(one)
        for month_on in MONTHS[:4]:
            use(one, subscription, month_on)
        said = list(one.events())
        random.Random(5).shuffle(said)
        # What the prices are is told last of all, which is when it is known what was used.
        said.sort(key=lambda event: event.type.startswith("price."))
        for start in range(0, len(said), 5):
            one.hub.inbox.accept([one.arrival(event.body()) for event in said[start : start + 5]])
            one.process()
        for _ in range(20):
            one.process()
            one.clock.move(seconds=3)
            if await one.hub.reread_round() == 0:
                break
        assert held(one.hub.database) == []
        assert balances(one.hub.database) == drafted(one)
        with one.hub.database.read() as connection:
            totals = sorted(connection.execute(select(ledger_bill.c.total_minor)).scalars())
            rules = set(connection.execute(select(journal_entry.c.rule)).scalars())
            schedules = [read_schedule(tuple(row)) for row in connection.execute(select(revenue_schedule))]
        assert totals == sorted([FEE, *(FEE + UNIT * used for used in USED[:4])])
        assert rules == {"invoice_issued", "payment_applied"}
        used = [row for row in schedules if row.schedule.minor != FEE]
        assert {row.next_on for row in used} == {MONTHS[0], MONTHS[2], MONTHS[3]}
