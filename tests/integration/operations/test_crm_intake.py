"""What a CRM says of its own, taken in like everything else: raw first, in any order, never a loop of our own words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from accordant.canonical.deals import Company, Opportunity
from accordant.canonical.refs import EntityKind
from accordant.operations.fetched import fetched
from accordant.ports.connector import EventLister
from accordant.store import schema
from accordant.web.caretaker import Caretaker
from accordant.web.lookout import Lookout
from tests.connectors.salesforce.crm_kit import ADA
from tests.integration.operations.crm_kit import (
    a_selling_company,
    asked,
    come_to_rest,
    company,
    happened,
    held,
    line,
    opportunity,
    rows,
)
from tests.integration.operations.kit import KEY, Installation, an_installation
from tests.integration.operations.test_caretaker import jobs


def deal_of(one: Installation, name: str) -> Opportunity:
    found = held(one, EntityKind.OPPORTUNITY)[name]
    assert isinstance(found, Opportunity)
    return found


async def everything(one: Installation) -> list[bytes]:
    """Every record of the CRM as it is now, as it would be told."""
    reader = one.hub.readers["salesforce"]
    assert isinstance(reader, EventLister)
    pages = reader.events(since=one.clock().replace(year=2000), until=one.clock().replace(year=2100))
    return [body async for page in pages for body in page]


def take_in(one: Installation, bodies: list[bytes]) -> None:
    inbound = one.hub.inbounds["salesforce"]
    one.hub.inbox.accept([fetched("salesforce", inbound.read_envelope(body), body, now=one.clock()) for body in bodies])


async def test_what_sales_does_is_known_a_minute_later_and_told_once(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        buyer = company(one, "EXAMPLE-9", BillingCountry="Germany")
        deal = opportunity(one, buyer)
        line(one, deal, "price_1", quantity=3)
        assert (await asked(one)).found == {"company.changed": 1, "opportunity.changed": 1}
        one.salesforce.edit("Opportunity", deal, "StageName", "Closed Won", ADA)
        assert (await asked(one)).total == 1
        assert (await asked(one)).total == 0
        known = held(one, EntityKind.COMPANY)[buyer]
        assert isinstance(known, Company)
        assert (known.name, known.country) == ("EXAMPLE-9", "DE")
        sold = deal_of(one, deal)
        assert (sold.is_won, sold.lines[0].price_id, sold.lines[0].quantity) == (True, "price_1", "3")
        assert (happened(one, "contract.won"), happened(one, "opportunity.changed")) == (1, 2)
        assert set(rows(one, schema.inbox_work, "state")) == {("processed",)}
        assert held(one, EntityKind.ACCOUNT) == {}, "nobody pays yet"


async def test_a_company_that_does_not_ask_hears_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        assert Lookout(one.hub).silent == ()
        assert Lookout(one.hub).delivering == ("stripe",)
    async with a_selling_company(store_url, tmp_path / "other") as one:
        assert Lookout(one.hub).silent == ("salesforce",)


async def test_the_caretaker_asks_what_sends_nothing_often_and_sweeps_the_rest(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        await caretaker.duty_round()
        buyer = company(one)
        one.clock.move(minutes=3)
        await caretaker.duty_round()
        one.process()
        assert buyer in held(one, EntityKind.COMPANY)
        told = jobs(one)
        assert "salesforce: " in str(told["fetch"])
        assert "salesforce" not in str(told.get("sweep"))


async def test_our_own_words_come_back_and_cause_nothing(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        one.sell(2)
        await one.settle()
        assert one.salesforce.count("Account") == 2
        before = one.writes()
        assert (await asked(one)).found == {"company.changed": 2}
        await one.deliver()
        assert one.writes() == before
        outcomes = [row[0] for row in rows(one, schema.observation, "outcome")]
        assert outcomes.count("echo") == 2
        assert len(held(one, EntityKind.COMPANY)) == 2
        assert len(held(one, EntityKind.ACCOUNT)) == 2, "a company is no second customer"
        assert (await asked(one)).total == 0


async def test_a_name_changed_by_hand_where_billing_owns_it_is_put_back(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        await asked(one)
        one.salesforce.edit("Account", customer, "Name", "EXAMPLE-OTHER", ADA)
        await asked(one)
        assert [row[0] for row in rows(one, schema.observation, "outcome")].count("foreign") == 1
        await one.deliver()
        assert one.salesforce.record("Account", customer)["Name"] == "EXAMPLE-0"
        before = one.writes()
        await asked(one)
        await one.deliver()
        assert one.writes() == before, "and that it was put back is no news either"
        assert one.salesforce.record("Account", customer)[KEY] == customer


async def test_a_deal_before_its_company_waits_for_it(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        buyer = company(one)
        deal = opportunity(one, buyer, "Closed Won")
        told = [body for body in await everything(one) if b'"object":"Opportunity"' in body]
        take_in(one, told)
        one.process()
        assert held(one, EntityKind.OPPORTUNITY) == {}, "whose it is, nobody has said yet"
        await come_to_rest(one)
        assert deal_of(one, deal).is_won
        assert buyer in held(one, EntityKind.COMPANY), "its owner was asked"


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_arrival_ends_in_what_the_crm_holds(store_url: str, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with a_selling_company(store_url, tmp_path) as one:
        stays, goes = company(one, "EXAMPLE-1"), company(one, "EXAMPLE-1 GmbH")
        deals = [opportunity(one, chance.choice((stays, goes))) for _ in range(3)]
        bodies: list[bytes] = []
        for step in range(12):
            deal = chance.choice(deals)
            record = one.salesforce.org.find("Opportunity", deal)
            match chance.randrange(5):
                case 0 if not record.deleted:
                    one.salesforce.delete("Opportunity", deal, ADA)
                case 1:
                    one.salesforce.undelete("Opportunity", deal, ADA)
                case 2 if step > 8 and not one.salesforce.org.find("Account", goes).deleted:
                    one.salesforce.merge("Account", stays, [goes], ADA)
                case _ if not record.deleted:
                    stage = chance.choice(("Closed Won", "Closed Lost", "Negotiation/Review"))
                    one.salesforce.edit("Opportunity", deal, "StageName", stage, ADA)
                case _:
                    pass
            bodies += await everything(one)
            if chance.random() < 0.6:
                one.clock.move(seconds=chance.choice((1, 2, 30)))
        one.clock.move(minutes=5)
        chance.shuffle(bodies)
        for body in dict.fromkeys(bodies):
            take_in(one, [body])
            if chance.random() < 0.3:
                one.process()
        await asked(one)
        for deal in deals:
            record = one.salesforce.org.find("Opportunity", deal)
            known = deal_of(one, deal)
            assert (known.deleted, known.stage) == (record.deleted, record.values["StageName"])
            assert known.company_id == record.values["AccountId"]
        merged = one.salesforce.org.find("Account", goes)
        told = held(one, EntityKind.COMPANY)[goes]
        assert isinstance(told, Company)
        assert (told.deleted, told.merged_into) == (merged.deleted, merged.values.get("MasterRecordId"))


async def test_a_body_that_is_none_is_set_aside_and_its_neighbors_go_on(store_url: str, tmp_path: Path) -> None:
    async with a_selling_company(store_url, tmp_path) as one:
        bad = b'{"object":"Account","at":"2026-03-01T00:00:00Z","row":{"Id":"001","Name":["no name"]},"lines":[]}'
        take_in(one, [bad])
        buyer = company(one)
        await asked(one)
        states = dict(rows(one, schema.inbox_work, "state", "reason"))
        assert "Name holds no plain value" in str(states["quarantined"])
        assert buyer in held(one, EntityKind.COMPANY)
