"""A changed contract is followed from the change to what sales is told, on both stores, whoever dies on the way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from accordant.bootstrap import Hub, checked_charter
from accordant.demo.company import environment
from accordant.kernel.errors import RejectedError
from accordant.operations.pause import pause, resume
from accordant.operations.saga_desk import SagaDesk
from accordant.orchestration.saga import Saga, SagaPhase, SagaStep, Sight
from accordant.ports.audit import AuditEntry
from accordant.ports.sagas import NoSaga, SagaMoved
from accordant.store.audit import verify_chain
from accordant.store.sagas import SqlSagaBook
from accordant.web.saga_desk import saga_desk
from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.kit import Installation, an_installation


class Crash(BaseException):
    """The process is gone."""


class Fragile:
    """A book of sagas that may be the last thing a process touched: before a call, or right after it."""

    def __init__(self, real: SqlSagaBook, dies_at: int) -> None:
        self._real = real
        self._left = dies_at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)

        def call(*given: Any, **named: Any) -> Any:
            self._burn()
            answer = found(*given, **named)
            self._burn()
            return answer

        return call

    def _burn(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Crash


def desk_of(hub: Hub, *, dies_at: int = 0) -> SagaDesk:
    desk: Any = saga_desk(hub)
    if dies_at:
        desk.book = Fragile(desk.book, dies_at)
    found: SagaDesk = desk
    return found


async def amend(one: Installation, *, unit_minor: int = 25_000, behavior: str = "create_prorations") -> None:
    """Billing moves the only subscription to another price."""
    account = one.stripe.account
    (subscription,) = one.stripe.book.table("subscription").values()
    product = account.create_product({"name": "Enterprise", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=unit_minor, interval="month")
    line = subscription["items"]["data"][0]["id"]
    account.billing.update(
        subscription, items=[{"id": line, "price": price["id"]}], proration_behavior=behavior, fields={}
    )


async def a_customer(one: Installation) -> None:
    one.sell(1)
    await one.settle()
    later(one, days=3)


def later(one: Installation, **span: float) -> None:
    one.clock.move(**span)
    one.stripe.advance_to(int(one.clock.at.timestamp()))


def only(desk: SagaDesk) -> Saga:
    (saga,) = desk.book.latest(limit=10)
    return saga


def sights(saga: Saga) -> list[Sight]:
    return [one.sight for one in saga.steps]


async def test_a_change_is_followed_to_its_bill_its_entry_and_what_sales_is_told(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        await a_customer(one)
        desk = desk_of(one.hub)
        assert desk.round() == 0
        await amend(one)
        await one.settle()
        assert desk.round() == 2  # begun, and moved to the bill it waits for
        saga = only(desk)
        assert saga.current is not None
        assert saga.current.step is SagaStep.INVOICE
        assert saga.current.sight is Sight.UNDER_WAY
        assert "due on" in saga.current.told
        assert desk.round() == 0
        later(one, days=31)
        await one.settle()
        desk.round()
        saga = only(desk)
        assert sights(saga) == [Sight.DONE, Sight.DONE, Sight.NOT_NEEDED, Sight.DONE, Sight.DONE]
        assert saga.phase is SagaPhase.DONE
        # Each step names what it rests on, and all of them go back to the event that began it.
        proofs = {step.step: step.proof or "" for step in saga.steps}
        assert proofs[SagaStep.REPRICING] == f"business_event/{saga.cause}"
        assert proofs[SagaStep.JOURNAL].startswith("entry/")
        assert proofs[SagaStep.FORECAST].startswith("intent/")
        assert len(saga.correlation) == 32
        assert desk.round() == 0


async def test_whoever_dies_at_whatever_moment_is_gone_on_from(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        await a_customer(one)
        await amend(one, behavior="always_invoice")
        await one.settle()
        deaths = 0
        for boundary in range(1, 60):
            try:
                desk_of(one.hub, dies_at=boundary).round()
            except Crash:
                deaths += 1
                await one.hub.close()
                one.hub = Hub(one.settings, checked_charter(one.settings), environment=environment(), clock=one.clock)
                continue
            if only(desk_of(one.hub)).phase is SagaPhase.DONE:
                break
        assert deaths >= 5
        saga = only(desk_of(one.hub))
        assert saga.phase is SagaPhase.DONE
        # Every state is one line of the trail, and none was kept twice.
        with one.hub.database.read() as connection:
            assert verify_chain(connection).faults == ()
        assert desk_of(one.hub).round() == 0
        await one.hub.close()


async def test_what_stands_still_holds_the_step_and_says_so(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_customer(one)
        hub, desk = one.hub, desk_of(one.hub)
        flow = next(route.flow.name for route in hub.rulebook.all_routes if route.flow.entity.value == "account")
        switch = f"flow:{flow}"
        pause(switch=switch, actor="lea", reason="A look.", board=hub.switchboard, now=one.clock())
        await amend(one, behavior="always_invoice")
        await one.settle()
        desk.round()
        saga = only(desk)
        assert saga.current is not None
        assert (saga.current.step, saga.current.sight) == (SagaStep.FORECAST, Sight.HELD)
        assert flow in saga.current.told
        assert saga.needs_person
        resume(switch=switch, actor="lea", reason="Seen.", board=hub.switchboard, now=one.clock())
        one.clock.move(minutes=5)
        await one.deliver()
        desk.round()
        assert only(desk).phase is SagaPhase.DONE


async def test_a_saga_is_undone_from_its_end_by_what_billing_takes_back(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        await a_customer(one)
        desk = desk_of(one.hub)
        await amend(one, behavior="always_invoice")
        await one.settle()
        desk.round()
        saga = only(desk)
        back = desk.undo(saga.id, actor="lea", because="The customer never agreed.")
        assert back.phase is SagaPhase.UNDOING
        assert back.current is not None
        assert back.current.step is SagaStep.JOURNAL
        with pytest.raises(RejectedError, match="undone already"):
            desk.undo(saga.id, actor="lea", because="Once more.")
        later(one, hours=1)
        bill = list(one.stripe.book.table("invoice").values())[-1]
        one.stripe.account.invoices.credit(bill, amount=bill["total"], credit_amount=bill["total"])
        await amend(one, unit_minor=10_000, behavior="none")
        await one.settle()
        desk.round()
        ended = desk.find(saga.id)
        assert ended.phase is SagaPhase.UNDONE
        assert ended.undone_by == "lea"


async def test_a_subscription_that_ends_before_its_bill_is_told_and_not_waited_for(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_customer(one)
        desk = desk_of(one.hub)
        await amend(one)
        await one.settle()
        desk.round()
        (subscription,) = one.stripe.book.table("subscription").values()
        one.stripe.account.billing.cancel(subscription)
        await one.settle()
        desk.round()
        saga = only(desk)
        assert saga.current is not None
        assert saga.current.sight is Sight.FAILED
        assert "ended on" in saga.current.told
        assert saga.needs_person


async def test_two_who_move_one_saga_keep_one_state(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_customer(one)
        await amend(one, behavior="always_invoice")
        await one.settle()
        desk = desk_of(one.hub)
        desk.round()
        saga = only(desk)
        with pytest.raises(NoSaga):
            desk.find("sga_none")
        stale = desk.book.find(saga.id)
        assert stale is not None
        desk.undo(saga.id, actor="lea", because="A word.")
        line = AuditEntry(
            kind="operations.saga.moved", actor="t", subject=f"saga/{saga.id}", cause=None, at=one.clock(), body={}
        )
        with pytest.raises(SagaMoved):
            desk.book.keep(msgspec.structs.replace(stale, version=stale.version + 1), line)
        assert only(desk).undone_by == "lea"


async def test_history_of_long_ago_is_followed_by_nobody(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_customer(one)
        await amend(one)
        await one.settle()
        one.clock.move(days=40)
        desk = desk_of(one.hub)
        assert desk.round() == 0
        assert desk.book.unfollowed([], since=one.clock() - timedelta(days=365)) == ()
