"""A won contract is followed from sales into billing, the books and back, by whatever person and clock moves it."""

from __future__ import annotations

from pathlib import Path

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.refs import EntityKind
from accordant.demo.company import environment
from accordant.orchestration.saga import Saga, SagaKind, SagaPhase, SagaStep, Sight
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.kit import Installation, recharter
from tests.integration.operations.opening_kit import (
    a_price,
    an_opening_company,
    around,
    let_go,
    sold,
    subscriptions,
    waiting,
)
from tests.integration.operations.test_sagas import Crash, desk_of


def won(one: Installation) -> Saga:
    """The one contract."""
    (saga,) = (found for found in desk_of(one.hub).book.latest(limit=10) if found.kind is SagaKind.CONTRACT_WON)
    return saga


def sights(saga: Saga) -> dict[SagaStep, Sight]:
    return {one.step: one.sight for one in saga.steps}


async def signed(one: Installation) -> str:
    """An opportunity that was won, released and begun in billing; its id."""
    _, deal = sold(one, a_price(one))
    await around(one)
    let_go(one, waiting(one)["subscription"])
    await around(one)
    return deal


async def test_a_won_contract_waits_for_a_person_and_goes_on_to_its_bill(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        _, deal = sold(one, a_price(one))
        await around(one)
        desk_of(one.hub).round()
        saga = won(one)
        assert saga.current is not None
        assert (saga.current.step, saga.current.sight) == (SagaStep.SUBSCRIPTION, Sight.HELD)
        assert saga.needs_person
        assert saga.account_id is not None
        let_go(one, waiting(one)["subscription"])
        await around(one)
        desk_of(one.hub).round()
        saga = won(one)
        assert saga.phase is SagaPhase.DONE
        assert sights(saga) == {
            SagaStep.BILLING_CUSTOMER: Sight.DONE,
            SagaStep.ERP_CUSTOMER: Sight.NOT_NEEDED,
            SagaStep.SUBSCRIPTION: Sight.DONE,
            SagaStep.FIRST_INVOICE: Sight.DONE,
            SagaStep.POSTING: Sight.NOT_NEEDED,
        }
        assert len(subscriptions(one, deal)) == 1
        assert desk_of(one.hub).round() == 0


async def test_a_contract_that_sales_changes_after_it_was_won_is_found_until_billing_follows(tmp_path: Path) -> None:
    async with an_opening_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        deal = await signed(one)
        desk_of(one.hub).round()
        saga = won(one)
        assert saga.findings == ()
        one.salesforce.edit("Opportunity", deal, "Amount", 99_000, ADA)
        one.clock.move(minutes=5)
        await around(one)
        desk_of(one.hub).round()
        (finding,) = won(one).findings
        assert "changed after it was won" in finding.told
        assert won(one).needs_person
        desk_of(one.hub).round()
        assert len(won(one).findings) == 1
        assert won(one).phase is SagaPhase.DONE, "it is found of a contract that is under way for long"


async def test_whoever_dies_over_a_contract_is_gone_on_from(store_url: str, tmp_path: Path) -> None:
    async with an_opening_company(store_url, tmp_path) as one:
        deal = await signed(one)
        deaths = 0
        for boundary in range(1, 60):
            try:
                desk_of(one.hub, dies_at=boundary).round()
            except Crash:
                deaths += 1
                await one.hub.close()
                one.hub = Hub(one.settings, checked_charter(one.settings), environment=environment(), clock=one.clock)
                continue
            break
        assert deaths >= 5
        assert won(one).phase is SagaPhase.DONE
        assert len(subscriptions(one, deal)) == 1
        await one.hub.close()


async def test_a_contract_is_taken_back_from_its_bill_to_its_subscription(tmp_path: Path) -> None:
    async with an_opening_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        deal = await signed(one)
        desk = desk_of(one.hub)
        desk.round()
        back = desk.undo(won(one).id, actor="lea", because="Signed by mistake.")
        assert back.current is not None
        assert back.current.step is SagaStep.FIRST_INVOICE
        (subscription,) = subscriptions(one, deal)
        bill = one.stripe.book.get("invoice", subscription["latest_invoice"])
        one.stripe.account.invoices.void(bill)
        one.stripe.account.billing.cancel(subscription)
        await around(one)
        desk.round()
        ended = won(one)
        assert ended.phase is SagaPhase.UNDONE
        assert sights(ended)[SagaStep.BILLING_CUSTOMER] is Sight.DONE, "a customer who buys nothing stays"


async def test_a_contract_without_a_flow_into_billing_is_the_crms_own(tmp_path: Path) -> None:
    async with an_opening_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        hub = one.hub
        recharter(hub, [flow for flow in hub.charter.flows if flow.entity is not EntityKind.OPPORTUNITY])
        sold(one, a_price(one))
        await around(one)
        assert desk_of(hub).round() == 0
