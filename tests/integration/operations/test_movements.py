"""How a customer's revenue moved, out of the stored events, in the owner's order whatever came first; both stores."""

from __future__ import annotations

import random
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from accordant.analytics.movements import MovementKind
from accordant.canonical.refs import ExternalRef
from accordant.operations.count_movements import MovementRound
from accordant.web.caretaker import Caretaker
from tests.integration.operations.kit import MRR, Installation, an_installation
from tests.integration.operations.test_identity import Died, died
from tests.integration.operations.test_identity import customer as a_customer
from tests.integration.operations.test_review import touch


@pytest.mark.parametrize("seed", [0, 1])
async def test_what_was_bought_changed_and_given_up_is_told_in_its_order(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, other = one.sell(2)
        for quantity in (3, 2):
            touch(one, customer, quantity)
        one.stripe.advance(60)
        one.clock.move(seconds=60)
        mine = next(seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer)
        one.stripe.account.billing.cancel(mine)
        said = list(one.events())
        random.Random(seed).shuffle(said)
        one.hub.inbox.accept([one.arrival(event.body()) for event in said])
        one.process()
        crosswalk = {link.id: ref.id for link, ref in one.hub.state.links(_refs(customer, other)).items()}
        moved = one.hub.movements(crosswalk[customer], as_of=one.clock(), zone=UTC)
        assert [(step.kind, str(step.before), str(step.after)) for step in moved] == [
            (MovementKind.NEW, "0.00 USD", "100.00 USD"),
            (MovementKind.EXPANSION, "100.00 USD", "300.00 USD"),
            (MovementKind.CONTRACTION, "300.00 USD", "200.00 USD"),
            (MovementKind.CHURN, "200.00 USD", "0.00 USD"),
        ]
        (only,) = one.hub.movements(crosswalk[other], as_of=one.clock(), zone=UTC)
        assert only.kind is MovementKind.NEW
        assert one.hub.movements("acc_nobody", as_of=one.clock(), zone=UTC) == ()


HISTORY, TOTAL = "Billing_MRR_History__c", "Billing_Expansion_Total__c"


def history(one: Installation, customer: str) -> list[str]:
    """The movements that the customer's record tells, newest first, without their days."""
    told = str(one.salesforce.record("Account", customer)[HISTORY])
    return [line.partition(" ")[2] for line in told.split("; ")]


async def told(one: Installation) -> None:
    """Everything is written; an hour later revenue is counted, and what that changed is decided and written."""
    await one.settle()
    one.clock.move(hours=1)
    one.stripe.advance(3600)
    Caretaker(one.hub).movement_round()
    one.clock.move(seconds=10)
    await one.settle()


async def test_a_record_tells_how_revenue_moved_after_the_hourly_count(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, _ = one.sell(2)
        await one.settle()
        assert HISTORY not in one.salesforce.record("Account", customer), "what nobody counted is not written"
        await told(one)
        assert history(one, customer) == ["new +100.00 USD"]
        assert one.salesforce.record("Account", customer)[TOTAL] == 0
        touch(one, customer, 3)
        await told(one)
        touch(one, customer, 2)
        await told(one)
        held = one.salesforce.record("Account", customer)
        assert history(one, customer) == ["contraction -100.00 USD", "expansion +200.00 USD", "new +100.00 USD"]
        assert str(held[HISTORY]).startswith(f"{(one.clock() - timedelta(hours=1)).date()} contraction")
        assert held[TOTAL] == 200
        # Nothing moved since: nothing is counted, decided or written.
        written = one.writes()
        await told(one)
        assert Caretaker(one.hub).movement_round() == MovementRound(counted=0, moved=0)
        assert one.writes() == written


async def test_a_late_statement_is_counted_in_its_place(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        touch(one, customer, 3)
        said = [one.arrival(event.body()) for event in one.events()]
        late = [each for each in said if each.envelope.event_type.startswith("customer.subscription.")][:-1]
        one.hub.inbox.accept([each for each in said if each not in late])
        await told(one)
        assert history(one, customer) == ["new +300.00 USD"]
        one.hub.inbox.accept(late)
        await told(one)
        assert history(one, customer) == ["expansion +200.00 USD", "new +100.00 USD"]


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_what_its_owner_was_asked_about_moved_when_it_was_said_not_when_it_was_asked(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    """Two states of the last second of a day: which came later is asked for, and the answer comes the day after."""
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        midnight = (one.clock() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        one.stripe.advance(int(midnight.timestamp()) - one.stripe.book.now - 61)
        one.clock.at = midnight - timedelta(seconds=61)
        touch(one, customer, 2)
        book = one.stripe.book
        mine = next(seen for seen in book.table("subscription").values() if seen["customer"] == customer)
        items = [{"id": mine["items"]["data"][0]["id"], "quantity": 5}]
        one.stripe.account.billing.update(mine, items=items)
        said = list(one.events())
        random.Random(seed).shuffle(said)
        one.hub.inbox.accept([one.arrival(event.body()) for event in said])
        await told(one)
        assert one.clock().date() == midnight.date()
        newest, _ = str(one.salesforce.record("Account", customer)[HISTORY]).split("; ")
        assert newest == f"{(midnight - timedelta(days=1)).date()} expansion +400.00 USD"


async def test_the_calendar_alone_is_counted_when_its_day_comes(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        mine = next(seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer)
        one.stripe.account.book.change(mine, "customer.subscription.updated", cancel_at_period_end=True)
        await told(one)
        assert history(one, customer) == ["new +100.00 USD"]
        one.clock.move(days=32)
        await told(one)
        assert history(one, customer) == ["churn -100.00 USD", "new +100.00 USD"]


async def test_a_record_of_several_customers_tells_what_moved_last_among_them(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more="identity: {}\n") as one:
        await one.hub.scan_directory("salesforce")
        first = a_customer(one, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await told(one)
        a_customer(one, "Wingtip", "uk@wingtip-x.com", unit_minor=2_000)
        touch(one, first, 2)
        await told(one)
        held = one.salesforce.record("Account", first)
        assert (held[MRR], held[TOTAL]) == (40, 10)
        assert sorted(history(one, first)) == ["expansion +10.00 USD", "new +10.00 USD", "new +20.00 USD"]


async def test_a_count_that_breaks_off_counts_the_same_again(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.clock.move(hours=1)
        with monkeypatch.context() as dying:
            dying.setattr(one.hub.cursors, "move", died)
            with pytest.raises(Died):
                Caretaker(one.hub).movement_round()
        assert Caretaker(one.hub).movement_round() == MovementRound(counted=1, moved=0)
        one.clock.move(seconds=10)
        await one.settle()
        assert history(one, customer) == ["new +100.00 USD"]


def _refs(*names: str) -> list[ExternalRef]:
    return [ExternalRef("stripe", "customer", name) for name in names]
