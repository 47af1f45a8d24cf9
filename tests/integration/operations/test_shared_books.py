"""One payment over several bills, from Stripe's events to the books: each bill gets its share, in any order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from accordant.connectors.stripe import simulator_shapes
from accordant.connectors.stripe.simulator_versions import CURRENT
from accordant.store.schema import journal_entry, journal_line, ledger_bill, posting
from tests.integration.operations.bookkit import LEDGER, balances, entries, held
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_bookkeeping import drafted

TOTALS = (6_000, 4_000, 2_500)


def live(one: Installation) -> list[str]:
    """A customer with three bills that one payment pays; a third of it goes back, then the rest is disputed and won."""
    account = one.stripe.account
    person = {"name": "EXAMPLE-1", "email": "billing@example.com", "metadata": {}}
    customer = account.create_customer(person, card=True)
    bills = [a_bill(one, customer, total) for total in TOTALS]
    one.stripe.advance(3_600)
    charge = account.together.pay(bills)
    one.stripe.advance(86_400)
    account.payments.refund(charge, amount=4_167, given={})
    one.stripe.advance(86_400)
    dispute = account.payments.open_dispute(charge)
    one.stripe.advance(86_400)
    account.payments.close_dispute(dispute, won=True)
    one.clock.move(days=30)
    return [str(bill["id"]) for bill in bills]


def a_bill(one: Installation, customer: Any, minor: int) -> Any:
    """One for something sold once, sent to the customer."""
    account = one.stripe.account
    line = simulator_shapes.line_item(
        account.book.new_id("il"), amount=minor, currency="usd", description="Work", start=account.book.now,
        end=account.book.now, price_record=None, quantity=1,
    )  # fmt: skip
    bill = account.invoices.draft(
        customer, currency="usd", lines=[line], billing_reason="manual", collection_method="send_invoice"
    )
    account.book.say("invoice.created", bill)
    return account.invoices.finalize(bill)


async def come_to_rest(one: Installation) -> None:
    for _ in range(20):
        one.process()
        one.clock.move(seconds=3)
        if await one.hub.reread_round() == 0:
            return


def of_bill(one: Installation, rule: str) -> dict[int, int]:
    """What an event's entries took from or brought to the processor's account, by the total of the bill."""
    database = one.hub.database
    with database.read() as connection:
        totals = {row.ref: row.total_minor for row in connection.execute(select(ledger_bill))}
        lines = connection.execute(
            select(journal_entry.c.bill, journal_line.c.amount_minor)
            .join(journal_line, journal_line.c.entry_id == journal_entry.c.id)
            .where(journal_entry.c.rule == rule, journal_line.c.account == "1090")
        ).all()
        undone = connection.execute(select(journal_entry.c.id).where(journal_entry.c.reverses.is_not(None))).all()
    assert not undone
    return {totals[row.bill]: row.amount_minor for row in lines}


async def test_each_bill_gets_its_share_and_gives_back_its_share(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        live(one)
        one.take_in()
        await come_to_rest(one)
        assert held(one.hub.database) == []
        with one.hub.database.read() as connection:
            states = dict(connection.execute(select(ledger_bill.c.total_minor, ledger_bill.c.state)).all())
        assert states == dict.fromkeys(TOTALS, "settled")
        # A third of 125.00 is 41.67: of 60.00, 40.00 and 25.00 it is 20.00, 13.34 and 8.33, the rest of it disputed.
        assert of_bill(one, "refunded") == {6_000: -2_000, 4_000: -1_334, 2_500: -833}
        disputed = {6_000: -4_000, 4_000: -2_666, 2_500: -1_667}
        assert of_bill(one, "dispute_opened") == disputed
        assert of_bill(one, "dispute_won") == {total: -minor for total, minor in disputed.items()}
        found = balances(one.hub.database)
        assert not {"1200", "2450"} & found.keys()
        assert found["1090"] == sum(TOTALS) - 4_167
        assert found == drafted(one)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_arrival_comes_to_the_same_books(store_url: str, tmp_path: Path, seed: int) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        live(one)
        said = list(one.events())
        random.Random(seed).shuffle(said)
        for start in range(0, len(said), 3):
            one.hub.inbox.accept([one.arrival(event.body()) for event in said[start : start + 3]])
            await come_to_rest(one)
            assert balances(one.hub.database).get("1200", 0) >= 0
        one.hub.bookkeeper.catch_up()
        assert held(one.hub.database) == []
        assert balances(one.hub.database) == drafted(one)
        before = len(entries(one.hub.database))
        one.hub.inbox.accept([one.arrival(event.body()) for event in said])
        await come_to_rest(one)
        assert len(entries(one.hub.database)) == before


async def test_a_bill_that_is_void_after_it_was_paid_leaves_the_money_to_the_customer(
    store_url: str, tmp_path: Path
) -> None:
    """Stripe voids no bill with payments; what it was told by others, or long ago, may."""
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        names = live(one)
        one.take_in()
        await come_to_rest(one)
        bill = one.stripe.account.book.get("invoice", names[1])
        one.stripe.account.book.say("invoice.voided", {**bill, "status": "void"})
        one.take_in()
        await come_to_rest(one)
        found = balances(one.hub.database)
        # Of its 40.00 a third went back: 13.34.
        assert found["2450"] == -(4_000 - 1_334)
        assert "1200" not in found
        assert found == drafted(one)
        with one.hub.database.read() as connection:
            states = dict(connection.execute(select(ledger_bill.c.total_minor, ledger_bill.c.state)).all())
            parts = connection.execute(select(posting.c.event).where(posting.c.event.contains("/"))).all()
        assert states == {6_000: "settled", 4_000: "void", 2_500: "settled"}
        assert len(parts) == 2 * 3
