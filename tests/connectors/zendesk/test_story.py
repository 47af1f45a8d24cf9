"""From a signed billing event, and from what the ERP says is owed, to what a support agent sees of a customer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.zendesk.connector import outbound
from accordant.connectors.zendesk.simulator import AGENT, ZendeskSimulator
from accordant.ports.reconcile import DiscrepancyKind
from accordant.store.schema import write_intent
from tests.connectors.ledger_story import Company, live_two_months, receivables_come_back
from tests.connectors.xero.test_story import a_company_on_xero
from tests.connectors.zendesk.kit import prepare, settings

_SYSTEM = """
  zendesk:
    connector: zendesk
    owner: Support
    stand_in: true
    settings:
      url: "{url}"
      email: {email}
      api_token: env:ZENDESK_TOKEN
ownership:
"""
_FLOW = """
  - {name: support, entity: account, source: stripe, target: zendesk, phase: controlled, write_fields: all,
     verify: The customer's organization in Zendesk.}
courier:
"""


@dataclass
class Helped:
    """The company, and its support desk."""

    company: Company
    desk: ZendeskSimulator

    async def tell(self) -> None:
        """What was decided goes out to the desk."""
        for _ in range(40):
            self.company.process()
            if await self.company.hub.deliver_round("zendesk") == 0:
                return
            self.company.clock.move(seconds=5)
        raise AssertionError("the courier did not come to rest")

    def seen(self) -> dict[str, Row]:
        """What an agent sees of each customer."""
        return {row["external_id"]: row["organization_fields"] for row in self.desk.account.listed()}

    def states(self) -> set[tuple[str, str | None]]:
        row = write_intent.c
        query = select(row.state, row.reason).where(row.target == "zendesk", row.state != "superseded")
        with self.company.hub.database.read() as connection:
            return {(state, reason) for state, reason in connection.execute(query)}


@asynccontextmanager
async def a_helped_company(folder: Path) -> AsyncIterator[Helped]:
    """The demo company with its books in Xero and a Zendesk beside it, all on one clock."""
    clocks: list[Company] = []
    desk = ZendeskSimulator(now=lambda: clocks[0].clock())  # noqa: PLW0108  there is no company yet
    prepare(desk)
    url = await desk.start()

    def with_desk(charter: Path) -> None:
        file = charter / "accordant.yaml"
        own = file.read_text(encoding="utf-8").replace(
            "readers: [salesforce, xero]", "readers: [salesforce, xero, zendesk]", 1
        )
        own = own.replace("\nownership:\n", _SYSTEM.format(url=url, email=AGENT[0]), 1)
        file.write_text(own.replace("\ncourier:\n", _FLOW, 1), encoding="utf-8")

    try:
        async with a_company_on_xero(folder, edit=with_desk, ZENDESK_TOKEN=AGENT[1]) as (company, _):
            clocks.append(company)
            await company.hub.outbounds["zendesk"].close()
            company.hub.outbounds["zendesk"] = outbound(
                settings(url), company.clock, rate_per_s=1_000, addresses=AddressPolicy(allow_loopback=True)
            )
            yield Helped(company, desk)
    finally:
        await desk.stop()


async def test_what_is_owed_and_how_likely_it_is_paid_reaches_the_agent(tmp_path: Path) -> None:
    async with a_helped_company(tmp_path) as one:
        live_two_months(one.company)
        await one.company.post()
        await one.tell()
        before = one.seen()
        assert {row["receivable_state"] for row in before.values()} == {None}, "no ERP has said anything yet"
        assert {row["payment_risk"] for row in before.values()} <= {"risk_low", "risk_watch", "risk_high"}
        await receivables_come_back(one.company)
        await one.tell()
        after = one.seen()
        assert sorted(after) == sorted(before)
        assert {row["receivable_state"] for row in after.values()} <= {"owes_nothing", "owes_open", "owes_overdue"}
        assert all(row["receivable_open"] is not None for row in after.values())
        assert {state for state, _ in one.states()} <= {"applied", "already_applied"}
        assert [what for _, what in one.desk.account.carried_out].count("made") == len(after)


async def test_an_agents_hand_on_a_field_of_ours_is_undone_and_the_rest_stays(tmp_path: Path) -> None:
    async with a_helped_company(tmp_path) as one:
        one.company.sell(1, currency="eur")
        one.company.stripe.advance(1)
        await one.company.post()
        await one.tell()
        (row,) = one.desk.account.listed()
        one.desk.account.by_hand(row["id"], notes="Prefers mail", organization_fields={"billing_plan": "Whatever"})
        one.company.clock.move(seconds=1)
        told = await one.company.hub.reconcile("support", actor="ada")
        assert [(found.field, found.actual) for found in told.shown] == [
            ("organization_fields.billing_plan", "Whatever")
        ]
        one.desk.account.delete(row["id"])
        one.company.clock.move(seconds=1)
        again = await one.company.hub.reconcile("support", actor="ada")
        assert len(again.shown) == 1
        assert again.shown[0].kind is DiscrepancyKind.MISSING


async def test_a_desk_without_the_fields_stops_each_record_with_their_names(tmp_path: Path) -> None:
    async with a_helped_company(tmp_path) as one:
        one.desk.account.fields = [field for field in one.desk.account.fields if field["key"] != "billing_plan"]
        one.company.sell(1, currency="eur")
        one.company.stripe.advance(1)
        await one.company.post()
        await one.tell()
        ((state, reason),) = one.states()
        assert state == "dead"
        assert "organization_fields.billing_plan" in (reason or "")
