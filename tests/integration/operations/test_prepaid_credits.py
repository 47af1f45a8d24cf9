"""Prepaid credits from billing's own events to the journal: sold, drawn by invoices, given back and ended."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from accordant.canonical.books import ServiceKind
from accordant.connectors.stripe.simulator_versions import CURRENT
from tests.integration.operations.bookkit import LEDGER, balances, counted_anew, counted_on, entries, held
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.rebuildkit import kept, rebuilt
from tests.integration.operations.test_contracts import books_of, drafted, end_month, go, take
from tests.integration.operations.test_usage_story import revenue

MONTHS = tuple(date(2024, month, 1) for month in range(1, 5))
#: Units of 0.10 that are used in January, February and March: billed a month later, when the credits pay them.
USED = (300, 500, 0)
EXPIRES_AT = int(datetime(2024, 4, 20, 12, tzinfo=UTC).timestamp())


def sell(one: Installation) -> tuple[Any, str]:
    """A customer buys 100.00 of credits with the first bill of a subscription to calls; what is not used by the 20th
    of April is lost. The subscription, and the product of the credits.
    """
    account = one.stripe.account
    pack, calls = (account.create_product({"name": name, "metadata": {}}) for name in ("Credits", "Calls"))
    price = account.create_price(pack, currency="usd", unit_amount=10_000, interval="year")
    metered = account.create_price(
        calls, currency="usd", unit_amount=10, interval="month", given={"usage_type": "metered"}
    )
    person = {"name": "EXAMPLE-X", "email": "billing+x@example.com", "metadata": {}}
    customer = account.create_customer(person, card=True)
    account.billing.subscribe(customer, [(price, 1)])
    (bill,) = account.book.table("invoice").values()
    account.invoices.credits.grant(
        customer["id"], amount=10_000, currency="usd", sold_by=bill["id"], expires_at=EXPIRES_AT
    )
    return account.billing.subscribe(customer, [(metered, 1)]), str(pack["id"])


def use(one: Installation, subscription: Any, month_on: date) -> None:
    used = USED[month_on.month - 1] if month_on.month <= len(USED) else 0
    if used:
        one.stripe.account.billing.usage.record(subscription["items"]["data"][0], quantity=used)


def earned(one: Installation) -> dict[date, int]:
    return {month_on: minor for month_on, minor in revenue(one).items() if minor}


async def test_granted_100_drawn_30_drawn_50_expired_20_month_by_month(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        subscription, product = sell(one)
        with books_of(one, **{product: ServiceKind.PREPAID}):
            left = []
            for month_on in MONTHS:
                use(one, subscription, month_on)
                found = end_month(one, month_on)
                left.append(-found.get("2400", 0))
            assert held(one.hub.database) == []
            # What was used in a month is paid with credits on the first of the next.
            assert earned(one) == {MONTHS[1]: 3_000, MONTHS[2]: 5_000, MONTHS[3]: 2_000}
            assert balances(one.hub.database) == {"1090": 10_000, "4000": -10_000}
            assert balances(one.hub.database) == drafted(one, before_on=date(2024, 5, 2))
            assert counted_on(one.hub.database) == counted_anew(one.hub.database)
            drawn = [row for row in entries(one.hub.database) if row.rule == "credits_drawn"]
            assert sorted(row.posted_on for row in drawn) == ["2024-02-01", "2024-03-01", "2024-04-20"]


async def test_any_order_of_arrival_comes_to_the_same_books(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        subscription, product = sell(one)
        for month_on in MONTHS:
            use(one, subscription, month_on)
            go(one, until=date(2024, month_on.month + 1, 1))
        said = list(one.events())
        random.Random(7).shuffle(said)
        # The movements come first of all and the grant after them, the bill last.
        said.sort(key=lambda event: ("credit_balance" not in event.type, "credit_grant" not in event.type))
        with books_of(one, **{product: ServiceKind.PREPAID}):
            for start in range(0, len(said), 4):
                one.hub.inbox.accept([one.arrival(event.body()) for event in said[start : start + 4]])
                one.process()
            assert held(one.hub.database) == []
            assert balances(one.hub.database) == {"1090": 10_000, "4000": -10_000}
            assert balances(one.hub.database) == drafted(one, before_on=date(2024, 5, 2))


async def test_a_void_bill_gives_its_credits_back_and_a_void_grant_earns_the_rest(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER, api_version=CURRENT) as one:
        subscription, product = sell(one)
        account = one.stripe.account
        account.billing.update(subscription, fields={"collection_method": "send_invoice", "days_until_due": 30})
        account.billing.usage.record(subscription["items"]["data"][0], quantity=1_200)
        with books_of(one, **{product: ServiceKind.PREPAID}):
            go(one, until=date(2024, 2, 2))
            take(one)
            assert earned(one)[MONTHS[1]] >= 10_000
            bill = list(account.book.table("invoice").values())[-1]
            assert (bill["status"], bill["amount_remaining"]) == ("open", 2_000)
            account.invoices.void(bill)
            take(one)
            assert balances(one.hub.database) == {"1090": 10_000, "2400": -10_000}
            (grant,) = account.book.table("billing.credit_grant").values()
            account.invoices.credits.void(grant)
            take(one)
            assert balances(one.hub.database) == {"1090": 10_000, "4000": -10_000}
            assert held(one.hub.database) == []


async def test_books_rebuilt_from_the_inbox_are_the_same(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path / "one", more=LEDGER, api_version=CURRENT) as one:
        subscription, product = sell(one)
        with books_of(one, **{product: ServiceKind.PREPAID}):
            use(one, subscription, MONTHS[0])
            go(one, until=date(2024, 2, 2))
            take(one)
            with rebuilt(one, tmp_path / "two", f"sqlite:///{tmp_path / 'two.sqlite'}") as hub:
                assert kept(hub) == kept(one.hub)
                assert balances(hub.database) == {"1090": 10_000, "2400": -7_000, "4000": -3_000}
