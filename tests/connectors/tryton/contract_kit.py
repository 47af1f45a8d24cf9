"""A company that opens billing from won opportunities and keeps its books in a running Tryton; processes of it die."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from accordant.bootstrap import Hub, checked_charter
from accordant.demo.company import environment
from accordant.orchestration.saga import Saga, SagaKind, SagaPhase
from accordant.web.lookout import Lookout
from tests.connectors.ledger_story import Company, Erp, a_company
from tests.connectors.salesforce.crm_kit import ADA, prepare_sales
from tests.integration.operations.crm_kit import company, line, listening, opportunity
from tests.integration.operations.kit import ROUNDS_MAX
from tests.integration.operations.opening_kit import let_go, waiting, written_flows
from tests.integration.operations.test_sagas import desk_of

#: Times around, after which a saga that has not ended will not.
ROUNDS_MAX_OF_ALL = 12
TARGETS = ("stripe", "salesforce", "tryton")


class Died(BaseException):
    """The process is gone."""


class Mortal:
    """Kills the process at each place the first time it comes there; the next process goes through."""

    def __init__(self) -> None:
        self.deaths: list[str] = []
        self.is_on = True

    def at(self, place: str) -> None:
        """Die here, once."""
        if self.is_on and place not in self.deaths:
            self.deaths.append(place)
            raise Died(place)


class MortalOutbound:
    """An outbound half around whose writes the process dies: before one leaves, and after it was carried out."""

    def __init__(self, real: Any, target: str, mortal: Mortal) -> None:
        self._real = real
        self._target = target
        self._mortal = mortal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def write(self, spec: Any, records: Any) -> Any:
        place = f"{spec.name} at {self._target}"
        self._mortal.at(f"before the write of {place}")
        results = await self._real.write(spec, records)
        self._mortal.at(f"after the write of {place}, before its receipt")
        return results


class Contract:
    """One won opportunity on its way, by processes that die; what it goes through is kept in the store alone."""

    def __init__(self, one: Company, mortal: Mortal) -> None:
        self.one = one
        self.mortal = mortal
        self._wrap()

    def _wrap(self) -> None:
        for target in TARGETS:
            wrapped: Any = MortalOutbound(self.one.hub.outbounds[target], target, self.mortal)
            self.one.hub.outbounds[target] = wrapped

    async def restart(self) -> None:
        """Another process takes over, when the leases of the dead one have run out."""
        one = self.one
        await one.hub.close()
        known = {**environment(), **one.erp.variables}
        one.hub = Hub(one.settings, checked_charter(one.settings), environment=known, clock=one.clock)
        one.clock.move(minutes=5)
        self._wrap()

    async def go_on(self, steps: list[tuple[str, Callable[[], Any]]]) -> None:
        """Every step, in order; whoever dies before or after one is followed by another who does them all again."""
        for _ in range(ROUNDS_MAX):
            try:
                for name, step in steps:
                    self.mortal.at(f"before {name}")
                    done = step()
                    if hasattr(done, "__await__"):
                        await done
                    self.mortal.at(f"after {name}")
                return
            except Died:
                await self.restart()
        raise AssertionError("the processes died without end")

    def steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """What a process does again and again."""
        one = self.one
        return [
            ("sales is asked", self._ask_sales),
            ("what billing says is taken in", self._hear),
            ("it is decided and posted", one.process),
            *((f"what {target} is to hold is sent", self._sender(target)) for target in TARGETS),
            ("sagas are looked at", self._look),
        ]

    async def around(self, times: int = 4) -> None:
        """All of it, until nothing is new."""
        for _ in range(times):
            await self.go_on(self.steps())

    async def until(self, kind: SagaKind, phase: SagaPhase) -> Saga:
        """All of it, until a saga is where it is to end and nothing is left for the ERP."""
        for _ in range(ROUNDS_MAX_OF_ALL):
            await self.around(1)
            found = self._sagas(kind)
            if [one.phase for one in found] == [phase] and self.one.left() == []:
                return found[0]
        stood = [(step.step.value, step.sight.value, step.told) for one in self._sagas(kind) for step in one.steps]
        raise AssertionError(f"{stood}; left for the ERP: {self.one.left()}")

    async def _ask_sales(self) -> None:
        self.one.clock.move(minutes=3)
        await Lookout(self.one.hub).sweep("salesforce", actor="ada")
        await self.one.hub.scan_directory("salesforce")

    def _hear(self) -> None:
        one = self.one
        one.stripe.advance_to(max(int(one.clock().timestamp()), one.stripe.account.book.now))
        # Billing says everything again until it is taken: what is there already is known.
        one.hub.inbox.accept([one.arrival(event.body()) for event in one.stripe.events()])

    def _sender(self, target: str) -> Callable[[], Any]:
        async def send() -> None:
            for _ in range(ROUNDS_MAX):
                self.one.clock.move(seconds=2)
                if await self.one.hub.deliver_round(target) == 0:
                    return
            raise AssertionError("the courier did not come to rest")

        return send

    def _look(self) -> None:
        desk_of(self.one.hub).round()

    def _sagas(self, kind: SagaKind) -> list[Saga]:
        return [saga for saga in desk_of(self.one.hub).book.latest(limit=10) if saga.kind is kind]


def sell(one: Company) -> str:
    """A company whose opportunity is won, at a price in euros; the opportunity's id."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="eur", unit_amount=10_001, interval="month")
    buyer = company(one, Billing_Email__c="bills@example.com", BillingCountry="Germany")
    deal = opportunity(one, buyer)
    line(one, deal, price["id"], quantity=2)
    one.salesforce.edit("Opportunity", deal, "StageName", "Closed Won", ADA)
    return deal


def release(one: Company) -> None:
    """A person lets the subscription go."""
    let_go(one, waiting(one)["subscription"])


def opening(charter: Path) -> None:
    """The charter of the how-to, with the ERP of the story beside it."""
    path = charter / "accordant.yaml"
    text = listening(path.read_text(encoding="utf-8")).replace("currency: USD", "currency: EUR")
    rules, more = yaml.safe_load(text), written_flows()
    rules["flows"] += more["flows"]
    # Nobody can be looked for by name in Tryton: customers are known there by their code.
    searched = {"systems": ["salesforce"]}
    rules["identity"] = {"model": "b2b", "unmatched": "create"} | searched | more["identity"]
    path.write_text(yaml.safe_dump(rules, sort_keys=False, allow_unicode=True), encoding="utf-8")


@asynccontextmanager
async def a_contract(erp: Erp, folder: Path, *, mortal: Mortal) -> AsyncIterator[Contract]:
    """The company after its first look at the CRM."""
    async with a_company(erp, folder, edit=opening) as one:
        prepare_sales(one.salesforce)
        on, mortal.is_on = mortal.is_on, False
        contract = Contract(one, mortal)
        await contract.around(1)
        mortal.is_on = on
        try:
            yield contract
        finally:
            mortal.is_on = False
            await one.hub.close()
