"""From a deal that sales won to the commission on what its customer paid: lines, totals and the journal, once each."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from accordant.ledger.commissions import months_after
from accordant.ledger.orders import TransactionOrder
from accordant.ledger.transactions import Transaction, TransactionInvalid
from accordant.operations.bookkeeper import Bookkeeper
from accordant.operations.order_transaction import TransactionDesk
from accordant.operations.withdraw import WithdrawalDesk
from accordant.operations.word_desk import OrderOutcome
from accordant.store import schema
from accordant.store.guard import UnauditedChange
from accordant.views.book_trail import trail_of_entry
from accordant.views.commissions import commission_month, every_statement
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.bookkit import balances, entries
from tests.integration.operations.commission_kit import (
    COMPANY,
    PLAN,
    a_paying_company,
    bills,
    cash,
    count,
    lines,
    owner_of,
    pay,
    sums,
    won,
)
from tests.integration.operations.kit import Installation
from tests.integration.operations.test_rebuild import built

PAYABLE, DEFERRED, EXPENSE = "2350", "1350", "6200"


async def test_a_payment_earns_and_its_refund_takes_back_and_every_entry_leads_to_the_deal(
    store_url: str, tmp_path: Path
) -> None:
    async with a_paying_company(store_url, tmp_path) as one:
        deal, _ = await won(one)
        assert sums(one) == (0, 0), "nobody earns on what is only billed"
        (charge,) = await pay(one)
        (line,) = lines(one)
        owner = owner_of(one, deal)
        assert (line.line.person, line.line.base_minor, line.line.amount_minor) == (owner, 200_00, 16_00)
        assert line.line.terms.plan.startswith("direct/2024-01-01/")
        found = balances(one.hub.database)
        assert (found[PAYABLE], found[DEFERRED]) == (-16_00, 16_00)
        assert line.entry_id is not None
        (trail,) = trail_of_entry(one.hub.database, line.entry_id)
        assert trail.opportunity is not None
        assert trail.opportunity.endswith(deal)
        assert trail.bill == line.bill
        assert trail.event is not None

        one.stripe.account.payments.refund(charge, amount=50_00, given={})
        await count(one)
        assert sorted(kept.line.amount_minor for kept in lines(one)) == [-4_00, 16_00]
        one.stripe.account.payments.refund(charge, amount=None, given={})
        await count(one)
        assert sums(one) == (0, 0)
        found = balances(one.hub.database)
        assert {PAYABLE, DEFERRED} & found.keys() == set()
        rules = [row.rule for row in entries(one.hub.database) if row.rule.startswith("commission")]
        assert sorted(rules) == ["commission_clawed_back", "commission_clawed_back", "commission_counted"]


async def test_counted_again_and_again_nothing_is_counted_twice(store_url: str, tmp_path: Path) -> None:
    async with a_paying_company(store_url, tmp_path) as one:
        await won(one)
        await pay(one)
        before = lines(one), balances(one.hub.database)
        for _ in range(3):
            assert (await count(one)).lines == 0
        assert (lines(one), balances(one.hub.database)) == before


async def test_the_rates_rise_with_the_running_total_of_all_customers_and_fall_with_what_is_lost(
    store_url: str, tmp_path: Path
) -> None:
    async with a_paying_company(store_url, tmp_path) as one:
        await won(one, unit_minor=200_00)
        await pay(one)
        await won(one, unit_minor=100_00)
        (charge,) = await pay(one)
        assert sorted(kept.line.amount_minor for kept in lines(one)) == [20_00, 32_00], "100 at 8 %, 100 at 12 %"
        dispute = one.stripe.account.payments.open_dispute(charge)
        await count(one)
        assert sums(one) == (600_00, 52_00), "a dispute that is open is not lost"
        one.stripe.account.payments.close_dispute(dispute, won=False)
        await count(one)
        assert sums(one) == (400_00, 32_00)
        assert [row[0] for row in cash(one)].count("dispute_lost") == 1


async def test_a_dispute_that_is_won_takes_nothing(tmp_path: Path) -> None:
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await won(one)
        (charge,) = await pay(one)
        dispute = one.stripe.account.payments.open_dispute(charge)
        one.stripe.account.payments.close_dispute(dispute, won=True)
        await count(one)
        assert sums(one) == (200_00, 16_00)


async def test_who_owned_it_when_it_was_signed_keeps_it_and_who_owns_it_now_has_it_where_the_plan_says_so(
    tmp_path: Path,
) -> None:
    for owned_at, heir in (("signature", False), ("payment", True)):
        folder = tmp_path / owned_at
        folder.mkdir()
        async with a_paying_company(f"sqlite:///{folder}/store.db", folder, PLAN | {"owned_at": owned_at}) as one:
            deal, _ = await won(one)
            first = owner_of(one, deal)
            bob = one.salesforce.org.user_id("bob@example.com")
            one.salesforce.edit("Opportunity", deal, "OwnerId", bob, ADA)
            await count(one)
            await pay(one)
            (line,) = lines(one)
            assert line.line.person == (bob if heir else first) != ""


async def test_a_deal_nobody_owns_is_held_with_the_reason_and_counted_once_somebody_does(tmp_path: Path) -> None:
    """Customers that billing had before sales: their owner comes with the company in the CRM."""
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(1)
        one.take_in()
        one.process()
        one.hub.bookkeeper.count_commissions()
        ((kind, state, gross, reason),) = cash(one)
        assert (kind, state, gross, reason) == ("paid", "held", 100_00, "Nobody is known to own the deal.")
        await count(one)
        assert sums(one) == (100_00, 8_00)


async def test_any_order_of_arrival_comes_to_the_same_commission(tmp_path: Path) -> None:
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await won(one, unit_minor=300_00)
        for bill in bills(one):
            one.stripe.account.invoices.pay(bill)
        (charge,) = one.stripe.book.table("charge").values()
        payments = one.stripe.account.payments
        payments.refund(charge, amount=30_01, given={})
        payments.refund(charge, amount=70_02, given={})
        said = [event.body() for event in one.events()]
        random.Random(3).shuffle(said)
        for body in said:
            one.hub.inbox.accept([one.arrival(body)])
            one.process()
            one.hub.bookkeeper.count_commissions()
            kept, amount = sums(one)
            assert amount == _by_hand(kept), "at every point"
        await count(one)
        assert sums(one)[0] == 600_00 - 100_03
        assert {row[1] for row in cash(one)} == {"counted"}


def _by_hand(kept: int) -> int:
    low, high = min(kept, 500_00), max(kept - 500_00, 0)
    return (low * 8 + high * 12 + 50) // 100


async def test_what_was_collected_before_there_was_a_plan_is_counted_from_its_first_day(tmp_path: Path) -> None:
    later = PLAN | {"from_on": "2030-01-01"}
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path, later) as one:
        await won(one)
        await pay(one)
        ((_, state, _, reason),) = cash(one)
        assert state == "uncounted"
        assert "pays" in str(reason)
        _recharter(one)
        await count(one)
        assert sums(one) == (200_00, 16_00)


def _recharter(one: Installation) -> None:
    """The plan begins earlier, under a charter of another version."""
    import msgspec

    before = one.hub.rulebook
    assert before.ledger is not None
    assert before.ledger.commissions is not None
    plans = tuple(msgspec.structs.replace(plan, from_on=date(2024, 1, 1)) for plan in before.ledger.commissions.plans)
    part = msgspec.structs.replace(before.ledger.commissions, plans=plans)
    ledger = msgspec.structs.replace(before.ledger, commissions=part, charter="another")
    one.hub.rulebook = msgspec.structs.replace(before, ledger=ledger, version="abcdef012345")


async def test_what_is_deferred_becomes_an_expense_month_by_month_and_comes_back_with_a_clawback(
    tmp_path: Path,
) -> None:
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await won(one, unit_minor=225_00)
        (charge,) = await pay(one)
        (line,) = lines(one)
        assert line.line.amount_minor == 36_00
        month = line.posted_on.replace(day=1)
        done = one.hub.bookkeeper.recognise(COMPANY, month)
        assert done.commissions == 1_00
        assert one.hub.bookkeeper.recognise(COMPANY, month).commissions == 0, "a month is borne once"
        found = balances(one.hub.database)
        assert (found[DEFERRED], found[EXPENSE]) == (35_00, 1_00)
        one.stripe.account.payments.refund(charge, amount=None, given={})
        await count(one)
        done = one.hub.bookkeeper.recognise(COMPANY, month)
        assert done.commissions == -1_00
        assert {DEFERRED, EXPENSE, PAYABLE} & balances(one.hub.database).keys() == set()


async def test_books_built_again_leave_commissions_out_and_are_the_same(tmp_path: Path) -> None:
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await won(one)
        await pay(one)
        (line,) = lines(one)
        one.hub.bookkeeper.recognise(COMPANY, line.posted_on.replace(day=1))
        again = built(one)
        assert (again.unlike, again.stopped) == ((), ())
        assert again.entries > 0


async def test_a_year_and_less_is_expensed_at_once(tmp_path: Path) -> None:
    short = PLAN | {"benefit_months": dict.fromkeys(PLAN["counts"], 12)}
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path, short) as one:
        await won(one)
        await pay(one)
        found = balances(one.hub.database)
        assert (found[EXPENSE], found[PAYABLE]) == (16_00, -16_00)
        assert DEFERRED not in found


async def test_lines_are_never_changed_and_no_total_without_its_line_of_the_trail(
    store_url: str, tmp_path: Path
) -> None:
    async with a_paying_company(store_url, tmp_path) as one:
        await won(one)
        await pay(one)
        table = schema.commission_line
        for statement in (update(table).values(amount_minor=1), delete(table)):
            with pytest.raises((DBAPIError, UnauditedChange)), one.hub.database.write() as connection:
                connection.execute(statement)
        with pytest.raises(UnauditedChange), one.hub.database.write() as connection:
            connection.execute(update(schema.commission_total).values(amount_minor=1))
        with one.hub.database.read() as connection:
            (total,) = connection.execute(select(schema.commission_total.c.amount_minor)).scalars()
        assert total == 16_00


async def test_who_comes_second_begins_anew(tmp_path: Path) -> None:
    """Two processes count the same bill at one moment: the one whose totals are old loses, and looks again."""
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await won(one)
        for bill in bills(one):
            one.stripe.account.invoices.pay(bill)
        one.take_in()
        one.process()
        keeper = one.hub.bookkeeper
        commit = keeper._state.commit
        calls: list[int] = []

        def interrupted(changes: object, **given: object) -> None:
            if not calls:
                calls.append(1)
                Bookkeeper.count_commissions(keeper)
            commit(changes, **given)  # type: ignore[arg-type]

        keeper._state.commit = interrupted  # type: ignore[method-assign]
        keeper.count_commissions()
        keeper._state.commit = commit  # type: ignore[method-assign]
        assert calls == [1]
        assert sums(one) == (200_00, 16_00)
        assert balances(one.hub.database)[PAYABLE] == -16_00


async def test_a_statement_tells_what_was_earned_lost_and_paid_and_ties(store_url: str, tmp_path: Path) -> None:
    async with a_paying_company(store_url, tmp_path) as one:
        deal, _ = await won(one)
        (charge,) = await pay(one)
        person = owner_of(one, deal)
        one.stripe.account.payments.refund(charge, amount=50_00, given={})
        await count(one)
        month_on = lines(one)[0].posted_on.replace(day=1)
        order = TransactionOrder(
            key="p-1", system="stripe", transaction=Transaction.COMMISSION_PAID, happened_on=month_on, currency="USD",
            amounts={"amount": "10.00"}, text="Commission", person=person,
        )  # fmt: skip
        hub = one.hub
        desk = TransactionDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        assert desk.order(order, by="ada").outcome is OrderOutcome.POSTED
        found = commission_month(hub.database, month_on)
        (said,) = found.statements
        assert (said.person, said.opening, said.earned, said.clawed_back, said.paid) == (person, 0, 16_00, -4_00, 10_00)
        assert (said.closing, said.collected) == (2_00, 150_00)
        (tie,) = found.ties
        assert tie.is_whole
        assert (tie.owed, tie.account, tie.counted, tie.collected) == (2_00, 2_00, 150_00, 150_00)
        after = commission_month(hub.database, months_after(month_on, 1))
        assert [(row.opening, row.closing) for row in after.statements] == [(2_00, 2_00)]
        told = [row for _, row in every_statement(hub.database, until=months_after(month_on, 1))]
        assert [row.closing for row in told] == [2_00, 2_00]
        (paid,) = (row for row in entries(hub.database) if row.rule == "commission_paid")
        withdrawals = WithdrawalDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        withdrawals.withdraw(paid.event, "It was another month.", by="ada")
        back = commission_month(hub.database, month_on)
        assert (back.statements[0].paid, back.statements[0].closing) == (0, 12_00)
        assert back.ties[0].is_whole
        with hub.database.write_unaudited() as connection:
            connection.execute(update(schema.commission_cash).values(gross_minor=1))
        assert not commission_month(hub.database, month_on).ties[0].is_whole, "money that is not there is found"


async def test_a_commission_is_paid_to_somebody(tmp_path: Path) -> None:
    async with a_paying_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        hub = one.hub
        desk = TransactionDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        order = TransactionOrder(
            key="p-2", system="stripe", transaction=Transaction.COMMISSION_PAID, happened_on=date(2024, 1, 1),
            currency="USD", amounts={"amount": "10.00"}, text="Commission",
        )  # fmt: skip
        with pytest.raises(TransactionInvalid, match="needs a person"):
            desk.order(order, by="ada")
