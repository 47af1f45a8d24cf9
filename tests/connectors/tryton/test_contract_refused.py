"""A step that Tryton refuses for good holds a won contract and its amendment in words, with what to do, and goes on."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from accordant.bootstrap import checked_charter
from accordant.connectors.tryton.rpc import Rpc
from accordant.orchestration.saga import Saga, SagaKind, SagaPhase, SagaStep, Sight
from tests.connectors.tryton.contract_kit import Contract, Mortal, a_contract, release, sell
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_contract import amend, nothing_is_doubled
from tests.connectors.tryton.test_story import the_erp
from tests.connectors.tryton.year_desk import Accountant, Desk
from tests.integration.operations.opening_kit import subscriptions
from tests.integration.operations.test_sagas import desk_of

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
JANUARY = date(2024, 1, 1)
AROUND_MAX = 6


async def test_what_a_closed_period_refuses_is_told_by_the_saga_and_goes_on_once_it_is_open(
    tryton: Tryton, rpc: Rpc, tmp_path: Path
) -> None:
    mortal, accountant = Mortal(), Accountant(rpc)
    mortal.is_on = False
    async with a_contract(the_erp(tryton), tmp_path, mortal=mortal) as contract:
        one = contract.one
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        desk = Desk(one)
        await accountant.close(1, JANUARY)
        deal = sell(one)
        await contract.around(2)
        release(one)
        with desk.at():
            won = await refused(contract, desk, SagaKind.CONTRACT_WON, SagaStep.POSTING)
            # Only the document is missing: nothing before it is done again, and nothing of it is left in Tryton.
            assert [step.sight for step in won.steps[:-1]] == [Sight.DONE] * 4
            assert await rpc.find("account.invoice", [], ["state"], context={"company": 1}) == []
            await accountant.reopen(1, JANUARY)
            await sent_again(desk)
        await contract.until(SagaKind.CONTRACT_WON, SagaPhase.DONE)
        await nothing_is_doubled(contract, rpc, invoices=1)

        (subscription,) = subscriptions(one, deal)
        await accountant.close(1, JANUARY)
        amend(contract, subscription)
        with desk.at():
            amended = await refused(contract, desk, SagaKind.AMENDMENT, SagaStep.JOURNAL)
            # Sales is told in its turn: what the ERP has not taken is not yet behind.
            assert amended.steps[-1].sight is Sight.ABSENT
            # Tryton opens a period without its journals: they are told too.
            await accountant.reopen(1, JANUARY)
            await sent_again(desk)
            await refused(contract, desk, SagaKind.AMENDMENT, SagaStep.JOURNAL, word="closed journal-period")
            await accountant.reopen_journals(1, JANUARY)
            await sent_again(desk)
        await contract.until(SagaKind.AMENDMENT, SagaPhase.DONE)
        await nothing_is_doubled(contract, rpc, invoices=2)
        assert len(subscriptions(one, deal)) == 1


async def refused(
    contract: Contract, desk: Desk, kind: SagaKind, step: SagaStep, *, word: str = "of Tryton is closed"
) -> Saga:
    """The saga once it stands at a step that Tryton refuses: a person is told which period it is and what to do."""
    stands: Saga | None = None
    for _ in range(AROUND_MAX):
        await contract.around(1)
        found = [saga for saga in desk_of(contract.one.hub).book.latest(limit=10) if saga.kind is kind]
        stands = next((saga for saga in found if saga.current is not None and word in saga.current.told), None)
        if stands is not None:
            break
    assert stands is not None
    assert stands.current is not None
    assert (stands.current.step, stands.current.sight, stands.needs_person) == (step, Sight.FAILED, True)
    assert "2024-01" in stands.current.told
    assert "eopen it there" in stands.current.told
    assert stands.current.told.endswith("Redrive it once that is mended.")
    code, said = await desk.tried("saga", "show", stands.id)
    assert code == 1
    assert "eopen it there" in " ".join(said.split())
    return stands


async def sent_again(desk: Desk) -> None:
    """What Tryton refused is sent again."""
    code, said = await desk.tried(
        "redrive", "--matching", "eopen it there", "--because", "January is open again in Tryton", "--defect",
        "Its period was closed", "--fix", "reference Tryton, period 2024-01", "--yes", "--as", "ann",
    )  # fmt: skip
    assert code == 0, said
