"""Ramps and projects on the whole path: what billing and persons say, in any order, and what each month's end makes of
it; nothing is lost when the state is rebuilt from the inbox.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.books import Role, ServiceKind
from accordant.canonical.words import ContractTerms
from accordant.ledger.entries import JournalEntry
from accordant.ledger.orders import OrderInvalid
from accordant.ledger.schedule import next_month
from accordant.operations.bill_desk import BillDesk, BillOrder, BillWord
from accordant.operations.withdraw import WithdrawalDesk, WithdrawalRefused
from accordant.operations.word_desk import Ordered, OrderOutcome
from accordant.pipeline.process import process
from accordant.ports.state import Changes, ConcurrentChange
from accordant.store.books import read_entry
from accordant.store.schema import inbox_work, journal_entry, ledger_bill
from accordant.views.books import draft_books
from accordant.views.journal import tie_of_schedules
from accordant.views.revenue import agreed_not_billed, booked_months, rolled_months
from tests.integration.operations.bookkit import LEDGER, balances, held, refusing
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.rebuildkit import kept, rebuilt
from tests.integration.operations.test_ordered_books import more_accounts
from tests.integration.operations.test_rebuild import built

COMPANY, DAY = "Example GmbH", 86_400
STEPS = (10_000, 15_000, 20_000)
#: The term of the ramp: three months of 31, 29 and 31 days, which begin as billing begins.
STARTS, ENDS = date(2024, 1, 1), date(2024, 4, 1)
MONTHS = (STARTS, date(2024, 2, 1), date(2024, 3, 1))


def go(one: Installation, *, until: date) -> None:
    """Billing and the hub live on until noon of a day."""
    at = datetime(until.year, until.month, until.day, 12, tzinfo=UTC)
    one.stripe.advance(int(at.timestamp()) - one.stripe.account.book.now)
    one.clock.at = at


def sell(one: Installation, minor: int = STEPS[0]) -> tuple[Any, str]:
    """One customer with one monthly subscription, and the product of it."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=minor, interval="month")
    person = {"name": "EXAMPLE-X", "email": "billing+x@example.com", "metadata": {}}
    customer = account.create_customer(person, card=True)
    return account.billing.subscribe(customer, [(price, 1)]), str(product["id"])


def step(one: Installation, subscription: Any, minor: int, product: str) -> None:
    """From its next bill on the same service costs that much."""
    account = one.stripe.account
    price = account.create_price(
        account.book.get("product", product), currency="usd", unit_amount=minor, interval="month"
    )
    item = subscription["items"]["data"][0]["id"]
    account.billing.update(subscription, items=[{"id": item, "price": price["id"]}], proration_behavior="none")


def take(one: Installation) -> None:
    one.take_in()
    one.process()


def say(one: Installation, word: BillWord, about: str, key: str, on: date, price: str | None, **terms: Any) -> Ordered:
    desk = BillDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.clock)
    order = BillOrder(
        word=word,
        bill=about,
        key=key,
        happened_on=on,
        reason="Order form 7",
        amount=price,
        terms=ContractTerms(**terms),
    )
    return desk.say(order, by="ann")


def agree(
    one: Installation, subscription: Any, price: str = "450.00", *, key: str = "r-1", on: date = STARTS
) -> Ordered:
    ref = f"stripe:subscription/{subscription['id']}"
    return say(one, BillWord.RAMP_AGREED, ref, key, on, price, starts_on=STARTS, ends_on=ENDS)


def measure(one: Installation, bill: str, progress: str, key: str, on: date, price: str | None = None) -> Ordered:
    return say(one, BillWord.PROGRESS_MEASURED, bill, key, on, price, progress=progress)


def bills(one: Installation) -> list[Any]:
    with one.hub.database.read() as connection:
        return list(connection.execute(select(ledger_bill).order_by(ledger_bill.c.booked_on)))


def end_month(one: Installation, month_on: date) -> dict[str, int]:
    """The month is over and recognised; what stands then, where every report says the same."""
    go(one, until=max(next_month(month_on), one.clock().date()))
    take(one)
    done = one.hub.bookkeeper.recognise(COMPANY, month_on)
    assert done.refusals == ()
    found = balances(one.hub.database)
    assert sum(found.values()) == 0
    database = one.hub.database
    (rolled,) = rolled_months(database, legal_entity=COMPANY, months=[month_on])
    assert rolled.moved.fx == 0
    remaining = sum(row.remaining for row in booked_months(database, legal_entity=COMPANY))
    unbilled = agreed_not_billed(database, legal_entity=COMPANY)
    tie = tie_of_schedules(database, legal_entity=COMPANY, remaining=remaining - unbilled)
    assert tie.off == 0
    return found


def revenue(one: Installation, month_on: date) -> list[JournalEntry]:
    """What a month's end posted."""
    day = (next_month(month_on) - timedelta(days=1)).isoformat()
    query = select(journal_entry.c.body).where(journal_entry.c.posted_on == day)
    with one.hub.database.read() as connection:
        found = [read_entry(body) for body in connection.execute(query).scalars()]
    return [entry for entry in found if entry.cause.rule in {"revenue_recognised", "unbilled_billed"}]


@contextmanager
def books_of(one: Installation, **services: ServiceKind) -> Iterator[None]:
    with refusing(one, legal_entities=more_accounts(one), services=services):
        yield


def drafted(one: Installation, *, before_on: date) -> dict[str, int]:
    """What the whole history would make."""
    from accordant.ledger.balances import trial_balance

    ledger = one.hub.rulebook.ledger
    assert ledger is not None
    charter = msgspec.structs.replace(one.hub.charter, ledger=ledger.part)
    made = draft_books(one.hub.database, charter, before_on=before_on, now=one.clock())
    assert made.unposted == ()
    return {row.account: row.balance_minor for row in trial_balance(made.entries) if row.balance_minor}


async def test_a_ramp_is_earned_evenly_while_its_steps_are_billed(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path / "one", more=LEDGER) as one:
        with books_of(one):
            subscription, product = sell(one)
            go(one, until=date(2024, 1, 2))
            take(one)
            assert agree(one, subscription).outcome is OrderOutcome.POSTED
            assert agree(one, subscription).outcome is OrderOutcome.REPEAT
            assert agree(one, subscription, "451.00").outcome is OrderOutcome.KEY_REUSED
            assert agreed_not_billed(one.hub.database, legal_entity=COMPANY) == 35_000
            earned, found = 0, balances(one.hub.database)
            for month_on, minor in zip(MONTHS, (*STEPS[1:], None), strict=True):
                go(one, until=month_on + timedelta(days=20))
                if minor is not None:
                    step(one, subscription, minor, product)
                else:
                    one.stripe.account.billing.update(subscription, fields={"cancel_at_period_end": True})
                found = end_month(one, month_on)
                days = (next_month(month_on) - STARTS).days
                earned = (45_000 * days * 2 + 91) // 182
                assert found["4000"] == -earned
                # The next step is billed on the first day of the next month: it is deferred, and the asset is the gap.
                by_then = sum(STEPS[: MONTHS.index(month_on) + 1])
                assert found.get("1250", 0) == max(earned - by_then, 0)
                again = one.hub.bookkeeper.recognise(COMPANY, month_on)
                assert (again.entries, again.minor) == (0, {"USD": 0})
            assert (earned, found.get("2400"), found.get("1250")) == (45_000, None, None)
            assert held(one.hub.database) == []
            assert drafted(one, before_on=ENDS) == found


async def test_months_of_contracts_come_out_of_a_rebuild_as_they_are(store_url: str, tmp_path: Path) -> None:
    """Nothing else is recognised in them: that the months were run is known by the contract's own entries."""
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        with books_of(one):
            subscription, product = sell(one)
            go(one, until=date(2024, 1, 20))
            take(one)
            agree(one, subscription)
            step(one, subscription, STEPS[1], product)
            for month_on in MONTHS[:2]:
                end_month(one, month_on)
                one.clock.move(minutes=1)
            found = built(one)
            assert found.is_same, found
            assert (found.decisions, found.stopped) == (2, ())


async def test_a_rebuild_from_the_inbox_has_the_same_contracts(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path / "one", more=LEDGER) as one:
        subscription, product = sell(one)
        with books_of(one):
            go(one, until=date(2024, 1, 20))
            take(one)
            assert agree(one, subscription).outcome is OrderOutcome.POSTED
            step(one, subscription, STEPS[1], product)
            go(one, until=date(2024, 2, 2))
            take(one)
            with rebuilt(one, tmp_path / "two", f"sqlite:///{tmp_path / 'two.sqlite'}") as hub:
                assert kept(hub) == kept(one.hub)


async def test_billing_that_arrives_in_another_order_comes_to_the_same_contract(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        with books_of(one):
            subscription, product = sell(one)
            early = list(one.events())
            for month_on, minor in zip(MONTHS[:2], STEPS[1:], strict=True):
                go(one, until=month_on + timedelta(days=20))
                step(one, subscription, minor, product)
            go(one, until=date(2024, 3, 10))
            one.stripe.account.billing.update(subscription, fields={"cancel_at_period_end": True})
            said = list(one.events())
            # The subscription itself is known; every bill of it comes later than what was agreed, the last one first.
            known = [told for told in early if b'"object":"subscription"' in told.body().replace(b" ", b"")]
            one.hub.inbox.accept([one.arrival(told.body()) for told in known])
            one.process()
            assert agree(one, subscription).outcome is OrderOutcome.POSTED
            rest = [told for told in (*early, *said) if told not in known]
            random.Random(3).shuffle(rest)
            for told in rest:
                one.hub.inbox.accept([one.arrival(told.body())])
                one.process()
            while await one.hub.reread_round():
                one.clock.move(seconds=3)
                one.process()
            assert held(one.hub.database) == []
            found = end_month(one, MONTHS[1])
            assert found["4000"] == -((45_000 * 60 * 2 + 91) // 182)
            go(one, until=ENDS)
            assert end_month(one, MONTHS[2]) == drafted(one, before_on=ENDS)


@pytest.mark.parametrize("is_agreed_late", [False, True])
async def test_a_subscription_that_ends_takes_with_it_what_was_never_billed(
    store_url: str, tmp_path: Path, *, is_agreed_late: bool
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        with books_of(one):
            subscription, _ = sell(one)
            go(one, until=date(2024, 1, 2))
            take(one)
            if not is_agreed_late:
                agree(one, subscription)
                assert end_month(one, MONTHS[0])["1250"] == 5_330
            go(one, until=date(2024, 2, 11))
            one.stripe.account.billing.cancel(subscription)
            take(one)
            if is_agreed_late:
                assert agree(one, subscription).outcome is OrderOutcome.POSTED
            found = end_month(one, MONTHS[1])
            # Two steps were billed at 100.00; nothing of what was agreed beyond that ever will be.
            assert found["4000"] == -20_000
            assert not {"1250", "2400"} & found.keys()
            refused = agree(one, subscription, "500.00", key="r-2", on=date(2024, 2, 20))
            assert "ended on 2024-02-11" in str(refused.refusals[0])


async def test_a_project_is_earned_as_far_as_it_is_said_to_be(store_url: str, tmp_path: Path) -> None:
    """A bill of 1,000.00, 60 %; another of it comes, and by the costs 420 of 820 are done."""
    async with an_installation(store_url, tmp_path / "one", more=LEDGER) as one:
        _, product = sell(one, 100_000)
        with books_of(one, **{product: ServiceKind.PROJECT}):
            go(one, until=date(2024, 1, 20))
            take(one)
            (bill,) = bills(one)
            assert measure(one, bill.ref, "60", "p-1", date(2024, 1, 15)).outcome is OrderOutcome.POSTED
            assert measure(one, bill.ref, "60", "p-1", date(2024, 1, 15)).outcome is OrderOutcome.REPEAT
            assert end_month(one, MONTHS[0])["4000"] == -60_000
            go(one, until=date(2024, 2, 20))
            take(one)
            assert len(bills(one)) == 2
            assert measure(one, bill.ref, "420/820", "p-2", date(2024, 2, 15)).outcome is OrderOutcome.POSTED
            found = end_month(one, MONTHS[1])
            # 51.22 % of 2,000.00 less the 600.00 of before.
            assert (found["4000"], found["2400"]) == (-102_439, -97_561 - 100_000)
            (entry,) = revenue(one, MONTHS[1])
            treated = {leg.role: leg.dimensions.get("treatment") for leg in entry.postings}
            assert treated == {Role.REVENUE: "catch_up", Role.DEFERRED_REVENUE: None}
            # March was billed on the first of it: half of three bills.
            measure(one, bill.ref, "50", "p-3", date(2024, 2, 29))
            with rebuilt(one, tmp_path / "two", f"sqlite:///{tmp_path / 'two.sqlite'}") as hub:
                ours, theirs = kept(one.hub), kept(hub)
                for name in ("business_event", "posting", "ledger_bill"):
                    assert theirs[name] == ours[name]
            assert drafted(one, before_on=MONTHS[2]) == {
                **balances(one.hub.database), "4000": -100_000, "2400": -100_000, "1090": 200_000,
            }  # fmt: skip


async def test_what_was_done_of_a_project_before_it_is_billed_is_an_asset_and_needs_its_row(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        subscription, product = sell(one, 30_000)
        with books_of(one, **{product: ServiceKind.PROJECT}):
            go(one, until=date(2024, 1, 20))
            take(one)
            (bill,) = bills(one)
            measure(one, bill.ref, "60", "p-1", date(2024, 1, 15), "1000.00")
            one.stripe.account.billing.cancel(subscription)
            parts = more_accounts(one)
            narrow = tuple(row for row in parts[COMPANY].rules if row.role is not Role.CONTRACT_ASSET)
            bare = {**parts, COMPANY: msgspec.structs.replace(parts[COMPANY], rules=narrow)}
            with refusing(one, legal_entities=bare):
                done = one.hub.bookkeeper.recognise(COMPANY, STARTS)
                assert "no row for contract_asset" in str(done.refusals[0])
                assert "4000" not in balances(one.hub.database)
            found = end_month(one, STARTS)
            assert (found["1250"], found["4000"], found.get("2400")) == (30_000, -60_000, None)


async def test_a_closed_month_keeps_what_it_had_and_a_late_word_counts_in_the_next(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        _, product = sell(one, 100_000)
        with books_of(one, **{product: ServiceKind.PROJECT}):
            go(one, until=date(2024, 1, 20))
            take(one)
            (bill,) = bills(one)
            end_month(one, STARTS)
            for period in one.hub.bookkeeper.periods(COMPANY):
                if period.starts_on <= STARTS:
                    one.hub.bookkeeper.close(COMPANY, period.starts_on, by="Ann")
            measure(one, bill.ref, "60", "p-1", date(2024, 1, 15))
            assert revenue(one, STARTS) == []
            assert end_month(one, MONTHS[1])["4000"] == -120_000  # the second bill of it is done as far
            assert [entry.posted_on for entry in revenue(one, MONTHS[1])] == [date(2024, 2, 29)]


async def test_of_two_who_change_two_bills_of_a_project_the_second_begins_anew(store_url: str, tmp_path: Path) -> None:
    """A person says how far it is while another bill of it comes: neither knows of the other."""
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        _, product = sell(one, 100_000)
        with books_of(one, **{product: ServiceKind.PROJECT}):
            go(one, until=date(2024, 1, 20))
            take(one)
            (bill,) = bills(one)
            go(one, until=date(2024, 2, 2))
            one.take_in()
            late = work_of(one)
            assert measure(one, bill.ref, "60", "p-1", date(2024, 1, 31)).outcome is OrderOutcome.POSTED
            with pytest.raises(ConcurrentChange):
                one.hub.state.commit(late, now=one.clock())
            one.process()
            assert end_month(one, MONTHS[1])["4000"] == -120_000


def work_of(one: Installation) -> Changes:
    """What a worker makes of everything that waits, before it stores it."""
    with one.hub.database.read() as connection:
        waiting = select(inbox_work.c.seq).where(inbox_work.c.settled_at.is_(None)).order_by(inbox_work.c.seq)
        seqs = list(connection.execute(waiting).scalars())
    return process(
        one.hub.inbox.load(seqs), connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state,
        now=one.clock(),
    )  # fmt: skip


async def test_what_cannot_be_said_of_a_contract_is_told_at_once(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        subscription, _ = sell(one)
        with books_of(one):
            go(one, until=date(2024, 1, 20))
            take(one)
            (bill,) = bills(one)
            refused = measure(one, bill.ref, "50", "p-1", STARTS)
            assert (refused.outcome, "no such project" in str(refused.refusals[0])) == (OrderOutcome.REFUSED, True)
            too_little = agree(one, subscription, "99.99")
            assert "is agreed and" in str(too_little.refusals[0])
            ref = f"stripe:subscription/{subscription['id']}"
            with pytest.raises(OrderInvalid, match="is no progress"):
                measure(one, bill.ref, "100.1", "p-2", STARTS)
            with pytest.raises(OrderInvalid, match="no subscription the hub knows"):
                agree(one, {"id": "sub_none"})
            with pytest.raises(OrderInvalid, match="a term of a day or more"):
                say(one, BillWord.RAMP_AGREED, ref, "r", STARTS, "1.00", starts_on=ENDS, ends_on=STARTS)
            with pytest.raises(OrderInvalid, match="of a ramp or a project"):
                say(one, BillWord.WRITTEN_OFF, bill.ref, "w", STARTS, "1.00", starts_on=STARTS)


async def test_a_bill_that_is_given_back_whole_on_its_day_earns_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        sell(one)
        take(one)
        charge = next(iter(one.stripe.account.book.table("charge").values()))
        one.stripe.account.payments.refund(charge, amount=STEPS[0], given={})
        one.stripe.account.billing.cancel(next(iter(one.stripe.account.book.table("subscription").values())))
        take(one)
        go(one, until=date(2024, 2, 2))
        take(one)
        one.hub.bookkeeper.recognise(COMPANY, STARTS)
        assert balances(one.hub.database) == {}


def withdrawal_desk(one: Installation) -> WithdrawalDesk:
    return WithdrawalDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.clock)


async def test_how_a_contract_is_earned_is_said_anew_and_not_taken_back(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        with books_of(one):
            subscription, _ = sell(one)
            take(one)
            assert agree(one, subscription).outcome is OrderOutcome.POSTED
            before = kept(one.hub)
            event = next(row[0] for row in before["business_event"] if row[1] == "ramp.agreed")
            with pytest.raises(WithdrawalRefused, match="says how stripe:subscription/") as told:
                withdrawal_desk(one).withdraw(event, "Another customer's", by="bob")
            assert "Say it again" in str(told.value.remedy)
            assert kept(one.hub) == before
