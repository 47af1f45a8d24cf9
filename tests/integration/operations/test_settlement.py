"""What a payout settled is taken in once; with its fees the processor's account in the books returns to zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.event import listen

from accordant.canonical.entities import Payout
from accordant.operations.settlement import SettlementReport, told_of_settlement
from accordant.store.engine import Database
from accordant.store.schema import business_event, journal_entry
from accordant.views.payouts import payout, payouts
from accordant.web.caretaker import Caretaker
from accordant.web.lookout import Lookout
from tests.integration.operations.bookkit import LEDGER, balances, held
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_caretaker import jobs

DAY = 86_400
_ACCOUNTS = """        "6100": {name: Processing fees, type: expense}
        "6110": {name: Dispute fees, type: expense}
"""
_RULES = """        - {role: processing_fees, account: "6100"}
        - {role: dispute_fees, account: "6110"}
"""
WITH_FEES = LEDGER.replace("      rules:\n", f"{_ACCOUNTS}      rules:\n{_RULES}")


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


async def settle(one: Installation) -> SettlementReport:
    """Ask the owner and let the rooms read what it told."""
    report = await Lookout(one.hub).settle("stripe")
    one.process()
    return report


def live_and_pay_out(one: Installation) -> dict[str, Any]:
    """Three customers pay; one gets half of it back, another contests; then everything is paid out."""
    _, second, third = one.sell(3)
    account = one.stripe.account
    one.stripe.advance(2 * DAY)

    def charge(customer: str) -> dict[str, Any]:
        return next(c for c in account.book.table("charge").values() if c["customer"] == customer)

    account.payments.refund(charge(second), amount=5_000, given={})
    account.payments.open_dispute(charge(third))
    one.stripe.advance(9 * DAY)
    made = account.payments.create_payout("usd")
    assert made is not None
    one.stripe.advance(4 * DAY)
    one.take_in()
    one.process()
    one.clock.move(days=20)
    return dict(account.book.table("payout")[made["id"]])


async def test_the_clearing_account_of_a_payout_returns_to_zero(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=WITH_FEES) as one:
        made = live_and_pay_out(one)
        before = balances(one.hub.database)
        assert before["1090"] != 0, "nobody has told of the fees"
        report = await settle(one)
        assert (report.settled, report.waiting, report.by_hand) == (1, (), ())
        after = balances(one.hub.database)
        assert "1090" not in after
        assert after["1000"] == made["amount"]
        kept = one.stripe.account.book.table("balance_transaction").values()
        assert after["6100"] + after["6110"] == sum(entry["fee"] for entry in kept) > 0
        assert after["6110"] == sum(entry["fee"] for entry in kept if entry["type"] == "adjustment") > 0
        assert sum(after.values()) == 0
        assert held(one.hub.database) == []


async def test_what_is_known_is_neither_asked_for_nor_booked_again(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=WITH_FEES) as one:
        live_and_pay_out(one)
        await settle(one)
        booked, told = count(one.hub.database, journal_entry), count(one.hub.database, business_event)
        again = await settle(one)
        assert (again.settled, again.waiting) == (0, ())
        assert (count(one.hub.database, journal_entry), count(one.hub.database, business_event)) == (booked, told)


async def test_every_unit_of_a_payout_leads_to_a_customer(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        made = live_and_pay_out(one)
        (_, open_), *_ = payouts(one.hub.database, limit=10)
        assert open_.findings == ("Nothing is known of what it settled.",)
        await settle(one)
        system, found = payout(one.hub.database, made["id"])
        assert (system, found.findings, found.difference.amount_minor) == ("stripe", (), 0)
        assert found.net == found.payout.amount
        charges = [line for line in found.lines if line.movement.type == "charge"]
        assert len(charges) == 3
        assert all(line.invoice_id and line.customer_id for line in charges)
        assert {line.movement.type for line in found.lines} == {"charge", "refund", "adjustment"}


async def test_many_payouts_are_followed_with_the_questions_of_one(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        made = live_and_pay_out(one)
        one.sell(1)
        one.stripe.advance(9 * DAY)
        payments = one.stripe.account.payments
        assert all(payments.create_payout("usd", automatic=False, amount=1_000 + more) for more in range(3))
        one.stripe.advance(4 * DAY)
        one.take_in()
        one.process()
        await settle(one)
        asked: list[str] = []
        with one.hub.database.read() as connection:
            listen(connection.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        payout(one.hub.database, made["id"])
        for_one = len(asked)
        every = payouts(one.hub.database, limit=None)
        assert (len(every) > 3, len(asked) - for_one) == (True, for_one)
        assert every == tuple(payout(one.hub.database, found.payout.external_id) for _, found in every)


async def test_a_payout_made_by_hand_is_told_and_not_asked_about(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(1)
        one.stripe.advance(9 * DAY)
        by_hand = one.stripe.account.payments.create_payout("usd", automatic=False, amount=1_000)
        assert by_hand is not None
        one.stripe.advance(4 * DAY)
        one.take_in()
        one.process()
        report = await settle(one)
        assert (report.settled, report.by_hand) == (0, (by_hand["id"],))
        assert "made by hand" in told_of_settlement(report)
        _, found = payout(one.hub.database, by_hand["id"])
        assert isinstance(found.payout, Payout)
        assert "allocate it by hand" in found.findings[0]


async def test_the_hub_asks_by_the_clock(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        live_and_pay_out(one)
        caretaker = Caretaker(one.hub)
        await caretaker.duty_round()  # the first look only notes when each duty is due
        one.clock.move(hours=2)
        await caretaker.duty_round()
        assert "what 1 payouts settled was taken in" in str(jobs(one)["settlement"].told)
