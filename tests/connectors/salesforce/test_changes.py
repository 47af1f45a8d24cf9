"""What changed in Salesforce is told once, whatever happens to it: moved, thrown away, brought back, merged."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from accordant.canonical.deals import Company, Contact, Opportunity, OpportunityLine
from accordant.canonical.events import EventType
from accordant.canonical.observations import Interpreted
from accordant.canonical.refs import ExternalRef
from accordant.connectors.salesforce import changes
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.connector import AuthorizationExpired, RateLimited
from accordant.testing.contract_documents import read_document
from tests.connectors.salesforce.crm_kit import ADA, ALWAYS, SalesOrg, a_sales_org


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


async def test_a_company_its_people_and_what_is_sold_to_it_are_told() -> None:
    async with a_sales_org() as org:
        parent = org.company("EXAMPLE-HOLDING")
        company = org.company(
            "EXAMPLE-1", Phone="+49 30 1", BillingCity="Berlin", BillingCountry="Germany", ParentId=parent,
            Billing_Email__c="bills@example.com", Segment__c="Mid",
        )  # fmt: skip
        person = org.simulator.create("Contact", ADA, LastName="Lovelace", Email="ada@example.org", AccountId=company)
        deal = org.opportunity(company, "Deal", Start__c="2026-05-01", Term__c=12)
        line = org.line(deal, "PRO", quantity=Decimal("2.5"), price=100)
        assert await org.the(company) == Company(
            external_id=company, name="EXAMPLE-1", email="bills@example.com", phone="+49 30 1", city="Berlin",
            country="DE", parent_id=parent, custom={"Segment__c": "Mid"}, owner_id=org.simulator.org.user_id(ADA),
        )  # fmt: skip
        told = await org.the(person)
        assert isinstance(told, Contact)
        assert (told.company_id, told.name, told.email) == (company, "Lovelace", "ada@example.org")
        sold = await org.the(deal)
        assert isinstance(sold, Opportunity)
        product = org.simulator.record("OpportunityLineItem", line)["Product2Id"]
        assert sold == Opportunity(
            external_id=deal, company_id=company, name="Deal", stage="Prospecting", close_on=date(2026, 3, 31),
            amount=eur(25_000), currency="EUR", starts_on=date(2026, 5, 1), term_months=12,
            owner_id=org.simulator.org.user_id(ADA),
            lines=(
                OpportunityLine(
                    external_id=line, product_id=str(product), product_code="PRO", name="Deal Pro", quantity="2.5",
                    unit_price=eur(10_000), price_id="price_pro",
                ),
            ),
        )  # fmt: skip
        roots = {one.ref.id: one.root for one in await org.seen()}
        assert roots[person] == roots[deal] == roots[company] == ExternalRef("crm", "company", company)


async def test_one_state_is_one_event_and_the_next_state_another() -> None:
    async with a_sales_org() as org:
        deal = org.opportunity(org.company())
        first = await org.bodies()
        assert await org.bodies() == first
        assert len({org.inbound.read_envelope(body).external_id for body in first}) == 2
        org.move(minutes=1)
        org.simulator.edit("Opportunity", deal, "StageName", "Closed Won", ADA)
        second = await org.bodies(since=org.clock.now)
        assert len(second) == 1
        assert org.inbound.read_envelope(second[0]).external_id not in {
            org.inbound.read_envelope(body).external_id for body in first
        }


async def test_two_states_of_one_second_are_two_events() -> None:
    async with a_sales_org() as org:
        deal = org.opportunity(org.company())
        before = await org.bodies(since=org.clock.now)
        org.simulator.edit("Opportunity", deal, "StageName", "Closed Won", ADA)
        after = await org.bodies(since=org.clock.now)
        names = [{org.inbound.read_envelope(body).external_id for body in told} for told in (before, after)]
        stamps = {org.inbound.read_envelope(body).occurred_at for body in (*before, *after)}
        assert len(stamps) == 1
        assert len(names[0] ^ names[1]) == 2, "the company is told as before, the opportunity anew"


async def test_a_contract_is_won_once_however_often_it_is_told() -> None:
    async with a_sales_org() as org:
        deal = org.opportunity(org.company(), Amount=1200)
        assert {one.type for one in await org.happened()} == {EventType.OPPORTUNITY_CHANGED}
        told = []
        for stage in ("Closed Won", "Negotiation/Review", "Closed Won"):
            org.move(minutes=1)
            org.simulator.edit("Opportunity", deal, "StageName", stage, ADA)
            told += await org.happened()
        won = {one.id: one for one in told if one.type is EventType.CONTRACT_WON}
        assert len(won) == 1
        assert {one.amount for one in won.values()} == {eur(120_000)}
        assert len({one.id for one in told if one.type is EventType.OPPORTUNITY_CHANGED}) == 3


async def test_a_change_of_a_line_is_a_change_of_its_opportunity() -> None:
    async with a_sales_org() as org:
        deal = org.opportunity(org.company())
        kept, dropped = org.line(deal, "PRO"), org.line(deal, "SEATS", quantity=3)
        org.move(minutes=1)
        # The sum stays as it is, so nothing but the lines tells of it.
        org.simulator.org.records["OpportunityLineItem"][kept].values |= {
            "ServiceDate": "2026-06-01", "SystemModstamp": org.simulator.org.stamp()
        }  # fmt: skip
        (told,) = await org.seen(since=org.clock.now)
        assert told.ref.id == deal
        assert told.observed_at == org.clock.now
        org.move(minutes=1)
        org.simulator.delete("OpportunityLineItem", dropped, ADA)
        (told,) = await org.seen(since=org.clock.now)
        assert isinstance(told.entity, Opportunity)
        assert [line.external_id for line in told.entity.lines] == [kept]
        assert told.entity.amount == eur(1_000)


async def test_thrown_away_and_brought_back_are_told_with_what_was_in_it() -> None:
    async with a_sales_org() as org:
        deal = org.opportunity(org.company())
        line = org.line(deal, "PRO")
        org.move(minutes=1)
        org.simulator.delete("Opportunity", deal, ADA)
        gone = await org.the(deal)
        assert isinstance(gone, Opportunity)
        assert (gone.deleted, gone.lines) == (True, ())
        org.move(minutes=1)
        org.simulator.undelete("Opportunity", deal, ADA)
        back = await org.the(deal)
        assert isinstance(back, Opportunity)
        assert (back.deleted, [one.external_id for one in back.lines]) == (False, [line])
        org.simulator.delete("Opportunity", deal, ADA)
        org.simulator.purge("Opportunity", deal)
        ref = ExternalRef("crm", "Opportunity", deal)
        body, _ = await org.reader.read(ref)
        assert body == b""
        farewell = org.inbound.interpret_object(ref=ref, body=body, read_at=org.clock.now)
        assert isinstance(farewell, Interpreted)
        assert farewell.observations[0].entity == Opportunity(external_id=deal, is_closed=True, deleted=True)


async def test_a_merged_company_names_the_one_that_stands_and_its_deals_move() -> None:
    async with a_sales_org() as org:
        stays, goes = org.company("EXAMPLE-1"), org.company("EXAMPLE-1 GmbH")
        deal = org.opportunity(goes)
        org.move(minutes=1)
        org.simulator.merge("Account", stays, [goes], ADA)
        merged, moved = await org.the(goes), await org.the(deal)
        assert isinstance(merged, Company)
        assert isinstance(moved, Opportunity)
        assert (merged.deleted, merged.merged_into) == (True, stays)
        assert moved.company_id == stays


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_pages_lose_nothing_and_tell_nothing_twice(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGE_ROWS", page)
    async with a_sales_org() as org:
        made = []
        for number in range(7):
            made.append(org.company(f"EXAMPLE-{number}"))
            if number % 3 == 0:
                org.move(seconds=1)
        told = [one.ref.id for one in await org.seen()]
        assert sorted(told) == sorted(made)
        stamps = [org.inbound.read_envelope(body).occurred_at for body in await org.bodies()]
        assert stamps == sorted(stamps, reverse=True)
        listed = [ref.id async for one in org.reader.pages("company") for ref, _ in one.objects]
        assert sorted(listed) == sorted(made)


async def test_a_span_holds_its_beginning_and_not_its_end() -> None:
    async with a_sales_org() as org:
        at = org.clock.now
        company = org.company()
        assert [one.ref.id for one in await org.seen(at, at + timedelta(seconds=1))] == [company]
        assert await org.seen(at - timedelta(hours=1), at) == []
        assert await org.seen(at + timedelta(seconds=1), at + timedelta(hours=1)) == []


async def test_only_what_the_charter_asks_for_is_read() -> None:
    async with a_sales_org(settings={"listens_to": "Opportunity"}) as org:
        company = org.company()
        deal = org.opportunity(company)
        assert [one.ref.id for one in await org.seen()] == [deal]
        with pytest.raises(RejectedError, match="only these are read: Opportunity"):
            await org.reader.read(ExternalRef("crm", "company", company))
        assert [page async for page in org.reader.pages("company")] == []
        assert [page async for page in org.reader.events(since=ALWAYS, until=org.clock.now, undelivered=True)] == []


async def test_an_org_of_several_currencies_says_which() -> None:
    async with a_sales_org(settings={"currency": ""}) as org:
        org.simulator.define_field("Opportunity", "CurrencyIsoCode", "picklist", picklist=("EUR", "JPY"))
        deal = org.opportunity(org.company(), Amount=1200, CurrencyIsoCode="JPY")
        told = await org.the(deal)
        assert isinstance(told, Opportunity)
        assert (told.amount, told.currency) == (Money(1200, "JPY"), "JPY")


async def ask_often(org: SalesOrg) -> None:
    for _ in range(20):
        await org.bodies()


async def test_some_of_the_day_s_calls_are_left_to_others() -> None:
    async with a_sales_org(daily_calls_max=20) as org:
        org.company()
        with pytest.raises(RateLimited, match="the rest is for writes") as stopped:
            await ask_often(org)
        assert stopped.value.retry_after_s == changes.SPARED_PAUSE_S
        assert org.simulator.rest.calls_used <= 19
        org.simulator.set_limits(daily_calls_max=1000)
        assert await org.bodies(), "one look in so long tells whether there are calls again"


async def test_a_login_that_ended_is_renewed_and_one_refused_is_told() -> None:
    async with a_sales_org() as org:
        org.company()
        assert await org.bodies()
        org.simulator.expire_tokens()
        assert await org.bodies()
        org.simulator.fault("expired", times=9)
        with pytest.raises(AuthorizationExpired):
            await org.bodies()


@pytest.mark.contracts
def test_every_field_that_is_asked_for_is_one_of_the_vendor_s(contracts: Path) -> None:
    """The query resource is not in Salesforce's document; what its objects are made of is."""
    document = read_document(contracts / "salesforce" / "lightning-platform-rest-v59-sobjects-subset.json.gz")
    for object_name, fields in changes._FIELDS.items():
        known = document["components"]["schemas"][f"{object_name}SObject"]["properties"]
        assert sorted({*fields, *changes._ALWAYS} - known.keys()) == []
