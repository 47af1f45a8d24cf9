"""What a person or another system puts into the books: posted once, in every company or in none, and never by doubt."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.books import AccountRulePart, AccountType, LedgerAccountPart, Role, ServiceKind
from accordant.ledger.exchange import converted
from accordant.ledger.orders import OrderInvalid, TransactionOrder
from accordant.ledger.periods import PeriodState
from accordant.ledger.schedule import next_month
from accordant.ledger.transactions import Transaction
from accordant.operations.bill_desk import BillDesk, BillOrder, BillWord
from accordant.operations.bookkeeper import Bookkeeper, PeriodKept
from accordant.operations.closing import CloseStep
from accordant.operations.order_transaction import TransactionDesk
from accordant.operations.word_desk import OrderOutcome
from accordant.store.schema import business_event, journal_line, ledger_bill, revenue_schedule
from accordant.views.journal import tie_of_schedules, trial_balance
from accordant.views.revenue import booked_months, rolled_months
from tests.integration.operations.bookkit import LEDGER, balances, counted_anew, counted_on, entries, held, refusing
from tests.integration.operations.kit import Installation, an_installation

SISTER = "Example Ltd"
ROLES = {
    Role.SELLERS_PAYABLE: "2600", Role.WITHHOLDING_PAYABLE: "2610", Role.PROCESSING_FEES: "6100",
    Role.INTERCOMPANY_COST: "5900", Role.INTERCOMPANY_PAYABLE: "2900", Role.INTERCOMPANY_RECEIVABLE: "1900",
    Role.INTERCOMPANY_REVENUE: "4800", Role.BAD_DEBT: "6200", Role.CONTRACT_ASSET: "1250",
    Role.FX_REALISED: "7100", Role.FX_UNREALISED: "7200",
}  # fmt: skip


def more_accounts(one: Installation, **changes: Any) -> Any:
    """The charter's ledger with a row for every role, and a sister company with the same chart."""
    ledger = one.hub.rulebook.ledger
    assert ledger is not None
    (name, own), *_ = ledger.part.legal_entities.items()
    accounts = {code: LedgerAccountPart(name=role.value, type=AccountType.EXPENSE) for role, code in ROLES.items()}
    rules = tuple(AccountRulePart(role=role, account=code) for role, code in ROLES.items())
    entity = msgspec.structs.replace(own, accounts={**own.accounts, **accounts}, rules=(*own.rules, *rules), **changes)
    return {name: entity, SISTER: entity}


def an_order(kind: Transaction, key: str = "k-1", **changes: Any) -> TransactionOrder:
    order = TransactionOrder(
        key=key, system="stripe", transaction=kind, happened_on=date(2024, 1, 5), currency="USD",
        amounts={"amount": "900.00"}, text="Delivered in January",
    )  # fmt: skip
    return msgspec.structs.replace(order, **changes)


def desk_of(one: Installation) -> TransactionDesk:
    return TransactionDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.clock)


def bills_desk(one: Installation) -> BillDesk:
    return BillDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.clock)


def by_company(one: Installation) -> dict[tuple[str, str], int]:
    with one.hub.database.read() as connection:
        rows = connection.execute(select(journal_line.c.legal_entity, journal_line.c.role, journal_line.c.amount_minor))
        return {(row.legal_entity, row.role): row.amount_minor for row in rows}


async def test_a_delivery_between_sisters_is_in_both_books_or_in_neither(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        desk, order = desk_of(one), an_order(Transaction.DELIVERED_BY_SISTER, sister=SISTER)
        alone = desk.order(order, by="ann")
        assert alone.outcome is OrderOutcome.REFUSED  # there is no such company yet
        parts = more_accounts(one)
        narrow = msgspec.structs.replace(parts[SISTER], rules=())
        with refusing(one, legal_entities={**parts, SISTER: narrow}):
            half = desk.order(order, by="ann")
            assert (half.outcome, len(half.refusals)) == (OrderOutcome.REFUSED, 2)
            assert entries(one.hub.database) == []
        with refusing(one, legal_entities=parts):
            done = desk.order(order, by="ann")
            again = desk.order(order, by="ann")
            other = desk.order(msgspec.structs.replace(order, text="Other"), by="ann")
            assert [x.outcome for x in (done, again, other)] == [
                OrderOutcome.POSTED, OrderOutcome.REPEAT, OrderOutcome.KEY_REUSED,
            ]  # fmt: skip
            assert (again.entry, again.sister) == (done.entry, done.sister)
            with pytest.raises(OrderInvalid, match="no sister of itself"):
                desk.order(an_order(Transaction.DELIVERED_BY_SISTER, "k-2", sister="Example GmbH"), by="ann")
        assert by_company(one) == {
            ("Example GmbH", "intercompany_cost"): 90_000, ("Example GmbH", "intercompany_payable"): -90_000,
            (SISTER, "intercompany_receivable"): 90_000, (SISTER, "intercompany_revenue"): -90_000,
        }  # fmt: skip


async def test_a_seller_is_sold_for_and_paid_and_nothing_stays_on_the_processors_account(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        (customer,) = one.sell(1)
        one.take_in()
        one.process()
        before = balances(one.hub.database)
        with refusing(one, legal_entities=more_accounts(one)):
            desk = desk_of(one)
            sale = {"gross": "1000.00", "commission": "0.00", "fee": "0.00"}
            sold = desk.order(an_order(Transaction.AGENT_SALE, amounts=sale, customer=customer), by="ann")
            assert sold.outcome is OrderOutcome.POSTED, sold.refusals
            paid = desk.order(
                an_order(Transaction.SELLER_PAID, "k-2", amounts={"owed": "1000.00"}, customer=customer,
                         withholding="us_backup_withholding"),
                by="ann",
            )  # fmt: skip
            assert paid.outcome is OrderOutcome.POSTED, paid.refusals
            stranger = desk.order(
                an_order(Transaction.SELLER_PAID, "k-3", amounts={"owed": "1"}, customer="cus_9"), by="a"
            )
            assert "is not known" in str(stranger.refusals[0])
        found = balances(one.hub.database)
        assert found["2610"] == -24_000
        assert "2600" not in found
        assert found["1000"] - before.get("1000", 0) == -76_000
        assert found["1090"] - before.get("1090", 0) == 100_000


def a_bill_of(one: Installation) -> Any:
    with one.hub.database.read() as connection:
        return connection.execute(select(ledger_bill).where(ledger_bill.c.state == "open")).first()


def an_unpaid_bill(one: Installation, *, by_bank: bool = False) -> str:
    """One customer who has no card, or pays by bank: the bill stays open."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=9_000, interval="month")
    person = {"name": "EXAMPLE-X", "email": "billing+x@example.com", "metadata": {}}
    customer = account.create_customer(person, card=False)
    terms = {"collection_method": "send_invoice", "days_until_due": 30} if by_bank else {}
    account.billing.subscribe(customer, [(price, 1)], given=terms)
    return str(product["id"])


async def test_a_bill_written_off_by_hand_is_remembered_by_every_later_reading(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        an_unpaid_bill(one)
        one.take_in()
        one.process()
        bill = a_bill_of(one)
        assert bill is not None
        on = date.fromisoformat(bill.booked_on) + timedelta(days=10)
        one.clock.move(days=20)
        order = BillOrder(word=BillWord.WRITTEN_OFF, bill=bill.ref, key="w-1", happened_on=on, reason="Insolvent")
        desk = bills_desk(one)
        refused = desk.say(order, by="ann")
        assert "no row for bad_debt" in str(refused.refusals[0])
        assert [row for row in events(one) if row.type == "invoice.written_off"] == []  # nothing of it is kept
        with refusing(one, legal_entities=more_accounts(one)):
            assert desk.say(order, by="ann").outcome is OrderOutcome.POSTED
            assert desk.say(order, by="bob").outcome is OrderOutcome.REPEAT
            assert a_bill_of(one) is None
            before = balances(one.hub.database)
            assert "1200" not in before
            (word,) = [row for row in events(one) if row.type == "invoice.written_off"]
            assert delivered(one, word.seq) == ("accordant", "invoice.written_off")
            # Read again with everything known of the bill: nothing moves.
            assert one.hub.bookkeeper.catch_up().posted == 0
            assert balances(one.hub.database) == before
            late = msgspec.structs.replace(order, key="w-2")
            assert "nothing of it left" in str(desk.say(late, by="ann").refusals[0])
        for wrong, words in (
            ({"bill": "stripe:invoice/in_none"}, "no bill the books know"),
            ({"happened_on": date(2099, 1, 1)}, "has not come yet"),
            ({"amount": "-1.00"}, "no amount of a bill"),
        ):
            with pytest.raises(OrderInvalid, match=words):
                desk.say(msgspec.structs.replace(order, key="w-3", **wrong), by="ann")


async def test_a_bill_paid_to_a_sister_is_settled_in_both_books_or_in_neither(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        an_unpaid_bill(one, by_bank=True)
        one.take_in()
        one.process()
        bill = a_bill_of(one)
        one.clock.move(days=20)
        on, desk, parts = date.fromisoformat(bill.booked_on) + timedelta(days=10), bills_desk(one), more_accounts(one)
        order = BillOrder(word=BillWord.COLLECTED_BY_SISTER, bill=bill.ref, key="c-1", happened_on=on, reason="Bank",
                          amount="40.00", sister=SISTER)  # fmt: skip
        narrow = msgspec.structs.replace(parts[SISTER], rules=())
        before = len(entries(one.hub.database))
        with refusing(one, legal_entities={**parts, SISTER: narrow}):
            assert "no row for bank" in str(desk.say(order, by="ann").refusals[0])
            assert len(entries(one.hub.database)) == before
            assert a_bill_of(one).open_minor == 9_000
        with refusing(one, legal_entities=parts):
            done = desk.say(order, by="ann")
            assert (done.outcome, desk.say(order, by="ann").outcome) == (OrderOutcome.POSTED, OrderOutcome.REPEAT)
            assert a_bill_of(one).open_minor == 5_000
            assert by_company(one).items() >= {
                ("Example GmbH", "intercompany_receivable"): 4_000, (SISTER, "bank"): 4_000,
                (SISTER, "intercompany_payable"): -4_000,
            }.items()  # fmt: skip
            too_much = msgspec.structs.replace(order, key="c-2", amount="50.01")
            assert "more was collected" in str(desk.say(too_much, by="ann").refusals[0])
            for wrong in ({"sister": "Example GmbH"}, {"sister": "Nobody"}, {"sister": None}):
                with pytest.raises(OrderInvalid):
                    desk.say(msgspec.structs.replace(order, key="c-3", **wrong), by="ann")
            assert (
                desk.say(msgspec.structs.replace(order, key="c-4", amount=None), by="ann").outcome
                is OrderOutcome.POSTED
            )
            assert "1200" not in balances(one.hub.database)
            # Nothing will come for it in billing: somebody marks it as paid there. That is no money of ours once more.
            settled = by_company(one)
            paid_elsewhere(one, bill.ref)
            assert by_company(one) == settled
            assert held(one.hub.database) == []
            assert a_bill_of(one) is None


def paid_elsewhere(one: Installation, ref: str) -> None:
    """Billing is told that a bill was paid outside of it."""
    account = one.stripe.account
    one.stripe.advance_to(int(one.clock().timestamp()))
    account.invoices.pay(account.book.get("invoice", ref.rpartition("/")[2]), out_of_band=True)
    one.take_in()
    one.process()


def delivered(one: Installation, seq: int) -> tuple[str, str]:
    (found,) = one.hub.inbox.load([seq])
    return found.connection, found.event_type


def events(one: Installation) -> list[Any]:
    with one.hub.database.read() as connection:
        return list(connection.execute(select(business_event)))


async def test_prepaid_credits_are_drawn_and_never_more_than_there_are(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        product = an_unpaid_bill(one)
        with refusing(one, legal_entities=more_accounts(one), services={product: ServiceKind.PREPAID}):
            one.take_in()
            one.process()
            bill = a_bill_of(one)
            on = date.fromisoformat(bill.booked_on)
            desk = bills_desk(one)
            order = BillOrder(word=BillWord.CREDITS_DRAWN, bill=bill.ref, key="d-1", happened_on=on, reason="Calls",
                              amount="20.00")  # fmt: skip
            assert desk.say(order, by="ann").outcome is OrderOutcome.POSTED
            too_much = desk.say(msgspec.structs.replace(order, key="d-2", amount="70.01"), by="ann")
            assert "is more than the" in str(too_much.refusals[0])
            assert balances(one.hub.database) == {"1200": 9_000, "2400": -7_000, "4000": -2_000}
            with one.hub.database.read() as connection:
                assert connection.execute(select(revenue_schedule.c.minor)).scalars().all() == [7_000]


def take_in_usage_of_the_past(one: Installation) -> None:
    """What was said, with every line of a bill for the month before it."""
    for told in one.events():
        body = json.loads(told.body())
        what = body["data"]["object"]
        for line in what.get("lines", {}).get("data", ()) if what["object"] == "invoice" else ():
            line["period"] = {"start": line["period"]["start"] - 31 * 86_400, "end": line["period"]["start"]}
        one.hub.inbox.accept([one.arrival(json.dumps(body).encode())])
    one.process()


async def test_usage_is_earned_in_the_month_of_its_use_though_its_bill_comes_after(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        product = an_unpaid_bill(one)
        with refusing(one, legal_entities=more_accounts(one), services={product: ServiceKind.USAGE}):
            take_in_usage_of_the_past(one)
            booked_on = date.fromisoformat(a_bill_of(one).booked_on)
            used_on = booked_on.replace(day=1) - timedelta(days=1)
            done = one.hub.bookkeeper.recognise("Example GmbH", used_on.replace(day=1))
            assert (done.lines, done.entries) == (1, 2)
            assert {row.rule: row.posted_on for row in entries(one.hub.database) if row.rule != "invoice_issued"} == {
                "revenue_unbilled": used_on.isoformat(), "unbilled_billed": booked_on.isoformat(),
            }  # fmt: skip
            for _ in range(2):
                one.hub.bookkeeper.recognise("Example GmbH", booked_on.replace(day=1))
            found = balances(one.hub.database)
            assert found == {"1200": 9_000, "4000": -9_000}
            (month,) = rolled_months(one.hub.database, legal_entity="Example GmbH", months=[booked_on.replace(day=1)])
            moved = month.moved
            assert (moved.opening, moved.billings, moved.recognised, moved.fx, moved.closing) == (0, 9_000, 9_000, 0, 0)


async def test_what_is_owed_abroad_stands_at_the_closing_rate_for_the_months_end(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        an_unpaid_bill(one)
        with refusing(one, legal_entities=more_accounts(one, currency="EUR")):
            one.take_in()
            one.process()
            bill = a_bill_of(one)
            month_on = date.fromisoformat(bill.booked_on).replace(day=1)
            last_on = next_month(month_on) - timedelta(days=1)
            keeper, before = one.hub.bookkeeper, balances(one.hub.database)
            keeper.recognise("Example GmbH", month_on)
            before = balances(one.hub.database)
            with pytest.raises(PeriodKept, match="held in USD is not at the closing rate"):
                closed_until(keeper, month_on)
            assert [step.step for step in keeper.missing("Example GmbH", month_on)] == [CloseStep.REVALUED]
            one.clock.move(days=40)
            due = keeper.to_close("Example GmbH")
            assert due is not None
            assert (due.month_on, due.waiting, due.missing[0].count) == (month_on, 1, 1)
            assert f'`accordant books revalue "Example GmbH" {month_on:%Y-%m}`' in due.missing[0].remedy
            done = keeper.revalue("Example GmbH", month_on)
            assert keeper.missing("Example GmbH", month_on) == ()
            closed_until(keeper, month_on)
            assert keeper.to_close("Example GmbH") is None
            rate = one.hub.state.books.rate_of("USD", "EUR", last_on)
            assert rate is not None
            worth = converted(9_000, rate)
            assert worth != before["1200"]
            assert (len(done.entries), done.minor, done.refusals) == (1, worth - before["1200"], ())
            # An ERP takes no amount on what customers owe without the customer.
            owed = [
                line for pair in done.entries for entry in pair for line in entry.postings if line.account == "1200"
            ]
            assert {line.party for line in owed} == {bill.party}
            stands = {row.account: row.balance_minor for row in trial_balance(
                one.hub.database, legal_entity="Example GmbH", before_on=next_month(month_on))}  # fmt: skip
            assert stands["1200"] == worth
            assert stands["7200"] == before["1200"] - worth
            assert balances(one.hub.database) == before  # cancelled with the first day of the next month
            assert keeper.revalue("Example GmbH", month_on).entries == ()
            # What was billed abroad is told to the cent, as it is deferred: half a minor unit is not lost.
            booked = booked_months(one.hub.database, legal_entity="Example GmbH")
            left = sum(row.remaining for row in booked)
            assert tie_of_schedules(one.hub.database, legal_entity="Example GmbH", remaining=left).off == 0
            assert counted_on(one.hub.database) == counted_anew(one.hub.database)


def closed_until(keeper: Bookkeeper, month_on: date) -> None:
    for period in keeper.periods("Example GmbH"):
        if period.starts_on <= month_on and period.state is PeriodState.OPEN:
            keeper.close("Example GmbH", period.starts_on, by="Ann")


async def test_without_a_rate_nothing_is_revalued_and_the_day_is_named(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        an_unpaid_bill(one)
        with refusing(one, legal_entities=more_accounts(one, currency="EUR")):
            one.take_in()
            one.process()
            before = len(entries(one.hub.database))
            done = one.hub.bookkeeper.revalue("Example GmbH", date(2031, 1, 1))
            assert "No rate from USD into EUR is known for 2031-01-31" in str(done.refusals[0])
            one.clock.move(days=8 * 365)
            one.hub.bookkeeper.recognise("Example GmbH", date(2031, 1, 1))
            with pytest.raises(PeriodKept, match="No rate from USD into EUR is known for 2031-01-31") as told:
                one.hub.bookkeeper.close("Example GmbH", date(2031, 1, 1), by="Ann")
            assert "Load the rates" in str(told.value.remedy)
            assert len(entries(one.hub.database)) == before + 1  # what was recognised
